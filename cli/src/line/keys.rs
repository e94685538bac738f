//! Keys, from the bytes that a terminal sends for them (console_codes(4), ECMA-48).

/// A key that the line reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Letter(char),
    /// With Ctrl, as its small letter.
    Control(char),
    /// The line is finished.
    Enter,
    /// Completes a word.
    Tab,
    /// Deletes to the left.
    Backspace,
    /// Deletes what is under the cursor.
    Delete,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// The line's beginning.
    Home,
    /// The line's end.
    End,
}

/// Bytes that came and are not a key that was taken. It yields the keys that are whole; what is no key
/// that is known vanishes.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<u8>);

impl Keys {
    /// Takes in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        loop {
            let (key, length) = first(&self.0)?;
            self.0.drain(..length);
            if key.is_some() {
                return key;
            }
        }
    }
}

/// The first key, if there is one that is known, and how many bytes it is; none when more must come.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let key = match *bytes.first()? {
        0x1b => return sequence(bytes),
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        byte @ 1..=26 => Key::Control((byte + b'a' - 1) as char),
        byte if byte < b' ' => return Some((None, 1)),
        _ => return letter(bytes),
    };
    Some((Some(key), 1))
}

/// A letter in UTF-8.
fn letter(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let length = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let whole = bytes.get(..length)?;
    match std::str::from_utf8(whole).ok().and_then(|text| text.chars().next()) {
        Some(letter) => Some((Some(Key::Letter(letter)), length)),
        None => Some((None, 1)),
    }
}

/// `ESC [ … letter`, `ESC O letter`; ESC and another key is that key alone.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match *bytes.get(1)? {
        b'[' => {
            let last = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))? + 2;
            Some((of(&bytes[2..last], bytes[last]), last + 1))
        }
        b'O' => Some((of(b"", *bytes.get(2)?), 3)),
        _ => Some((None, 1)),
    }
}

fn of(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (parameters, last) {
        (_, b'A') => Key::Up,
        (_, b'B') => Key::Down,
        (_, b'C') => Key::Right,
        (_, b'D') => Key::Left,
        (_, b'H') | (b"1" | b"7", b'~') => Key::Home,
        (_, b'F') | (b"4" | b"8", b'~') => Key::End,
        (b"3", b'~') => Key::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_however_their_bytes_are_cut() {
        let bytes = "aé\x1b[A\x1b[3~\x1bOH\x01\t\x7f\r".as_bytes();
        let expected = [
            Key::Letter('a'),
            Key::Letter('é'),
            Key::Up,
            Key::Delete,
            Key::Home,
            Key::Control('a'),
            Key::Tab,
            Key::Backspace,
            Key::Enter,
        ];
        for piece in [1, 2, 3, bytes.len()] {
            let mut keys = Keys::default();
            let mut seen = Vec::new();
            for bytes in bytes.chunks(piece) {
                keys.push(bytes);
                seen.extend(keys.by_ref());
            }
            assert_eq!(seen, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_key_vanishes() {
        let mut keys = Keys::default();
        keys.push(b"\x1b[24~a\xff\xc3(\x00b");
        assert_eq!(keys.collect::<Vec<_>>(), [Key::Letter('a'), Key::Letter('('), Key::Letter('b')]);
    }

    #[test]
    fn what_is_typed_ahead_stays() {
        let mut keys = Keys::default();
        keys.push(b"a\rb");
        assert_eq!(keys.by_ref().take_while(|key| *key != Key::Enter).count(), 1);
        assert_eq!(keys.next(), Some(Key::Letter('b')));
    }
}
