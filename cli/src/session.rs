//! A program's streams, between the terminal and the monitor, until the program ends or
//! the client leaves.

use crate::client::{self, Client};
use crate::detach::Detach;
use crate::error::{Context, Error, Result, written};
use crate::terminal::{self, Raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::read;
use spec::monitor::{Frame, Kind, Reply, Request};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use sys::signals::{self, Source};

/// How streams are followed.
#[derive(Clone, Debug)]
pub struct Following {
    /// The monitor's socket, and its name for the streams: they outlive a monitor.
    pub session: Option<(PathBuf, String)>,
    /// Standard input is sent.
    pub input: bool,
    /// Standard output and standard error are shown.
    pub shown: [bool; 2],
    /// The program is on a terminal, and so are we: keys go through as they are.
    pub raw: bool,
    /// What leaves it.
    pub detach: Detach,
    /// Signals that we get are sent on.
    pub forward: Forward,
}

/// Who gets our signals.
#[derive(Clone, Debug)]
pub enum Forward {
    /// Nobody: they end us, as signals do.
    Nobody,
    /// The program of this `exec`.
    Exec,
    /// This container, by a request of its own.
    Container(PathBuf, String),
}

/// How it came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program has ended, so.
    Exited(u8),
    /// There is nothing more to come.
    Done,
    /// The detach keys were typed.
    Left,
    /// A signal was to end us: the terminal is as it was before.
    Signalled(u8),
}

impl Ended {
    /// The command's exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Exited(status) => *status,
            Self::Done | Self::Left => 0,
            Self::Signalled(number) => 128 + number,
        }
    }
}

/// All that would end us or are a program's to use, beside the real-time ones, but what tells of our own faults (SIGSEGV
/// and the like) and children.
const FORWARDED: [Signal; 14] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
];

/// Of these the third ends us, for the first process of a container does not hear what it has no handler for.
const INSISTING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];
const ENOUGH: u32 = 3;

/// Follows the streams of a connection that [`Reply::Streams`] has been said on. Signals are watched since before that
/// was asked for.
///
/// # Errors
/// The program could not be run; the monitor went away.
pub fn follow(client: Client, mut signals: Signals, following: Following) -> Result<Ended> {
    // Signals that would end us must not leave a raw terminal behind.
    if following.raw {
        signals.source = watch(true)?.source;
    }
    let raw = following.raw.then(Raw::new).transpose()?;
    client.nonblocking()?;
    let input = following.input;
    let unsent = VecDeque::new();
    let mut session =
        Session { client, following, signals, asked: 0, input, received: 0, unsent, written: 0, gone: false };
    let ended = session.run();
    drop(raw);
    ended
}

/// Has signals wait to be taken from what this gives: that the terminal has another size, and with `all` those that are
/// sent on. That is before a program is asked for, so that it gets one that comes before its first byte; else that would
/// end us, and the program would run on.
///
/// # Errors
/// Those of signalfd(2).
pub fn watch(all: bool) -> Result<Signals> {
    let forwarded = FORWARDED.map(|signal| signal as i32).into_iter().chain(signals::real_time());
    let forwarded = forwarded.filter(|_| all);
    let source = Source::of([Signal::SIGWINCH as i32].into_iter().chain(forwarded));
    Ok(Signals { source: source.context(|| "watch signals".into())?, early: VecDeque::new() })
}

/// Signals that wait to be taken.
#[derive(Debug)]
pub struct Signals {
    source: Source,
    /// Those that have come before the streams.
    early: VecDeque<i32>,
}

impl Signals {
    fn next(&mut self) -> Result<Option<i32>> {
        match self.early.pop_front() {
            None => self.read(),
            early => Ok(early),
        }
    }

    fn read(&mut self) -> Result<Option<i32>> {
        self.source.take().context(|| "take signals".into())
    }

    /// Awaits the monitor's answer. What comes meanwhile is for the program, but the third signal that asks us to end does
    /// so, since the monitor may stand still.
    ///
    /// # Errors
    /// As [`Client::reply`]; so many signals have come.
    pub fn answer(&mut self, client: &mut Client) -> Result<Reply> {
        loop {
            if let Some(reply) = client.reply_that_came()? {
                return Ok(reply);
            }
            while let Some(number) = self.read()? {
                self.early.push_back(number);
                if self.early.iter().filter(|number| insists(**number)).count() == ENOUGH as usize {
                    let words = "the monitor does not answer; what was asked of it may be done all the same";
                    return Err(Error::new(words).with_status(128 + u8::try_from(number).unwrap_or(0)));
                }
            }
            let sources = [client.as_fd(), self.source.as_fd()];
            let mut events = sources.map(|source| PollFd::new(source, PollFlags::POLLIN));
            await_any(&mut events)?;
            if events[0].any() == Some(true) && !client.fill()? {
                return Err(client::gone());
            }
        }
    }
}

fn insists(number: i32) -> bool {
    INSISTING.iter().any(|&signal| signal as i32 == number)
}

fn await_any(events: &mut [PollFd<'_>]) -> Result<()> {
    match poll(events, PollTimeout::NONE) {
        Err(Errno::EINTR) => Ok(()),
        result => result.map(drop).context(|| "wait for events".into()),
    }
}

struct Session {
    client: Client,
    following: Following,
    signals: Signals,
    /// How often we were asked to end.
    asked: u32,
    /// Our input has not ended.
    input: bool,
    /// Bytes of the program's output that have come.
    received: u64,
    /// Frames that the monitor has not taken whole, `written` bytes of the first. No more input is read until there are
    /// none, and output all the while: a program that must write before it reads goes on.
    unsent: VecDeque<Vec<u8>>,
    written: usize,
    /// The monitor takes nothing more: because the program has ended, which is said in what is still to be read, or
    /// because it was killed.
    gone: bool,
}

impl Session {
    fn run(&mut self) -> Result<Ended> {
        if let Some(number) = self.signalled()? {
            return Ok(Ended::Signalled(number));
        }
        loop {
            while let Some(frame) = self.client.buffered()? {
                if let Some(ended) = self.take(&frame)? {
                    return Ok(ended);
                }
            }
            let [monitor, signals, input] = self.wait()?;
            if signals && let Some(number) = self.signalled()? {
                return Ok(Ended::Signalled(number));
            }
            if input && self.typed()? {
                return Ok(Ended::Left);
            }
            if monitor {
                self.flush();
                if !self.client.fill()? {
                    self.resume()?;
                }
            }
        }
    }

    /// Joins the streams again, at the byte where the monitor left.
    fn resume(&mut self) -> Result<()> {
        let Some((socket, session)) = &self.following.session else {
            return Err(Error::new("the monitor went away; the container goes on"));
        };
        let request = Request::Resume { session: session.clone(), received: self.received };
        let (client, reply) = Client::insist(socket, &request)?;
        client.nonblocking()?;
        self.client = client;
        let Reply::Streams { .. } = reply else {
            return Err(Error::new(format!("the monitor said {reply:?} when streams were joined again")));
        };
        (self.gone, self.written) = (false, 0);
        self.flush();
        // The monitor that was killed may not have heard these; to hear them twice does no harm.
        if self.following.raw
            && let Some(size) = terminal::size()
        {
            self.send(&Request::Resize(size))?;
        }
        if self.following.input && !self.input {
            self.send(&Request::InputEnded)?;
        }
        Ok(())
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let text = serde_json::to_vec(request).context(|| "write a request".into())?;
        self.write(Kind::Message, &text);
        Ok(())
    }

    fn write(&mut self, kind: Kind, payload: &[u8]) {
        self.unsent.push_back(Frame::encode(kind, payload));
        self.flush();
    }

    /// Gives the monitor what it has room for.
    fn flush(&mut self) {
        while let (Some(frame), false) = (self.unsent.front(), self.gone) {
            match self.client.offer(&frame[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.gone = true,
            }
            if self.written == frame.len() {
                self.unsent.pop_front();
                self.written = 0;
            }
        }
    }

    fn wait(&self) -> Result<[bool; 3]> {
        let stdin = io::stdin();
        let mut monitor = PollFlags::POLLIN;
        monitor.set(PollFlags::POLLOUT, !self.unsent.is_empty() && !self.gone);
        let mut events = vec![
            PollFd::new(self.client.as_fd(), monitor),
            PollFd::new(self.signals.source.as_fd(), PollFlags::POLLIN),
        ];
        if self.input && self.unsent.is_empty() {
            events.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        await_any(&mut events)?;
        let ready = |index: usize| events.get(index).and_then(PollFd::any) == Some(true);
        Ok([ready(0), ready(1), ready(2)])
    }

    /// Shows what a frame has; says how it ended if this was the last one.
    fn take(&mut self, frame: &Frame) -> Result<Option<Ended>> {
        match frame.kind {
            Kind::Output if self.following.shown[0] => show(&mut io::stdout(), &frame.payload)?,
            Kind::Error if self.following.shown[1] => show(&mut io::stderr(), &frame.payload)?,
            Kind::Output | Kind::Error | Kind::Input => {}
            Kind::Message => match client::reply(&frame.payload)? {
                Reply::Warning { text } => {
                    // A raw terminal does not go back to the line's beginning by itself.
                    let end = if self.following.raw { "\r\n" } else { "\n" };
                    show(&mut io::stderr(), format!("skerry: {text}{end}").as_bytes())?;
                    return Ok(None);
                }
                Reply::Streams { session: Some(name), .. } => {
                    self.received = 0;
                    if let Some((_, session)) = &mut self.following.session {
                        *session = name;
                    }
                    return Ok(None);
                }
                reply => return last(reply),
            },
        }
        self.received += frame.payload.len() as u64;
        Ok(None)
    }

    /// Sends signals on; gives one that ends us.
    fn signalled(&mut self) -> Result<Option<u8>> {
        while let Some(number) = self.signals.next()? {
            self.asked += u32::from(insists(number));
            match (&self.following.forward, number) {
                (_, number) if number == Signal::SIGWINCH as i32 => {
                    let size = terminal::size();
                    size.map_or(Ok(()), |size| self.send(&Request::Resize(size)))?;
                }
                (Forward::Exec | Forward::Container(..), number) if self.asked == ENOUGH => {
                    show(
                        &mut io::stderr(),
                        b"skerry: this was asked to end three times; the program goes on\n",
                    )?;
                    return Ok(u8::try_from(number).ok());
                }
                (Forward::Exec, signal) => self.send(&Request::Signal { signal })?,
                (Forward::Container(socket, name), signal) => {
                    // One that has ended just now does not miss it.
                    let _ = Client::answer(socket, &Request::Kill { name: name.clone(), signal });
                }
                (Forward::Nobody, signal) => return Ok(u8::try_from(signal).ok()),
            }
        }
        Ok(None)
    }

    /// Sends what was typed; says whether the client leaves.
    fn typed(&mut self) -> Result<bool> {
        let mut bytes = [0; 1 << 14];
        // Not by way of `Stdin`, which keeps back what poll(2) then does not see.
        let length = match read(io::stdin().as_fd(), &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(false),
            read => read.context(|| "read standard input".into())?,
        };
        if length == 0 {
            self.input = false;
            self.send(&Request::InputEnded)?;
            return Ok(false);
        }
        let (send, leaves) = match self.following.raw {
            true => self.following.detach.typed(&bytes[..length]),
            false => (bytes[..length].to_vec(), false),
        };
        if !send.is_empty() {
            self.write(Kind::Input, &send);
        }
        Ok(leaves)
    }
}

fn last(reply: Reply) -> Result<Option<Ended>> {
    match reply {
        Reply::Exited { error: Some(message), status, .. } => {
            Err(Error { unstarted: true, ..Error::new(message).with_status(status) })
        }
        Reply::Exited { status, .. } => Ok(Some(Ended::Exited(status))),
        Reply::Done => Ok(Some(Ended::Done)),
        other => Err(Error::new(format!("the monitor said {other:?} amid a program's output"))),
    }
}

fn show(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    written(out.write_all(bytes).and_then(|()| out.flush()), "standard output")
}
