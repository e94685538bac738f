//! `start`: lets a created container's program run.

use crate::agent::{self, Agent};
use crate::channel::{Channel, Message};
use crate::delete;
use crate::error::{Cause, Context, Error, Result};
use crate::perform;
use crate::record::Place;
use spec::bundle::Status;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Starts it. A poststart hook that fails stops it again (`runtime.md`, Lifecycle 9).
///
/// # Errors
/// The container is not created, its program could not be run, no agent decides on its system
/// calls, or a hook failed.
pub fn start(root: &Path, id: &str) -> Result<()> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    match record.status(&place) {
        Status::Created => {}
        Status::Stopped => return Err(Error(format!("container {id:?}: cannot start one that has stopped"))),
        status => return Err(Error(format!("container {id:?}: cannot start one that is {status}"))),
    }
    let config = place.config()?;
    let agent = Agent::connect(&config)?;
    let hooks = config.hooks.unwrap_or_default();
    let (_folder, socket) = place.socket()?;
    let connection = UnixStream::connect(&socket)
        .map_err(|error| Error(format!("container {id:?}: start it: {}", error.cause())))?;
    let connection = Channel::from(OwnedFd::from(connection));
    let pid = record.process.map_or(0, |process| process.pid);
    let answer = agent::hear(&connection, agent, pid, record.state(Status::Created))
        .context(|| format!("container {id:?}: start it"))?;
    if let Message::Failed(error) = answer {
        return Err(error);
    }
    place.await_program();
    perform::run_hooks(&hooks.poststart, "hooks.poststart", &record.state(Status::Running))
        .inspect_err(|_| drop(delete::end_process(&record)))
}
