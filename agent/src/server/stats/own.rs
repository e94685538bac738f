//! `/metrics` and `/metrics/probes`: the agent itself, and what probes have said.

use super::durations::{DEFAULT, Times};
use super::exposition::{Family, Kind::Counter, Kind::Gauge, Kind::Histogram};
use crate::certificate;
use crate::csr::{CLIENT, SERVING};
use crate::node::version::{minor, version};
use crate::server::pods::{Container, Pod};
use crate::serving;
use nix::unistd::{SysconfVar, sysconf};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Most counts that are kept.
const MOST: usize = 4096;

/// The result of probes whose time is told: as with a kubelet, not of those that failed.
const MEASURED: &str = "successful";

/// What probes have said, counted, and how long those took that were answered.
#[derive(Debug, Default)]
pub struct Probes(Mutex<BTreeMap<Probe, (u64, Times)>>);

/// A result of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// The pod's UID.
    pub uid: String,
    /// The container.
    pub container: String,
    /// `Liveness`, `Readiness` or `Startup`.
    pub kind: &'static str,
    /// `successful`, `failed` or `unknown`.
    pub result: &'static str,
}

impl Probes {
    /// Counts one that took so long. When nobody asks, counts of pods that are gone pile up: at 4096 all begin anew,
    /// as counters may.
    pub fn count(&self, probe: Probe, time: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(&probe) {
            counts.clear();
        }
        let is_measured = probe.result == MEASURED;
        let (count, times) = counts.entry(probe).or_default();
        *count += 1;
        if is_measured {
            times.add(DEFAULT, time);
        }
    }

    /// Those of pods that there are, in text; the others are forgotten.
    pub fn text(&self, pods: &[Pod]) -> String {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|probe, _| pods.iter().any(|pod| pod.uid == probe.uid));
        let help =
            "[ALPHA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
        let mut family = Family::new("prober_probe_total", Counter, help);
        let help = "[ALPHA] Duration in seconds for a probe response.";
        let mut durations = Family::new("prober_probe_duration_seconds", Histogram, help);
        for (probe, (count, times)) in counts.iter() {
            let Some(pod) = pods.iter().find(|pod| pod.uid == probe.uid) else { continue };
            let labels = [
                ("container", probe.container.as_str()),
                ("namespace", &pod.namespace),
                ("pod", &pod.name),
                ("pod_uid", &probe.uid),
                ("probe_type", probe.kind),
                ("result", probe.result),
            ];
            family.add(&labels, *count as f64, 0);
            if probe.result == MEASURED {
                let labels = [labels[0], labels[1], labels[2], labels[4]];
                durations.add_histogram(&labels, DEFAULT, &times.within, times.sum);
            }
        }
        family.text() + &durations.text() + &started()
    }
}

/// When this process was started.
pub fn started() -> String {
    let mut family = Family::new(
        "process_start_time_seconds",
        Gauge,
        "Start time of the process since unix epoch in seconds.",
    );
    if let Some(started) = started_of("self") {
        family.add(&[], started, 0);
    }
    family.text()
}

/// When a process was started, in seconds since 1970.
pub fn started_of(process: &str) -> Option<f64> {
    let booted = fs::read_to_string("/proc/stat").ok()?;
    let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok())?;
    Some(booted + stat_of(process, 21)? / per_second())
}

fn stat(field: usize) -> Option<f64> {
    stat_of("self", field)
}

/// A field of `/proc/PID/stat` (proc(5)), counted from 0.
fn stat_of(process: &str, field: usize) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, which may have blanks.
    text.rsplit_once(") ")?.1.split(' ').nth(field.checked_sub(2)?)?.parse().ok()
}

fn per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks as f64)
}

/// Where the newest instance of a container is; none before the first.
fn state_of(own: &Container) -> Option<&'static str> {
    own.instance.as_ref()?;
    Some(match (own.running, own.started) {
        (true, _) => "running",
        (false, Some(_)) => "exited",
        (false, None) => "created",
    })
}

/// Seconds until a certificate of the cluster's ends, below 0 when it has; none when there is none.
fn certificate_life(path: &Path) -> Option<f64> {
    let all = certificate::from_pem(&fs::read_to_string(path).ok()?).ok()?;
    let (_, end) = certificate::validity(all.first()?).ok()?;
    if certificate::is_self_signed(all.first()?).ok()? {
        return None;
    }
    Some(match end.duration_since(SystemTime::now()) {
        Ok(left) => left.as_secs_f64(),
        Err(over) => -over.duration().as_secs_f64(),
    })
}

/// `/metrics` in text.
#[must_use]
pub fn metrics(node: &str, pods: &[Pod]) -> String {
    let mut name = Family::new("kubelet_node_name", Gauge, "[ALPHA] The node's name. The count is always 1.");
    name.add(&[("node", node)], 1.0, 0);
    let running = |pod: &&Pod| pod.containers.iter().any(|own| own.running);
    let help = "[BETA] Number of pods that have a running pod sandbox";
    let mut of_pods = Family::new("kubelet_running_pods", Gauge, help);
    of_pods.add(&[], pods.iter().filter(running).count() as f64, 0);
    let help = "[BETA] Number of containers currently running";
    let mut containers = Family::new("kubelet_running_containers", Gauge, help);
    for state in ["created", "exited", "running"] {
        let all = pods.iter().flat_map(|pod| &pod.containers);
        let count = all.filter(|own| state_of(own) == Some(state)).count();
        containers.add(&[("container_state", state)], count as f64, 0);
    }
    let help = "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git \
        tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
    let mut build = Family::new("kubernetes_build_info", Gauge, help);
    build.add(
        &[
            ("git_version", version().as_str()),
            ("major", "1"),
            ("minor", &minor().to_string()),
            ("platform", "linux/amd64"),
        ],
        1.0,
        0,
    );
    let help = "Total user and system CPU time spent in seconds.";
    let mut cpu = Family::new("process_cpu_seconds_total", Counter, help);
    cpu.add(&[], (stat(13).unwrap_or(0.0) + stat(14).unwrap_or(0.0)) / per_second(), 0);
    let mut memory = Family::new("process_resident_memory_bytes", Gauge, "Resident memory size in bytes.");
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as f64;
    memory.add(&[], stat(23).unwrap_or(0.0) * page, 0);
    let mut open = Family::new("process_open_fds", Gauge, "Number of open file descriptors.");
    open.add(&[], fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64, 0);
    let help = "[ALPHA] Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until \
        certificate expiry (negative if already expired).";
    let mut life = Family::new("kubelet_certificate_manager_client_ttl_seconds", Gauge, help);
    if let Some(seconds) = certificate_life(&Path::new(spec::paths::AGENT).join("client.pem")) {
        life.add(&[], seconds, 0);
    }
    let help = "[ALPHA] Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is in seconds until \
        certificate expiry (negative if already expired). If serving certificate is invalid or unused, the value will be +INF.";
    let mut serving = Family::new("kubelet_certificate_manager_server_ttl_seconds", Gauge, help);
    let path = Path::new(spec::paths::AGENT).join(serving::FILE);
    serving.add(&[], certificate_life(&path).unwrap_or(f64::INFINITY), 0);
    let help = "[ALPHA] Counter of certificate renewal errors.";
    let mut client_errors =
        Family::new("kubelet_certificate_manager_client_expiration_renew_errors", Counter, help);
    client_errors.add(&[], CLIENT.errors() as f64, 0);
    let mut serving_errors = Family::new("kubelet_server_expiration_renew_errors", Counter, help);
    serving_errors.add(&[], SERVING.errors() as f64, 0);
    let all = [name, of_pods, containers, build, cpu, memory, open];
    let all = all.into_iter().chain([life, serving, client_errors, serving_errors]);
    let all: String = all.map(Family::text).collect();
    all + &started()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, Issuer, KeyPair, date_time_ymd};

    #[test]
    fn the_life_of_the_nodes_certificate_is_told() {
        let path = std::env::temp_dir().join(format!("skerry-life-{}.pem", std::process::id()));
        assert_eq!(certificate_life(&path), None);
        for year in [2000, 4000] {
            let [key, authority] = [(), ()].map(|()| KeyPair::generate().unwrap());
            let issuer =
                Issuer::new(CertificateParams::new(vec!["authority".to_owned()]).unwrap(), authority);
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.not_after = date_time_ymd(year, 1, 1);
            fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
            assert_eq!(certificate_life(&path), None, "nobody gave it");
            fs::write(&path, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
            let end = f64::from(year - 1970) * 365.2425 * 86_400.0;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
            let life = certificate_life(&path).unwrap();
            assert!((life - (end - now)).abs() < 2.0 * 86_400.0, "{life}");
        }
        fs::remove_file(&path).unwrap();
    }
}
