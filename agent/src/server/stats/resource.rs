//! `/metrics/resource`: what metrics-server reads, and so `kubectl top` and autoscalers.

use super::cadvisor::seconds;
use super::exposition::{Family, Kind::Counter, Kind::Gauge};
use super::snapshot::Snapshot;
use bytes::Bytes;

/// The families, one after the other.
pub fn families(all: Snapshot) -> impl Iterator<Item = Bytes> {
    let make: [fn(&Snapshot) -> Family; 13] = [
        |all| {
            let help = "[STABLE] Cumulative cpu time consumed by the container in core-seconds";
            of_containers(all, Family::new("container_cpu_usage_seconds_total", Counter, help), |usage| {
                Some(seconds(usage.cpu[0]))
            })
        },
        |all| {
            let help = "[STABLE] Current working set of the container in bytes";
            of_containers(all, Family::new("container_memory_working_set_bytes", Gauge, help), |usage| {
                Some(usage.working_set as f64)
            })
        },
        container_starts,
        |all| {
            let help = "[ALPHA] Current amount of the container swap limit in bytes. Reported only on \
                non-windows systems";
            of_containers(all, Family::new("container_swap_limit_bytes", Gauge, help), |usage| {
                usage.limits[1].map(|limit| limit as f64)
            })
        },
        |all| {
            let help = "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems";
            of_containers(all, Family::new("container_swap_usage_bytes", Gauge, help), |usage| {
                Some(usage.swap as f64)
            })
        },
        |all| {
            let help = "[STABLE] Cumulative cpu time consumed by the node in core-seconds";
            let family = Family::new("node_cpu_usage_seconds_total", Counter, help);
            of_node(all, family, seconds(all.node.usage.cpu[0]))
        },
        |all| {
            let help = "[STABLE] Current working set of the node in bytes";
            let family = Family::new("node_memory_working_set_bytes", Gauge, help);
            of_node(all, family, all.node.usage.working_set as f64)
        },
        |all| {
            let help =
                "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems";
            of_node(all, Family::new("node_swap_usage_bytes", Gauge, help), all.node.usage.swap as f64)
        },
        |all| {
            let help = "[STABLE] Cumulative cpu time consumed by the pod in core-seconds";
            of_pods(all, Family::new("pod_cpu_usage_seconds_total", Counter, help), |usage| {
                seconds(usage.cpu[0])
            })
        },
        |all| {
            let help = "[STABLE] Current working set of the pod in bytes";
            of_pods(all, Family::new("pod_memory_working_set_bytes", Gauge, help), |usage| {
                usage.working_set as f64
            })
        },
        |all| {
            let help =
                "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems";
            of_pods(all, Family::new("pod_swap_usage_bytes", Gauge, help), |usage| usage.swap as f64)
        },
        |_| no_error("resource_scrape_error", "[STABLE]"),
        |_| no_error("scrape_error", "[ALPHA] (Deprecated since 1.29.0)"),
    ];
    make.into_iter().map(move |make| make(&all).text().into())
}

type Usage = super::cgroup::Usage;

fn of_containers(all: &Snapshot, mut family: Family, value: fn(&Usage) -> Option<f64>) -> Family {
    for own in &all.pods {
        for (container, usage, _) in &own.containers {
            let labels =
                [("container", &*container.name), ("namespace", &own.pod.namespace), ("pod", &own.pod.name)];
            if let Some(value) = value(usage) {
                family.add(&labels, value, usage.time);
            }
        }
    }
    family
}

fn container_starts(all: &Snapshot) -> Family {
    let help = "[STABLE] Start time of the container since unix epoch in seconds";
    let mut family = Family::new("container_start_time_seconds", Gauge, help);
    for own in &all.pods {
        for (container, _, _) in &own.containers {
            let labels =
                [("container", &*container.name), ("namespace", &own.pod.namespace), ("pod", &own.pod.name)];
            if let Some(started) = container.started {
                family.add(&labels, started as f64, 0);
            }
        }
    }
    family
}

fn of_pods(all: &Snapshot, mut family: Family, value: fn(&Usage) -> f64) -> Family {
    for own in &all.pods {
        if let Some(usage) = &own.usage {
            let labels = [("namespace", &*own.pod.namespace), ("pod", &own.pod.name)];
            family.add(&labels, value(usage), usage.time);
        }
    }
    family
}

fn of_node(all: &Snapshot, mut family: Family, value: f64) -> Family {
    family.add(&[], value, all.node.usage.time);
    family
}

fn no_error(name: &'static str, level: &str) -> Family {
    let help = format!("{level} 1 if there was an error while getting container metrics, 0 otherwise");
    let mut family = Family::new(name, Gauge, &help);
    family.add(&[], 0.0, 0);
    family
}
