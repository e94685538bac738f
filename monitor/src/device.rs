//! Devices of the node that a container is given: `/dev/fuse`, `/dev/sda:/dev/xvda`,
//! `/dev/sda:/dev/xvda:r`; all of them for a privileged one.

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
        all(Path::new("/dev"), &mut devices);
    }
    for text in &container.devices {
        devices.push(one(text)?);
    }
    Ok(devices)
}

fn one(text: &str) -> Result<HostDevice, String> {
    let words: Vec<&str> = text.split(':').collect();
    let (host, inside, access) = match words[..] {
        [host] => (host, host, "rwm"),
        [host, access] if is_access(access) => (host, host, access),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, access] if is_access(access) => (host, inside, access),
        _ => return Err(format!("device {text:?}: not DEVICE[:DEVICE][:rwm]")),
    };
    let found = fs::metadata(host).map_err(|error| format!("device {host}: {}", cause(&error)))?;
    let device = node(inside, &found).ok_or_else(|| format!("device {host}: it is none"))?;
    if !inside.starts_with('/') {
        return Err(format!("device {text:?}: {inside:?} is not an absolute path"));
    }
    Ok(HostDevice { device, access: access.to_owned() })
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

fn all(folder: &Path, devices: &mut Vec<HostDevice>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Some(text) = path.to_str().filter(|text| !NOT.contains(text) && !OWN.contains(text)) else {
            continue;
        };
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            all(&path, devices);
        } else if let Some(device) = node(text, &found) {
            devices.push(HostDevice { device, access: "rwm".to_owned() });
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
            let own = one(text).unwrap();
            assert_eq!((own.device.path.as_str(), own.access.as_str()), (path, access), "{text}");
            assert_eq!(
                (own.device.kind.as_str(), own.device.major, own.device.minor),
                ("c", Some(1), Some(3))
            );
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (text, words) in [
            ("/dev/not-there", "device /dev/not-there: no such file or directory"),
            ("/etc/passwd", "device /etc/passwd: it is none"),
            ("/dev/null:/dev/x:q", "not DEVICE"),
            ("/dev/null:x", "not an absolute path"),
        ] {
            let error = one(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
