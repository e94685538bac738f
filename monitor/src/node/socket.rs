//! The socket and its clients: who comes, what they say, when they leave.

use super::talk::Talk;
use super::{Monitor, listen};
use crate::client::{Came, Client};
use crate::poller::Token;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::de::DeserializeOwned;
use spec::monitor::{Code, Frame, Hello, Kind, VERSION};
use spec::paths;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::cause::cause;

/// Most clients at a time.
const MOST: usize = 512;

/// The socket, which others find once it listens.
///
/// # Errors
/// Those of making a socket, in words.
pub(super) fn open() -> Result<OwnedFd, String> {
    listen(Path::new(paths::MONITOR_SOCKET))
        .map_err(|error| format!("listen at {}: {}", paths::MONITOR_SOCKET, cause(&error)))
}

impl Monitor {
    /// Takes new clients, if they are root's; others are told why not.
    pub(super) fn accept(&mut self) {
        while let Some(Ok(socket)) = self.listener.as_ref().map(|own| self.spare.accept(own.as_fd())) {
            let root = getsockopt(&socket, PeerCredentials).is_ok_and(|peer| peer.uid() == 0);
            if !root {
                Client::new(socket).fail(Code::Invalid, "the monitor speaks to root alone");
                continue;
            }
            if self.clients.len() >= MOST && !self.make_room() {
                Client::new(socket).fail(Code::Internal, format!("{MOST} clients are here already"));
                continue;
            }
            self.next_client += 1;
            self.clients.insert(self.next_client, (Client::new(socket), Talk::Greeting));
        }
    }

    /// The first that has asked for nothing yet gives way; whether there was one.
    fn make_room(&mut self) -> bool {
        let idle = |(_, talk): &(Client, Talk)| matches!(talk, Talk::Greeting | Talk::Asking);
        let first = self.clients.iter().find(|(_, own)| idle(own)).map(|(number, _)| *number);
        first.inspect(|number| self.leave(*number)).is_some()
    }

    /// A client has sent something, or takes more.
    pub(super) fn client_ready(&mut self, number: usize) {
        let Some((client, _)) = self.clients.get_mut(&number) else { return };
        client.blocked = false;
        client.flush();
        // Of the end of one that is not heard the poller tells all the same, again and again.
        if client.held && client.is_gone() {
            return self.leave(number);
        }
        if !client.held && !client.ending {
            match client.read() {
                Came::Gone => return self.leave(number),
                Came::Bytes | Came::Nothing => self.hear(number),
            }
        }
        self.eager.insert(number);
    }

    /// Takes in the frames that have come, as long as it may be heard.
    pub(super) fn hear(&mut self, number: usize) {
        while let Some((client, _)) =
            self.clients.get_mut(&number).filter(|(own, _)| !own.held && !own.ending)
        {
            match client.frame() {
                Ok(Some(frame)) => self.take(number, frame),
                Ok(None) => return,
                Err(wrong) => return client.fail(Code::Invalid, wrong),
            }
        }
    }

    fn take(&mut self, number: usize, frame: Frame) {
        let Some((client, talk)) = self.clients.get_mut(&number) else { return };
        let streams = matches!(talk, Talk::Log(_) | Talk::Session(_));
        match (frame.kind, &talk) {
            (Kind::Message, Talk::Greeting) => match message::<Hello>(&frame.payload) {
                Ok(hello) if hello.version == VERSION => {
                    let program = concat!("skerry-monitor ", env!("CARGO_PKG_VERSION")).to_owned();
                    client.say(&Hello { version: VERSION, program });
                    *talk = Talk::Asking;
                }
                Ok(hello) => {
                    let message = format!("version {}: this monitor speaks {VERSION}", hello.version);
                    client.fail(Code::Version, message);
                }
                Err(reason) => client.fail(Code::Invalid, format!("greeting: {reason}")),
            },
            (Kind::Message, Talk::Asking) => match message(&frame.payload) {
                Ok(request) => self.asked(number, request),
                Err(reason) => client.fail(Code::Invalid, format!("request: {reason}")),
            },
            (Kind::Message, _) if streams => match message(&frame.payload) {
                Ok(request) => self.said(number, &request),
                Err(reason) => client.fail(Code::Invalid, format!("request: {reason}")),
            },
            (Kind::Input, _) if streams => self.typed(number, frame.payload),
            (kind, _) => client.fail(Code::Invalid, format!("a frame of kind {kind:?} out of its turn")),
        }
    }

    /// A client has left, or is sent away.
    pub(super) fn leave(&mut self, number: usize) {
        let Some((client, talk)) = self.clients.remove(&number) else { return };
        let _ = self.poller.remove(client.as_fd());
        self.eager.remove(&number);
        match talk {
            Talk::Log(follow) => {
                self.watch_output(follow.index);
                if follow.gives_input() && !client.ending {
                    self.typist_left(follow.index);
                }
            }
            Talk::Session(session) => self.abandon(session),
            _ => {}
        }
    }

    /// Before the monitor waits: whoever was told all is closed, and the others are watched for
    /// what they are about.
    pub(super) fn settle_clients(&mut self) {
        let done = |(client, _): &(Client, Talk)| client.ending && client.is_empty();
        let gone: Vec<usize> =
            self.clients.iter().filter(|(_, own)| done(own)).map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| self.leave(number));
        let mut unwatched = Vec::new();
        for (number, (client, _)) in &mut self.clients {
            if let Some(interest) = client.interest()
                && self.poller.watch(client.as_fd(), Token::Client(*number), interest).is_err()
            {
                unwatched.push(*number);
            }
        }
        // The kernel has no room for another watch (fs.epoll.max_user_watches): others are not to suffer from that.
        unwatched.into_iter().for_each(|number| self.leave(number));
    }

    /// A client that may have left.
    pub(super) fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(&number).map(|(client, _)| client)
    }
}

fn message<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}
