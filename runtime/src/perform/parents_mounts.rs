//! Bind mounts made by the parent, when the first process asks for them. Idmapped ones: the kernel wants rights over the
//! file system's own user namespace, which the first process of a container's has not (mount_setattr(2)). And those whose
//! source lies where its root may not go. They have no locked flags (mount_namespaces(7)), so no others are made so.

use super::mount::{bind, plain};
use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::plan::{IdMap, Plan, Source, Step, Users};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use sys::mount_tree;

/// The mount of this JSON path, detached, for a container whose mount namespace is `own`; none if the caller may not go
/// to its source either, of which the first process has the words.
///
/// # Errors
/// An idmapped mount's: a source that is not there, a file system that cannot be idmapped, mappings that the kernel
/// refuses.
pub fn parents_mount(plan: &Plan, name: &str, own: &OwnedFd) -> Result<Option<OwnedFd>> {
    let mount = plan.steps.iter().find_map(|step| match step {
        Step::Mount(mount) if mount.name == name => Some(mount),
        _ => None,
    });
    let Some(mount) = mount else { return Ok(None) };
    match &mount.source {
        Source::Bind { path, recursive } => {
            Ok(made(plan, path, own, || bind(path, *recursive, &mount.options)).ok())
        }
        Source::Mapped { path, recursive, ids } => {
            let users = users(&mount.name, ids)?;
            let words = || format!("{}: mount {path} on {} with IDs mapped", mount.name, mount.destination);
            let map = || {
                let tree = bind(path, *recursive, &mount.options)?;
                mount_tree::map_ids(tree.as_fd(), ids.recursive, users.as_fd()).map_err(plain)?;
                Ok(tree)
            };
            made(plan, path, own, map).context(words).map(Some)
        }
        _ => Ok(None),
    }
}

/// What is made of the caller's mounts, unless the source may be what an earlier mount has put there: of the container's.
fn made(plan: &Plan, path: &str, own: &OwnedFd, make: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
    let root = plan.steps.iter().find_map(|step| match step {
        Step::Root(path) | Step::SharedRoot(path) => fs::canonicalize(path).ok(),
        _ => None,
    });
    let source = fs::canonicalize(path);
    if source.is_ok_and(|source| root.is_none_or(|root| !source.starts_with(root))) {
        let tree = make()?;
        // It would stay shared with the host.
        if let Some(flag) = propagation(plan) {
            mount_tree::set_attributes(tree.as_fd(), true, 0, 0, flag).map_err(plain)?;
        }
        return Ok(tree);
    }
    made_in(own, make)
}

/// That of the container's mounts, if it is another than that of the caller's.
fn propagation(plan: &Plan) -> Option<u64> {
    let asked = plan.steps.iter().find_map(|step| match step {
        Step::Propagation(flag, _) if *flag != libc::MS_SHARED => Some(*flag),
        _ => None,
    });
    asked.or(plan.namespaces.has_users().then_some(libc::MS_SLAVE))
}

/// What is made by a process that joins a mount namespace for it: the way back would be lost to a caller whose root is
/// not its namespace's (setns(2)).
fn made_in(namespace: &OwnedFd, make: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
    let (here, there) = Channel::pair()?;
    let Some(pid) = sys::fork::fork(0, None).context(|| "make a process that mounts".into())? else {
        drop(here);
        let joined = setns(namespace, CloneFlags::CLONE_NEWNS).context(|| "join the mount namespace".into());
        match joined.and_then(|()| make()) {
            Ok(tree) => there.hand_over(tree.as_fd()),
            Err(error) => there.fail(&error),
        }
        sys::fork::exit_now(0)
    };
    drop(there);
    let said = here.next_with_descriptor();
    sys::process::reap(pid);
    match said? {
        (Message::Tree, Some(tree)) => Ok(tree),
        (Message::Failed(error), _) => Err(error),
        _ => Err(Error::new("the process that mounts ended without a word")),
    }
}

fn users(name: &str, ids: &IdMap) -> Result<File> {
    match &ids.users {
        Users::New { uid_map, gid_map } => new_users(name, uid_map, gid_map),
        Users::Joined(path) => File::open(path).context(|| format!("linux.namespaces: open {path}")),
    }
}

/// A user namespace with these maps, kept by its descriptor alone.
fn new_users(name: &str, uid_map: &str, gid_map: &str) -> Result<File> {
    let (here, there) = Channel::pair()?;
    let words = || format!("{name}.uidMappings: make a user namespace");
    let Some(pid) = sys::fork::fork(libc::CLONE_NEWUSER as u64, None).context(words)? else {
        drop(here);
        let _ = there.wait_for_go();
        sys::fork::exit_now(0)
    };
    drop(there);
    let map = |file: &str, text: &str| {
        fs::write(format!("/proc/{pid}/{file}"), text)
            .context(|| format!("{name}.uidMappings: write {text:?} to {file}"))
    };
    let mapped = map("uid_map", uid_map).and_then(|()| map("gid_map", gid_map));
    let namespace = mapped.and_then(|()| File::open(format!("/proc/{pid}/ns/user")).context(words));
    drop(here);
    sys::process::reap(pid);
    namespace
}
