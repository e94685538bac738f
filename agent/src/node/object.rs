//! The Node object in the API's words (core/v1 Node), as a function of what is known.

use super::eviction::Pressures;
use super::facts::{Left, Machine};
use crate::pod::huge;
use crate::pod::quantity::of_memory;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSwapStatus, NodeSystemInfo,
    Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use spec::node::Cluster;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Most names of an image that are told.
const NAMES: usize = 5;

/// Port of our own server.
pub const PORT: i32 = 10250;

/// What the node has to say of itself.
#[derive(Clone, Debug)]
pub struct State<'a> {
    /// The configuration.
    pub cluster: &'a Cluster,
    /// The node's name.
    pub name: &'a str,
    /// Its addresses, at most one per family; the first is the usual one.
    pub addresses: &'a [IpAddr],
    /// Which version of Kubernetes it is.
    pub version: String,
    /// What the machine is.
    pub machine: &'a Machine,
    /// What is left.
    pub left: Left,
    /// What it is short of.
    pub pressures: Pressures,
    /// Why pods cannot run yet; none when they can.
    pub unready: Option<Cow<'a, str>>,
    /// Images in the store: names and size in bytes.
    pub images: &'a [(Vec<String>, u64)],
    /// Features of the node that the API server asks for by name.
    pub features: &'a [&'a str],
}

fn quantity(number: u64) -> Quantity {
    Quantity(number.to_string())
}

/// What pods may have: all but what is reserved, or set aside in huge pages.
pub fn allocatable_memory(cluster: &Cluster, machine: &Machine) -> u64 {
    let set_aside: u64 = machine.huge_pages.iter().sum();
    machine
        .memory
        .saturating_sub(cluster.reserved_memory.0 + cluster.eviction_memory.0)
        .saturating_sub(set_aside)
}

/// Thousandths of processors that pods may have.
pub fn allocatable_cpus(cluster: &Cluster, machine: &Machine) -> u64 {
    (machine.cpus * 1000).saturating_sub((cluster.reserved_cpus * 1000.0).round().max(0.0) as u64)
}

/// Bytes of the data disk that pods may have: all but what is spared.
pub fn allocatable_disk(cluster: &Cluster, left: &Left) -> u64 {
    left.disk_size - left.disk_size / 100 * u64::from(cluster.eviction_disk.min(100))
}

fn resources(state: &State<'_>, own: bool) -> BTreeMap<String, Quantity> {
    let State { cluster, machine, left, .. } = state;
    let (cpu, memory, disk) = match own {
        true => (quantity(machine.cpus), machine.memory, left.disk_size),
        false => {
            let cpus = Quantity(format!("{}m", allocatable_cpus(cluster, machine)));
            (cpus, allocatable_memory(cluster, machine), allocatable_disk(cluster, left))
        }
    };
    let huge = huge::SIZES.iter().zip(machine.huge_pages);
    let huge = huge.map(|(size, bytes)| (size.resource.to_owned(), Quantity(of_memory(bytes))));
    let mut all = BTreeMap::from([
        ("cpu".to_owned(), cpu),
        ("memory".to_owned(), Quantity(format!("{}Ki", memory / 1024))),
        (
            "ephemeral-storage".to_owned(),
            if own { Quantity(format!("{}Ki", disk / 1024)) } else { quantity(disk) },
        ),
        ("pods".to_owned(), quantity(cluster.max_pods.into())),
    ]);
    all.extend(huge);
    all
}

/// The four conditions, with the times of those of before that say the same.
fn conditions(state: &State<'_>, before: &[NodeCondition], now: &Time) -> Vec<NodeCondition> {
    let Pressures { memory, disk, pids } = state.pressures;
    let pressure = |kind: &str, is: bool, yes: [&str; 2], no: [&str; 2]| {
        let [reason, message] = if is { yes } else { no };
        (kind.to_owned(), is, reason.to_owned(), message.to_owned())
    };
    let ready = match &state.unready {
        None => {
            ("Ready".to_owned(), true, "KubeletReady".to_owned(), "skerry is posting ready status".to_owned())
        }
        Some(why) => ("Ready".to_owned(), false, "KubeletNotReady".to_owned(), why.clone().into_owned()),
    };
    let all = [
        pressure(
            "MemoryPressure",
            memory,
            ["KubeletHasInsufficientMemory", "the node has insufficient memory available"],
            ["KubeletHasSufficientMemory", "the node has sufficient memory available"],
        ),
        pressure(
            "DiskPressure",
            disk,
            ["KubeletHasDiskPressure", "the node has disk pressure"],
            ["KubeletHasNoDiskPressure", "the node has no disk pressure"],
        ),
        pressure(
            "PIDPressure",
            pids,
            ["KubeletHasInsufficientPID", "the node has insufficient PID available"],
            ["KubeletHasSufficientPID", "the node has sufficient PID available"],
        ),
        ready,
    ];
    let made = all.into_iter().map(|(kind, is, reason, message)| {
        let status = if is { "True" } else { "False" };
        let same = before.iter().find(|one| one.type_ == kind && one.status == status);
        NodeCondition {
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: same
                .and_then(|one| one.last_transition_time.clone())
                .or_else(|| Some(now.clone())),
            type_: kind,
            status: status.to_owned(),
            reason: Some(reason),
            message: Some(message),
        }
    });
    made.collect()
}

/// `status`, as it is to be by now; `before` is what the API server had.
pub fn status(state: &State<'_>, before: &[NodeCondition], now: &Time) -> NodeStatus {
    let machine = state.machine;
    let address = |kind: &str, text: String| NodeAddress { type_: kind.to_owned(), address: text };
    let mut addresses: Vec<_> =
        state.addresses.iter().map(|own| address("InternalIP", own.to_string())).collect();
    addresses.push(address("Hostname", state.name.to_owned()));
    let images = state.images.iter().map(|(names, size)| ContainerImage {
        names: Some(names.iter().take(NAMES).cloned().collect()),
        size_bytes: Some((*size).try_into().unwrap_or(i64::MAX)),
    });
    NodeStatus {
        capacity: Some(resources(state, true)),
        allocatable: Some(resources(state, false)),
        conditions: Some(conditions(state, before, now)),
        addresses: Some(addresses),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: PORT }) }),
        declared_features: (!state.features.is_empty())
            .then(|| state.features.iter().map(|&one| one.to_owned()).collect()),
        images: Some(images.collect()),
        features: Some(NodeFeatures { supplemental_groups_policy: Some(true) }),
        runtime_handlers: Some(vec![NodeRuntimeHandler {
            name: Some(String::new()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(true),
                user_namespaces: Some(true),
            }),
        }]),
        node_info: Some(NodeSystemInfo {
            architecture: "amd64".to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: concat!("skerry://", env!("CARGO_PKG_VERSION")).to_owned(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: state.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os.clone(),
            system_uuid: machine.system_uuid.clone(),
            swap: (machine.swap > 0)
                .then(|| NodeSwapStatus { capacity: Some(machine.swap.try_into().unwrap_or(i64::MAX)) }),
        }),
        ..NodeStatus::default()
    }
}

/// Labels that every node has, whatever anybody says.
pub fn usual_labels(name: &str) -> BTreeMap<String, String> {
    let usual = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", "amd64"),
    ];
    usual.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Those, and those of the configuration.
pub fn labels(cluster: &Cluster, name: &str) -> BTreeMap<String, String> {
    let mut labels = cluster.labels.clone();
    labels.extend(usual_labels(name));
    labels
}

/// The podCIDRs of an object.
pub fn subnets(node: &Node) -> Vec<String> {
    let spec = node.spec.clone().unwrap_or_default();
    spec.pod_cidrs.unwrap_or_else(|| spec.pod_cidr.into_iter().collect())
}

/// The object as it is made when there is none; without podCIDRs the cluster gives it some.
pub fn new(state: &State<'_>, subnets: Vec<String>, now: &Time) -> Node {
    let taint = |one: &spec::node::Taint| Taint {
        key: one.key.clone(),
        value: one.value.clone(),
        effect: one.effect.clone(),
        time_added: None,
    };
    let managed = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
    Node {
        metadata: ObjectMeta {
            name: Some(state.name.to_owned()),
            labels: Some(labels(state.cluster, state.name)),
            annotations: Some(BTreeMap::from([managed])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(state.cluster.taints.iter().map(taint).collect()),
            pod_cidr: subnets.first().cloned(),
            pod_cidrs: Some(subnets).filter(|all| !all.is_empty()),
            ..NodeSpec::default()
        }),
        status: Some(status(state, &[], now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_condition_keeps_the_time_when_it_came() {
        let (cluster, machine) =
            (Cluster::default(), Machine { cpus: 2, memory: 64 << 20, ..Machine::default() });
        let left = Left { disk_size: 1000, ..Left::default() };
        let mut state = State {
            cluster: &cluster,
            name: "n1",
            addresses: &["10.0.0.1".parse().unwrap()],
            version: "v1.36.0".to_owned(),
            machine: &machine,
            left,
            pressures: Pressures::default(),
            unready: Some("no pod network yet".into()),
            images: &[],
            features: &[],
        };
        let of = |status: &NodeStatus, kind: &str| {
            status.conditions.iter().flatten().find(|one| one.type_ == kind).cloned().unwrap()
        };
        let first = status(&state, &[], &at(1));
        assert_eq!(
            (of(&first, "Ready").status.as_str(), of(&first, "DiskPressure").status.as_str()),
            ("False", "False")
        );
        state.unready = None;
        state.pressures.disk = true;
        let second = status(&state, first.conditions.as_deref().unwrap(), &at(2));
        assert_eq!(of(&second, "Ready").last_transition_time, Some(at(2)));
        assert_eq!(
            (of(&second, "DiskPressure").status.as_str(), of(&second, "PIDPressure").last_transition_time),
            ("True", Some(at(1)))
        );
        let given = second.allocatable.unwrap();
        assert_eq!((given["memory"].0.as_str(), given["cpu"].0.as_str()), ("32768Ki", "2000m"));
        assert_eq!(second.capacity.unwrap()["cpu"].0, "2");
        let machine = Machine { memory: 128 << 20, huge_pages: [64 << 20, 0], ..machine.clone() };
        let told = status(&State { machine: &machine, ..state }, &[], &at(3));
        let of = |all: &Option<BTreeMap<String, Quantity>>, key: &str| all.as_ref().unwrap()[key].0.clone();
        assert_eq!(of(&told.allocatable, "hugepages-2Mi"), "64Mi");
        assert_eq!(
            (of(&told.capacity, "hugepages-1Gi"), of(&told.capacity, "memory")),
            ("0".into(), "131072Ki".into())
        );
        assert_eq!(of(&told.allocatable, "memory"), "32768Ki", "what is set aside is no other memory");
    }

    #[test]
    fn swap_and_some_names_of_images_are_told() {
        let (cluster, machine) = (Cluster::default(), Machine { swap: 1 << 20, ..Machine::default() });
        let names: Vec<String> = (0..7).map(|number| format!("r/web:{number}")).collect();
        let state = State {
            cluster: &cluster,
            name: "n1",
            addresses: &[],
            version: String::new(),
            machine: &machine,
            left: Left::default(),
            pressures: Pressures::default(),
            unready: None,
            images: &[(names.clone(), 7)],
            features: &[],
        };
        let told = status(&state, &[], &at(1));
        assert_eq!(told.node_info.unwrap().swap.unwrap().capacity, Some(1 << 20));
        assert_eq!(told.images.unwrap()[0].names.as_deref(), Some(&names[..5]));
    }

    #[test]
    fn what_the_configuration_says_is_on_the_new_object() {
        let cluster = Cluster {
            labels: BTreeMap::from([("a".into(), "b".into()), ("kubernetes.io/os".into(), "plan9".into())]),
            taints: vec!["k=v:NoSchedule".parse().unwrap()],
            ..Cluster::default()
        };
        let labels = labels(&cluster, "n1");
        assert_eq!((labels["a"].as_str(), labels["kubernetes.io/os"].as_str()), ("b", "linux"));
    }
}
