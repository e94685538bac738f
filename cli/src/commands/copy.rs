//! `cp`: files between a container and this machine, as an archive in a pipe.

use super::{Node, volumes};
use crate::arguments::{Cp, Transfer};
use crate::error::{Context, Error, Result};
use crate::transfer::{self, Lent, Links};
use spec::monitor::{Reply, Request};
use spec::node::Mount;
use spec::volume;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Between the two processes of a copy: what cannot be written, and a volume that no container has had.
const READ_ONLY: &str = "ro";
const NEW: &str = "new";

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    /// Standard input or output: the archive itself.
    Archive,
    /// A path of this machine.
    Here(PathBuf),
    /// A path in a container.
    There(String, PathBuf),
}

/// Copies.
pub fn copy(node: &Node<'_>, cp: &Cp) -> Result<()> {
    let archive = cp.archive.then_some("--archive").into_iter();
    let options: Vec<&str> = archive.chain(cp.follow_link.then_some("--follow-link")).collect();
    match (side(&cp.source), side(&cp.target)) {
        (Side::There(name, path), Side::Archive) => {
            end(&mut start(inside(node, &name, "pack", &path, &options)?.stdout(Stdio::inherit()))?)
        }
        (Side::There(name, path), Side::Here(here)) => {
            let target = transfer::target(&here, Links::Nobodys)?;
            let mut packer = start(inside(node, &name, "pack", &path, &options)?.stdout(Stdio::piped()))?;
            let archive = packer.stdout.take().ok_or_else(|| Error::new("there is no pipe"))?;
            let done = transfer::unpack(&target, cp.archive, archive);
            let ended = end(&mut packer);
            done.and(ended)
        }
        (Side::Archive, Side::There(name, path)) => {
            end(&mut start(inside(node, &name, "unpack", &path, &options)?.stdin(Stdio::inherit()))?)
        }
        (Side::Here(here), Side::There(name, path)) => {
            // What is wrong here is told before anything is there.
            std::fs::symlink_metadata(&here).context(|| format!("read {}", here.display()))?;
            let mut unpacker = start(inside(node, &name, "unpack", &path, &options)?.stdin(Stdio::piped()))?;
            let archive = unpacker.stdin.take().ok_or_else(|| Error::new("there is no pipe"))?;
            let done = transfer::pack(&here, cp.follow_link, archive);
            end(&mut unpacker).and(done)
        }
        _ => Err(Error::new("cp: one of the two must be CONTAINER:PATH, and only one")),
    }
}

/// Writes all files of a container as an archive, without what is mounted in it.
///
/// # Errors
/// There is no such container; what the other process cannot do, which has said it.
pub fn files(node: &Node<'_>, name: &str, out: Stdio) -> Result<()> {
    end(&mut start(inside(node, name, "pack", Path::new("/"), &["--alone"])?.stdout(out))?)
}

/// The container's side, in a process of its own: it has entered the container.
pub fn transfer(node: &Node<'_>, asked: &Transfer) -> Result<()> {
    match (asked.pid, &asked.written, &asked.image) {
        (Some(pid), ..) => {
            transfer::enter(pid)?;
            if asked.alone {
                transfer::leave_mounts()?;
            }
        }
        (None, Some(written), Some(image)) => {
            let image = match &asked.digest {
                Some(digest) => node.stores().resolve_digest(image, &digest.parse().map_err(Error::new)?)?,
                None => node.stores().resolve(image)?,
            };
            let lent = asked.lent.chunks_exact(3).filter(|_| !asked.alone).map(|words| Lent {
                source: words[0].clone(),
                target: words[1].clone(),
                read_only: words[2] == Path::new(READ_ONLY),
                new: words[2] == Path::new(NEW),
            });
            transfer::enter_stopped(&image.layers, written, &mut lent.collect::<Vec<_>>())?;
        }
        _ => return Err(Error::new("transfer: of which container?")),
    }
    match asked.verb.as_str() {
        "pack" => transfer::pack(&asked.path, asked.follow_link, io::stdout().lock()),
        _ => {
            let target = transfer::target(&asked.path, Links::Its)?;
            transfer::unpack(&target, asked.archive, io::stdin().lock())
        }
    }
}

fn inside(node: &Node<'_>, name: &str, verb: &str, path: &Path, options: &[&str]) -> Result<Command> {
    let Reply::Container { summary, container, written, .. } =
        node.answer(&Request::Inspect { name: name.to_owned() })?
    else {
        return Err(Error::new("the monitor gave another answer than was asked for"));
    };
    if verb == "unpack" && summary.configured && summary.status.pid.is_none() {
        let why = "it does not run, and begins with its image when it is started";
        return Err(Error::new(format!("container {name:?}: {why}")));
    }
    // What is copied into a volume is there when the container is gone.
    for name in container.mounts.iter().filter_map(Mount::volume).filter(|_| verb == "unpack") {
        volumes::ensure(node, name)?;
    }
    let program = std::env::current_exe().context(|| "find this program".into())?;
    let mut command = Command::new(program);
    command.arg("--store").arg(node.store).args(["transfer", verb]);
    match summary.status.pid {
        Some(pid) => command.args(["--pid", &pid.to_string()]),
        None => command.args(["--written", &written, "--image", &summary.image]),
    };
    for one in container.mounts.iter().filter(|_| summary.status.pid.is_none()).filter_map(lent) {
        let mode = match (one.new, one.read_only) {
            (true, _) => NEW,
            (false, true) => READ_ONLY,
            (false, false) => "rw",
        };
        command.arg("--lent").args([one.source, one.target]).arg(mode);
    }
    if let (None, Some(digest)) = (summary.status.pid, &summary.digest) {
        command.args(["--digest", digest]);
    }
    command.args(options);
    // A path in a container begins at its root.
    command.arg("--").arg(Path::new("/").join(path));
    Ok(command)
}

/// What a container has of this machine. A volume that is not there yet has nothing.
fn lent(mount: &Mount) -> Option<Lent> {
    let (source, target, read_only, new) = match mount {
        Mount::Bind { source, target, read_only, .. } => (source.into(), target, read_only, false),
        Mount::Volume { name, target, read_only, no_copy } => {
            let (data, unused) = (volume::data(name), volume::folder(name).join(volume::UNUSED));
            let is_empty = || data.read_dir().is_ok_and(|mut entries| entries.next().is_none());
            let new = !no_copy && unused.exists() && is_empty();
            (data, target, read_only, new)
        }
        Mount::Tmpfs { .. } => return None,
    };
    Some(Lent { source, target: target.into(), read_only: *read_only, new })
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().context(|| "run this program".into())
}

/// Its own words have been said.
fn end(child: &mut Child) -> Result<()> {
    match child.wait().context(|| "wait for the container's side".into())?.success() {
        true => Ok(()),
        false => Err(Error::new("not everything was copied")),
    }
}

/// As Docker tells them apart: a path that is not a container's begins with `/` or `.`.
fn side(text: &str) -> Side {
    match text.split_once(':') {
        _ if text == "-" => Side::Archive,
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
            Side::There(name.to_owned(), path.into())
        }
        _ => Side::Here(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart_as_docker_does() {
        assert_eq!(side("-"), Side::Archive);
        assert_eq!(side("web:/etc"), Side::There("web".into(), "/etc".into()));
        assert_eq!(side("web:"), Side::There("web".into(), "".into()));
        for here in ["/a:b", "./a:b", "a", ":b", "a/b:c"] {
            assert_eq!(side(here), Side::Here(here.into()));
        }
    }
}
