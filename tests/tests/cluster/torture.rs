//! Pods that come and go at random while our programs are killed. In the end the node holds what the API server says, and
//! nothing else.

use crate::pods::TRACES;
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::{Cluster, Result, given};

/// What else the node has that pods might leave behind: links and addresses, mounts, cgroups but for those of services, which begin
/// anew in another where the old one is not empty yet, and what its tables say of
/// its own pods and their ports; of other nodes and of Services they say more as those come and go, and the tunnel is there
/// while there are other nodes.
const WHOLE: &str = "nft list ruleset | tr , '\\n' | grep -v -e / -e '[0-9]-[0-9]' | grep -c -e ' 20[0-9][0-9][0-9] ' -e PODS; \
     ip -brief address | grep -vc skerry-vxlan; grep -c . /proc/mounts; find /sys/fs/cgroup -type d | grep -v -e kubepods -e /system/ | grep -c .";

#[test]
fn pods_come_and_go_while_our_programs_are_killed() -> Result {
    let rounds = given("SKERRY_TORTURE_PODS")?.unwrap_or(40);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut seed = given("SKERRY_TORTURE_SEED")?.unwrap_or(clock);
    println!("{rounds} rounds; SEED={seed}");
    let mut below = |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    let cluster = Cluster::shared()?;
    let node = cluster.bare("torture", cluster.server())?;
    cluster.run_until("kubectl wait --for=condition=Ready node/torture --timeout=1s")?;
    cluster.kubectl("create namespace torture")?;
    cluster.run_until("kubectl -n torture get serviceaccount default")?;
    cluster.kubectl("-n torture create configmap some --from-literal=a=b")?;
    let subnet = cluster.kubectl("get node torture -o jsonpath={.spec.podCIDR}")?;
    let of_pods = subnet.trim_end_matches("0/24").replace('.', "[.]");
    let look_whole = WHOLE.replace("PODS", &of_pods);
    let (traces, whole) = (node.run(&format!("{TRACES} || :"))?, node.run(&look_whole)?);
    let (mut there, mut killed) = (BTreeSet::new(), Instant::now());
    for round in 0..rounds {
        if there.is_empty() || below(2) == 0 {
            cluster.apply(&pod(round))?;
            there.insert(round);
        } else {
            let which = there.iter().nth(below(there.len() as u64) as usize).copied().unwrap_or_default();
            there.remove(&which);
            let force = if below(4) == 0 { "--force --grace-period=0" } else { "" };
            cluster.kubectl(&format!("-n torture delete pod box-{which} --wait=false {force}"))?;
        }
        if killed.elapsed() > Duration::from_secs(2) {
            let program = ["skerry-agent", "skerry-monitor", "skerry-network"][below(3) as usize];
            // Somebody who is not back yet cannot be killed.
            let _ = node.kill(program);
            killed = Instant::now();
        }
        sleep(Duration::from_millis(below(300)));
    }
    for one in &there {
        cluster.run_until(&format!(
            "kubectl -n torture wait --for=condition=Ready pod/box-{one} --timeout=1s"
        ))?;
    }
    let names = there.iter().map(|one| format!("box-{one}")).collect::<BTreeSet<_>>();
    let look = "kubectl -n torture get pod --no-headers -o custom-columns=N:.metadata.name";
    let count = names.len();
    let told = cluster.run_until(&format!("[ $({look} | grep -c box) = {count} ] && {look}"))?;
    assert_eq!(told.lines().map(str::to_owned).collect::<BTreeSet<_>>(), names);
    node.run_until(&format!("[ $(ls /var/lib/kubelet/pods | grep -c .) = {count} ]"))?;
    node.run_until(&format!("[ $(pgrep -cxf 'sleep 500000') = {count} ]"))?;
    cluster.kubectl("-n torture delete pod --all --timeout=300s")?;
    node.run_until(&format!("[ \"$({TRACES})\" = '{}' ] || {{ {TRACES}; exit 1; }} >&2", traces.trim()))?;
    node.run_until(&format!(
        "[ \"$({look_whole})\" = '{}' ] || {{ {look_whole}; exit 1; }} >&2",
        whole.trim()
    ))
    .map(drop)
}

fn pod(number: u64) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "box-{number}", "namespace": "torture" }}, "spec": {{
            "nodeName": "torture", "terminationGracePeriodSeconds": 1,
            "volumes": [{{ "name": "a", "configMap": {{ "name": "some" }} }}, {{ "name": "b", "emptyDir": {{}} }}],
            "containers": [{{ "name": "main", "image": "busybox", "imagePullPolicy": "Never",
                "volumeMounts": [{{ "name": "a", "mountPath": "/a" }}, {{ "name": "b", "mountPath": "/b" }}],
                "ports": [{{ "containerPort": 80, "hostPort": {} }}],
                "command": ["sh", "-c", "exec sleep 500000"] }}] }} }}"#,
        20_000 + number
    )
}
