//! Files of variables that a container writes for those after it (core/v1 FileKeySelector).
//!
//! ```text
//! # a comment
//! NAME='value, over
//! several lines'      # and a comment behind it
//! ```
//!
//! Nothing is expanded, and every value stands in single quotes; one that does not begin at its `=` is empty, as in
//! a shell.

/// The value of `key`, as a kubelet finds it: what is empty is not there.
///
/// # Errors
/// A line, up to the one that has the key, that says nothing of this kind.
pub fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start_matches(BLANK);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {number}: {what}");
        let (name, rest) = line.split_once('=').ok_or_else(|| wrong("there is no '='"))?;
        if name.is_empty() || name.ends_with(BLANK) {
            return Err(wrong("there is no name right before '='"));
        }
        let mut value = String::new();
        if !rest.starts_with(BLANK) {
            let mut rest =
                rest.strip_prefix('\'').ok_or_else(|| wrong("the value is not in single quotes"))?;
            let behind = loop {
                if let Some((last, behind)) = rest.split_once('\'') {
                    value.push_str(last);
                    break behind.trim_start_matches(BLANK);
                }
                value.push_str(rest);
                value.push('\n');
                rest = lines.next().ok_or_else(|| wrong("the quote does not end"))?.0;
            };
            if !behind.is_empty() && !behind.starts_with('#') {
                return Err(wrong("there is more behind the quote"));
            }
        }
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_in_quotes() {
        let text = "# all\n\n  A='1' # one\nB='a\n b=c'\nC= 'no'\nD=''\nE='$(A) \"x\"'\t\nlast=end\nF='never read'\n";
        let of = |key| value(text, key);
        assert_eq!(of("A").unwrap().as_deref(), Some("1"));
        assert_eq!(of("B").unwrap().as_deref(), Some("a\n b=c"));
        assert_eq!((of("C").unwrap(), of("D").unwrap()), (None, None));
        assert_eq!(of("E").unwrap().as_deref(), Some("$(A) \"x\""));
        assert_eq!(of("F").unwrap_err(), "line 9: the value is not in single quotes");
        assert_eq!(value("", "A"), Ok(None));
    }

    #[test]
    fn what_is_no_variable_is_named() {
        for (text, what) in [
            ("A", "line 1: there is no '='"),
            ("\n='x'", "line 2: there is no name right before '='"),
            ("A ='x'", "line 1: there is no name right before '='"),
            ("A='x' y", "line 1: there is more behind the quote"),
            ("A='x\ny", "line 1: the quote does not end"),
        ] {
            assert_eq!(value(text, "Z").unwrap_err(), what, "{text}");
        }
    }
}
