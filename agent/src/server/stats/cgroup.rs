//! What a cgroup uses, from the files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst of the
//! kernel).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a cgroup uses. What its controllers do not say is zero, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// When this was read, nanoseconds since 1970.
    pub time: u64,
    /// Processor time in microseconds: all, in programs, in the kernel.
    pub cpu: [u64; 3],
    /// Periods of the processor's limit that there were, and in which it was reached; microseconds
    /// that it has cost.
    pub throttled: [u64; 3],
    /// Periods in which more was had than the limit, and microseconds of that.
    pub burst: [u64; 2],
    /// Microseconds that may be had in a period, and those of a period; none without a limit.
    pub quota: Option<[u64; 2]>,
    /// Its share among others (`cpu.weight`).
    pub weight: Option<u64>,
    /// Memory in bytes, page cache included.
    pub memory: u64,
    /// The most that this ever was.
    pub peak: u64,
    /// Times that it would have been more than the limit.
    pub hits: u64,
    /// Memory that is kept for it before others' is taken.
    pub kept: u64,
    /// Memory that cannot be dropped at once: without the inactive pages of files.
    pub working_set: u64,
    /// Memory that is no file's.
    pub anonymous: u64,
    /// Memory that is files'.
    pub file: u64,
    /// Memory of the kernel's; files' that is mapped, in use, and not in use.
    pub kinds: [u64; 4],
    /// Page faults, and those that waited for a disk.
    pub faults: [u64; 2],
    /// Swap in bytes.
    pub swap: u64,
    /// Most memory and most swap.
    pub limits: [Option<u64>; 2],
    /// Processes and threads.
    pub pids: u64,
    /// Most of them.
    pub most_pids: Option<u64>,
    /// By the numbers of the disk (`MAJOR:MINOR`): bytes read, bytes written, reads, writes.
    pub io: BTreeMap<String, [u64; 4]>,
    /// Times that the kernel killed one of its processes for lack of memory.
    pub out_of_memory: u64,
    /// Time lost for lack of processor, memory, disk.
    pub pressure: [Option<Pressure>; 3],
}

/// `some` and `full` of a pressure file (Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Waited,
    /// All of them did.
    pub full: Waited,
}

/// How long was waited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waited {
    /// In per cent of the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
    /// Microseconds in all.
    pub total: u64,
}

/// Now, in nanoseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

impl Usage {
    /// Of a cgroup's folder; none when there is no such cgroup.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let cpu = fields(&fs::read_to_string(folder.join("cpu.stat")).ok()?);
        let (memory, events) = (fields(&text("memory.stat")), fields(&text("memory.events")));
        let number = |name: &str| text(name).trim().parse().ok();
        let of = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
        let used = number("memory.current").unwrap_or(0);
        Some(Self {
            time: now(),
            cpu: ["usage_usec", "user_usec", "system_usec"].map(|name| of(&cpu, name)),
            throttled: ["nr_periods", "nr_throttled", "throttled_usec"].map(|name| of(&cpu, name)),
            burst: ["nr_bursts", "burst_usec"].map(|name| of(&cpu, name)),
            quota: quota(&text("cpu.max")),
            weight: number("cpu.weight"),
            memory: used,
            peak: number("memory.peak").unwrap_or(0),
            hits: of(&events, "max"),
            kept: number("memory.low").unwrap_or(0),
            working_set: used.saturating_sub(of(&memory, "inactive_file")),
            anonymous: of(&memory, "anon"),
            file: of(&memory, "file"),
            kinds: ["kernel", "file_mapped", "active_file", "inactive_file"].map(|name| of(&memory, name)),
            faults: ["pgfault", "pgmajfault"].map(|name| of(&memory, name)),
            swap: number("memory.swap.current").unwrap_or(0),
            limits: ["memory.max", "memory.swap.max"].map(number),
            pids: number("pids.current").unwrap_or(0),
            most_pids: number("pids.max"),
            io: io(&text("io.stat")),
            out_of_memory: of(&events, "oom_kill"),
            pressure: ["cpu", "memory", "io"].map(|name| pressure(&text(&format!("{name}.pressure")))),
        })
    }
}

/// Lines of a name and a number.
pub fn fields(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, rest) = line.split_once(char::is_whitespace)?;
        let number = rest.split_whitespace().next()?.parse().ok()?;
        Some((name.trim_end_matches(':').to_owned(), number))
    };
    text.lines().filter_map(pair).collect()
}

/// `QUOTA PERIOD` of `cpu.max`.
fn quota(text: &str) -> Option<[u64; 2]> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some([quota.parse().ok()?, period.parse().ok()?])
}

/// Some kernels write the numbers of disks without values before others in one line.
fn io(text: &str) -> BTreeMap<String, [u64; 4]> {
    let (mut disks, mut disk) = (BTreeMap::new(), "");
    for word in text.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else {
            disk = word;
            continue;
        };
        let place = ["rbytes", "wbytes", "rios", "wios"].iter().position(|own| *own == name);
        if let (Some(place), Ok(value)) = (place, value.parse::<u64>()) {
            disks.entry(disk.to_owned()).or_insert([0; 4])[place] = value;
        }
    }
    disks
}

fn pressure(text: &str) -> Option<Pressure> {
    let line = |kind: &str| {
        let values = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |name: &str| {
            values.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let average = |name: &str| value(name)?.parse().ok();
        let averages = [average("avg10")?, average("avg60")?, average("avg300")?];
        Some(Waited { averages, total: value("total")?.parse().ok()? })
    };
    // The whole machine's processor has no line of `full` in old kernels.
    Some(Pressure { some: line("some ")?, full: line("full ").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_cgroup_are_read() {
        let folder = std::env::temp_dir().join(format!("skerry-usage-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 500\nuser_usec 300\nsystem_usec 200\nnr_periods 4\nnr_throttled 1\nnr_bursts 6\n",
            ),
            ("cpu.max", "50000 100000\n"),
            ("memory.current", "1000\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "77\n"),
            ("memory.stat", "anon 600\nfile 300\ninactive_file 250\npgfault 9\npgmajfault 2\n"),
            ("memory.events", "low 0\nmax 8\noom 1\noom_kill 3\n"),
            ("pids.max", "max\n"),
            (
                "io.stat",
                "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0\n7:1 7:0 254:0 rbytes=10 wbytes=20 rios=30 wios=40\n",
            ),
            ("pids.current", "5\n"),
            (
                "memory.pressure",
                "some avg10=1.50 avg60=0.00 avg300=0.25 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
            ),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let usage = Usage::read(&folder).unwrap();
        assert_eq!((usage.cpu, usage.throttled), ([500, 300, 200], [4, 1, 0]));
        assert_eq!((usage.memory, usage.working_set, usage.anonymous), (1000, 750, 600));
        assert_eq!((usage.limits, usage.faults, usage.pids), ([None, Some(77)], [9, 2], 5));
        assert_eq!((usage.burst, usage.quota, usage.weight), ([6, 0], Some([50_000, 100_000]), None));
        assert_eq!((usage.kinds, usage.hits, usage.most_pids), ([0, 0, 0, 250], 8, None));
        assert_eq!(quota("max 100000\n"), None);
        let disks = [("254:0".to_owned(), [10, 20, 30, 40]), ("8:0".to_owned(), [1, 2, 3, 4])];
        assert_eq!((usage.io, usage.out_of_memory, usage.swap), (disks.into(), 3, 0));
        let memory = usage.pressure[1].unwrap();
        assert_eq!((memory.some.averages, memory.some.total, memory.full.total), ([1.5, 0.0, 0.25], 12, 3));
        assert_eq!(usage.pressure[0], None);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Usage::read(&folder), None);
    }
}
