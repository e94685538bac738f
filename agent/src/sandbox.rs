//! What a pod's containers share: its cgroup, its network, the namespaces of its name and of its shared
//! memory. They are held by mounts; only one of processes needs a process ([`processes`]).
//!
//! It is made when `sandbox.json` is there, which is written last; half a one is made again, and what takes
//! it away takes away half a one, too.

mod namespaces;
pub mod processes;
pub mod users;

use crate::cni;
use crate::node::report::Own;
use crate::pod::observed::Sandbox;
use crate::pod::{cgroup, container, names};
use crate::say::say;
use crate::volume::{self, make, place};
use k8s_openapi::api::core::v1::Pod;
use namespaces::Namespaces;
use nix::mount::{MntFlags, umount2};
use spec::bundle::NamespaceKind;
use spec::network::{Attach, Attached, Membership, PODS, Port};
use spec::node::By;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use sys::cause::cause;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;

/// The network's verbs.
const NETWORK: &str = "/sbin/skerry-network";

/// Size of a pod's shared memory in bytes.
const SHM: u64 = 64 << 20;

fn words(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what} {}: {}", path.display(), cause(error))
}

/// The sandbox that a pod has in this boot; none when its first process was killed.
pub fn find(pod: &Pod) -> Option<Sandbox> {
    let folder = place::run(pod.metadata.uid.as_deref()?);
    let sandbox: Sandbox = serde_json::from_slice(&fs::read(folder.join("sandbox.json")).ok()?).ok()?;
    (sandbox.pid.is_none() || processes::is_held(pod)).then_some(sandbox)
}

/// Makes the pod's folders, and chooses its users. Its secrets are for root alone, that of its own users, too.
///
/// # Errors
/// What cannot be made, in words.
pub async fn make_folders(pod: &Arc<Pod>) -> Result<(), String> {
    let pod = pod.clone();
    let make = move || {
        let (uid, users) = (pod.metadata.uid.as_deref().unwrap_or_default(), users::first(&pod)?);
        [place::pod(uid), place::run(uid)].into_iter().try_for_each(|folder| {
            sys::file::make_private(&folder, users).map_err(|error| words("make", &folder, &error))
        })
    };
    spawn_blocking(make).await.map_err(|error| error.to_string())?
}

/// Makes a pod's sandbox in its folders, which are there, on this node. What of its names had no room is told beside it.
///
/// # Errors
/// What cannot be done, in words (`FailedCreatePodSandBox`).
pub async fn make(
    pod: &Pod,
    cluster: &names::Cluster,
    own: &Own,
) -> Result<(Sandbox, Vec<(&'static str, String)>), String> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let empty = Default::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err("resourceClaims: devices that are claimed are not supported on this node".to_owned());
    }
    let folder = place::run(&uid);
    cgroup::make(pod, own.cluster.pod_pids_limit)?;
    let users = users::first(pod)?;
    let user = users.map(|first| users::make(first, &folder.join("user")).map(|()| folder.join("user")));
    let user = user.transpose()?;
    let on_node = spec.host_network == Some(true);
    let (network, addresses) = match on_node {
        true => (None, Vec::new()),
        false => {
            let path = namespaces::own_network(user.as_deref(), folder.join("net")).await?;
            let (network, addresses) = connect(pod, own.cluster.pod_network, path.as_deref()).await?;
            (Some(network), addresses)
        }
    };
    let own_ipc = spec.host_ipc != Some(true);
    if own_ipc && !make::is_mounted(&folder.join("shm")) {
        fs::create_dir_all(folder.join("shm")).map_err(|error| words("make", &folder, &error))?;
        make::in_memory(&folder.join("shm"), Some(SHM), 0o1777, None)?;
    }
    let pid = processes::are_shared(pod).then(|| folder.join("pid"));
    if let Some(path) = &pid {
        processes::make(pod, user.as_deref(), path).await?;
    }
    let (ipc, uts) = (own_ipc.then(|| folder.join("ipc")), (!on_node).then(|| folder.join("uts")));
    let named = Namespaces {
        user: user.clone(),
        ipc: ipc.clone(),
        uts: uts.clone(),
        hostname: hostname(pod, cluster)?,
        network: network.clone(),
        sysctls: sysctls(pod, &own.cluster.allowed_sysctls)?,
    };
    named.make().await?;
    let text = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    let (user, ipc, uts, pid) = (text(user), text(ipc), text(uts), text(pid));
    let sandbox = Sandbox { id: new_id(), addresses, network, ipc, uts, pid, users, user, renewed: false };
    let omitted = write_etc(pod, &uid, if on_node { &own.addresses } else { &sandbox.addresses }, cluster)?;
    record(pod, &sandbox)?;
    Ok((sandbox, omitted))
}

/// Has all containers of a pod begin anew in the sandbox that it has: it is the same by another ID.
///
/// # Errors
/// The record cannot be written, in words.
pub fn renew(pod: &Pod, sandbox: Sandbox) -> Result<(), String> {
    record(pod, &Sandbox { id: new_id(), renewed: true, ..sandbox })
}

fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", now.as_nanos())
}

fn record(pod: &Pod, sandbox: &Sandbox) -> Result<(), String> {
    let text = serde_json::to_vec(sandbox).map_err(|error| error.to_string())?;
    let path = place::run(pod.metadata.uid.as_deref().unwrap_or_default()).join("sandbox.json");
    sys::file::replace(&path, &text).map_err(|error| words("write", &path, &error))
}

/// Takes a pod's sandbox away, as far as it was made.
///
/// # Errors
/// What is left, and why, in words.
pub async fn remove(pod: &Pod) -> Result<(), String> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let folder = place::run(&uid);
    // What plugins gave it in another boot is still taken.
    cni::detach(pod).await?;
    if !folder.exists() {
        return Ok(());
    }
    detach(&uid).await?;
    processes::end(pod).await?;
    cgroup::remove(&uid)?;
    unmount_below(&folder)?;
    spawn_blocking(move || remove_folder(&folder)).await.map_err(|error| error.to_string())?
}

/// Takes away what a pod has on the disk, once nothing of it runs. That may be much, and takes its time.
///
/// # Errors
/// What is left, and why, in words.
pub async fn remove_files(pod: &Pod, uid: &str) -> Result<(), String> {
    let (uid, logs) = (uid.to_owned(), place::logs(pod));
    let remove = move || {
        remove_pod(&uid)?;
        remove_folder(&logs)
    };
    spawn_blocking(remove).await.map_err(|error| error.to_string())?
}

fn remove_pod(uid: &str) -> Result<(), String> {
    let folder = place::pod(uid);
    if !folder.exists() {
        return Ok(());
    }
    let images = folder.join(place::IMAGES).exists();
    unmount_below(&folder)?;
    if images {
        // The records go last: an agent that comes after a kill in between finds them.
        volume::image::release()?;
    }
    remove_folder(&folder)
}

fn remove_folder(folder: &Path) -> Result<(), String> {
    match sys::tree::remove(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(words("remove", folder, &error)),
        _ => Ok(()),
    }
}

/// Whether a pod that is over has volumes yet.
pub fn has_volumes(uid: &str) -> bool {
    let folder = place::pod(uid);
    place::VOLUMES.iter().any(|name| folder.join(name).exists())
}

/// Takes away the volumes of a pod that is over, and nothing else of what is known of it.
///
/// # Errors
/// What is left, and why, in words.
pub async fn remove_volumes(uid: &str) -> Result<(), String> {
    let folder = place::pod(uid);
    spawn_blocking(move || remove_volumes_of(&folder)).await.map_err(|error| error.to_string())?
}

/// Takes away what a pod's containers have logged.
///
/// # Errors
/// What is left, and why, in words.
pub async fn remove_logs(pod: &Pod) -> Result<(), String> {
    let logs = place::logs(pod);
    spawn_blocking(move || remove_folder(&logs)).await.map_err(|error| error.to_string())?
}

fn remove_volumes_of(folder: &Path) -> Result<(), String> {
    let images = folder.join(place::IMAGES).exists();
    unmount_below(folder)?;
    if images {
        volume::image::release()?;
    }
    place::VOLUMES.iter().try_for_each(|name| remove_folder(&folder.join(name)))
}

/// Nothing is removed through a mount: it might be the node's own files.
fn unmount_below(folder: &Path) -> Result<(), String> {
    for point in make::mounts_below(folder) {
        umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|error| words("unmount", &point, &error.into()))?;
    }
    match make::mounts_below(folder).first() {
        None => Ok(()),
        Some(point) => Err(format!("unmount {}: something is mounted there again", point.display())),
    }
}

/// The files of its `/etc` that a pod's containers share; tells what is not in them, as events.
fn write_etc(
    pod: &Pod,
    uid: &str,
    addresses: &[IpAddr],
    cluster: &names::Cluster,
) -> Result<Vec<(&'static str, String)>, String> {
    let folder = place::pod(uid);
    fs::create_dir_all(&folder).map_err(|error| words("make", &folder, &error))?;
    let node = fs::read_to_string(spec::paths::RESOLV_CONF).unwrap_or_default();
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        // The one before it may be of containers that ended, and held by a lease of theirs: it is not opened.
        sys::file::replace(&path, text.as_bytes()).map_err(|error| words("write", &path, &error))
    };
    let known = fs::read_to_string("/etc/hosts").ok();
    if let Some(hosts) = names::hosts(pod, addresses, cluster, known.as_deref()) {
        put("etc-hosts", hosts)?;
    }
    let omitted = match names::resolver(pod, cluster, &node) {
        Some(own) => put("resolv.conf", own.text).map(|()| own.omitted)?,
        // It has them from a sandbox before this one.
        None if folder.join("resolv.conf").exists() => Vec::new(),
        None => {
            return Err(
                "services have not yet been read at least once, and with them the cluster's name servers"
                    .to_owned(),
            );
        }
    };
    put("hostname", format!("{}\n", hostname(pod, cluster)?))?;
    Ok(omitted)
}

fn hostname(pod: &Pod, cluster: &names::Cluster) -> Result<String, String> {
    let whole = pod.spec.as_ref().is_some_and(|spec| spec.set_hostname_as_fqdn == Some(true));
    match names::fqdn(pod, cluster).filter(|_| whole) {
        Some(full) if full.len() > 64 => {
            // A kubelet's words.
            let length = full.len();
            Err(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long (64 is the max, \
                 {length} characters requested)"
            ))
        }
        Some(full) => Ok(full),
        None => Ok(container::hostname(pod)),
    }
}

/// Ports of the node that lead to the pod.
fn ports(pod: &Pod) -> Result<Vec<Port>, String> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.into_iter().flat_map(crate::pod::next::containers);
    let ports = sidecars.flat_map(|(_, container)| container.ports.iter().flatten());
    let published = ports.filter_map(|port| Some((port, port.host_port.filter(|own| *own > 0)?)));
    published
        .map(|(port, host)| {
            let address = port.host_ip.as_deref().filter(|own| !matches!(*own, "" | "0.0.0.0" | "::"));
            let address =
                address.map(|own| if own.contains(':') { format!("[{own}]:") } else { format!("{own}:") });
            let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
            format!("{}{host}:{}/{protocol}", address.unwrap_or_default(), port.container_port).parse()
        })
        .collect()
}

/// Connects a pod's network namespace, the one at `netns` or one that is made: its path, and the pod's addresses.
async fn connect(pod: &Pod, by: By, netns: Option<&Path>) -> Result<(String, Vec<IpAddr>), String> {
    let (key, ports) = (pod.metadata.uid.as_deref().unwrap_or_default(), ports(pod)?);
    if by == By::Cluster {
        let namespace = attach(key, netns, Vec::new(), &[]).await?.netns;
        let addresses = cni::attach(pod, &namespace, &ports).await?;
        return Ok((namespace, addresses));
    }
    let attached = attach(key, netns, vec![Membership::of(PODS.parse()?)], &ports).await?;
    let addresses = attached.interfaces.iter().flat_map(|own| own.addresses.iter().map(|cidr| cidr.address));
    let addresses = addresses.collect();
    Ok((attached.netns, addresses))
}

async fn attach(
    key: &str,
    netns: Option<&Path>,
    networks: Vec<Membership>,
    ports: &[Port],
) -> Result<Attached, String> {
    let asked = Attach { networks, ports: ports.to_vec(), ..Attach::default() };
    let input = serde_json::to_vec(&asked).map_err(|error| error.to_string())?;
    let netns: Vec<_> = netns.into_iter().flat_map(|path| [Path::new("--netns"), path]).collect();
    let answer = run("attach", key, &netns, &input).await?;
    serde_json::from_slice(&answer).map_err(|error| format!("read the answer of skerry-network: {error}"))
}

async fn detach(key: &str) -> Result<(), String> {
    run("detach", key, &[], b"").await.map(drop)
}

/// A verb of the network, a short-lived process.
async fn run(verb: &str, key: &str, more: &[&Path], input: &[u8]) -> Result<Vec<u8>, String> {
    let named = |error: io::Error| format!("start {NETWORK}: {}", cause(&error));
    let mut command = Command::new(NETWORK);
    command.args([verb, "--container", key]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(named)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input).await;
    }
    let output = child.wait_with_output().await.map_err(named)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = log.lines().last().unwrap_or("it says nothing");
    Err(line.strip_prefix("skerry-network: ").unwrap_or(line).to_owned())
}

/// Kernel parameters that a pod may set for its own namespaces, and no other: none is the node's.
const SAFE: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// What every network of a pod's own has, as with containerd: who is not root may take ports below 1024, and ping.
const USUAL: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Why a pod's kernel parameters are refused (`SysctlForbidden`); the node may `allow` others beside the safe ones.
pub fn forbidden(pod: &Pod, allow: &[String]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let context = spec.security_context.as_ref()?;
    context.sysctls.iter().flatten().find_map(|own| {
        let name = own.name.replace('/', ".");
        let shared = match NamespaceKind::of_parameter(&name) {
            Some(NamespaceKind::Network) => spec.host_network == Some(true),
            Some(NamespaceKind::Ipc) => spec.host_ipc == Some(true),
            _ => true,
        };
        let safe = SAFE.contains(&name.as_str()) || name.starts_with("net.ipv4.tcp_keepalive_");
        let allowed = safe || allow.iter().any(|own| is_of_pods(own) && takes_in(own, &name));
        (shared || !allowed).then(|| format!("forbidden sysctl: \"{name}\" not allowlisted"))
    })
}

/// A parameter of this name, or all that begin alike (`--allowed-unsafe-sysctls` of a kubelet).
fn takes_in(own: &str, name: &str) -> bool {
    match own.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == own,
    }
}

/// Says which parameters of `cluster.allowed-sysctls` no pod may have all the same: those that are not a network's or an IPC
/// namespace's are the node's.
pub fn say_unfit(allow: &[String]) {
    for own in allow.iter().filter(|own| !is_of_pods(own)) {
        say(format_args!(
            "cluster.allowed-sysctls: {own:?} is the node's: no parameter of a network or of IPC begins so"
        ));
    }
}

fn is_of_pods(own: &str) -> bool {
    let kind = NamespaceKind::of_parameter(own.strip_suffix('*').unwrap_or(own));
    ["kernel.msg*", "kernel.shm*"].contains(&own)
        || matches!(kind, Some(NamespaceKind::Network | NamespaceKind::Ipc))
}

fn sysctls(pod: &Pod, allow: &[String]) -> Result<Vec<(String, String)>, String> {
    if let Some(reason) = forbidden(pod, allow) {
        return Err(reason);
    }
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let all = context.and_then(|context| context.sysctls.as_ref());
    let asked = all.into_iter().flatten().map(|own| (own.name.clone(), own.value.clone()));
    let on_node = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    let own = USUAL.iter().filter(|_| !on_node);
    // What was asked for has the last word.
    Ok(own.map(|&(name, value)| (name.to_owned(), value.to_owned())).chain(asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": spec }))
            .unwrap()
    }

    #[test]
    fn ports_of_the_node_are_asked_for() {
        let of = |port: serde_json::Value| {
            let ports = ports(&pod(json!({ "containers": [{ "name": "m", "ports": [port] }] }))).unwrap();
            ports.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(json!({ "containerPort": 80 })), Vec::<String>::new());
        assert_eq!(of(json!({ "containerPort": 80, "hostPort": 8080 })), ["8080:80"]);
        assert_eq!(
            of(json!({ "containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "::1" })),
            ["[::1]:53:53/udp"]
        );
        assert_eq!(
            of(json!({ "containerPort": 5060, "hostPort": 5060, "protocol": "SCTP" })),
            ["5060:5060/sctp"]
        );
    }

    #[test]
    fn a_pod_that_is_over_keeps_its_record_and_last_words() {
        let folder = std::env::temp_dir().join(format!("skerry-over-{}", std::process::id()));
        for name in ["volumes/kubernetes.io~empty-dir/v", "volume-subpaths/v/m/0", "containers/m"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::create_dir_all(folder.join(place::LOCAL)).unwrap();
        let beside = folder.with_added_extension("beside");
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("kept"), "").unwrap();
        std::os::unix::fs::symlink(&beside, folder.join(place::LOCAL).join("disk")).unwrap();
        fs::write(folder.join("pod.json"), "{}").unwrap();
        for _ in 0..2 {
            remove_volumes_of(&folder).unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|one| one.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["containers", "pod.json"]);
        assert!(beside.join("kept").exists(), "what a link leads to is not the pod's");
        fs::remove_dir_all(&folder).unwrap();
        fs::remove_dir_all(&beside).unwrap();
    }

    #[test]
    fn parameters_of_the_node_are_forbidden() {
        let of = |name: &str, more: serde_json::Value| {
            let mut spec = json!({ "containers": [], "securityContext": { "sysctls": [{ "name": name, "value": "1" }] } });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            forbidden(&pod(spec), &["net.core.somaxconn", "kernel.msg*", "*", "kernel.s*"].map(str::to_owned))
        };
        assert_eq!(of("net.ipv4.tcp_syncookies", json!({})), None);
        assert_eq!(of("kernel.shm_rmid_forced", json!({})), None);
        assert!(of("net.ipv4.tcp_syncookies", json!({ "hostNetwork": true })).is_some());
        assert!(of("kernel.shmmax", json!({})).unwrap().contains("kernel.shmmax"));
        assert_eq!(
            [of("net.core.somaxconn", json!({})), of("kernel/msgmax", json!({}))],
            [None, None],
            "the node allows"
        );
        assert!(of("net.core.somaxconn", json!({ "hostNetwork": true })).is_some());
        assert!(of("net.core.somaxconn_2", json!({})).is_some());
        assert!(of("vm.swappiness", json!({})).is_some());
    }

    #[test]
    fn only_parameters_of_namespaces_can_be_allowed() {
        for own in ["net.core.somaxconn", "net.*", "net.ipv4.*", "kernel.shm*", "kernel.sem", "fs.mqueue.*"] {
            assert!(is_of_pods(own), "{own}");
        }
        for own in ["", "*", "net*", "kernel.*", "vm.swappiness", "kernel.hostname", "net/core/somaxconn"] {
            assert!(!is_of_pods(own), "{own:?}");
        }
    }

    #[test]
    fn who_is_not_root_may_take_low_ports_in_a_network_of_the_pods_own() {
        let of = |spec: serde_json::Value| sysctls(&pod(spec), &[]).unwrap();
        let usual = USUAL.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(of(json!({ "containers": [] })), usual);
        assert_eq!(of(json!({ "containers": [], "hostNetwork": true })), []);
        let own = json!({ "name": USUAL[0].0, "value": "1024" });
        let asked = of(json!({ "containers": [], "securityContext": { "sysctls": [own] } }));
        assert_eq!(asked.last().unwrap().1, "1024", "what the pod asks for comes last");
    }
}
