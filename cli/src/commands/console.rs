//! `console`: a prompt for `skerry`'s verbs, where there is no shell.
//!
//! Each line is a command line of this very program, run as a process of its own; so what
//! it leaves behind is gone with it. Ctrl-C gives a line or a command up.

use super::{Node, images, list};
use crate::arguments::{self, Console};
use crate::error::{Context, Result};
use crate::line::{Editor, Keys, Turn, split};
use crate::terminal::{self, Raw};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, read, setsid};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::Command;

const PROMPT: &str = "skerry> ";

/// Reads lines and does what they say, until Ctrl-D or `exit`.
pub fn console(node: &Node<'_>, asked: &Console) -> Result<()> {
    if let Some(device) = &asked.device {
        let words = || format!("take {} for the console", device.display());
        // A session leader already, when PID 1 has started it.
        let _ = setsid();
        let device = File::options().read(true).write(true).open(device).context(words)?;
        // A kernel's console that is no terminal of anybody's works without job control.
        let _ = sys::terminal::control(device.as_fd());
        dup2_stdin(&device)
            .and_then(|()| dup2_stdout(&device))
            .and_then(|()| dup2_stderr(&device))
            .context(words)?;
        terminal::sane()?;
    }
    block_signals()?;
    let mut reader = Reader::default();
    loop {
        let Some(line) = reader.line(node)? else { return Ok(()) };
        match split(&line) {
            Ok(words) if words.is_empty() => {}
            Ok(words) if matches!(words[0].as_str(), "exit" | "quit") => return Ok(()),
            Ok(words) => run(node, &words)?,
            Err(why) => eprintln!("skerry: {why}"),
        }
    }
}

/// Runs a command line of this program, which takes the signals that are blocked here.
fn run(node: &Node<'_>, words: &[String]) -> Result<()> {
    let program = std::env::current_exe().context(|| "find this program".into())?;
    let mut command = Command::new(program);
    command.arg("--socket").arg(node.socket).arg("--store").arg(node.store).args(words);
    command.status().map(drop).context(|| "run this program".into())
}

/// Ctrl-C and its like are a command's, not the prompt's; also where whoever began this program ignores them.
fn block_signals() -> Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
        set.add(signal);
        sys::process::default_signal(signal as i32);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).context(|| "block signals".into())
}

#[derive(Default)]
struct Reader {
    keys: Keys,
    editor: Editor,
}

impl Reader {
    /// The next line; none when there will be no more.
    fn line(&mut self, node: &Node<'_>) -> Result<Option<String>> {
        let _raw = Raw::new()?;
        self.show()?;
        // One byte at a time: what is typed ahead of a command's end is left to what the line starts.
        let mut bytes = [0; 1];
        loop {
            // Keys after the end of a line are the next one's, and stay.
            while let Some(key) = self.keys.next() {
                match self.editor.key(key) {
                    Turn::Edited => self.show()?,
                    Turn::Finished(line) => return say("\r\n").map(|()| Some(line)),
                    Turn::GivenUp => say("^C\r\n").and_then(|()| self.show())?,
                    Turn::Ended => return say("\r\n").map(|()| None),
                    Turn::Clear => say("\x1b[H\x1b[J").and_then(|()| self.show())?,
                    Turn::Complete => self.complete(node)?,
                }
            }
            match read(io::stdin().as_fd(), &mut bytes) {
                Err(Errno::EINTR) => {}
                Ok(0) => return Ok(None),
                length => self.keys.push(&bytes[..length.context(|| "read the terminal".into())?]),
            }
        }
    }

    fn show(&self) -> Result<()> {
        say(&self.editor.shown(PROMPT))
    }

    fn complete(&mut self, node: &Node<'_>) -> Result<()> {
        let before = self.editor.before();
        let word = before.rsplit(' ').next().unwrap_or_default();
        let first = before.trim_start().len() == word.len();
        let mut fitting = if first { verbs() } else { names(node) };
        fitting.retain(|name| name.starts_with(word));
        let more = common(&fitting)[word.len().min(common(&fitting).len())..].to_owned();
        match &fitting[..] {
            [] => return Ok(()),
            [_] => self.editor.insert(&format!("{more} ")),
            _ if more.is_empty() => say(&format!("\r\n{}\r\n", fitting.join("  ")))?,
            _ => self.editor.insert(&more),
        }
        self.show()
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(|| "write to the terminal".into())
}

fn verbs() -> Vec<String> {
    let command = arguments::command();
    command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .chain(["exit".into(), "help".into()])
        .collect()
}

/// Of containers and images that are here.
fn names(node: &Node<'_>) -> Vec<String> {
    let containers = list::all(node).unwrap_or_default();
    containers.into_iter().map(|one| one.name.to_string()).chain(images::names(node)).collect()
}

/// What all of them begin with.
fn common(names: &[String]) -> String {
    let Some((first, rest)) = names.split_first() else { return String::new() };
    let same = |end: &usize| rest.iter().all(|name| name.get(..*end) == first.get(..*end));
    let end = (0..=first.len()).rev().filter(|end| first.is_char_boundary(*end)).find(same);
    first[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_far_as_they_agree() {
        let names = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(common(&names(&["restart", "restore", "rest"])), "rest");
        assert_eq!(common(&names(&["web"])), "web");
        assert_eq!(common(&names(&["a", "b"])), "");
        assert_eq!(common(&[]), "");
    }

    #[test]
    fn every_verb_can_be_completed() {
        assert!(["run", "ps", "exit"].iter().all(|verb| verbs().iter().any(|known| known == verb)));
    }
}
