//! Users of a pod of its own (`hostUsers: false`): its users and groups 0 to 65,535 are others of the node's, which no
//! other pod has. Which they are stands in a file of the pod's, `users`: that is all that is remembered of them. Files of
//! volumes and of images belong to whom they would belong without: mounts show them mapped.
//!
//! The pod has one user namespace, to which its other namespaces belong: a container that is given rights has them over the
//! pod's network, and over no other.

use super::namespaces::keep;
use super::words;
use crate::volume::{make, place};
use k8s_openapi::api::core::v1::Pod;
use spec::monitor::IDS;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use sys::cause::cause;

/// A pod has users of its own.
pub fn are_own(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_users == Some(false))
}

/// The first of a pod's users among the node's, found or chosen now; none of its own when it is the node's.
///
/// # Errors
/// The file, and why, in words.
pub fn first(pod: &Pod) -> Result<Option<u32>, String> {
    if !are_own(pod) {
        return Ok(None);
    }
    of(Path::new(place::PODS), pod.metadata.uid.as_deref().unwrap_or_default()).map(Some)
}

/// Makes the user namespace of a pod whose users begin with `first` and keeps it at `path`, or finds it there.
///
/// # Errors
/// What cannot be done, in words.
pub fn make(first: u32, path: &Path) -> Result<(), String> {
    if make::is_mounted(path) {
        return Ok(());
    }
    let map = format!("0 {first} {IDS}");
    let made = sys::user_namespace::with_maps(&map, &map);
    let made = made.map_err(|error| format!("make a user namespace: {}", cause(&error)))?;
    keep(&format!("/proc/self/fd/{}", made.as_raw_fd()), path)
}

/// The first of the users that a file names; none when it is not there.
fn read(path: &Path) -> Result<Option<u32>, String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let first = text.trim().parse();
            first.map(Some).map_err(|_| format!("{}: it does not say which users it is", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(words("read", path, &error)),
    }
}

fn of(pods: &Path, uid: &str) -> Result<u32, String> {
    let path = pods.join(uid).join("users");
    if let Some(known) = read(&path)? {
        return Ok(known);
    }
    // Two that choose at once would choose the same.
    static CHOOSES: Mutex<()> = Mutex::new(());
    let _chooses = CHOOSES.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever cannot be asked may have any: better none for this pod than another's.
    let mut taken = BTreeSet::new();
    fs::create_dir_all(pods.join(uid)).map_err(|error| words("make", &path, &error))?;
    for other in fs::read_dir(pods).map_err(|error| words("read", pods, &error))? {
        let other = other.map_err(|error| words("read", pods, &error))?;
        taken.extend(read(&other.path().join("users"))?);
    }
    let mut free = (1..u32::MAX / IDS).map(|number| number * IDS).filter(|first| !taken.contains(first));
    let first = free.next().ok_or("hostUsers: all users of the node are taken")?;
    sys::file::replace_durably(&path, first.to_string().as_bytes(), 0o644)
        .map_err(|error| words("write", &path, &error))?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_have_the_same_users() {
        let pods = std::env::temp_dir().join(format!("skerry-users-{}", std::process::id()));
        let first = |uid: &str| of(&pods, uid).unwrap();
        assert_eq!([first("a"), first("b"), first("a"), first("c")], [IDS, 2 * IDS, IDS, 3 * IDS]);
        fs::remove_dir_all(pods.join("b")).unwrap();
        assert_eq!([first("d"), first("c")], [2 * IDS, 3 * IDS], "what is free again is used again");
        let own: BTreeSet<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|number| scope.spawn(move || first(&format!("at-once-{number}")))).collect();
            threads.into_iter().map(|own| own.join().unwrap()).collect()
        });
        assert_eq!(own.len(), 8, "who chooses at once chooses others");
        fs::write(pods.join("a/users"), "").unwrap();
        assert!(
            of(&pods, "e").unwrap_err().contains("a/users: it does not say which users"),
            "nobody gets a's"
        );
        fs::remove_dir_all(pods).unwrap();
    }
}
