//! A line while it is typed: the usual keys, and the lines before it.

use super::Key;

/// Lines that are remembered.
const MOST: usize = 500;

/// A line being typed.
#[derive(Clone, Debug, Default)]
pub struct Editor {
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// The line of the history that is shown, and what was typed before it was.
    shown: Option<(usize, Vec<char>)>,
}

/// What a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The line has changed, or the cursor.
    Edited,
    /// The line is finished.
    Finished(String),
    /// The line was given up.
    GivenUp,
    /// There will be no more lines.
    Ended,
    /// The word before the cursor is to be completed.
    Complete,
    /// The screen is to be cleared.
    Clear,
}

impl Editor {
    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Turn {
        match key {
            Key::Enter => return self.finish(),
            Key::Control('c') => {
                self.reset();
                return Turn::GivenUp;
            }
            Key::Control('d') if self.line.is_empty() => return Turn::Ended,
            Key::Control('l') => return Turn::Clear,
            Key::Tab => return Turn::Complete,
            Key::Letter(letter) => self.insert(&letter.to_string()),
            Key::Left | Key::Control('b') => self.cursor = self.cursor.saturating_sub(1),
            Key::Right | Key::Control('f') => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::Home | Key::Control('a') => self.cursor = 0,
            Key::End | Key::Control('e') => self.cursor = self.line.len(),
            Key::Backspace | Key::Control('h') => self.delete_from(self.cursor.saturating_sub(1)),
            Key::Control('w') => self.delete_from(self.word()),
            Key::Control('u') => self.delete_from(0),
            Key::Control('k') => self.line.truncate(self.cursor),
            Key::Delete | Key::Control('d') if self.cursor < self.line.len() => {
                self.line.remove(self.cursor);
            }
            Key::Up | Key::Control('p') => self.back(),
            Key::Down | Key::Control('n') => self.forth(),
            Key::Delete | Key::Control(_) => {}
        }
        Turn::Edited
    }

    /// Puts text where the cursor is.
    pub fn insert(&mut self, text: &str) {
        for letter in text.chars() {
            self.line.insert(self.cursor, letter);
            self.cursor += 1;
        }
    }

    /// What stands before the cursor.
    pub fn before(&self) -> String {
        self.line[..self.cursor].iter().collect()
    }

    /// What a terminal needs to show the line after a prompt, in place of what it shows.
    pub fn shown(&self, prompt: &str) -> String {
        let line: String = self.line.iter().collect();
        let back = match self.line.len() - self.cursor {
            0 => String::new(),
            letters => format!("\x1b[{letters}D"),
        };
        format!("\r{prompt}{line}\x1b[K{back}")
    }

    fn finish(&mut self) -> Turn {
        let line: String = self.line.iter().collect();
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
        }
        let old = self.history.len().saturating_sub(MOST);
        self.history.drain(..old);
        self.reset();
        Turn::Finished(line)
    }

    fn reset(&mut self) {
        (self.line, self.cursor, self.shown) = (Vec::new(), 0, None);
    }

    fn delete_from(&mut self, start: usize) {
        self.line.drain(start..self.cursor);
        self.cursor = start;
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|letter| *letter != ' ').map_or(0, |place| place + 1);
        before[..end].iter().rposition(|letter| *letter == ' ').map_or(0, |place| place + 1)
    }

    fn back(&mut self) {
        let (place, typed) = self.shown.take().unwrap_or_else(|| (self.history.len(), self.line.clone()));
        self.show(place.saturating_sub(1), typed);
    }

    fn forth(&mut self) {
        if let Some((place, typed)) = self.shown.take() {
            self.show(place + 1, typed);
        }
    }

    fn show(&mut self, place: usize, typed: Vec<char>) {
        match self.history.get(place) {
            Some(line) => {
                self.line = line.chars().collect();
                self.shown = Some((place, typed));
            }
            None => self.line = typed,
        }
        self.cursor = self.line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::*;

    /// Types bytes; gives what stands there, with `|` as the cursor.
    fn typed(editor: &mut Editor, bytes: &str) -> String {
        let mut keys = Keys::default();
        keys.push(bytes.as_bytes());
        keys.for_each(|key| drop(editor.key(key)));
        let after: String = editor.line[editor.cursor..].iter().collect();
        format!("{}|{after}", editor.before())
    }

    #[test]
    fn the_usual_keys_do_the_usual_things() {
        for (bytes, line) in [
            ("ps -a", "ps -a|"),
            ("ps\x1b[D\x1b[Dx", "x|ps"),
            ("abc\x01\x1b[3~", "|bc"),
            ("abc\x01\x0b", "|"),
            ("rm web db\x17\x17", "rm |"),
            ("one two\x1b[D\x15", "|o"),
            ("ü\x7f", "|"),
            ("a\x7f\x7f\x1b[D\x1b[C", "|"),
        ] {
            assert_eq!(typed(&mut Editor::default(), bytes), line, "{bytes:?}");
        }
    }

    #[test]
    fn lines_before_come_back_and_what_was_typed_is_kept() {
        let mut editor = Editor::default();
        typed(&mut editor, "ps\rps\rlogs web\r \r");
        assert_eq!(typed(&mut editor, "im\x1b[A"), "logs web|");
        assert_eq!(typed(&mut editor, "\x1b[A"), "ps|");
        assert_eq!(typed(&mut editor, "\x1b[A"), "ps|");
        assert_eq!(typed(&mut editor, "\x1b[B\x1b[B"), "im|");
        assert_eq!(typed(&mut editor, "\x1b[B"), "im|");
    }

    #[test]
    fn a_line_ends_in_three_ways() {
        let mut editor = Editor::default();
        typed(&mut editor, "ps");
        assert_eq!(editor.key(Key::Enter), Turn::Finished("ps".into()));
        typed(&mut editor, "rm all");
        assert_eq!(editor.key(Key::Control('c')), Turn::GivenUp);
        assert_eq!(editor.key(Key::Control('d')), Turn::Ended);
        typed(&mut editor, "x\x1b[D");
        assert_eq!(editor.key(Key::Control('d')), Turn::Edited);
        assert_eq!(editor.before(), "");
    }

    #[test]
    fn a_line_is_shown_with_its_cursor() {
        let mut editor = Editor::default();
        typed(&mut editor, "abc\x1b[D");
        assert_eq!(editor.shown("> "), "\r> abc\x1b[K\x1b[1D");
    }
}
