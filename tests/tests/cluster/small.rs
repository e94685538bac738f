//! How small a worker may be, on the tuned kernel.

use tests::{Board, Cluster, Image, Result, tuned_kernel};

/// Of our programs at work, from `/proc/PID/smaps_rollup`: kB each.
const OURS: &str = "for pid in $(pidof init skerry-agent skerry-monitor skerry-network); do \
     grep ^Pss: /proc/$pid/smaps_rollup; done | awk '{ sum += $2 } END { print sum }'";

/// The most that they may take, in kB.
const LIMIT: u32 = 20 * 1024;

#[test]
fn a_worker_of_64_mib_is_ready_and_runs_a_pod() -> Result {
    let cluster = Cluster::shared()?;
    let image = Image::worker().kernel(tuned_kernel("vmlinux")?);
    let node = cluster.node("small")?.image(image).board(Board::Microvm).memory(64).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/small --timeout=1s")?;
    let ours = || -> Result<u32> { Ok(node.run(OURS)?.trim().parse()?) };
    let alone = ours()?;
    assert!(alone < LIMIT, "without a pod our programs take {alone} kB");
    cluster.kubectl("create namespace small")?;
    cluster.run_until("kubectl -n small get serviceaccount default")?;
    let place = r#"{"spec":{"nodeName":"small"}}"#;
    cluster.kubectl(&format!(
        "-n small run box --image=busybox --image-pull-policy=Never --overrides='{place}' -- sleep 100000"
    ))?;
    cluster.run_until("kubectl -n small wait --for=condition=Ready pod/box --timeout=1s")?;
    assert_eq!(cluster.run_until("kubectl -n small exec box -- echo here")?, "here\n");
    // However little memory there is, a busy Service's connections fit.
    assert_eq!(node.run("cat /proc/sys/net/netfilter/nf_conntrack_max")?, "131072\n");
    let beside = ours()?;
    assert!(beside < LIMIT, "beside a pod our programs take {beside} kB");
    node.power_off()
}
