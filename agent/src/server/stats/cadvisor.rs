//! `/metrics/cadvisor`: containers, pods and the machine under the names that cAdvisor gave them, which
//! dashboards and alerts use. A pod's own lines have no container; the node's are those of `/`.

use super::cgroup::Usage;
use super::exposition::{Family, Kind, Kind::Counter, Kind::Gauge};
use super::network::Interface;
use super::snapshot::Snapshot;
use crate::pod::{cgroup, qos};
use bytes::Bytes;

/// A metric of a cgroup: name, kind, help, label of its own, value.
type OfCgroup =
    (&'static str, Kind, &'static str, &'static [(&'static str, &'static str)], fn(&Usage) -> f64);

pub(super) fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

const CPU: &[(&str, &str)] = &[("cpu", "total")];

/// Lines of one name stand one after the other.
const OF_CGROUPS: &[OfCgroup] = &[
    ("container_last_seen", Gauge, "Last time a container was seen by the exporter", &[], |own| {
        (own.time / 1_000_000_000) as f64
    }),
    ("container_cpu_usage_seconds_total", Counter, "Cumulative cpu time consumed in seconds.", CPU, |own| {
        seconds(own.cpu[0])
    }),
    (
        "container_cpu_user_seconds_total",
        Counter,
        "Cumulative user cpu time consumed in seconds.",
        &[],
        |own| seconds(own.cpu[1]),
    ),
    (
        "container_cpu_system_seconds_total",
        Counter,
        "Cumulative system cpu time consumed in seconds.",
        &[],
        |own| seconds(own.cpu[2]),
    ),
    (
        "container_cpu_cfs_periods_total",
        Counter,
        "Number of elapsed enforcement period intervals.",
        &[],
        |own| own.throttled[0] as f64,
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        Counter,
        "Number of throttled period intervals.",
        &[],
        |own| own.throttled[1] as f64,
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        Counter,
        "Total time duration the container has been throttled.",
        &[],
        |own| seconds(own.throttled[2]),
    ),
    ("container_cpu_cfs_burst_periods_total", Counter, "Number of periods when burst occurs.", &[], |own| {
        own.burst[0] as f64
    }),
    (
        "container_cpu_cfs_burst_seconds_total",
        Counter,
        "Total time duration the container has been bursted.",
        &[],
        |own| seconds(own.burst[1]),
    ),
    (
        "container_memory_usage_bytes",
        Gauge,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        &[],
        |own| own.memory as f64,
    ),
    ("container_memory_working_set_bytes", Gauge, "Current working set in bytes.", &[], |own| {
        own.working_set as f64
    }),
    ("container_memory_rss", Gauge, "Size of RSS in bytes.", &[], |own| own.anonymous as f64),
    ("container_memory_max_usage_bytes", Gauge, "Maximum memory usage recorded in bytes", &[], |own| {
        own.peak as f64
    }),
    ("container_memory_failcnt", Counter, "Number of memory usage hits limits", &[], |own| own.hits as f64),
    ("container_memory_kernel_usage", Gauge, "Size of kernel memory allocated in bytes.", &[], |own| {
        own.kinds[0] as f64
    }),
    ("container_memory_mapped_file", Gauge, "Size of memory mapped files in bytes.", &[], |own| {
        own.kinds[1] as f64
    }),
    ("container_memory_total_active_file_bytes", Gauge, "Current total active file in bytes.", &[], |own| {
        own.kinds[2] as f64
    }),
    (
        "container_memory_total_inactive_file_bytes",
        Gauge,
        "Current total inactive file in bytes.",
        &[],
        |own| own.kinds[3] as f64,
    ),
    ("container_memory_cache", Gauge, "Number of bytes of page cache memory.", &[], |own| own.file as f64),
    ("container_memory_swap", Gauge, "Container swap usage in bytes.", &[], |own| own.swap as f64),
    (
        "container_memory_failures_total",
        Counter,
        "Cumulative count of memory allocation failures.",
        &[("failure_type", "pgfault"), ("scope", "container")],
        |own| own.faults[0] as f64,
    ),
    (
        "container_memory_failures_total",
        Counter,
        "Cumulative count of memory allocation failures.",
        &[("failure_type", "pgmajfault"), ("scope", "container")],
        |own| own.faults[1] as f64,
    ),
    (
        "container_oom_events_total",
        Counter,
        "Count of out of memory events observed for the container",
        &[],
        |own| own.out_of_memory as f64,
    ),
    ("container_processes", Gauge, "Number of processes running inside the container.", &[], |own| {
        own.pids as f64
    }),
    ("container_threads", Gauge, "Number of threads running inside the container", &[], |own| {
        own.pids as f64
    }),
    (
        "container_threads_max",
        Gauge,
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        &[],
        |own| own.most_pids.unwrap_or(0) as f64,
    ),
    (
        "container_spec_memory_reservation_limit_bytes",
        Gauge,
        "Memory reservation limit for the container.",
        &[],
        |own| own.kept as f64,
    ),
    ("container_spec_memory_limit_bytes", Gauge, "Memory limit for the container.", &[], |own| {
        own.limits[0].unwrap_or(0) as f64
    }),
    ("container_spec_memory_swap_limit_bytes", Gauge, "Memory swap limit for the container.", &[], |own| {
        own.limits[1].unwrap_or(0) as f64
    }),
    (
        "container_pressure_cpu_waiting_seconds_total",
        Counter,
        "Total time duration tasks in the container have waited due to CPU congestion.",
        &[],
        |own| waited(own, 0),
    ),
    (
        "container_pressure_cpu_stalled_seconds_total",
        Counter,
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
        &[],
        |own| stalled(own, 0),
    ),
    (
        "container_pressure_memory_waiting_seconds_total",
        Counter,
        "Total time duration tasks in the container have waited due to memory congestion.",
        &[],
        |own| waited(own, 1),
    ),
    (
        "container_pressure_memory_stalled_seconds_total",
        Counter,
        "Total time duration no tasks in the container could make progress due to memory congestion.",
        &[],
        |own| stalled(own, 1),
    ),
    (
        "container_pressure_io_waiting_seconds_total",
        Counter,
        "Total time duration tasks in the container have waited due to IO congestion.",
        &[],
        |own| waited(own, 2),
    ),
    (
        "container_pressure_io_stalled_seconds_total",
        Counter,
        "Total time duration no tasks in the container could make progress due to IO congestion.",
        &[],
        |own| stalled(own, 2),
    ),
];

fn waited(own: &Usage, which: usize) -> f64 {
    own.pressure[which].map_or(0.0, |pressure| seconds(pressure.some.total))
}

fn stalled(own: &Usage, which: usize) -> f64 {
    own.pressure[which].map_or(0.0, |pressure| seconds(pressure.full.total))
}

/// A metric that not every cgroup has: name, help, value.
type OfSome = (&'static str, &'static str, fn(&Usage) -> Option<u64>);

const OF_SOME: &[OfSome] = &[
    ("container_spec_cpu_period", "CPU period of the container.", |own| Some(own.quota?[1])),
    ("container_spec_cpu_quota", "CPU quota of the container.", |own| Some(own.quota?[0])),
    ("container_spec_cpu_shares", "CPU share of the container.", |own| {
        // Several have one weight; a whole processor's is the most of them.
        Some(qos::shares(i128::from(cgroup::request(own.weight? + 1)) - 1))
    }),
];

/// A metric of a disk: name, help, place in [`Usage::io`].
type OfDisk = (&'static str, &'static str, usize);

const OF_DISKS: &[OfDisk] = &[
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", 0),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", 1),
    ("container_fs_reads_total", "Cumulative count of reads completed", 2),
    ("container_fs_writes_total", "Cumulative count of writes completed", 3),
];

/// A metric of an interface: name, help, value.
type OfInterface = (&'static str, &'static str, fn(&Interface) -> u64);

const OF_INTERFACES: &[OfInterface] = &[
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", |own| own.received[0]),
    ("container_network_receive_packets_total", "Cumulative count of packets received", |own| {
        own.received[1]
    }),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |own| own.received[2],
    ),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |own| own.received[3],
    ),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |own| own.sent[0]),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", |own| {
        own.sent[1]
    }),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |own| own.sent[2],
    ),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |own| own.sent[3],
    ),
];

/// Who a line is of.
struct Who<'a> {
    container: &'a str,
    id: String,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl Who<'_> {
    const NODE: Who<'static> =
        Who { container: "", id: String::new(), image: "", name: "", namespace: "", pod: "" };

    /// Labels, in the order of their names.
    fn labels<'b>(&'b self, more: &[(&'static str, &'b str)]) -> Vec<(&'static str, &'b str)> {
        let id = if self.id.is_empty() { "/" } else { &self.id };
        let mut labels = vec![
            ("container", self.container),
            ("id", id),
            ("image", self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ];
        labels.extend(more);
        labels.sort_unstable();
        labels
    }
}

/// What is made at once.
enum Step {
    Cgroups(&'static [OfCgroup]),
    Some(&'static OfSome),
    Disks(&'static OfDisk),
    Devices,
    Interfaces(&'static OfInterface),
    Others,
}

/// The families, one after the other.
pub fn families(all: Snapshot) -> impl Iterator<Item = Bytes> {
    let cgroups = OF_CGROUPS.chunk_by(|one, next| one.0 == next.0).map(Step::Cgroups);
    let disks = OF_DISKS.iter().map(Step::Disks);
    let interfaces = OF_INTERFACES.iter().map(Step::Interfaces);
    let some = OF_SOME.iter().map(Step::Some);
    let steps = cgroups.chain(some).chain(disks).chain([Step::Devices]).chain(interfaces);
    let steps = steps.chain([Step::Others]);
    steps.map(move |step| {
        let text = match step {
            Step::Cgroups(lines) => of_cgroups(&all, lines),
            Step::Some(own) => of_some(&all, own),
            Step::Disks(own) => of_disks(&all, own),
            Step::Devices => of_devices(&all),
            Step::Interfaces(own) => of_interfaces(&all, own),
            Step::Others => others(&all),
        };
        text.into()
    })
}

fn each(all: &Snapshot, mut visit: impl FnMut(&Who<'_>, &Usage)) {
    visit(&Who::NODE, &all.node.usage);
    for own in &all.pods {
        let (namespace, pod) = (own.pod.namespace.as_str(), own.pod.name.as_str());
        let id = |path: &std::path::Path| format!("/{}", path.display());
        if let Some(usage) = &own.usage {
            visit(&Who { id: id(&own.pod.cgroup), namespace, pod, ..Who::NODE }, usage);
        }
        for (container, usage, _) in &own.containers {
            let name = container.instance.as_deref().unwrap_or_default();
            let (own, image) = (container.name.as_str(), container.image.as_str());
            visit(&Who { container: own, id: id(&container.cgroup), image, name, namespace, pod }, usage);
        }
    }
}

/// Lines of one name.
fn of_cgroups(all: &Snapshot, lines: &[OfCgroup]) -> String {
    let Some((name, kind, help, ..)) = lines.first() else { return String::new() };
    let mut family = Family::new(name, *kind, help);
    for (.., own, value) in lines {
        each(all, |who, usage| family.add(&who.labels(own), value(usage), usage.time));
    }
    family.text()
}

fn of_some(all: &Snapshot, (name, help, value): &OfSome) -> String {
    let mut family = Family::new(name, Gauge, help);
    each(all, |who, usage| {
        if let Some(value) = value(usage) {
            family.add(&who.labels(&[]), value as f64, usage.time);
        }
    });
    family.text()
}

/// Bytes read and written once more, by the disks' numbers.
fn of_devices(all: &Snapshot) -> String {
    let mut family = Family::new("container_blkio_device_usage_total", Counter, "Blkio Device bytes usage");
    each(all, |who, usage| {
        for (number, counts) in &usage.io {
            let device = all.disks.get(number).unwrap_or(number);
            let (major, minor) = number.split_once(':').unwrap_or((number, ""));
            for (operation, bytes) in [("Read", counts[0]), ("Write", counts[1])] {
                let more = [
                    ("device", device.as_str()),
                    ("major", major),
                    ("minor", minor),
                    ("operation", operation),
                ];
                family.add(&who.labels(&more), bytes as f64, usage.time);
            }
        }
    });
    family.text()
}

fn of_disks(all: &Snapshot, (name, help, place): &OfDisk) -> String {
    let mut family = Family::new(name, Counter, help);
    each(all, |who, usage| {
        for (number, counts) in &usage.io {
            let device = all.disks.get(number).unwrap_or(number);
            family.add(&who.labels(&[("device", device)]), counts[*place] as f64, usage.time);
        }
    });
    family.text()
}

fn of_interfaces(all: &Snapshot, (name, help, value): &OfInterface) -> String {
    let mut family = Family::new(name, Counter, help);
    let mut add = |who: &Who<'_>, interfaces: &[Interface], time| {
        for own in interfaces {
            family.add(&who.labels(&[("interface", &own.name)]), value(own) as f64, time);
        }
    };
    add(&Who::NODE, &all.node.network.0, all.node.usage.time);
    for own in &all.pods {
        let id = format!("/{}", own.pod.cgroup.display());
        let who = Who { id, namespace: &own.pod.namespace, pod: &own.pod.name, ..Who::NODE };
        add(&who, &own.network, own.usage.as_ref().map_or(0, |usage| usage.time));
    }
    family.text()
}

/// Starts, and the machine.
fn others(all: &Snapshot) -> String {
    let help = "Start time of the container since unix epoch in seconds.";
    let mut starts = Family::new("container_start_time_seconds", Gauge, help);
    for own in &all.pods {
        for (container, usage, _) in &own.containers {
            let who = Who {
                container: &container.name,
                id: format!("/{}", container.cgroup.display()),
                image: &container.image,
                name: container.instance.as_deref().unwrap_or_default(),
                namespace: &own.pod.namespace,
                pod: &own.pod.name,
            };
            starts.add(&who.labels(&[]), container.started.unwrap_or(0) as f64, usage.time);
        }
    }
    let mut cores = Family::new("machine_cpu_cores", Gauge, "Number of logical CPU cores.");
    cores.add(&[], all.node.processors as f64, 0);
    let mut memory = Family::new("machine_memory_bytes", Gauge, "Amount of memory installed on the machine.");
    memory.add(&[], all.node.memory[0] as f64, 0);
    let mut swap =
        Family::new("machine_swap_bytes", Gauge, "Amount of swap memory available on the machine.");
    swap.add(&[], all.node.swap as f64, 0);
    // What cannot be read is left out here, so there is never one.
    let help = "1 if there was an error while getting container metrics, 0 otherwise.";
    let mut containers = Family::new("container_scrape_error", Gauge, help);
    containers.add(&[], 0.0, 0);
    let help = "1 if there was an error while getting machine metrics, 0 otherwise.";
    let mut machine = Family::new("machine_scrape_error", Gauge, help);
    machine.add(&[], 0.0, 0);
    [starts, cores, memory, swap, containers, machine].map(Family::text).concat()
}
