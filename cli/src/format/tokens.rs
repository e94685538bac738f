//! A template cut into texts and actions, and an action into its words.

use serde_json::Value;

/// A part of a template.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// What stands between `{{` and `}}`.
    Action(String),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `.State.Status`, by its names from the outside in; none for `.`.
    Field(Vec<String>),
    /// `$name.Field`; the name is empty for `$`.
    Variable(String, Vec<String>),
    /// A function or a keyword.
    Word(String),
    /// Text, a number, `true`, `false` or `nil`.
    Literal(Value),
    /// `(`
    Open,
    /// `)`, and the fields of what it closes: `).HostPort`.
    Close(Vec<String>),
    /// `|`
    Pipe,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// What `{{- ` and ` -}}` take away.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Texts and actions in turn; comments are left out.
///
/// # Errors
/// An action without its end.
pub fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest, mut trim) = (Vec::new(), template, false);
    let text = |text: &str, trim: bool| {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        if trim { text.trim_start_matches(BLANK).to_owned() } else { text }
    };
    while let Some((before, after)) = rest.split_once("{{") {
        let end = end(after).ok_or_else(|| format!("{template:?}: \"{{{{\" without \"}}}}\""))?;
        let (inside, after) = (&after[..end], &after[end + 2..]);
        let mut before = text(before, trim);
        let inside = match inside.strip_prefix("- ") {
            Some(inside) => {
                before.truncate(before.trim_end_matches(BLANK).len());
                inside
            }
            None => inside,
        };
        trim = inside.ends_with(" -");
        let inside = inside.strip_suffix(" -").unwrap_or(inside).trim();
        pieces.push(Piece::Text(before));
        pieces.extend((!inside.starts_with("/*")).then(|| Piece::Action(inside.to_owned())));
        rest = after;
    }
    pieces.push(Piece::Text(text(rest, trim)));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

/// Where an action ends: at the first `}}` that is in no text.
fn end(action: &str) -> Option<usize> {
    if action.trim_start_matches("- ").trim_start().starts_with("/*") {
        let comment = action.find("*/")?;
        return action[comment..].find("}}").map(|end| comment + end);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, letter) in action.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if letter == '\\' => escaped = true,
            Some(open) if open == letter => quote = None,
            Some(_) => {}
            None if matches!(letter, '"' | '`') => quote = Some(letter),
            None if action[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// The words of an action.
///
/// # Errors
/// What is no word.
pub fn tokens(action: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (Vec::new(), action.trim_start());
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn token(text: &str) -> Result<(Token, &str), String> {
    for (sign, token) in [
        ("(", Token::Open),
        ("|", Token::Pipe),
        (",", Token::Comma),
        (":=", Token::Declare),
        ("=", Token::Assign),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            return Ok((token, rest));
        }
    }
    if let Some(rest) = text.strip_prefix(')') {
        return fields(rest).map(|(path, rest)| (Token::Close(path), rest));
    }
    if let Some(rest) = text.strip_prefix('$') {
        let (name, rest) = word(rest);
        return fields(rest).map(|(path, rest)| (Token::Variable(name.to_owned(), path), rest));
    }
    match text.chars().next() {
        Some('.') => fields(text).map(|(path, rest)| (Token::Field(path), rest)),
        Some('"') => quoted(text),
        Some('`') => {
            let (inside, rest) = text[1..].split_once('`').ok_or("a text without its end")?;
            Ok((Token::Literal(inside.into()), rest))
        }
        Some('0'..='9' | '-' | '+') => number(text),
        _ => match word(text) {
            ("", _) => Err(format!("{text:?} is neither a field such as .Name nor a function")),
            ("true", rest) => Ok((Token::Literal(true.into()), rest)),
            ("false", rest) => Ok((Token::Literal(false.into()), rest)),
            ("nil", rest) => Ok((Token::Literal(Value::Null), rest)),
            (name, rest) => Ok((Token::Word(name.to_owned()), rest)),
        },
    }
}

/// `.State.Status`, or `.` alone, or nothing.
fn fields(text: &str) -> Result<(Vec<String>, &str), String> {
    let (mut path, mut rest) = (Vec::new(), text);
    while let Some(after) = rest.strip_prefix('.') {
        let (name, after) = word(after);
        if name.is_empty() && (!path.is_empty() || after.starts_with('.')) {
            return Err(format!("{text:?}: a dot without a name"));
        }
        path.extend((!name.is_empty()).then(|| name.to_owned()));
        rest = after;
    }
    let ends = |letter: char| letter.is_whitespace() || matches!(letter, ')' | '|' | ',' | ':' | '=');
    match rest.chars().next() {
        Some(letter) if !ends(letter) => {
            Err(format!("{text:?}: a name has letters, digits and \"_\"; index .Field \"NAME\" takes others"))
        }
        _ => Ok((path, rest)),
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    text.split_at(end.unwrap_or(text.len()))
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '.' | '-' | '+'));
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let value = number.parse::<i64>().map(Value::from);
    let value = value.or_else(|_| number.parse::<f64>().map(Value::from));
    Ok((Token::Literal(value.map_err(|_| format!("{number:?} is not a number"))?), rest))
}

/// Text in quotes, with the usual escapes.
fn quoted(text: &str) -> Result<(Token, &str), String> {
    let (mut inside, mut letters) = (String::new(), text[1..].chars());
    loop {
        let letter = match letters.next() {
            Some('"') => return Ok((Token::Literal(inside.into()), letters.as_str())),
            Some('\\') => letters.next().map(|letter| match letter {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            other => other,
        };
        inside.push(letter.ok_or("a text without its end")?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(template: &str) -> Vec<Piece> {
        pieces(template).unwrap()
    }

    #[test]
    fn a_template_is_cut_where_its_actions_begin_and_end() {
        let (text, action) = (|text: &str| Piece::Text(text.into()), |text: &str| Piece::Action(text.into()));
        assert_eq!(cut("a\\t{{ .B }}c"), [text("a\t"), action(".B"), text("c")]);
        assert_eq!(cut("{{\"}}\"}}{{`{{`}}"), [action("\"}}\""), action("`{{`")]);
        assert_eq!(cut("a \n{{- .B -}} \\n c"), [text("a"), action(".B"), text("c")]);
        assert_eq!(cut("{{/* no \" end */}}a{{-1}}"), [text("a"), action("-1")]);
        assert!(pieces("{{.A}").is_err() && pieces("{{\"}}").is_err());
    }

    #[test]
    fn an_action_is_made_of_words() {
        let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            tokens("$k, $v := (index .A \"b\\\"c\" 0).D | len").unwrap(),
            [
                Token::Variable("k".into(), Vec::new()),
                Token::Comma,
                Token::Variable("v".into(), Vec::new()),
                Token::Declare,
                Token::Open,
                Token::Word("index".into()),
                Token::Field(path(&["A"])),
                Token::Literal("b\"c".into()),
                Token::Literal(0.into()),
                Token::Close(path(&["D"])),
                Token::Pipe,
                Token::Word("len".into()),
            ]
        );
        assert_eq!(
            tokens(". $ $.A.B").unwrap(),
            [
                Token::Field(Vec::new()),
                Token::Variable(String::new(), Vec::new()),
                Token::Variable(String::new(), path(&["A", "B"])),
            ]
        );
        assert!(tokens(".A.my-net").unwrap_err().contains("index .Field"));
        for wrong in ["..", ".A.", "..A", "1x", "\"a", "`a", "&"] {
            assert!(tokens(wrong).is_err(), "{wrong}");
        }
    }
}
