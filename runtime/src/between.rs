//! The way into a user namespace that there is already, into other namespaces when the user
//! namespace is new, and into all of a container's for `exec`.
//!
//! Namespaces belong to the user namespace of who makes them, so the container's first
//! process is born of one that has joined it. Rights over what the caller has made end in a new
//! user namespace, so there too all is joined before. In a PID namespace a process is seen from its birth on, and by
//! `/proc/PID` its mounts and its network: what `exec` adds has the container's by then. The one between is the parent's
//! child, and so, by `CLONE_PARENT` of clone(2), is the process that it makes: it says what that one's ID is, and ends.

use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::plan::{Namespaces, Step, flag};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::setsid;
use spec::bundle::NamespaceKind;
use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

/// A namespace to join, and what its path was.
pub type Joined = (CloneFlags, String, File);

/// Makes the first process, in all that is joined, in its new PID namespace and in the cgroup.
/// Returns its ID to the parent, `None` to the first process.
///
/// # Errors
/// A path that is no such namespace, or one that may not be joined; those of clone(2).
pub fn fork(namespaces: &Namespaces, steps: &[Step], cgroup: Option<BorrowedFd<'_>>) -> Result<Option<i32>> {
    let joined = open(&namespaces.joined, steps)?;
    let (here, there) = Channel::pair()?;
    match sys::fork::fork(0, None).context(|| "make a process that joins namespaces".into())? {
        Some(between) => {
            drop(there);
            born(&here, between).map(Some)
        }
        None => {
            drop(here);
            make(there, || join(&joined).and_then(|()| clone(namespaces, cgroup)));
            Ok(None)
        }
    }
}

/// The parent's side: the ID of the process that the one between has made.
///
/// # Errors
/// What the one between could not do.
pub fn born(here: &Channel, between: i32) -> Result<i32> {
    let said = here.next();
    sys::process::reap(between);
    match said? {
        Message::Born(pid) => Ok(pid),
        Message::Failed(error) => Err(error),
        _ => Err(Error::new("the process that joins namespaces ended without a word")),
    }
}

/// The side of the one between, which makes a process, tells of it, and ends. Returns in the process that was made.
pub fn make(there: Channel, clone: impl FnOnce() -> Result<Option<i32>>) {
    // Who is stopped in its PID namespace before it has a session of its own is none of the caller's, whose whole group
    // would be hung up (`kill_orphaned_pgrp` of the kernel).
    let _ = setsid();
    match clone() {
        Ok(None) => return,
        Ok(Some(pid)) => there.born(pid),
        Err(error) => there.fail(&error),
    }
    sys::fork::exit_now(0)
}

/// Opens what is joined while paths still mean the caller's files. One whose parameters the steps write must not be the
/// caller's own: they would be the host's.
///
/// # Errors
/// Those of open(2); a parameter of the caller's.
pub fn open<'a>(
    joined: impl IntoIterator<Item = &'a (NamespaceKind, String)>,
    steps: &[Step],
) -> Result<Vec<Joined>> {
    let open = |(kind, path): &(NamespaceKind, String)| {
        let words = || format!("linux.namespaces: open {path}");
        let file = File::open(path).context(words)?;
        let written = steps.iter().find_map(|step| match step {
            Step::Sysctl(key, _) => {
                (NamespaceKind::of_parameter(&key.replace('/', ".")) == Some(*kind)).then_some(key)
            }
            _ => None,
        });
        if let Some(key) = written {
            let name = if *kind == NamespaceKind::Network { "net" } else { kind.name() };
            let own = fs::metadata(format!("/proc/self/ns/{name}")).context(words)?;
            let opened = file.metadata().context(words)?;
            if (own.dev(), own.ino()) == (opened.dev(), opened.ino()) {
                return Err(Error(format!(
                    "linux.sysctl[{key:?}]: not allowed in the host's {kind} namespace, {path}"
                )));
            }
        }
        Ok((flag(*kind), path.clone(), file))
    };
    joined.into_iter().map(open).collect()
}

/// What the caller's rights cover is joined first: the user namespace need not have
/// any over it. Rights over the rest come with the user namespace.
fn join(joined: &[Joined]) -> Result<()> {
    let (mut left, others): (Vec<&Joined>, Vec<&Joined>) =
        joined.iter().partition(|(kind, ..)| *kind == CloneFlags::CLONE_NEWUSER);
    for one in others {
        match setns(&one.2, one.0) {
            Err(Errno::EPERM) => left.push(one),
            done => done.context(|| format!("linux.namespaces: join {}", one.1))?,
        }
    }
    left.into_iter().try_for_each(|(kind, path, namespace)| {
        setns(namespace, *kind).context(|| format!("linux.namespaces: join {path}"))
    })
}

fn clone(namespaces: &Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<i32>> {
    let new = namespaces.at_clone();
    sys::fork::fork_sibling(u64::from(new.bits() as u32), cgroup)
        .context(|| format!("make the first process in new namespaces {new:?}"))
}
