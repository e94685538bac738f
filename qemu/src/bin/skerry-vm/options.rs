//! The command line of `skerry-vm`.

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};
use qemu::Board;
use std::ffi::OsString;
use std::path::PathBuf;

pub const HELP: &str = "\
usage: skerry-vm run DIR [option]...

Boots the image that `skerry-image build` wrote to DIR and shows its console.
Ctrl-C switches the node off, containers first; a second one hurries it, a
third cuts the power.

  --memory M         memory, such as 256M or 1G (default 256M)
  --cpus N           processors (default 1)
  --port HOST:GUEST  127.0.0.1:HOST leads to the node's port GUEST; repeatable
  --machine BOARD    q35 (default) or microvm
  --data FILE        a disk for the node's data, with the serial number `data`
  --config FILE      a drive with a node.toml of your own
  --from-memory      boot the image that needs no disk
  --append TEXT      more words for the kernel's command line
  --interactive      every key goes to the node's console, Ctrl-C too;
                     Ctrl-] then does what Ctrl-C does otherwise
  --no-network       a machine without a network card
";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    Help,
    Run(Run),
}

/// `skerry-vm run`
#[derive(Debug, PartialEq)]
pub struct Run {
    pub image: PathBuf,
    /// MiB.
    pub memory: Option<u32>,
    pub cpus: u32,
    pub ports: Vec<Port>,
    pub board: Board,
    pub data: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub from_memory: bool,
    pub append: Vec<String>,
    pub interactive: bool,
    pub network: bool,
}

/// A forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub host: u16,
    pub guest: u16,
}

pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    parse_words(Parser::from_args(words))
        .map_err(|error| format!("{error}; `skerry-vm --help` tells the usage"))
}

fn parse_words(mut words: Parser) -> Result<Asked, lexopt::Error> {
    match words.next()? {
        None | Some(Short('h') | Long("help")) => return Ok(Asked::Help),
        Some(Value(verb)) if verb == "run" => {}
        Some(other) => return Err(other.unexpected()),
    }
    let mut image = None;
    let mut run = Run::default();
    while let Some(word) = words.next()? {
        match word {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Long("memory") => run.memory = Some(words.value()?.parse_with(mebibytes)?),
            Long("cpus") => run.cpus = words.value()?.parse()?,
            Long("port") => run.ports.push(words.value()?.parse_with(port)?),
            Long("machine") => run.board = words.value()?.parse_with(board)?,
            Long("data") => run.data = Some(words.value()?.into()),
            Long("config") => run.config = Some(words.value()?.into()),
            Long("from-memory") => run.from_memory = true,
            Long("append") => run.append.push(words.value()?.string()?),
            Long("interactive") => run.interactive = true,
            Long("no-network") => run.network = false,
            Value(folder) if image.is_none() => image = Some(folder.into()),
            other => return Err(other.unexpected()),
        }
    }
    run.image = image.ok_or("run needs the folder that skerry-image wrote")?;
    Ok(Asked::Run(run))
}

impl Default for Run {
    fn default() -> Self {
        Self {
            image: PathBuf::new(),
            memory: None,
            cpus: 1,
            ports: Vec::new(),
            board: Board::Q35,
            data: None,
            config: None,
            from_memory: false,
            append: Vec::new(),
            interactive: false,
            network: true,
        }
    }
}

/// Reads `256M`, `1G` or a plain number of MiB.
fn mebibytes(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not an amount of memory such as 256M or 1G");
    let (number, unit) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|&memory| memory > 0).ok_or_else(wrong)
}

fn port(text: &str) -> Result<Port, String> {
    let read = |word: &str| word.parse::<u16>().ok().filter(|&port| port > 0);
    text.split_once(':')
        .and_then(|(host, guest)| Some(Port { host: read(host)?, guest: read(guest)? }))
        .ok_or_else(|| format!("{text:?} is not HOST:GUEST such as 8080:80"))
}

fn board(text: &str) -> Result<Board, String> {
    match text {
        "q35" => Ok(Board::Q35),
        "microvm" => Ok(Board::Microvm),
        _ => Err(format!("{text:?} is neither q35 nor microvm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Asked, String> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_whole_line_is_understood() {
        let line = "run img --memory 1G --port 8080:80 --port 2222:22 --machine microvm --from-memory";
        let ports = vec![Port { host: 8080, guest: 80 }, Port { host: 2222, guest: 22 }];
        let run = Run {
            image: "img".into(),
            memory: Some(1024),
            ports,
            board: Board::Microvm,
            from_memory: true,
            ..Run::default()
        };
        assert_eq!(words(line), Ok(Asked::Run(run)));
    }

    #[test]
    fn a_wrong_word_is_named() {
        for (line, named) in [
            ("walk img", "walk"),
            ("run", "needs the folder"),
            ("run img other", "other"),
            ("run img --port 80", "8080:80"),
            ("run img --port 0:80", "8080:80"),
            ("run img --memory lots", "lots"),
            ("run img --machine pc", "neither q35 nor microvm"),
            ("run img --memroy 1G", "--memroy"),
        ] {
            let error = words(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
