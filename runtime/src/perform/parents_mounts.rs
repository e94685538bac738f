//! Bind mounts made by the parent. Idmapped ones: the kernel wants rights over the file system's own
//! user namespace, which the first process of a container's has not (mount_setattr(2)). And with a user
//! namespace those whose source lies where its root may not go. They have no locked flags
//! (mount_namespaces(7)), so no others are made so.

use super::mount::bind;
use crate::channel::Channel;
use crate::error::{Context, Result};
use crate::plan::{IdMap, Mount, Source, Step, Users};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use sys::mount_tree;

/// The detached mounts of these steps, by their JSON path. `has_users` says that the container has others than the
/// caller, and its mounts from the caller.
///
/// # Errors
/// A source that is not there, a file system that cannot be idmapped, mappings that the
/// kernel refuses.
pub fn trees(steps: &[Step], has_users: bool) -> Result<Vec<(String, OwnedFd)>> {
    // They are made of the host's mounts, as which they would stay shared with the host.
    let propagation = steps.iter().find_map(|step| match step {
        Step::Propagation(flag, _) if *flag != libc::MS_SHARED => Some(*flag),
        _ => None,
    });
    let propagation = propagation.or(has_users.then_some(libc::MS_SLAVE));
    let mut made = Vec::new();
    for step in steps {
        let Step::Mount(mount) = step else { continue };
        let (path, tree) = match &mount.source {
            Source::Mapped { path, recursive, ids } => (path, tree(mount, path, *recursive, ids)?),
            Source::Bind { path, recursive } if has_users && is_closed(path) => {
                // Who cannot do it here leaves it to the first process, which says why it cannot.
                let Ok(tree) = bind(path, *recursive, &mount.options) else { continue };
                (path, tree)
            }
            _ => continue,
        };
        if let Some(flag) = propagation {
            let words = || format!("{}: set the propagation of {path}", mount.name);
            mount_tree::set_attributes(tree.as_fd(), true, 0, 0, flag).context(words)?;
        }
        made.push((mount.name.clone(), tree));
    }
    Ok(made)
}

/// Whether it lies in a folder that is not everybody's to go through.
fn is_closed(path: &str) -> bool {
    let real = fs::canonicalize(path).unwrap_or_default();
    let mut above = Path::new(path).ancestors().skip(1).chain(real.ancestors().skip(1));
    above.any(|folder| fs::metadata(folder).is_ok_and(|about| about.mode() & 1 == 0))
}

fn tree(mount: &Mount, path: &str, recursive: bool, ids: &IdMap) -> Result<OwnedFd> {
    let users = match &ids.users {
        Users::New { uid_map, gid_map } => namespace(&mount.name, uid_map, gid_map)?,
        Users::Joined(path) => File::open(path).context(|| format!("linux.namespaces: open {path}"))?,
    };
    let words = || format!("{}: mount {path} on {} with IDs mapped", mount.name, mount.destination);
    let tree = bind(path, recursive, &mount.options).context(words)?;
    mount_tree::map_ids(tree.as_fd(), ids.recursive, users.as_fd()).context(words)?;
    Ok(tree)
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
