//! How small a worker may be, on the tuned kernel.
//!
//! The node has no probe: on a microvm the queues of its channel take 8 MiB. A pod looks, as a user's would.

use tests::{Board, Cluster, Image, Result, tuned_kernel};

/// Sees every process of the node.
const POD: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "box", "namespace": "small" },
    "spec": { "nodeName": "small", "hostPID": true, "terminationGracePeriodSeconds": 1, "containers": [{
        "name": "main", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "100000"],
        "securityContext": { "privileged": true }
    }] }
}"#;

/// Of our programs at work, from `/proc/PID/smaps_rollup`: kB together.
const OURS: &str = "for pid in 1 $(pidof exe skerry-agent skerry-monitor skerry-network); do \
     grep ^Pss: /proc/$pid/smaps_rollup; done | awk '{ sum += $2 } END { print sum }'";

/// The most that they may take, in kB.
const LIMIT: u32 = 20 * 1024;

/// What is left for more pods at least, in kB: with less than 8 MiB the node evicts them.
const LEFT: u32 = 12 * 1024;

#[test]
fn a_worker_of_64_mib_is_ready_and_runs_a_pod() -> Result {
    let cluster = Cluster::shared()?;
    let image = Image::empty().container("busybox").skerry().agent().kernel(tuned_kernel("vmlinux")?);
    let node = cluster.node("small")?.image(image).board(Board::Microvm).memory(64).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/small --timeout=1s")?;
    cluster.kubectl("create namespace small")?;
    cluster.run_until("kubectl -n small get serviceaccount default")?;
    cluster.apply(POD)?;
    cluster.run_until("kubectl -n small wait --for=condition=Ready pod/box --timeout=1s")?;
    let says =
        |command: &str| cluster.run_until(&format!("kubectl -n small exec box -- sh -c \"{command}\""));
    // However little memory there is, a busy Service's connections fit.
    assert_eq!(says("cat /proc/sys/net/netfilter/nf_conntrack_max")?, "131072\n");
    let processes = says("ps")?;
    let ours: u32 = says(&OURS.replace('$', "\\$"))?.trim().parse()?;
    assert!((1024..LIMIT).contains(&ours), "our programs take {ours} kB:\n{processes}");
    let memory = says("cat /proc/meminfo")?;
    let left: u32 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix("kB")?.trim().parse().ok())
        .expect("a line MemAvailable");
    println!("our programs take {ours} kB, {left} kB are left");
    assert!(left >= LEFT, "{left} kB are left:\n{memory}\n{processes}");
    node.power_off()
}
