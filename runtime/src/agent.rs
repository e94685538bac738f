//! The agent that decides on the calls of `SCMP_ACT_NOTIFY`: it is given the filter's
//! descriptor and the state of the container (`config-linux.md`, The Container Process State).
//!
//! `create` and `exec` connect to it before the filter is loaded, in the caller's namespaces: no
//! process that is filtered has a part in it.

use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::perform;
use crate::seccomp::Listener;
use nix::errno::Errno;
use spec::bundle::{Config, ContainerProcessState, OCI_VERSION, State};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A connection to it.
#[derive(Debug)]
pub struct Agent {
    socket: UnixStream,
    metadata: String,
}

impl Agent {
    /// Connects to the agent that config.json names, if its filter asks one.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(config: &Config) -> Result<Option<Self>> {
        let profile = config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let Some(Listener { path, metadata }) = profile.map(Listener::of).transpose()?.flatten() else {
            return Ok(None);
        };
        let socket = UnixStream::connect(path)
            .context(|| format!("linux.seccomp.listenerPath: failed to connect with seccomp agent {path}"))?;
        Ok(Some(Self { socket, metadata: metadata.to_owned() }))
    }

    /// Gives it the descriptor of a process's filter, and closes the connection.
    ///
    /// # Errors
    /// It has gone.
    pub fn tell(self, listener: &OwnedFd, pid: i32, state: State) -> Result<()> {
        let words = || "linux.seccomp.listenerPath: send the filter's descriptor".to_owned();
        let state = ContainerProcessState {
            oci_version: OCI_VERSION.to_owned(),
            fds: vec!["seccompFd".to_owned()],
            pid,
            metadata: self.metadata,
            state,
        };
        let text = serde_json::to_vec(&state).context(words)?;
        sys::descriptors::send(self.socket.as_fd(), &text, &[listener.as_fd()]).context(words)
    }
}

/// What a process that becomes its program, which is called so, says in the end. An agent is told of the filter that
/// it loads meanwhile, with its ID and the container's state.
///
/// # Errors
/// The agent cannot be told: the process ends.
pub fn hear(
    channel: &Channel,
    agent: Option<(Agent, i32, State)>,
    program: Option<&String>,
) -> Result<Message> {
    Ok(match last_word(channel, agent)? {
        Message::NotRun(number) => {
            let name = program.map_or("", String::as_str);
            Message::Failed(perform::cannot_run(name, Errno::from_raw(number)))
        }
        other => other,
    })
}

fn last_word(channel: &Channel, agent: Option<(Agent, i32, State)>) -> Result<Message> {
    let (message, listener) = channel.next_with_descriptor()?;
    let (Message::Listener, Some(listener)) = (&message, listener) else { return Ok(message) };
    let agent = agent.ok_or_else(|| Error::new("linux.seccomp: the filter asks an agent, and there is none"));
    agent
        .and_then(|(agent, pid, state)| agent.tell(&listener, pid, state))
        .inspect_err(|error| channel.fail(error))?;
    channel.go()?;
    channel.next()
}
