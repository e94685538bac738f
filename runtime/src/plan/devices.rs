//! What stands in `/dev`: nodes and links that every container has
//! (`config-linux.md`, Default Devices; `runtime-linux.md`, Dev symbolic links),
//! and `linux.devices`.

use super::process::USUAL_UMASK;
use super::{Step, mounts, refuse};
use crate::error::Result;
use spec::bundle::{Config, Device, DeviceRule, Linux};
use std::path::Path;

/// Name below `/dev`, major and minor number.
const NODES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Open to every container, without a node of these: console, ptmx, net/tun.
const NO_NODES: [(u64, u64); 3] = [(5, 1), (5, 2), (10, 200)];

/// The kernel's `dev_t` has 12 bits of one and 20 of the other.
const MOST_MAJOR: u64 = 0xfff;
const MOST_MINOR: u64 = 0xf_ffff;

/// Name below `/dev`, and what it leads to.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The rules of config.json, and after them those for what every container has: as
/// with runc, only the rules given here open a device.
pub fn rules(given: &[DeviceRule]) -> Vec<DeviceRule> {
    let rule = |kind: &str, major, minor, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut rules = given.to_vec();
    // A node may be made; opening it is another matter.
    rules.extend([rule("c", None, None, "m"), rule("b", None, None, "m")]);
    let numbers = NODES.iter().map(|&(_, major, minor)| (major, minor)).chain(NO_NODES);
    rules.extend(numbers.map(|(major, minor)| rule("c", Some(major as i64), Some(minor as i64), "rwm")));
    rules.push(rule("c", Some(136), None, "rwm"));
    rules
}

/// A device node, a FIFO included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Path in the container.
    pub path: String,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
    /// config.json asks for it: nothing else may stand there.
    pub is_asked_for: bool,
}

/// All nodes and links. A container whose `/dev` is the host's keeps it as it is.
pub fn steps(config: &Config, linux: &Linux, bound: bool) -> Result<Vec<Step>> {
    if has_hosts_dev(config) {
        return Ok(Vec::new());
    }
    let own = linux.devices.iter().enumerate().map(|(place, device)| node(place, device));
    let mut own: Vec<Node> = own.collect::<Result<_>>()?;
    // It is a link into the container's own devpts, and Docker asks for all that the host has.
    own.retain(|node| node.path != "/dev/ptmx");
    let usual = NODES.iter().map(|&(name, major, minor)| usual(name, major, minor));
    // One that config.json describes is made as it says.
    let usual = usual.filter(|node| own.iter().all(|other| other.path != node.path));
    // Nodes have the mode that they are said to have, whatever the caller's umask is.
    let mut steps = vec![Step::Umask(0)];
    let nodes: Vec<Node> = usual.chain(own.iter().cloned()).collect();
    steps.extend(nodes.into_iter().map(|node| Step::Device { node, bound }));
    steps.push(Step::Umask(USUAL_UMASK));
    let link = |(name, target): &(&str, &str)| Step::Link {
        path: format!("/dev/{name}"),
        target: (*target).to_owned(),
    };
    steps.extend(LINKS.iter().map(link));
    Ok(steps)
}

fn has_hosts_dev(config: &Config) -> bool {
    config.mounts.iter().any(|mount| {
        let options = super::Options::new(&mount.options);
        mounts::resolved(&mount.destination) == Path::new("/dev")
            && (options.bind.is_some() || mount.kind.as_deref() == Some("bind"))
    })
}

fn usual(name: &str, major: u64, minor: u64) -> Node {
    let path = format!("/dev/{name}");
    Node { path, kind: libc::S_IFCHR, major, minor, mode: 0o666, uid: 0, gid: 0, is_asked_for: false }
}

fn node(place: usize, device: &Device) -> Result<Node> {
    let path = format!("linux.devices[{place}]");
    if !device.path.starts_with('/') {
        return Err(refuse::at(
            &format!("{path}.path"),
            &format!("{:?} is not an absolute path", device.path),
        ));
    }
    let kind = match device.kind.as_str() {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => {
            return Err(refuse::at(&format!("{path}.type"), &format!("{other:?} is none of c, b, u, p")));
        }
    };
    let number = |value: Option<i64>, name: &str, most: u64| {
        let refused = |words: String| refuse::at(&format!("{path}.{name}"), &words);
        match value {
            None if kind == libc::S_IFIFO => Ok(0),
            None => Err(refused("is missing".to_owned())),
            Some(value) => {
                let number = u64::try_from(value).ok().filter(|number| *number <= most);
                number.ok_or_else(|| refused(format!("{value} is not from 0 to {most}")))
            }
        }
    };
    Ok(Node {
        path: device.path.clone(),
        kind,
        major: number(device.major, "major", MOST_MAJOR)?,
        minor: number(device.minor, "minor", MOST_MINOR)?,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        is_asked_for: true,
    })
}
