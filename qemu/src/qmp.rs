//! QEMU's machine protocol: commands, their answers, and events.
//!
//! One JSON object per line, after a greeting (QEMU's `docs/interop/qmp-spec`).
//! A thread reads; answers are matched by `id`, events are kept in their order.

use crate::Error;
use crate::watched::Watched;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// QEMU answers a command at once, or hangs; this is for a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    next: AtomicU64,
    heard: Arc<Watched<Heard>>,
}

/// What QEMU has said.
#[derive(Debug, Default)]
struct Heard {
    greeted: bool,
    answers: Vec<Value>,
    events: Vec<Value>,
    closed: bool,
}

impl Qmp {
    /// Takes the monitor into command mode.
    pub fn new(stream: UnixStream) -> Result<Self, Error> {
        let heard = Arc::new(Watched::new(Heard::default()));
        let reader = stream.try_clone().map_err(|cause| Error::Io("share the monitor", cause))?;
        let keeper = Arc::clone(&heard);
        thread::Builder::new()
            .name("qmp".into())
            .spawn(move || listen(reader, &keeper))
            .map_err(|cause| Error::Io("start a thread", cause))?;
        let qmp = Self { stream, next: AtomicU64::new(0), heard };
        qmp.wait("the greeting of qemu", LIMIT, |heard| heard.greeted.then_some(()))?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its answer.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments, "id": id }));
        (&self.stream)
            .write_all(line.as_bytes())
            .map_err(|_| Error::Ended { what: format!("an answer to {command}") })?;
        let mut answer = self.wait(&format!("an answer to {command}"), LIMIT, |heard| {
            let at = heard.answers.iter().position(|answer| answer["id"] == id)?;
            Some(heard.answers.swap_remove(at))
        })?;
        match answer["error"]["desc"].as_str() {
            Some(words) => Err(Error::Refused { command: command.to_owned(), words: words.to_owned() }),
            None => Ok(answer["return"].take()),
        }
    }

    /// Waits for the `nth` event, counted from 1 at power-on, that `is` accepts.
    pub fn wait_for_event(
        &self,
        what: &str,
        nth: usize,
        limit: Duration,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        self.wait(what, limit, |heard| {
            heard.events.iter().filter(|event| is(event)).nth(nth.saturating_sub(1)).cloned()
        })
    }

    fn wait<R>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&mut Heard) -> Option<R>,
    ) -> Result<R, Error> {
        let found = self.heard.wait(limit, |heard| match find(heard) {
            Some(found) => Some(Some(found)),
            None => heard.closed.then_some(None),
        });
        match found {
            Some(Some(found)) => Ok(found),
            Some(None) => Err(Error::Ended { what: what.to_owned() }),
            None => Err(Error::Late { what: what.to_owned(), limit }),
        }
    }
}

fn listen(stream: UnixStream, heard: &Watched<Heard>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Ok(said) = serde_json::from_str(&line) {
            heard.change(|heard| heard.note(said));
        }
    }
    heard.change(|heard| heard.closed = true);
}

impl Heard {
    fn note(&mut self, said: Value) {
        if said.get("QMP").is_some() {
            self.greeted = true;
        } else if said.get("event").is_some() {
            self.events.push(said);
        } else {
            self.answers.push(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays QEMU: greets, then answers each command with what `answer` makes of it.
    fn monitor(answer: impl Fn(Value) -> Vec<Value> + Send + 'static) -> UnixStream {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            ours.write_all(b"{\"QMP\": {}}\n").unwrap();
            for line in BufReader::new(ours.try_clone().unwrap()).lines().map_while(Result::ok) {
                for value in answer(serde_json::from_str(&line).unwrap()) {
                    writeln!(ours, "{value}").unwrap();
                }
            }
        });
        theirs
    }

    #[test]
    fn an_answer_finds_its_question_among_events() {
        let qmp = Qmp::new(monitor(|question| {
            let event = json!({ "event": "RESET", "data": {} });
            vec![event, json!({ "return": question["execute"], "id": question["id"] })]
        }))
        .unwrap();
        assert_eq!(qmp.execute("query-status", json!({})).unwrap(), "query-status");
        let is_reset = |event: &Value| event["event"] == "RESET";
        assert!(qmp.wait_for_event("a reset", 2, LIMIT, is_reset).is_ok());
        let none = qmp.wait_for_event("a third reset", 3, Duration::from_millis(1), is_reset);
        assert!(matches!(none, Err(Error::Late { .. })));
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_qemu() {
        let qmp = Qmp::new(monitor(|question| {
            let answer = match question["execute"].as_str() {
                Some("qmp_capabilities") => json!({ "return": {}, "id": question["id"] }),
                _ => json!({ "error": { "class": "GenericError", "desc": "no" }, "id": question["id"] }),
            };
            vec![answer]
        }))
        .unwrap();
        let error = qmp.execute("device_add", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "qemu device_add: no");
    }

    #[test]
    fn a_monitor_that_closes_ends_the_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(matches!(Qmp::new(theirs), Err(Error::Ended { .. })));
    }
}
