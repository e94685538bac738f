//! Idmapped mounts, made by the parent: the kernel wants rights over the file system's own
//! user namespace, which the first process of a container's has not (mount_setattr(2)).

use super::mount::bind;
use crate::channel::Channel;
use crate::error::{Context, Result};
use crate::plan::{IdMap, Mount, Source, Step, Users};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use sys::mount_tree;

/// The detached mounts of these steps, by their JSON path.
///
/// # Errors
/// A source that is not there, a file system that cannot be idmapped, mappings that the
/// kernel refuses.
pub fn trees(steps: &[Step]) -> Result<Vec<(String, OwnedFd)>> {
    let mapped = steps.iter().filter_map(|step| match step {
        Step::Mount(mount) => match &mount.source {
            Source::Mapped { path, recursive, ids } => Some((mount, path, *recursive, ids)),
            _ => None,
        },
        _ => None,
    });
    // They are made of the host's mounts, as which they would stay shared with the host.
    let propagation = steps.iter().find_map(|step| match step {
        Step::Propagation(flag, _) if *flag != libc::MS_SHARED => Some(*flag),
        _ => None,
    });
    let made = mapped.map(|(mount, path, recursive, ids)| {
        let (name, tree) = tree(mount, path, recursive, ids)?;
        let words = || format!("{name}: set the propagation of {path}");
        if let Some(flag) = propagation {
            mount_tree::set_attributes(tree.as_fd(), true, 0, 0, flag).context(words)?;
        }
        Ok((name, tree))
    });
    made.collect()
}

fn tree(mount: &Mount, path: &str, recursive: bool, ids: &IdMap) -> Result<(String, OwnedFd)> {
    let users = match &ids.users {
        Users::New { uid_map, gid_map } => namespace(&mount.name, uid_map, gid_map)?,
        Users::Joined(path) => File::open(path).context(|| format!("linux.namespaces: open {path}"))?,
    };
    let words = || format!("{}: mount {path} on {} with IDs mapped", mount.name, mount.destination);
    let tree = bind(path, recursive, &mount.options).context(words)?;
    mount_tree::map_ids(tree.as_fd(), ids.recursive, users.as_fd()).context(words)?;
    Ok((mount.name.clone(), tree))
}

/// A user namespace with these maps, kept by its descriptor alone.
fn namespace(name: &str, uid_map: &str, gid_map: &str) -> Result<File> {
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
