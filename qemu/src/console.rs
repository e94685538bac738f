//! The serial console: everything the guest said, and waiting for what it says.

use crate::Error;
use crate::watched::Watched;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The log forgets its first half when it grows beyond this many bytes.
const GREATEST_LOG: usize = 16 << 20;

/// A machine's serial console.
///
/// The log begins at power-on and a wait looks at all of it, so that the order
/// in which a test asks does not matter. [`Console::from_now`] looks at what
/// comes later only.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    log: Arc<Watched<Log>>,
    patience: Duration,
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Log {
    /// As it came, for a terminal.
    raw: Tail,
    /// Carriage returns left out, for those who search.
    text: Tail,
    closed: bool,
}

/// The last part of a growing text; offsets count from its beginning.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    forgotten: usize,
}

/// The part of a console's log that begins at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    console: &'a Console,
    from: usize,
    limit: Duration,
}

impl Console {
    pub(crate) fn new(stream: UnixStream, patience: Duration) -> Result<Self, Error> {
        let log = Arc::new(Watched::new(Log::default()));
        let reader = stream.try_clone().map_err(|cause| Error::Io("share the console", cause))?;
        let keeper = Arc::clone(&log);
        thread::Builder::new()
            .name("console".into())
            .spawn(move || record(reader, &keeper))
            .map_err(|cause| Error::Io("start a thread", cause))?;
        Ok(Self { stream, log, patience, failed: AtomicBool::new(false) })
    }

    /// Waits until the guest has written a line with `text` in it, at any time
    /// since power-on, and returns that line, whole.
    ///
    /// # Errors
    ///
    /// When the machine's patience or the machine itself ends first.
    pub fn wait_for(&self, text: &str) -> Result<String, Error> {
        self.from_start().wait_for(text)
    }

    /// Whether the guest writes `text` before its machine's patience or the machine itself ends. That it does not
    /// is no failure, and the console is not printed for it.
    pub fn says(&self, text: &str) -> bool {
        self.from_start()
            .look(|log| find(log.text.from(0), text.as_bytes()).map(drop))
            .is_some_and(|said| said.is_some())
    }

    /// Everything since power-on.
    pub fn from_start(&self) -> Watch<'_> {
        Watch { console: self, from: 0, limit: self.patience }
    }

    /// Everything from this moment on.
    pub fn from_now(&self) -> Watch<'_> {
        Watch { console: self, from: self.log.lock().text.end(), limit: self.patience }
    }

    /// Types `text`.
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn send(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        (&self.stream).write_all(text.as_ref()).map_err(|cause| Error::Io("type on the console", cause))
    }

    /// Everything the guest has said, carriage returns left out.
    pub fn text(&self) -> String {
        self.from_start().text()
    }

    /// The bytes from `offset` on, as soon as there are any; `None` at the end
    /// of the machine's run.
    pub fn bytes_from(&self, offset: usize) -> Option<Vec<u8>> {
        let found = self.log.wait(Duration::MAX / 4, |log| {
            let bytes = log.raw.from(offset);
            if bytes.is_empty() { log.closed.then_some(None) } else { Some(Some(bytes.to_vec())) }
        });
        found.flatten()
    }

    /// Whether a wait on this machine has failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notes that a wait on this machine has failed, so that its log is shown.
    pub(crate) fn blame<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Watch<'_> {
    /// The same part of the log with another limit for its waits.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// As [`Console::wait_for`], in this part of the log.
    ///
    /// # Errors
    ///
    /// When the limit passes or the machine ends first.
    pub fn wait_for(&self, text: &str) -> Result<String, Error> {
        let mut searched = self.from;
        self.wait(text, |log| {
            searched = searched.max(log.text.forgotten);
            match find(log.text.from(searched), text.as_bytes()) {
                Some(at) => {
                    searched += at;
                    log.text.line_at(searched, text.len(), log.closed)
                }
                None => {
                    searched = searched.max(log.text.end().saturating_sub(text.len()));
                    None
                }
            }
        })
    }

    /// As [`Watch::wait_for`] for what is not the whole of a line, such as a
    /// prompt; returns nothing.
    ///
    /// # Errors
    ///
    /// When the limit passes or the machine ends first.
    pub fn wait_for_part(&self, text: &str) -> Result<(), Error> {
        self.wait(text, |log| find(log.text.from(self.from), text.as_bytes()).map(drop))
    }

    /// Waits for `text` in this part of the log; what comes after it.
    ///
    /// # Errors
    ///
    /// When the limit passes or the machine ends first.
    pub fn after(self, text: &str) -> Result<Self, Error> {
        let from = self.wait(text, |log| {
            let start = self.from.max(log.text.forgotten);
            find(log.text.from(start), text.as_bytes()).map(|at| start + at + text.len())
        })?;
        Ok(Self { from, ..self })
    }

    /// What this part of the log holds before another part of it begins.
    pub fn before(&self, other: &Self) -> String {
        let log = self.console.log.lock();
        let bytes = log.text.from(self.from);
        let end = other.from.saturating_sub(self.from.max(log.text.forgotten)).min(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Waits until `found` finds `text`, which is for the error.
    fn wait<R>(&self, text: &str, found: impl FnMut(&Log) -> Option<R>) -> Result<R, Error> {
        let result = self.look(found);
        let what = || format!("{text:?} on the console");
        self.console.blame(match result {
            Some(Some(result)) => Ok(result),
            Some(None) => Err(Error::Ended { what: what() }),
            None => Err(Error::Late { what: what(), limit: self.limit }),
        })
    }

    /// What `found` finds; `Some(None)` when the machine has ended before, and none when the limit has passed.
    fn look<R>(&self, mut found: impl FnMut(&Log) -> Option<R>) -> Option<Option<R>> {
        self.console.log.wait(self.limit, |log| match found(log) {
            Some(result) => Some(Some(result)),
            None => log.closed.then_some(None),
        })
    }

    /// What this part of the log holds so far, carriage returns left out.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.console.log.lock().text.from(self.from)).into_owned()
    }
}

impl Log {
    fn append(&mut self, bytes: &[u8]) {
        self.raw.append(bytes);
        let text: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
        self.text.append(&text);
    }
}

impl Tail {
    fn end(&self) -> usize {
        self.forgotten + self.bytes.len()
    }

    fn from(&self, offset: usize) -> &[u8] {
        let skip = offset.saturating_sub(self.forgotten).min(self.bytes.len());
        &self.bytes[skip..]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > GREATEST_LOG {
            self.bytes.drain(..GREATEST_LOG / 2);
            self.forgotten += GREATEST_LOG / 2;
        }
    }

    /// The line, or lines, that the `length` bytes at `offset` are part of, once
    /// it has ended; nothing ends it after the end of the machine.
    fn line_at(&self, offset: usize, length: usize, closed: bool) -> Option<String> {
        let at = offset.saturating_sub(self.forgotten);
        let start = self.bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let rest = &self.bytes[at + length..];
        let more = rest.iter().position(|&byte| byte == b'\n').or_else(|| closed.then_some(rest.len()))?;
        Some(String::from_utf8_lossy(&self.bytes[start..at + length + more]).into_owned())
    }
}

fn record(mut stream: UnixStream, log: &Watched<Log>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        log.change(|log| log.append(&buffer[..count]));
    }
    log.change(|log| log.closed = true);
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> (UnixStream, Console) {
        let (guest, host) = UnixStream::pair().unwrap();
        (guest, Console::new(host, Duration::from_secs(10)).unwrap())
    }

    #[test]
    fn a_wait_finds_what_came_before_and_what_comes_later() {
        let (mut guest, console) = console();
        guest.write_all(b"first: 1\r\nsec").unwrap();
        console.from_start().wait_for_part("sec").unwrap();
        assert_eq!(console.wait_for("rst").unwrap(), "first: 1");
        let later = thread::spawn(move || {
            guest.write_all(b"ond: ")?;
            guest.write_all(b"2\r\n").map(|()| guest)
        });
        assert_eq!(console.wait_for("second").unwrap(), "second: 2");
        later.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_not_said_is_no_failure() {
        let (mut guest, console) = console();
        guest.write_all(b"one\n").unwrap();
        assert!(console.says("one"));
        drop(guest);
        assert!(!console.says("two") && !console.failed());
        assert!(console.wait_for("two").is_err() && console.failed());
    }

    #[test]
    fn from_now_does_not_see_the_past() {
        let (mut guest, console) = console();
        guest.write_all(b"up\n").unwrap();
        console.wait_for("up").unwrap();
        let error = console.from_now().within(Duration::from_millis(1)).wait_for("up").unwrap_err();
        assert!(matches!(error, Error::Late { .. }), "{error}");
        assert!(console.failed());
    }

    #[test]
    fn what_comes_after_a_text_is_a_part_of_its_own() {
        let (mut guest, console) = console();
        guest.write_all(b"> ps\r\nnone\r\n> ").unwrap();
        let ps = console.from_start().after("> ps\n").unwrap();
        let prompt = ps.after("\n> ").unwrap();
        assert_eq!(ps.before(&prompt), "none\n> ");
        assert_eq!(prompt.text(), "");
    }

    #[test]
    fn the_end_of_the_machine_ends_a_wait() {
        let (guest, console) = console();
        drop(guest);
        let error = console.wait_for("up").unwrap_err();
        assert_eq!(error.to_string(), "the machine ended before \"up\" on the console");
        assert_eq!(console.bytes_from(0), None);
    }

    #[test]
    fn a_log_without_end_keeps_its_last_part() {
        let mut log = Tail::default();
        for _ in 0..20 {
            log.append(&vec![b'x'; 1 << 20]);
        }
        log.append(b"end");
        assert!(log.bytes.len() <= GREATEST_LOG);
        assert_eq!(log.from((20 << 20) + 1), b"nd");
    }
}
