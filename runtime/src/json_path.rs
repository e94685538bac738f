//! Where in a JSON text something is, as `linux.namespaces[1].type`: looked for only
//! when reading it has failed, so that reading it costs nothing more.

/// The path of the value at a place, line and column counted from 1 as `serde_json`
/// counts them; empty for the whole.
pub fn at(text: &[u8], line: usize, column: usize) -> String {
    let before: usize =
        text.split_inclusive(|&byte| byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    // The last byte that was read ends the value or what it is in.
    let end = (before + column).saturating_sub(1).min(text.len());
    let mut walk = Walk::default();
    text[..end].iter().for_each(|&byte| walk.byte(byte));
    walk.path()
}

/// A name or a number of something that is open.
enum Step {
    Key(String),
    Index(usize),
}

#[derive(Default)]
struct Walk {
    open: Vec<Step>,
    /// In a string, and whether a backslash came just before.
    string: Option<Vec<u8>>,
    escaped: bool,
    /// The next string is a key.
    key: bool,
}

impl Walk {
    fn byte(&mut self, byte: u8) {
        if self.string.is_some() {
            return self.in_string(byte);
        }
        match byte {
            b'"' => self.string = Some(Vec::new()),
            b'{' => self.open(Step::Key(String::new())),
            b'[' => self.open(Step::Index(0)),
            b'}' | b']' => drop(self.open.pop()),
            b':' => self.key = false,
            b',' => self.next(),
            _ => {}
        }
    }

    fn in_string(&mut self, byte: u8) {
        let Some(string) = &mut self.string else { return };
        if self.escaped || (byte != b'"' && byte != b'\\') {
            self.escaped = false;
            return string.push(byte);
        }
        if byte == b'\\' {
            self.escaped = true;
            return;
        }
        let text = self.string.take().unwrap_or_default();
        if let (true, Some(Step::Key(key))) = (self.key, self.open.last_mut()) {
            *key = String::from_utf8_lossy(&text).into_owned();
        }
    }

    fn open(&mut self, step: Step) {
        self.key = matches!(step, Step::Key(_));
        self.open.push(step);
    }

    fn next(&mut self) {
        match self.open.last_mut() {
            Some(Step::Index(index)) => *index += 1,
            Some(Step::Key(_)) => self.key = true,
            None => {}
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.open {
            match step {
                Step::Key(key) if key.is_empty() => {}
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.extend([".", key]),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_its_path() {
        let text = "{\"a\": {\"b, [\\\"\": [1, {\"c\": 2}, [\"x\", 7]]},\n \"d\": true}";
        let path = |mark: &str| {
            let place = text.find(mark).unwrap() + mark.len();
            let line = text[..place].matches('\n').count() + 1;
            at(text.as_bytes(), line, place - text[..place].rfind('\n').map_or(0, |newline| newline + 1))
        };
        assert_eq!(path("1"), "a.b, [\"[0]");
        assert_eq!(path(": 2"), "a.b, [\"[1].c");
        assert_eq!(path("7"), "a.b, [\"[2][1]");
        assert_eq!(path("true"), "d");
        assert_eq!(at(text.as_bytes(), 1, 1), "");
        assert_eq!(at(b"", 9, 9), "");
    }
}
