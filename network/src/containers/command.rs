//! The verbs' command line.

use super::attach::attach;
use super::detach::detach;
use super::networks;
use lexopt::prelude::*;
use spec::network::Attach;
use spec::node::{Bridge, Name};
use spec::paths;
use std::ffi::OsString;
use std::io::read_to_string;
use std::io::{Write, stdin, stdout};

/// What the program does beside looking after the node.
pub const USAGE: &str = "\
usage: skerry-network                                   look after the node's network
       skerry-network serve                             relay ports, answer names
       skerry-network attach --container NAME [--netns PATH] < REQUEST.json
       skerry-network detach --container NAME
       skerry-network networks create NAME [--subnet CIDR]... [--ipv6] [--internal] [--mtu BYTES]
                                       [--label KEY[=VALUE]]...
       skerry-network networks remove NAME
       skerry-network networks inspect NAME
       skerry-network networks list
";

/// A verb and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put a container on its networks.
    Attach {
        /// Its name.
        container: Name,
        /// Its network namespace.
        netns: String,
    },
    /// Take it off.
    Detach(Name),
    /// Make a network.
    Create(Name, Bridge),
    /// Remove a network.
    Remove(Name),
    /// Tell about a network.
    Inspect(Name),
    /// Tell about all.
    List,
    /// Relay ports and answer names for containers, and leave the node's interfaces alone.
    Serve,
    /// Tell the verbs.
    Help,
}

/// Reads the words behind the program's name; nothing when there is none.
///
/// # Errors
/// What is wrong with them.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Command>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let verb = match parser.next()? {
        None => return Ok(None),
        Some(Long("help") | Short('h')) => return Ok(Some(Command::Help)),
        Some(Value(verb)) => verb.string()?,
        Some(other) => return Err(other.unexpected()),
    };
    match &*verb {
        "attach" | "detach" => container_verb(&verb, parser),
        "networks" => networks_verb(parser),
        "serve" => match parser.next()? {
            None => Ok(Command::Serve),
            Some(other) => Err(other.unexpected()),
        },
        _ => Err(format!("unknown command {verb:?}").into()),
    }
    .map(Some)
}

fn container_verb(verb: &str, mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut container, mut netns) = (None::<Name>, None);
    while let Some(word) = parser.next()? {
        match word {
            Long("container") => container = Some(parser.value()?.parse()?),
            Long("netns") if verb == "attach" => netns = Some(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let container = container.ok_or_else(|| format!("{verb} needs --container"))?;
    let netns = netns.unwrap_or_else(|| format!("{}/{container}", paths::NETNS));
    Ok(if verb == "attach" { Command::Attach { container, netns } } else { Command::Detach(container) })
}

fn networks_verb(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut words, mut wish) = (Vec::new(), Bridge::default());
    while let Some(word) = parser.next()? {
        match word {
            Value(word) => words.push(word.string()?),
            Long("subnet") => wish.subnets.push(parser.value()?.parse()?),
            Long("ipv6") => wish.ipv6 = true,
            Long("internal") => wish.internal = true,
            Long("mtu") => wish.mtu = Some(parser.value()?.parse()?),
            Long("label") => {
                let word = parser.value()?.string()?;
                let (key, value) = word.split_once('=').unwrap_or((&word, ""));
                wish.labels.insert(key.to_owned(), value.to_owned());
            }
            other => return Err(other.unexpected()),
        }
    }
    if words.first().is_none_or(|verb| verb != "create") && wish != Bridge::default() {
        return Err("only networks create takes options".into());
    }
    let name = |name: &str| name.parse::<Name>().map_err(lexopt::Error::from);
    match &*words.iter().map(|word| &**word).collect::<Vec<_>>() {
        ["create", network] => Ok(Command::Create(name(network)?, wish)),
        ["remove", network] => Ok(Command::Remove(name(network)?)),
        ["inspect", network] => Ok(Command::Inspect(name(network)?)),
        ["list"] => Ok(Command::List),
        _ => Err("networks needs create NAME, remove NAME, inspect NAME or list".into()),
    }
}

/// Does it.
///
/// # Errors
/// What could not be done, in words.
pub fn perform(command: Command) -> Result<(), String> {
    match command {
        Command::Attach { container, netns } => {
            let text = read_to_string(stdin()).map_err(|error| format!("read the request: {error}"))?;
            let asked: Attach = serde_json::from_str(&text).map_err(|error| format!("request: {error}"))?;
            print_json(
                &attach(&container, &netns, &asked)
                    .map_err(|error| format!("attach {container}: {error}"))?,
            )
        }
        Command::Detach(container) => {
            detach(&container).map_err(|error| format!("detach {container}: {error}"))
        }
        Command::Create(name, wish) => print_json(&networks::create(&name, &wish)?),
        Command::Remove(name) => networks::remove(&name),
        Command::Inspect(name) => print_json(&networks::find(&name)?),
        Command::Serve => crate::run::serve(),
        Command::List => print(&networks::list()?),
        Command::Help => print(USAGE),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), String> {
    print(&serde_json::to_string_pretty(value).map_err(|error| error.to_string())?)?;
    print("\n")
}

fn print(text: &str) -> Result<(), String> {
    stdout().write_all(text.as_bytes()).map_err(|error| format!("print: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Command>, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn every_verb_is_read() {
        let wish = Bridge {
            subnets: vec!["10.9.0.0/24".parse().unwrap()],
            ipv6: true,
            internal: true,
            mtu: Some(1400),
            labels: [("a", "b=c"), ("d", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        for (line, expected) in [
            ("", None),
            (
                "attach --container web",
                Some(Command::Attach { container: name("web"), netns: "/run/skerry/netns/web".into() }),
            ),
            (
                "attach --netns /proc/7/ns/net --container web",
                Some(Command::Attach { container: name("web"), netns: "/proc/7/ns/net".into() }),
            ),
            ("detach --container web", Some(Command::Detach(name("web")))),
            (
                "networks create back --subnet 10.9.0.0/24 --ipv6 --internal --mtu 1400 --label a=b=c --label d",
                Some(Command::Create(name("back"), wish)),
            ),
            ("networks remove back", Some(Command::Remove(name("back")))),
            ("networks inspect back", Some(Command::Inspect(name("back")))),
            ("serve", Some(Command::Serve)),
            ("networks list", Some(Command::List)),
            ("--help", Some(Command::Help)),
        ] {
            assert_eq!(read(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_verb_is_refused() {
        for (line, words) in [
            ("dance", "unknown command \"dance\""),
            ("attach", "needs --container"),
            ("attach --container ../x", "not a name"),
            ("detach --container web --netns /x", "--netns"),
            ("networks", "networks needs"),
            ("networks remove", "networks needs"),
            ("networks list --internal", "only networks create takes options"),
            ("networks create x --subnet 10.0.0.0", "not an address with a prefix length"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
