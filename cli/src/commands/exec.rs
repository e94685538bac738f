//! `exec`: another program in a running container.

use super::{Node, advised, unexpected};
use crate::arguments::{self, Exec};
use crate::client::Client;
use crate::detach::Detach;
use crate::error::{Error, Result};
use crate::session::{self, Following, Forward};
use crate::terminal;
use spec::monitor::{self, Code, Reply, Request};

/// Runs it; gives its exit status.
pub fn exec(node: &Node<'_>, exec: &Exec) -> Result<u8> {
    let detach = Detach::new(&exec.detach_keys).map_err(|why| Error::new(format!("--detach-keys: {why}")))?;
    if exec.tty && exec.interactive && !exec.detach && !terminal::is_there() {
        return Err(Error::new("-t: standard input is not a terminal"));
    }
    let request = Request::Exec(Box::new(request(exec)?));
    // Whatever ends us before anything was asked leaves nothing running.
    let mut client = Client::connect(node.socket)?;
    let mut signals = session::watch(true)?;
    client.send(&request)?;
    let refused = |error: Error| match error.code {
        // It could not begin, in the container that there is.
        Some(Code::Internal) => error.with_status(126),
        _ => advised(error, exec.container()),
    };
    let session = match signals.answer(&mut client).map_err(refused)? {
        Reply::Streams { session, .. } => session.map(|session| (node.socket.to_owned(), session)),
        Reply::Done => return Ok(0),
        Reply::Exited { error: Some(message), status, .. } => {
            return Err(Error::new(message).with_status(status));
        }
        other => return Err(unexpected(&other)),
    };
    let raw = exec.tty && exec.interactive;
    let forward = if raw { Forward::Nobody } else { Forward::Exec };
    let following = Following { session, input: exec.interactive, shown: [true; 2], raw, detach, forward };
    session::follow(client, signals, following).map(|ended| ended.status())
}

fn request(exec: &Exec) -> Result<monitor::Exec> {
    let here = |name: &str| std::env::var(name).ok();
    Ok(monitor::Exec {
        name: exec.container().to_owned(),
        command: exec.command().to_vec(),
        env: arguments::environment(&exec.env_file, &exec.env, here)?,
        user: exec.user.clone(),
        working_dir: exec.workdir.clone(),
        tty: exec.tty,
        input: exec.interactive,
        privileged: exec.privileged,
        detach: exec.detach,
        size: terminal::size(),
    })
}
