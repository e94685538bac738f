//! Words of a line, with quotes as in a shell; nothing is expanded.

/// Cuts a line into words: at spaces, but not within `'…'`, `"…"` or after `\`.
///
/// # Errors
/// A quote is not closed.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => quoted(&mut letters, letter, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '#' if word.is_none() => break,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(letters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), String> {
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter == quote => return Ok(()),
            '\\' if quote == '"' => word.extend(letters.next()),
            other => word.push(other),
        }
    }
    Err(format!("a {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_spaces_that_are_not_quoted() {
        for (line, words) in [
            ("", &[][..]),
            ("  ps   -a ", &["ps", "-a"]),
            (r#"run x sh -c 'echo "a b"'"#, &["run", "x", "sh", "-c", "echo \"a b\""]),
            (r#"a"b c"d e\ f "g\"h" '' "#, &["ab cd", "e f", "g\"h", ""]),
            ("ps # all", &["ps"]),
            ("a#b", &["a#b"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        assert_eq!(split("a 'b").unwrap_err(), "a ' is not closed");
    }
}
