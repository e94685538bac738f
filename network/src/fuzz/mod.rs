//! What holds for every input, whatever it is: one function a fuzz target takes bytes and panics when
//! something does not hold.
//!
//! `network/fuzz` hands them to libFuzzer, `make fuzz`; see `runtime/src/fuzz`, which is the same for
//! the runtime. The test here goes through the inputs that were kept, `network/fuzz/corpus`, one a line,
//! in base64.

mod dhcp;
mod dns;
mod routers;
mod time;

/// What comes from the network. The first byte says what the others are:
///
/// | byte | |
/// |---|---|
/// | `m`, `o` | a DHCP server's message, or the options of one |
/// | `p` | a packet with such a message in it |
/// | `c` | what happens to a DHCP client |
/// | `q`, `n` | a question about names, or a list of names |
/// | `r` | the kernel's notice of a router's advertisement |
/// | `t` | a time server's answer |
/// | `s` | what happens to a client of time servers |
pub fn packets(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind {
        b'm' => dhcp::message(bytes),
        b'o' => dhcp::options(bytes),
        b'p' => dhcp::packet(bytes),
        b'c' => dhcp::client(Script(bytes)),
        b'q' => dns::question(bytes),
        b'n' => dns::names(bytes),
        b'r' => routers::notice(bytes),
        b't' => time::answer(Script(bytes)),
        b's' => time::client(Script(bytes)),
        _ => {}
    }
}

/// Bytes that say what happens, one thing after the other.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The next byte.
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next number.
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    /// The next bytes, behind their count.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::*;
    use std::fs;

    #[test]
    fn packets() {
        let path = format!("{}/fuzz/corpus/packets", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).unwrap();
        let inputs: Vec<Vec<u8>> = text.lines().map(|line| BASE64_STANDARD.decode(line).unwrap()).collect();
        assert!(inputs.len() > 10, "packets has {} inputs", inputs.len());
        inputs.iter().for_each(|input| super::packets(input));
    }
}
