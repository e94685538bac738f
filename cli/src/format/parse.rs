//! Templates read: Go's text/template, as far as Docker's users write them.

use super::functions::FUNCTIONS;
use super::tokens::{Piece, Token, pieces, tokens};
use serde_json::Value;

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// As it is.
    Text(String),
    /// What a pipeline comes to.
    Print(Pipeline),
    /// `{{if}}`, `{{with}}` or `{{range}}`, up to its `{{end}}`.
    Block {
        /// Which of them.
        kind: Kind,
        /// What it is about.
        of: Pipeline,
        /// What is shown if there is something, or for each.
        body: Vec<Node>,
        /// What follows `{{else}}`.
        otherwise: Vec<Node>,
    },
}

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// If it is not empty.
    If,
    /// The same, and `.` is it.
    With,
    /// For each element.
    Range,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        match word {
            "if" => Some(Self::If),
            "with" => Some(Self::With),
            "range" => Some(Self::Range),
            _ => None,
        }
    }
}

/// Commands, each of which has what the one before it came to as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Variables that take the value; of a range the last takes the element, one before it its place.
    pub variables: Vec<String>,
    /// They are there already.
    pub assigns: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// A value or a function, and its arguments.
pub type Command = Vec<Operand>;

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Of `.`, by its names from the outside in.
    Field(Vec<String>),
    /// Of a variable.
    Variable(String, Vec<String>),
    /// As it is.
    Literal(Value),
    /// A function's name.
    Function(String),
    /// What stands in parentheses, and a field of it.
    Group(Vec<Command>, Vec<String>),
}

impl Node {
    /// It names a field of this name.
    pub fn names(&self, field: &str) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Print(of) => any_names(&of.commands, field),
            Self::Block { of, body, otherwise, .. } => {
                any_names(&of.commands, field) || body.iter().chain(otherwise).any(|node| node.names(field))
            }
        }
    }
}

impl Node {
    /// It takes the object that is shown as a whole, by `$`, or by `.` where that is it.
    pub fn takes_all(&self, is_dot: bool) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Print(of) => any_takes_all(&of.commands, is_dot),
            Self::Block { kind, of, body, otherwise } => {
                let within = is_dot && *kind == Kind::If;
                any_takes_all(&of.commands, is_dot)
                    || body.iter().any(|node| node.takes_all(within))
                    || otherwise.iter().any(|node| node.takes_all(is_dot))
            }
        }
    }
}

fn any_takes_all(commands: &[Command], is_dot: bool) -> bool {
    commands.iter().flatten().any(|operand| match operand {
        Operand::Field(path) => is_dot && path.is_empty(),
        Operand::Variable(name, path) => name.is_empty() && path.is_empty(),
        Operand::Group(commands, _) => any_takes_all(commands, is_dot),
        Operand::Literal(_) | Operand::Function(_) => false,
    })
}

fn any_names(commands: &[Command], field: &str) -> bool {
    let has = |path: &[String]| path.iter().any(|name| name.eq_ignore_ascii_case(field));
    commands.iter().flatten().any(|operand| match operand {
        Operand::Field(path) | Operand::Variable(_, path) => has(path),
        Operand::Group(commands, path) => has(path) || any_names(commands, field),
        Operand::Literal(_) | Operand::Function(_) => false,
    })
}

/// Reads a template.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(template: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(template)?.into_iter();
    match nodes(&mut pieces)? {
        (nodes, Until::Template) => Ok(nodes),
        (_, Until::End) => Err("{{end}} of nothing".to_owned()),
        (_, Until::Else(_)) => Err("{{else}} of nothing".to_owned()),
    }
}

/// How a row of nodes ends.
enum Until {
    Template,
    End,
    /// And what follows the word.
    Else(Vec<Token>),
}

fn nodes(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Until), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let within = |why| format!("{{{{{action}}}}}: {why}");
        let tokens = tokens(&action).map_err(within)?;
        match &tokens[..] {
            [Token::Word(word), rest @ ..] => match (word.as_str(), Kind::of(word)) {
                ("end", _) => return Ok((nodes, Until::End)),
                ("else", _) => return Ok((nodes, Until::Else(rest.to_vec()))),
                (_, Some(kind)) => nodes.push(block(kind, &action, rest, pieces)?),
                _ => nodes.push(Node::Print(pipeline(&tokens).map_err(within)?)),
            },
            _ => nodes.push(Node::Print(pipeline(&tokens).map_err(within)?)),
        }
    }
    Ok((nodes, Until::Template))
}

fn block(
    kind: Kind,
    action: &str,
    of: &[Token],
    pieces: &mut impl Iterator<Item = Piece>,
) -> Result<Node, String> {
    let within = |why: String| format!("{{{{{action}}}}}: {why}");
    let of = pipeline(of).map_err(within)?;
    if of.variables.len() > 1 && kind != Kind::Range {
        return Err(within("two variables are a range's".to_owned()));
    }
    let (body, end) = nodes(pieces)?;
    let otherwise = match end {
        Until::End => Vec::new(),
        Until::Template => return Err(within("there is no {{end}}".to_owned())),
        Until::Else(rest) => match &rest[..] {
            [] => match nodes(pieces)? {
                (nodes, Until::End) => nodes,
                _ => return Err(within("no {{end}} follows its {{else}}".to_owned())),
            },
            // It shares the {{end}}.
            [Token::Word(word), rest @ ..] if matches!(word.as_str(), "if" | "with") => {
                let kind = if word == "if" { Kind::If } else { Kind::With };
                vec![block(kind, action, rest, pieces)?]
            }
            _ => return Err(within("after {{else}} there may be \"if\" or \"with\"".to_owned())),
        },
    };
    Ok(Node::Block { kind, of, body, otherwise })
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let (variables, assigns, rest) = match tokens {
        [Token::Variable(place, a), Token::Comma, Token::Variable(name, b), Token::Declare, rest @ ..]
            if a.is_empty() && b.is_empty() =>
        {
            (vec![place.clone(), name.clone()], false, rest)
        }
        [Token::Variable(name, path), sign @ (Token::Declare | Token::Assign), rest @ ..]
            if path.is_empty() =>
        {
            (vec![name.clone()], *sign == Token::Assign, rest)
        }
        rest => (Vec::new(), false, rest),
    };
    let (commands, rest) = commands(rest)?;
    if !rest.is_empty() {
        return Err("\")\" without \"(\"".to_owned());
    }
    Ok(Pipeline { variables, assigns, commands })
}

/// Commands up to the end or a closing parenthesis, and what follows.
fn commands(tokens: &[Token]) -> Result<(Vec<Command>, &[Token]), String> {
    let (mut done, mut command, mut rest) = (Vec::new(), Vec::new(), tokens);
    while let [first, after @ ..] = rest {
        let operand = match first {
            Token::Close(_) => break,
            Token::Pipe => {
                done.push(whole(std::mem::take(&mut command))?);
                rest = after;
                continue;
            }
            Token::Open => {
                let (inside, after) = commands(after)?;
                let [Token::Close(path), after @ ..] = after else {
                    return Err("\"(\" without \")\"".to_owned());
                };
                rest = after;
                command.push(Operand::Group(inside, path.clone()));
                continue;
            }
            Token::Field(path) => Operand::Field(path.clone()),
            Token::Variable(name, path) => Operand::Variable(name.clone(), path.clone()),
            Token::Literal(value) => Operand::Literal(value.clone()),
            Token::Word(name) => function(name, command.is_empty())?,
            Token::Comma | Token::Declare | Token::Assign => {
                return Err("variables stand first: $name := .Field, or $place, $name := .Field".to_owned());
            }
        };
        command.push(operand);
        rest = after;
    }
    done.push(whole(command)?);
    Ok((done, rest))
}

fn function(name: &str, is_first: bool) -> Result<Operand, String> {
    if !FUNCTIONS.contains(&name) {
        return Err(format!("there is no function {name:?}; there are {}", FUNCTIONS.join(", ")));
    }
    match is_first {
        true => Ok(Operand::Function(name.to_owned())),
        false => Err(format!("the function {name:?} as an argument needs parentheses")),
    }
}

fn whole(command: Command) -> Result<Command, String> {
    if command.is_empty() {
        return Err("a value is missing, such as .Name; `--format json` shows all".to_owned());
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_template_is_told_in_words() {
        for (template, told) in [
            ("{{range .A}}", "{{range .A}}: there is no {{end}}"),
            ("{{if .A}}{{else}}", "{{if .A}}: no {{end}} follows its {{else}}"),
            ("a{{end}}", "{{end}} of nothing"),
            ("{{else}}", "{{else}} of nothing"),
            ("{{}}", "{{}}: a value is missing"),
            ("{{.A | }}", "{{.A |}}: a value is missing"),
            ("{{(.A}}", "{{(.A}}: \"(\" without \")\""),
            ("{{.A)}}", "{{.A)}}: \")\" without \"(\""),
            ("{{define \"x\"}}", "there is no function \"define\"; there are and, "),
            ("{{join .A lower}}", "the function \"lower\" as an argument needs parentheses"),
            ("{{if $a, $b := .C}}{{end}}", "two variables are a range's"),
            ("{{.A := .B}}", "variables stand first"),
        ] {
            let error = parse(template).unwrap_err();
            assert!(error.contains(told), "{template}: {error}");
        }
    }

    #[test]
    fn fields_are_found_wherever_they_are_named() {
        let names = |template: &str| parse(template).unwrap().iter().any(|node| node.names("Size"));
        assert!(
            ["{{.Size}}", "{{if .A}}{{len (lower $.Size)}}{{end}}", "{{(print .Size).A}}"].map(names)
                == [true; 3]
        );
        assert!(!names("{{.Names}} Size {{\"Size\"}}"));
    }

    #[test]
    fn an_else_with_a_condition_shares_the_end() {
        let nodes = parse("{{if .A}}a{{else if .B}}b{{else}}c{{end}}d").unwrap();
        assert_eq!(nodes.len(), 2);
        let Node::Block { kind: Kind::If, otherwise, .. } = &nodes[0] else { panic!("{nodes:?}") };
        assert!(matches!(&otherwise[..], [Node::Block { .. }]), "{nodes:?}");
    }
}
