//! `start`: lets a created container's program run.

use crate::agent;
use crate::channel::{Channel, Message};
use crate::create::Created;
use crate::delete;
use crate::error::{Context, Error, Result};
use crate::log::Log;
use crate::perform::{self, Around};
use crate::record::{Place, Record};
use spec::bundle::{Config, Status};
use std::borrow::Borrow;
use std::path::Path;

/// Starts it. With a hook that fails it is gone, and its poststop hooks have run (`runtime.md`, Lifecycle 7 and 9); who
/// does not become its program has stopped.
///
/// # Errors
/// The container is not created, its program could not be run, or a hook failed.
pub fn start(root: &Path, id: &str, log: &Log) -> Result<()> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    match record.status(&place) {
        Status::Created => {}
        Status::Stopped => return Err(Error(format!("container {id:?}: cannot start one that has stopped"))),
        status => return Err(Error(format!("container {id:?}: cannot start one that is {status}"))),
    }
    let config = place.config()?;
    run_program(&place, &record, &config, || place.connect()).inspect_err(|error| {
        if error.0.starts_with("hooks.") {
            let hooks = config.hooks.clone().unwrap_or_default();
            let failed = delete::remove(&place, &record, &hooks).unwrap_or_else(|error| vec![error]);
            failed.iter().for_each(|error| log.warn(error));
        }
    })
}

/// Starts one that this process has created. Errors are those of [`start`].
pub fn start_created(created: &Created, config: &Config) -> Result<()> {
    let Created { place, record, channel } = created;
    run_program(place, record, config, || channel.go().map(|()| channel))
}

/// Has the first process run the program, by a word or a connection.
fn run_program<T: Borrow<Channel>>(
    place: &Place,
    record: &Record,
    config: &Config,
    begin: impl FnOnce() -> Result<T>,
) -> Result<()> {
    let words = || format!("container {:?}: start it", record.id);
    let channel = begin().context(words)?;
    let program = config.process.as_ref().and_then(|process| process.args.first());
    let answer = agent::hear(channel.borrow(), None, program).context(words)?;
    if let Message::Failed(error) = answer {
        return Err(error);
    }
    place.await_program();
    let hooks = config.hooks.as_ref().map_or(&[][..], |hooks| &hooks.poststart);
    perform::run_hooks(hooks, "hooks.poststart", &record.state(Status::Running), Around::Host)
        .inspect_err(|_| drop(delete::end_process(record)))
}
