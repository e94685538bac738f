//! What the monitor is asked for: a container of a pod, in the monitor's words. A function of values.

use super::env::expand;
use super::next::Kind;
use super::observed::{Sandbox, label};
use super::resize::Amounts;
use super::{qos, quantity};
use crate::volume::place;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use sha2::{Digest, Sha256};
use spec::bundle::{Mount, Namespace, NamespaceKind, Seccomp};
use spec::monitor::{self, Create};
use spec::node::{self, ContainerNetwork, HealthOptions, Ipc, Name, Pid, Restart, Security, Sharing};
use spec::quantity::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All that a container is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its list.
    pub kind: Kind,
    /// How many were made before.
    pub attempt: u32,
    /// Restarts in a row that came too soon.
    pub streak: u32,
    /// What it stands in.
    pub sandbox: &'a Sandbox,
    /// Digest of its image's manifest.
    pub digest: &'a str,
    /// Its image as the status tells it.
    pub image_id: &'a str,
    /// `User` of its image.
    pub image_user: &'a str,
    /// `Volumes` of its image.
    pub image_volumes: &'a [String],
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// Its filter of system calls, when that lies on the node (`Localhost`).
    pub seccomp: Option<Seccomp>,
    /// The node's memory in bytes.
    pub memory: u64,
    /// How long its log grows before it is rotated.
    pub log_size: Bytes,
    /// Groups that the pod's persistent volumes belong to.
    pub volume_groups: &'a BTreeSet<u32>,
}

/// The name of a container of a pod with the monitor: the same whenever it is asked for.
pub fn name(pod: &Pod, container: &str, attempt: u32) -> Name {
    let metadata = &pod.metadata;
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let hash = hash(&format!("{uid}/{container}/{attempt}"), 6);
    let short = |text: &str| text.chars().take(24).collect::<String>();
    let words = format!("{}.{}.{hash}", short(metadata.name.as_deref().unwrap_or("pod")), short(container));
    words.parse().unwrap_or_else(|_| unreachable!("the API allows only letters, digits, '-' and '.' there"))
}

/// So many bytes of a text's hash, in hexadecimal digits.
fn hash(text: &str, bytes: usize) -> String {
    Sha256::digest(text)[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cgroup of a pod, below the hierarchy.
pub fn cgroup(pod: &Pod) -> String {
    let class = pod.spec.as_ref().map_or(qos::Class::BestEffort, qos::class);
    format!("{}/pod{}", class.cgroup(), pod.metadata.uid.as_deref().unwrap_or_default())
}

/// What the pod and the container say, with nothing in place of what they do not.
struct Said<'a> {
    spec: &'a PodSpec,
    own: &'a SecurityContext,
    of_pod: &'a PodSecurityContext,
}

impl Said<'_> {
    fn is_privileged(&self) -> bool {
        self.own.privileged == Some(true)
    }
}

/// The request.
///
/// # Errors
/// What of the container cannot be done, in words (`CreateContainerConfigError`).
pub fn create(mut parts: Parts<'_>) -> Result<Create, String> {
    let Parts { pod, container, .. } = parts;
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err("volumeDevices: block volumes are not supported on this node".to_owned());
    }
    let (empty, none, shared) =
        (PodSpec::default(), SecurityContext::default(), PodSecurityContext::default());
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let own = container.security_context.as_ref().unwrap_or(&none);
    let said = Said { spec, own, of_pod: spec.security_context.as_ref().unwrap_or(&shared) };
    let profile = own.seccomp_profile.as_ref().or(said.of_pod.seccomp_profile.as_ref());
    let (filter, unconfined) = seccomp(profile, parts.seccomp.take())?;
    let mut security = Vec::new();
    security.extend((unconfined || said.is_privileged()).then_some(Security::SeccompUnconfined));
    security.extend((own.allow_privilege_escalation == Some(false)).then_some(Security::NoNewPrivileges));
    let name = name(pod, &container.name, parts.attempt);
    let mounts = image_volumes(&name, parts.image_volumes, &parts.mounts);
    let nameless = mounts.iter().filter_map(node::Mount::volume).cloned().collect();
    Ok(Create {
        name: Some(name),
        container: node::Container { security, mounts, ..asked(&parts, &said)? },
        image: parts.digest.to_owned(),
        remove: false,
        stdin_once: container.stdin_once == Some(true),
        nameless,
        seccomp: None,
        sandbox: Some(Box::new(of_sandbox(parts, &said, filter))),
    })
}

/// What it asks for itself.
fn asked(parts: &Parts<'_>, said: &Said<'_>) -> Result<node::Container, String> {
    let Parts { pod, container, sandbox, .. } = *parts;
    let Said { spec, own, of_pod } = *said;
    let words = |list: &Option<Vec<String>>| {
        list.as_ref()
            .filter(|list| !list.is_empty())
            .map(|list| list.iter().map(|word| expand(word, &parts.env)).collect())
    };
    let memory = qos::bound(spec, container, "memory");
    let memory = memory.map(|millis| Bytes(u64::try_from(millis / 1000).unwrap_or(u64::MAX)));
    let (cap_add, cap_drop) = capabilities(own.capabilities.as_ref());
    let sees_cgroups = said.is_privileged() && sandbox.users.is_none();
    Ok(node::Container {
        entrypoint: words(&container.command),
        args: words(&container.args),
        working_dir: container.working_dir.clone().filter(|folder| !folder.is_empty()),
        user: user(own, of_pod, parts.image_user)?,
        group_add: groups(of_pod, parts.volume_groups),
        hostname: Some(hostname(pod)),
        labels: labels(parts),
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        read_only: own.read_only_root_filesystem == Some(true),
        network: Some(ContainerNetwork::Host),
        memory,
        // No swap beside it.
        memory_swap: memory,
        cpus: qos::bound(spec, container, "cpu").map(cpus),
        cpu_shares: Some(qos::shares(qos::share(spec, container))),
        oom_score_adj: Some(qos::oom_score_adj(spec, container, parts.memory)),
        cap_add,
        cap_drop,
        privileged: said.is_privileged(),
        pid: if spec.host_pid == Some(true) { Pid::Host } else { Pid::Private },
        ipc: if spec.host_ipc == Some(true) { Ipc::Host } else { Ipc::Private },
        restart: Restart::No,
        // What the image says is Docker's: here probes tell.
        health: Some(no_check()),
        stop_signal: container.lifecycle.as_ref().and_then(|own| own.stop_signal.clone()),
        log_size: parts.log_size,
        cgroup: if sees_cgroups { Sharing::Host } else { Sharing::Private },
        env: parts.env.clone(),
        ..node::Container::of(container.image.clone().unwrap_or_default())
    })
}

/// What it has of its pod.
fn of_sandbox(parts: Parts<'_>, said: &Said<'_>, seccomp: Option<Seccomp>) -> monitor::Sandbox {
    let Parts { pod, container, sandbox, .. } = parts;
    monitor::Sandbox {
        cgroup: cgroup(pod),
        namespaces: namespaces(sandbox),
        mounts: parts.mounts,
        seccomp,
        unmasked: said.own.proc_mount.as_deref() == Some("Unmasked"),
        users: sandbox.users,
        strict_groups: said.of_pod.supplemental_groups_policy.as_deref() == Some("Strict"),
        unified: BTreeMap::new(),
        log: Some(place::log(pod, &container.name, parts.attempt)),
        images: Vec::new(),
    }
}

/// Volumes of the image where the pod mounts nothing: writable though the root may not be, filled from the image, and the
/// container's alone, with which they go.
fn image_volumes(container: &Name, targets: &[String], taken: &[Mount]) -> Vec<node::Mount> {
    let is_free =
        |at: &Path| at != Path::new("/") && !taken.iter().any(|one| Path::new(&one.destination) == at);
    let targets: BTreeSet<&Path> = targets.iter().map(Path::new).filter(|at| at.is_absolute()).collect();
    let free = targets.into_iter().filter(|at| is_free(at)).map(|at| at.display().to_string());
    // The same whenever it is asked for.
    let named = |target: String| Some((hash(&format!("{container}:{target}"), 16).parse().ok()?, target));
    let named = free.filter_map(named);
    named
        .map(|(name, target)| node::Mount::Volume { name, target, read_only: false, no_copy: false })
        .collect()
}

/// A limit as the monitor has it: the kernel's least quota is a hundredth of a processor.
pub fn cpus(millicpu: i128) -> f64 {
    (millicpu as f64 / 1000.0).max(0.01)
}

/// The image's own check is not made.
fn no_check() -> HealthOptions {
    HealthOptions { command: Some(Vec::new()), ..HealthOptions::default() }
}

fn labels(parts: &Parts<'_>) -> BTreeMap<String, String> {
    let metadata = &parts.pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let spec = parts.pod.spec.as_ref();
    let resources = spec.map(|spec| Amounts::of(spec, parts.container)).unwrap_or_default();
    let labels = [
        (label::UID, text(&metadata.uid)),
        (label::POD, text(&metadata.name)),
        (label::NAMESPACE, text(&metadata.namespace)),
        (label::CONTAINER, parts.container.name.clone()),
        (label::ATTEMPT, parts.attempt.to_string()),
        (label::STREAK, parts.streak.to_string()),
        (label::SANDBOX, parts.sandbox.id.clone()),
        (label::IMAGE, text(&parts.container.image)),
        (label::IMAGE_ID, parts.image_id.to_owned()),
        (label::RESOURCES, resources.to_string()),
    ];
    labels.map(|(key, value)| (key.to_owned(), value)).into()
}

/// The pod's host name: at most 63 characters of its name, unless it says otherwise; the node's on the node's network.
pub fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    if let Some(spec) = spec.filter(|spec| spec.host_network == Some(true)) {
        return spec.node_name.clone().unwrap_or_default();
    }
    if let Some(whole) = spec.and_then(|spec| spec.hostname_override.as_ref()).filter(|own| !own.is_empty()) {
        return whole.clone();
    }
    let said = spec.and_then(|spec| spec.hostname.clone());
    let name = said.filter(|name| !name.is_empty()).or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn namespaces(sandbox: &Sandbox) -> Vec<Namespace> {
    let joined = [
        (NamespaceKind::Network, &sandbox.network),
        (NamespaceKind::Ipc, &sandbox.ipc),
        (NamespaceKind::Uts, &sandbox.uts),
    ];
    // Without a path the processes would be the node's.
    let more = [(NamespaceKind::Pid, &sandbox.pid), (NamespaceKind::User, &sandbox.user)];
    let more = more.into_iter().filter(|(_, path)| path.is_some());
    joined.into_iter().chain(more).map(|(kind, path)| Namespace { kind, path: path.clone() }).collect()
}

/// `UID:GID`; none when the image says it.
///
/// # Errors
/// It must not be root and is, or nobody can tell.
fn user(own: &SecurityContext, of_pod: &PodSecurityContext, image: &str) -> Result<Option<String>, String> {
    let uid = own.run_as_user.or(of_pod.run_as_user);
    let gid = own.run_as_group.or(of_pod.run_as_group);
    let image_user = image.split(':').next().unwrap_or_default();
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        match (uid, image_user.parse::<i64>()) {
            (Some(0), _) => return Err("container's runAsUser breaks non-root policy".to_owned()),
            (None, Ok(0)) => return Err("container has runAsNonRoot and image will run as root".to_owned()),
            (None, Err(_)) if image_user.is_empty() => {
                return Err("container has runAsNonRoot and image will run as root".to_owned());
            }
            (None, Err(_)) => {
                return Err(format!(
                    "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root"
                ));
            }
            _ => {}
        }
    }
    Ok(match (uid, gid) {
        (Some(uid), Some(gid)) => Some(format!("{uid}:{gid}")),
        (Some(uid), None) => Some(uid.to_string()),
        (None, Some(gid)) => {
            let user = if image_user.is_empty() { "0" } else { image_user };
            Some(format!("{user}:{gid}"))
        }
        (None, None) => None,
    })
}

fn groups(of_pod: &PodSecurityContext, of_volumes: &BTreeSet<u32>) -> Vec<String> {
    let more = of_pod.supplemental_groups.iter().flatten().chain(of_pod.fs_group.iter());
    let more = more.map(ToString::to_string).chain(of_volumes.iter().map(ToString::to_string));
    let mut groups: Vec<String> = more.collect();
    groups.dedup();
    groups
}

fn capabilities(own: Option<&Capabilities>) -> (Vec<String>, Vec<String>) {
    let list = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    (list(own.and_then(|own| own.add.as_ref())), list(own.and_then(|own| own.drop.as_ref())))
}

/// A filter of its own, and whether there is none at all: none unless a profile is asked for.
fn seccomp(
    profile: Option<&SeccompProfile>,
    local: Option<Seccomp>,
) -> Result<(Option<Seccomp>, bool), String> {
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("Unconfined") => Ok((None, true)),
        Some("RuntimeDefault") => Ok((None, false)),
        Some("Localhost") => match local {
            Some(filter) => Ok((Some(filter), false)),
            None => Err("seccompProfile: its localhostProfile is not on this node".to_owned()),
        },
        Some(other) => Err(format!("seccompProfile: there is no type {other:?}")),
    }
}

/// Bytes of a quantity, for a tmpfs.
pub fn bytes(text: &str) -> Option<u64> {
    quantity::units(text).and_then(|bytes| u64::try_from(bytes).ok())
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
