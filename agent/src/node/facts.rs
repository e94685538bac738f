//! What this machine is and has, from the kernel's files.

use crate::pod::{cgroup, huge};
use crate::server::stats::cgroup::Usage;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use sys::cause::cause;

/// What does not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Swap in bytes.
    pub swap: u64,
    /// Bytes of memory that are set aside in huge pages.
    pub huge_pages: huge::Bytes,
    /// 32 hexadecimal digits that stay with the installation.
    pub machine_id: String,
    /// That of the board (SMBIOS), or the machine's.
    pub system_uuid: String,
    /// Another at each boot.
    pub boot_id: String,
    /// `uname -r`
    pub kernel: String,
    /// As people call the system.
    pub os: String,
}

/// How much is left of what runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Memory that can be had, in bytes.
    pub memory: u64,
    /// What pods can have of it together; none where nothing limits them.
    pub pods_memory: Option<u64>,
    /// The data disk's size in bytes.
    pub disk_size: u64,
    /// What is free of it, in bytes.
    pub disk: u64,
    /// The data disk's inodes; none where they are made as they are needed.
    pub inodes_all: u64,
    /// Those of them that are free.
    pub inodes: u64,
    /// Most tasks.
    pub pids_all: u64,
    /// How many more there can be.
    pub pids: u64,
    /// How many more pods can have together; none where nothing limits them.
    pub pods_pids: Option<u64>,
}

/// The cgroup of all pods.
pub const KUBEPODS: &str = "kubepods";

fn text(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Reads what does not change.
pub fn machine(machine_id: &str) -> Machine {
    let memory = text("/proc/meminfo");
    let uuid = text("/sys/class/dmi/id/product_uuid");
    let release = text("/etc/os-release");
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    Machine {
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        memory: kibibytes(&memory, "MemTotal:"),
        swap: kibibytes(&memory, "SwapTotal:"),
        huge_pages: huge::set_aside(Path::new("/sys/kernel/mm/hugepages")),
        machine_id: machine_id.to_owned(),
        system_uuid: if uuid.is_empty() { machine_id.to_owned() } else { uuid },
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        kernel: text("/proc/sys/kernel/osrelease"),
        os: os.map_or_else(
            || format!("Skerry {}", env!("CARGO_PKG_VERSION")),
            |os| os.trim_matches('"').to_owned(),
        ),
    }
}

/// Most tasks that there can be: the kernel has process IDs for so many, and memory for so many threads
/// (`kernel.threads-max`), which is less on a small machine.
pub fn most_tasks() -> u64 {
    least(&text("/proc/sys/kernel/pid_max"), &text("/proc/sys/kernel/threads-max"))
}

/// The least of two numbers that are there.
fn least(one: &str, other: &str) -> u64 {
    [one, other].into_iter().filter_map(|text| text.parse().ok()).min().unwrap_or(0)
}

/// Tasks that there are, the kernel's own among them, which count for `kernel.threads-max`, too.
pub fn tasks() -> u64 {
    let load = text("/proc/loadavg");
    let all = load.split_whitespace().nth(3).and_then(|word| word.split_once('/'));
    all.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

/// Memory and tasks that are left to a cgroup below its limits. As the kernel does it for the whole machine
/// (`MemAvailable`), half of the files' pages that are in use counts as what can be had.
fn left_to(own: &Usage) -> (Option<u64>, Option<u64>) {
    let [_, _, active, inactive] = own.kinds;
    let used = own.memory.saturating_sub(inactive.max(active.midpoint(inactive)));
    let left = |most: u64, used| most.saturating_sub(used);
    (own.limits[0].map(|most| left(most, used)), own.most_pids.map(|most| left(most, own.pids)))
}

/// Reads how much is left now.
pub fn left() -> Left {
    let memory = text("/proc/meminfo");
    let pods = Usage::read(&cgroup::path(KUBEPODS)).unwrap_or_default();
    let (pods_memory, pods_pids) = left_to(&pods);
    let disk = nix::sys::statvfs::statvfs(spec::paths::DATA).ok();
    let block = disk.map_or(0, |disk| disk.fragment_size());
    let most = most_tasks();
    Left {
        memory: kibibytes(&memory, "MemAvailable:"),
        pods_memory,
        disk_size: disk.map_or(0, |disk| disk.blocks() * block),
        disk: disk.map_or(0, |disk| disk.blocks_available() * block),
        inodes_all: disk.map_or(0, |disk| disk.files()),
        inodes: disk.map_or(0, |disk| disk.files_available()),
        pids_all: most,
        pids: most.saturating_sub(tasks()),
        pods_pids,
    }
}

/// Bytes of a line of `/proc/meminfo`.
fn kibibytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The address by which this machine reaches another, `HOST:PORT`.
///
/// # Errors
/// The name has no address, or none of them can be reached.
pub fn address_towards(host: &str) -> Result<IpAddr, String> {
    let addresses = host.to_socket_addrs().map_err(|error| format!("look up {host}: {}", cause(&error)))?;
    let mut reason = format!("look up {host}: it has no address");
    for address in addresses {
        match local(address) {
            Ok(own) => return Ok(own),
            Err(error) => reason = format!("reach {address}: {}", cause(&error)),
        }
    }
    Err(reason)
}

/// Nothing is sent: the kernel only chooses the road.
fn local(to: SocketAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_read() {
        let machine = machine("abc");
        assert!(machine.cpus > 0 && machine.memory > 1 << 20 && machine.machine_id == "abc");
        assert!(!machine.kernel.is_empty() && !machine.boot_id.is_empty() && !machine.system_uuid.is_empty());
        let left = left();
        assert!(
            left.memory > 0 && left.memory <= machine.memory && left.pids > 0 && left.disk <= left.disk_size
        );
        assert!(tasks() > 0);
        assert_eq!([least("4194304", "3900"), least("100", ""), least("", "")], [3900, 100, 0]);
        assert_eq!(kibibytes("MemTotal:    7 kB\n", "MemTotal:"), 7168);
    }

    #[test]
    fn what_is_left_to_pods_is_less_than_their_limit() {
        let mut own = Usage { memory: 90, pids: 7, kinds: [0, 0, 0, 20], ..Usage::default() };
        assert_eq!(left_to(&own), (None, None), "nothing limits them");
        (own.limits, own.most_pids) = ([Some(100), None], Some(10));
        assert_eq!(left_to(&own), (Some(30), Some(3)));
        own.kinds = [0, 0, 60, 0];
        assert_eq!(left_to(&own).0, Some(40), "files that are in use can be read again");
        (own.memory, own.pids) = (300, 11);
        assert_eq!(left_to(&own), (Some(0), Some(0)));
    }

    #[test]
    fn the_way_to_oneself_begins_at_oneself() {
        assert_eq!(address_towards("127.0.0.1:1").unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert!(address_towards("nowhere.invalid:1").unwrap_err().contains("look up nowhere.invalid:1"));
    }
}
