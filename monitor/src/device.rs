//! Devices of the node that a container is given: `/dev/fuse`, `/dev/sda:/dev/xvda`,
//! `/dev/sda:/dev/xvda:r`; those in a folder, `/dev/snd`; all of them for a privileged one.

use crate::bundle::HostDevice;
use nix::sys::stat::{major, minor};
use spec::bundle::Device;
use spec::node::Container;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use sys::cause::cause;

/// Folders of `/dev` that hold no devices, or those of one container alone.
const NOT: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/hugepages"];

/// Files of `/dev` that every container has of its own.
const OWN: [&str; 3] = ["/dev/console", "/dev/ptmx", "/dev/tty"];

/// The devices of a container.
///
/// # Errors
/// One that is not there, or no device; a text that says nothing.
pub fn of(container: &Container) -> Result<Vec<HostDevice>, String> {
    let mut devices = Vec::new();
    if container.privileged {
        all(Path::new("/dev"), Path::new("/dev"), "rwm", &mut devices);
    }
    for text in &container.devices {
        devices.extend(asked(text)?);
    }
    Ok(devices)
}

/// What one text says: a device, or those in a folder.
fn asked(text: &str) -> Result<Vec<HostDevice>, String> {
    let words: Vec<&str> = text.split(':').collect();
    let (host, inside, access) = match words[..] {
        [host] => (host, host, "rwm"),
        [host, access] if is_access(access) => (host, host, access),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, access] if is_access(access) => (host, inside, access),
        _ => return Err(format!("device {text:?}: not DEVICE[:DEVICE][:rwm]")),
    };
    let found = fs::metadata(host).map_err(|error| format!("device {host}: {}", cause(&error)))?;
    if !inside.starts_with('/') {
        return Err(format!("device {text:?}: {inside:?} is not an absolute path"));
    }
    let mut devices = Vec::new();
    match node(inside, &found) {
        Some(device) => devices.push(HostDevice { device, access: access.to_owned() }),
        None if found.is_dir() => all(Path::new(host), Path::new(inside), access, &mut devices),
        None => return Err(format!("device {host}: it is none")),
    }
    match devices.is_empty() {
        true => Err(format!("device {host}: there is none in this folder")),
        false => Ok(devices),
    }
}

fn is_access(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|letter| b"rwm".contains(&letter))
}

fn node(path: &str, found: &Metadata) -> Option<Device> {
    let kind = match found.file_type() {
        kind if kind.is_char_device() => "c",
        kind if kind.is_block_device() => "b",
        _ => return None,
    };
    Some(Device {
        path: path.to_owned(),
        kind: kind.to_owned(),
        major: Some(i64::try_from(major(found.rdev())).ok()?),
        minor: Some(i64::try_from(minor(found.rdev())).ok()?),
        file_mode: Some(found.mode() & 0o7777),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
    })
}

/// Those in a folder of the node, which is `inside` the container.
fn all(folder: &Path, inside: &Path, access: &str, devices: &mut Vec<HostDevice>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, inside) = (entry.path(), inside.join(entry.file_name()));
        let left_out = |text: &str| NOT.contains(&text) || OWN.contains(&text);
        if path.to_str().is_none_or(left_out) {
            continue;
        }
        let (Ok(found), Some(text)) = (fs::symlink_metadata(&path), inside.to_str()) else { continue };
        if found.is_dir() {
            all(&path, &inside, access, devices);
        } else if let Some(device) = node(text, &found) {
            devices.push(HostDevice { device, access: access.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_with_its_place_and_what_may_be_done() {
        for (text, path, access) in [
            ("/dev/null", "/dev/null", "rwm"),
            ("/dev/null:rw", "/dev/null", "rw"),
            ("/dev/null:/dev/x", "/dev/x", "rwm"),
            ("/dev/null:/dev/x:r", "/dev/x", "r"),
        ] {
            let own = &asked(text).unwrap()[0];
            assert_eq!((own.device.path.as_str(), own.access.as_str()), (path, access), "{text}");
            assert_eq!(
                (own.device.kind.as_str(), own.device.major, own.device.minor),
                ("c", Some(1), Some(3))
            );
        }
    }

    #[test]
    fn of_a_folder_every_device_is_given() {
        let devices = asked("/dev:/dev/host:r").unwrap();
        let null = devices.iter().find(|one| one.device.path == "/dev/host/null").unwrap();
        assert_eq!((null.device.minor, null.access.as_str()), (Some(3), "r"));
        assert!(devices.iter().all(|one| one.device.path.starts_with("/dev/host/")));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (text, words) in [
            ("/dev/not-there", "device /dev/not-there: no such file or directory"),
            ("/etc/passwd", "device /etc/passwd: it is none"),
            ("/proc/self/task", "device /proc/self/task: there is none in this folder"),
            ("/dev/null:/dev/x:q", "not DEVICE"),
            ("/dev/null:x", "not an absolute path"),
        ] {
            let error = asked(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
