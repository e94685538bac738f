//! What holds for every input, whatever it is: one function a fuzz target takes bytes and panics when
//! something does not hold.
//!
//! `agent/fuzz` hands them to libFuzzer, `make fuzz`; see `runtime/src/fuzz`, which is the same for
//! the runtime. The test here goes through the inputs that were kept, `agent/fuzz/corpus`, one a line,
//! in base64.

mod event;
mod spdy;
mod websocket;

/// What comes over the connections of the node's server, and from an API server. The first byte says what
/// the others are:
///
/// | byte | |
/// |---|---|
/// | `s`, `f` | bytes of a SPDY client, or frames that it sends |
/// | `w`, `m` | bytes of a WebSocket's client, or messages that it sends |
/// | `e` | a line of a watch |
pub fn streams(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind {
        b's' => spdy::bytes(bytes),
        b'f' => spdy::frames(Script(bytes)),
        b'w' => websocket::bytes(Script(bytes)),
        b'm' => websocket::messages(Script(bytes)),
        b'e' => event::event(bytes),
        _ => {}
    }
}

/// Bytes that say what is sent, one thing after the other.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The next byte.
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next bytes, behind their count.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// The sizes of pieces in which the same bytes come.
fn pieces(length: usize) -> [usize; 3] {
    [length.max(1), 1, 2 + length % 11]
}

#[cfg(test)]
mod tests {
    use base64::prelude::*;
    use std::fs;

    #[test]
    fn streams() {
        let path = format!("{}/fuzz/corpus/streams", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).unwrap();
        let inputs: Vec<Vec<u8>> = text.lines().map(|line| BASE64_STANDARD.decode(line).unwrap()).collect();
        assert!(inputs.len() > 10, "streams has {} inputs", inputs.len());
        inputs.iter().for_each(|input| super::streams(input));
    }
}
