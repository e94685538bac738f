//! All that is measured, at one time: the node, its pods, their containers.

use super::cgroup::{Usage, fields, now};
use super::network::{self, Interface};
use super::own;
use super::volumes::Claimed;
use crate::node::facts;
use crate::server::pods::{Container, Pod};
use crate::storage::Written;
use nix::sys::statvfs::statvfs;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What all of it uses.
    pub usage: Usage,
    /// Memory of the machine, and what could be had at once, in bytes.
    pub memory: [u64; 2],
    /// Swap of the machine, in bytes.
    pub swap: u64,
    /// Its processors.
    pub processors: u64,
    /// When it was booted, seconds since 1970.
    pub booted: u64,
    /// Its interfaces, and the name of the one of the default route.
    pub network: (Vec<Interface>, Option<String>),
    /// The file system of its data.
    pub files: Option<Files>,
    /// Most tasks, and processes that there are.
    pub processes: [u64; 2],
    /// Its own parts.
    pub system: Vec<System>,
}

/// A part of the node that is no pod: what a kubelet calls a system container.
#[derive(Clone, Debug)]
pub struct System {
    /// The kubelet's name of it.
    pub name: &'static str,
    /// Its cgroup, below the hierarchy.
    pub cgroup: &'static Path,
    /// When it began, seconds since 1970.
    pub started: u64,
    /// What it uses.
    pub usage: Usage,
}

/// Names and cgroups: this agent, the monitor, all pods together.
const SYSTEM: [(&str, &str); 3] =
    [("kubelet", "system/agent"), ("runtime", "system/monitor"), ("pods", "kubepods")];

/// Parts of the node, as far as they have cgroups: they have none where its own PID 1 is not at work.
fn system(cgroups: &Path, booted: u64) -> Vec<System> {
    let part = |(name, cgroup): (&'static str, &'static str)| {
        let folder = cgroups.join(cgroup);
        let usage = Usage::read(&folder)?;
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let started = processes.lines().filter_map(own::started_of).min_by(f64::total_cmp);
        let started = started.map_or(booted, |own| own as u64);
        Some(System { name, cgroup: Path::new(cgroup), started, usage })
    };
    SYSTEM.into_iter().filter_map(part).collect()
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Bytes: all, those that may be had, those that are used.
    pub bytes: [u64; 3],
    /// Inodes, likewise.
    pub inodes: [u64; 3],
}

/// A pod.
#[derive(Clone, Debug)]
pub struct PodUsage {
    /// Which.
    pub pod: Pod,
    /// What all of it uses, if it has a cgroup.
    pub usage: Option<Usage>,
    /// Its interfaces; none when the network is the node's.
    pub network: Vec<Interface>,
    /// What it has written, when that was asked for.
    pub written: Option<Arc<Written>>,
    /// What its claims lead to, likewise.
    pub claimed: Vec<Claimed>,
    /// Its containers that run.
    pub containers: Vec<(Container, Usage, Logs)>,
}

/// What a container's logs take: bytes and files.
pub type Logs = [u64; 2];

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The node.
    pub node: Node,
    /// The pods.
    pub pods: Vec<PodUsage>,
    /// Paths of the disks in [`Usage::io`], by their numbers.
    pub disks: BTreeMap<String, String>,
}

impl Snapshot {
    /// Measures all. Waits for files of the kernel and for a thread, so not on the thread that
    /// serves.
    #[must_use]
    pub fn take(pods: &[Pod], cgroups: &Path) -> Self {
        let own = pods.iter().filter_map(|pod| pod.network.own().cloned());
        let mut networks = network::of(own.collect()).into_iter();
        let pods: Vec<PodUsage> = pods
            .iter()
            .map(|pod| PodUsage {
                usage: usage(cgroups, &pod.cgroup),
                network: pod.network.own().and_then(|_| networks.next()).unwrap_or_default(),
                written: None,
                claimed: Vec::new(),
                containers: containers(pod, cgroups),
                pod: pod.clone(),
            })
            .collect();
        let mut all = Self { node: node(cgroups), pods, disks: BTreeMap::new() };
        all.disks = all.disks(Path::new("/sys/dev/block"));
        all
    }
}

impl Snapshot {
    fn disks(&self, folder: &Path) -> BTreeMap<String, String> {
        let pods =
            self.pods.iter().flat_map(|own| own.usage.iter().chain(own.containers.iter().map(|own| &own.1)));
        let numbers: BTreeSet<&String> =
            pods.chain([&self.node.usage]).flat_map(|own| own.io.keys()).collect();
        numbers.into_iter().map(|number| (number.clone(), disk(folder, number))).collect()
    }
}

/// A disk's path by its numbers (`DEVNAME` of its `uevent`); the numbers themselves for one that is gone.
fn disk(folder: &Path, number: &str) -> String {
    let text = fs::read_to_string(folder.join(number).join("uevent")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    name.map_or_else(|| number.to_owned(), |name| format!("/dev/{name}"))
}

fn usage(cgroups: &Path, own: &Path) -> Option<Usage> {
    if own.as_os_str().is_empty() { None } else { Usage::read(&cgroups.join(own)) }
}

fn containers(pod: &Pod, cgroups: &Path) -> Vec<(Container, Usage, Logs)> {
    let running = pod.containers.iter().filter(|container| container.running);
    let measured = running.filter_map(|container| {
        let usage = usage(cgroups, &container.cgroup)?;
        Some((container.clone(), usage, logs(&pod.logs.join(&container.name))))
    });
    measured.collect()
}

fn logs(folder: &Path) -> Logs {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| Some(fs::metadata(file.path()).ok()?.blocks() * 512));
    sizes.fold([0, 0], |[bytes, count], size| [bytes + size, count + 1])
}

fn node(cgroups: &Path) -> Node {
    let memory = fields(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let kilobytes = |name: &str| memory.get(name).copied().unwrap_or(0) * 1024;
    let mut usage = Usage::read(cgroups).unwrap_or_else(|| Usage { time: now(), ..Usage::default() });
    // The root cgroup has no file for what it uses in all.
    usage.memory = kilobytes("MemTotal").saturating_sub(kilobytes("MemFree"));
    usage.working_set = usage.memory.saturating_sub(kilobytes("Inactive(file)"));
    usage.swap = kilobytes("SwapTotal").saturating_sub(kilobytes("SwapFree"));
    let stat = fields(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let booted = stat.get("btime").copied().unwrap_or(0);
    Node {
        memory: [kilobytes("MemTotal"), kilobytes("MemTotal").saturating_sub(usage.working_set)],
        swap: kilobytes("SwapTotal"),
        usage,
        processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        booted,
        system: system(cgroups, booted),
        network: (network::here(), network::default()),
        files: files(Path::new(spec::paths::DATA)),
        processes: [facts::most_tasks(), processes()],
    }
}

/// Tasks that there are: the number after the slash in `/proc/loadavg`.
fn processes() -> u64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_once('/').and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// What a file system has.
#[must_use]
pub fn files(path: &Path) -> Option<Files> {
    let found = statvfs(path).ok()?;
    let size = found.fragment_size();
    let (all, free, available) =
        (found.blocks() * size, found.blocks_free() * size, found.blocks_available() * size);
    let (inodes, left) = (found.files(), found.files_free());
    let used = all.saturating_sub(free);
    Some(Files { bytes: [all, available, used], inodes: [inodes, left, inodes.saturating_sub(left)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_the_name_that_the_kernel_gave_it() {
        let folder = std::env::temp_dir().join(format!("skerry-disks-{}", std::process::id()));
        fs::create_dir_all(folder.join("254:0")).unwrap();
        fs::write(folder.join("254:0/uevent"), "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n").unwrap();
        let mut all = Snapshot::default();
        all.node.usage.io = ["254:0", "8:0"].map(|number| (number.to_owned(), [0; 4])).into();
        let disks = [("254:0", "/dev/vda"), ("8:0", "8:0")];
        let disks = disks.map(|(number, path)| (number.to_owned(), path.to_owned()));
        assert_eq!(all.disks(&folder), BTreeMap::from(disks));
        fs::remove_dir_all(folder).unwrap();
    }
}
