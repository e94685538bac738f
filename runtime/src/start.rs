//! `start`: lets a created container's program run.

use crate::channel::Message;
use crate::delete;
use crate::error::{Cause, Context, Error, Result};
use crate::perform;
use crate::record::Place;
use spec::bundle::Status;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Starts it. A poststart hook that fails stops it again (`runtime.md`, Lifecycle 9).
///
/// # Errors
/// The container is not created, its program could not be run, or a hook failed.
pub fn start(root: &Path, id: &str) -> Result<()> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    match record.status(&place) {
        Status::Created => {}
        Status::Stopped => return Err(Error(format!("container {id:?}: cannot start one that has stopped"))),
        status => return Err(Error(format!("container {id:?}: cannot start one that is {status}"))),
    }
    let hooks = place.config()?.hooks.unwrap_or_default();
    let (_folder, socket) = place.socket()?;
    let mut connection = UnixStream::connect(&socket)
        .map_err(|error| Error(format!("container {id:?}: start it: {}", error.cause())))?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).context(|| format!("container {id:?}: wait for its start"))?;
    if let Message::Failed(error) = Message::read(&answer) {
        return Err(error);
    }
    place.await_program();
    perform::run_hooks(&hooks.poststart, "hooks.poststart", &record.state(Status::Running))
        .inspect_err(|_| drop(delete::end_process(&record)))
}
