//! What a path's query asks for, and pieces of a query as such.

/// The streams of `exec` or `attach`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The client sends input.
    pub input: bool,
    /// It wants standard output.
    pub output: bool,
    /// It wants standard error.
    pub error: bool,
    /// All of them are one terminal.
    pub tty: bool,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Options {
    /// From a query.
    ///
    /// # Errors
    /// No stream is asked for.
    pub fn of(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in pairs(query) {
            let on = value == "1" || value == "true";
            match name.as_str() {
                "input" => options.input = on,
                "output" => options.output = on,
                "error" => options.error = on,
                "tty" => options.tty = on,
                "command" => options.command.push(value),
                _ => {}
            }
        }
        // A terminal has no second output.
        options.error &= !options.tty;
        if !options.input && !options.output && !options.error {
            return Err("you must specify at least 1 of stdin, stdout, stderr".into());
        }
        Ok(options)
    }
}

/// Names and values of a query, in order.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), plain(value))
    })
}

/// A text without `%20` and `+`.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_word_by_word() {
        let options = Options::of("command=sh&command=-c&command=echo+a%20b%3B&error=1&output=1").unwrap();
        assert_eq!(options.command, ["sh", "-c", "echo a b;"]);
        assert_eq!((options.input, options.output, options.error, options.tty), (false, true, true, false));
        let terminal = Options::of("input=1&output=1&error=1&tty=1").unwrap();
        assert!(terminal.tty && !terminal.error);
        assert!(Options::of("tty=1&command=ls").is_err());
        assert_eq!(plain("100%+%zz%4"), "100% %zz%4");
    }
}
