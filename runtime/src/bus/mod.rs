//! A client of D-Bus that calls systemd's methods and hears of its jobs.
//!
//! ```text
//! ours                                 theirs
//! \0 AUTH EXTERNAL, DATA, BEGIN      →
//!                                    ← DATA, OK      the kernel has said who we are
//! Hello, AddMatch                    →               not on systemd's own socket
//! StartTransientUnit                 →
//!                                    ← its job
//!                                    ← JobRemoved: done
//! ```
//!
//! Every name stays the bus's and every call waits for its answer.

mod message;
#[cfg(test)]
mod tests;
mod wire;

pub use message::Object;
pub use wire::{In, Out, Property, Value};

use crate::error::{Cause, Context, Error, Result};
use message::{ERROR, METHOD_RETURN, Message, SIGNAL};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bus itself.
const BUS: Object<'_> = Object {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// systemd's manager of units.
const MANAGER: Object<'_> = Object {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// Announcements of jobs that have ended, by systemd alone.
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Well, and the body of the answer.
    Done(Vec<u8>),
    /// With an error's name, and its words.
    Refused(String, String),
}

impl Bus {
    /// Connects to the first socket that there is. A bus is told our name and what we want to
    /// hear; on systemd's own socket there is only systemd.
    ///
    /// # Errors
    /// There is none, or we are not let in.
    pub fn connect(sockets: &[(PathBuf, bool)]) -> Result<Self> {
        let mut first = None;
        for (path, is_bus) in sockets {
            match UnixStream::connect(path) {
                Ok(stream) => return Self::new(stream, *is_bus),
                Err(error) => {
                    first.get_or_insert(Error(format!("connect to {}: {}", path.display(), error.cause())));
                }
            }
        }
        Err(first
            .unwrap_or_else(|| Error::new("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")))
    }

    /// Begins to speak.
    ///
    /// # Errors
    /// We are not let in.
    pub fn new(stream: UnixStream, is_bus: bool) -> Result<Self> {
        let words = || "D-Bus: authenticate".to_owned();
        stream.set_read_timeout(Some(PATIENCE)).context(words)?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0 };
        bus.authenticate().context(words)?;
        if is_bus {
            let mut rule = Out::default();
            rule.text(JOBS);
            for (method, signature, body) in [("Hello", "", &[][..]), ("AddMatch", "s", &rule.0)] {
                if let Answer::Refused(name, text) = bus.call_of(&BUS, method, signature, body)? {
                    return Err(Error(format!("D-Bus: {method}: {name}: {text}")));
                }
            }
        }
        Ok(bus)
    }

    /// `EXTERNAL` without a word about who we are: a user ID would be that of our user
    /// namespace, which is not the bus's. All at once: systemd forgets a call that it
    /// reads together with `BEGIN` until more comes.
    fn authenticate(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.split_whitespace().next() {
                Some("DATA") => {}
                Some("OK") => return Ok(()),
                _ => return Err(io::ErrorKind::PermissionDenied.into()),
            }
        }
    }

    /// Calls a method of systemd's manager.
    ///
    /// # Errors
    /// There is no answer. That the method is refused is one.
    pub fn call(&mut self, method: &str, signature: &str, body: &Out) -> Result<Answer> {
        self.call_of(&MANAGER, method, signature, &body.0)
    }

    fn call_of(&mut self, object: &Object<'_>, method: &str, signature: &str, body: &[u8]) -> Result<Answer> {
        self.serial += 1;
        let bytes = message::call(self.serial, object, method, signature, body);
        self.stream.get_mut().write_all(&bytes).context(|| format!("D-Bus: call {method}"))?;
        loop {
            let message = self.next().context(|| format!("D-Bus: {method}"))?;
            match message.kind {
                METHOD_RETURN if message.reply_to == self.serial => return Ok(Answer::Done(message.body)),
                ERROR if message.reply_to == self.serial => {
                    let text = In::new(&message.body).text().unwrap_or_default().to_owned();
                    return Ok(Answer::Refused(message.error, text));
                }
                _ => {}
            }
        }
    }

    /// The path of a scope's cgroup, from the unit's own object; empty when it has none yet.
    ///
    /// # Errors
    /// There is no answer.
    pub fn control_group(&mut self, unit: &str) -> Result<String> {
        let object = Object { path: unit, interface: "org.freedesktop.DBus.Properties", ..MANAGER };
        let mut body = Out::default();
        body.text("org.freedesktop.systemd1.Scope");
        body.text("ControlGroup");
        let Answer::Done(value) = self.call_of(&object, "Get", "ss", &body.0)? else {
            return Ok(String::new());
        };
        let mut value = In::new(&value);
        let text = value.signature().and_then(|_| value.text());
        Ok(text.unwrap_or_default().to_owned())
    }

    /// Waits until a job has ended; returns how: `done` is well.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn await_job(&mut self, job: &str) -> Result<String> {
        loop {
            let message = self.next().context(|| format!("D-Bus: wait for {job}"))?;
            if message.kind == SIGNAL
                && message.member == "JobRemoved"
                && let Some(result) = result_of(job, &message.body)
            {
                return Ok(result.to_owned());
            }
        }
    }

    fn next(&mut self) -> io::Result<Message> {
        message::read(&mut self.stream).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

/// `JobRemoved(u id, o job, s unit, s result)`
fn result_of<'a>(job: &str, body: &'a [u8]) -> Option<&'a str> {
    let mut body = In::new(body);
    body.u32()?;
    let is_it = body.text()? == job;
    body.text()?;
    body.text().filter(|_| is_it)
}
