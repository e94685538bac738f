//! Verbs that change containers one by one: each name that it worked for is printed, each
//! that it did not is told, and the others are gone on with.

use super::{Node, print, unexpected};
use crate::arguments::{Kill, Names, Remove, Rename, Stop, Wait, grace};
use crate::client::Client;
use crate::error::{Error, Result};
use spec::monitor::{Code, Reply, Request, Wait as Condition};

/// `skerry stop`
pub fn stop(node: &Node<'_>, stop: &Stop) -> Result<()> {
    let (grace, signal) = (stop.time.map(grace), stop.signal.as_deref().map(signal).transpose()?);
    let request = |name| Request::Stop { name, grace, signal };
    told(answers(node, (&stop.containers, AT_ONCE), request, true).map(done))
}

/// `skerry restart`
pub fn restart(node: &Node<'_>, stop: &Stop) -> Result<()> {
    let (grace, signal) = (stop.time.map(grace), stop.signal.as_deref().map(signal).transpose()?);
    // One after the other: one that is in the namespaces of another needs that to run.
    each(&stop.containers, |name| node.done(&Request::Restart { name, grace, signal }))
}

/// `skerry kill`
pub fn kill(node: &Node<'_>, kill: &Kill) -> Result<()> {
    let signal = signal(&kill.signal)?;
    change_all(node, &kill.containers, |name| Request::Kill { name, signal })
}

fn signal(text: &str) -> Result<i32> {
    spec::signal::number(text).map_err(|why| Error::new(format!("--signal: {why}")))
}

/// `skerry pause`
pub fn pause(node: &Node<'_>, names: &Names) -> Result<()> {
    change_all(node, &names.containers, |name| Request::Pause { name })
}

/// `skerry unpause`
pub fn unpause(node: &Node<'_>, names: &Names) -> Result<()> {
    change_all(node, &names.containers, |name| Request::Unpause { name })
}

/// `skerry rm`
pub fn remove(node: &Node<'_>, remove: &Remove) -> Result<()> {
    let Remove { force, volumes, .. } = *remove;
    let names = (&*remove.containers, AT_ONCE);
    let removed = answers(node, names, |name| Request::Remove { name, force, volumes }, false);
    let removed = removed.map(|answer| unless_missing(force, done(answer)));
    each_of(removed, |name| name.iter().for_each(|name| print(name)))
}

/// `skerry rename`
pub fn rename(node: &Node<'_>, rename: &Rename) -> Result<()> {
    let to = rename.name.strip_prefix('/').unwrap_or(&rename.name).parse().map_err(Error::new)?;
    node.done(&Request::Rename { name: rename.container.clone(), to })
}

/// `skerry wait`
pub fn wait(node: &Node<'_>, wait: &Wait) -> Result<()> {
    let condition = match wait.condition.as_str() {
        "next-exit" => Condition::NextExit,
        "removed" => Condition::Removed,
        _ => Condition::NotRunning,
    };
    // It may have ended when the monitor was killed, and that is told then.
    let again = condition == Condition::NotRunning;
    // All at once, so that no end is missed while another is waited for.
    let ended =
        answers(node, (&wait.containers, usize::MAX), |name| Request::Wait { name, condition }, again);
    told(ended.map(|(_, reply)| match reply? {
        Reply::Exited { status, .. } => Ok(status.to_string()),
        other => Err(unexpected(&other)),
    }))
}

/// How many containers are changed at once.
const AT_ONCE: usize = 50;

/// Asks the same of so many at once, so that nobody waits for another; gives names and answers in their order. `again`: the next
/// monitor is asked when this one is killed.
fn answers<'a>(
    node: &'a Node<'_>,
    (names, at_once): (&'a [String], usize),
    request: impl Fn(String) -> Request + Copy + 'a,
    again: bool,
) -> impl Iterator<Item = (&'a String, Result<Reply>)> {
    let ask = move |name: &'a String| {
        let request = request(name.clone());
        (name, Client::ask(node.socket, &request).map(|client| (client, request)))
    };
    let answer = move |(mut client, request): (Client, Request)| match again {
        true => client.reply_or_ask_again(node.socket, &request),
        false => client.reply(),
    };
    let asked = names.chunks(at_once).flat_map(move |names| names.iter().map(ask).collect::<Vec<_>>());
    asked.map(move |(name, asked)| (name, asked.and_then(answer)))
}

/// Changes many at once, and prints the name of each that it worked for.
fn change_all(node: &Node<'_>, names: &[String], request: impl Fn(String) -> Request + Copy) -> Result<()> {
    told(answers(node, (names, AT_ONCE), request, false).map(done))
}

/// The name of what was simply done.
fn done((name, reply): (&String, Result<Reply>)) -> Result<String> {
    match reply? {
        Reply::Done => Ok(name.clone()),
        other => Err(unexpected(&other)),
    }
}

/// Changes one after the other, and prints each name that it worked for.
///
/// # Errors
/// The last failure; those before it are told at once.
pub fn each(names: &[String], change: impl Fn(String) -> Result<()>) -> Result<()> {
    each_told(names, |name| change(name.to_owned()).map(|()| name.to_owned()))
}

/// The same, and `change` gives what is printed.
///
/// # Errors
/// As [`each`].
pub fn each_told(names: &[String], change: impl Fn(&str) -> Result<String>) -> Result<()> {
    told(names.iter().map(|name| change(name)))
}

fn told(results: impl Iterator<Item = Result<String>>) -> Result<()> {
    each_of(results, |told| print(&told))
}

/// Who insists that something goes is told that there is none, and has what was wanted.
///
/// # Errors
/// Any other.
pub fn unless_missing<T>(force: bool, done: Result<T>) -> Result<Option<T>> {
    match done {
        Err(error) if force && error.code == Some(Code::NotFound) => {
            eprintln!("skerry: {error}");
            Ok(None)
        }
        done => done.map(Some),
    }
}

/// Takes what comes of each.
///
/// # Errors
/// As [`each`].
pub fn each_of<T>(results: impl Iterator<Item = Result<T>>, mut take: impl FnMut(T)) -> Result<()> {
    let mut failed = None;
    for result in results {
        match result {
            Ok(value) => take(value),
            Err(error) => {
                if let Some(before) = failed.replace(error) {
                    eprintln!("skerry: {before}");
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};
    use clap::Parser;
    use std::path::Path;

    #[test]
    fn the_others_are_gone_on_with_and_the_last_failure_is_the_commands() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let asked = std::cell::RefCell::new(Vec::new());
        let error = each(&names, |name| {
            asked.borrow_mut().push(name.clone());
            if name == "b" { Err(Error::new("no b")) } else { Ok(()) }
        })
        .unwrap_err();
        assert_eq!((asked.into_inner().join(""), error.message.as_str()), ("abc".into(), "no b"));
    }

    #[test]
    fn a_wait_outlives_a_monitor_and_another_that_fails() {
        let gone = r#"{"reply":"failed","code":"not-found","message":"container \"none\": there is none"}"#;
        let ended = r#"{"reply":"exited","status":3,"out_of_memory":false,"error":null}"#;
        let wait = |names: &[&str], condition: &str| Wait {
            containers: names.iter().map(|&name| name.to_owned()).collect(),
            condition: condition.to_owned(),
        };
        let asked = |clients: &[&[&str]], asked: &Wait| {
            with_monitor(clients, |socket| super::wait(&Node { socket, store: Path::new("/nowhere") }, asked))
        };
        let clients: [&[&str]; 3] = [&[HELLO, gone], &[HELLO], &[HELLO, ended]];
        let error = asked(&clients, &wait(&["none", "a"], "not-running")).unwrap_err();
        assert_eq!(error.message, "container \"none\": there is none");
        assert!(asked(&clients[1..], &wait(&["a"], "not-running")).is_ok());
        assert!(asked(&clients[1..2], &wait(&["a"], "next-exit")).is_err());
    }

    #[test]
    fn what_is_not_there_is_no_failure_to_who_insists() {
        let gone = r#"{"reply":"failed","code":"not-found","message":"container \"web\": there is none"}"#;
        let state = r#"{"reply":"failed","code":"state","message":"container \"web\": it runs"}"#;
        let rm = |words: &[&str], answer: &str| {
            let words = ["skerry", "rm"].iter().chain(words);
            let arguments = crate::arguments::Arguments::try_parse_from(words).unwrap();
            let crate::arguments::Command::Rm(remove) = arguments.command else { panic!() };
            with_monitor(&[&[HELLO, answer]], |socket| {
                super::remove(&Node { socket, store: Path::new("/nowhere") }, &remove)
            })
        };
        assert!(rm(&["-f", "web"], gone).is_ok());
        assert!(rm(&["web"], gone).is_err());
        assert!(rm(&["-f", "web"], state).is_err());
    }
}
