//! The keys that leave a container's terminal without ending its program.

/// What is typed goes through here: the keys are held back until it is sure that they
/// are not the beginning of the detach keys.
#[derive(Clone, Debug)]
pub struct Detach {
    keys: Vec<u8>,
    seen: usize,
}

/// Docker's: Ctrl-P Ctrl-Q.
pub const USUAL: &str = "ctrl-p,ctrl-q";

impl Detach {
    /// Reads keys as Docker writes them: single letters, or `ctrl-` and one of `a-z`, `@`, `[`, `\`,
    /// `]`, `^`, `_`, with commas between; none when empty.
    ///
    /// # Errors
    /// Which key is none.
    pub fn new(text: &str) -> Result<Self, String> {
        let keys = text.split(',').filter(|_| !text.is_empty()).map(key);
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, seen: 0 })
    }

    /// Takes what was typed. Gives what is to be sent, and whether the client leaves.
    pub fn typed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut send = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            while self.seen > 0 && self.keys[self.seen] != byte {
                // What was held back was no beginning; perhaps its end is one.
                let left = overlap(&self.keys[..self.seen]);
                send.extend(&self.keys[..self.seen - left]);
                self.seen = left;
            }
            match self.keys.first() {
                Some(_) if self.keys[self.seen] == byte => self.seen += 1,
                _ => send.push(byte),
            }
            if self.seen > 0 && self.seen == self.keys.len() {
                self.seen = 0;
                return (send, true);
            }
        }
        (send, false)
    }
}

/// How many of the last keys, not all of them, begin the keys anew.
fn overlap(seen: &[u8]) -> usize {
    (0..seen.len()).rev().find(|&length| seen.ends_with(&seen[..length])).unwrap_or(0)
}

fn key(text: &str) -> Result<u8, String> {
    let wrong = || format!("{text:?} is not a key such as a or ctrl-p");
    match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Ok(*byte),
        _ => match text.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([byte @ (b'a'..=b'z' | b'@' | b'['..=b'_')]) => Ok(byte.to_ascii_uppercase() & 0x1f),
            _ => Err(wrong()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, pieces: &[&str]) -> (String, bool) {
        let mut detach = Detach::new(keys).unwrap();
        let mut sent = Vec::new();
        for piece in pieces {
            let (send, leaves) = detach.typed(piece.as_bytes());
            sent.extend(send);
            if leaves {
                return (String::from_utf8(sent).unwrap(), true);
            }
        }
        (String::from_utf8(sent).unwrap(), false)
    }

    #[test]
    fn the_keys_leave_however_they_are_cut() {
        assert_eq!(typed(USUAL, &["ls\x10\x11"]), ("ls".into(), true));
        assert_eq!(typed(USUAL, &["ls", "\x10", "\x11"]), ("ls".into(), true));
        assert_eq!(typed(USUAL, &["\x10\x10\x11"]), ("\x10".into(), true));
        assert_eq!(typed("a,a,b", &["aaab"]), ("a".into(), true));
        assert_eq!(typed("a,b,a,c", &["ababac"]), ("ab".into(), true));
    }

    #[test]
    fn a_beginning_that_goes_on_otherwise_is_sent() {
        assert_eq!(typed(USUAL, &["\x10x"]), ("\x10x".into(), false));
        assert_eq!(typed(USUAL, &["\x10", "\x10", "x"]), ("\x10\x10x".into(), false));
        assert_eq!(typed("", &["\x10\x11"]), ("\x10\x11".into(), false));
    }

    #[test]
    fn keys_are_written_as_with_docker() {
        assert_eq!(Detach::new("ctrl-@,a,ctrl-]").unwrap().keys, [0, b'a', 0x1d]);
        assert_eq!(Detach::new("ctrl-1").unwrap_err(), "\"ctrl-1\" is not a key such as a or ctrl-p");
    }
}
