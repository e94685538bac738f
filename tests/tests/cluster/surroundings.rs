//! What surrounds the containers of a pod: files that change, processes, users.

use super::pods::namespace;
use std::time::{Duration, Instant};
use tests::{Cluster, Result};

const SEEN: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: words, namespace: seen }
data: { word: first }
---
apiVersion: v1
kind: Pod
metadata: { name: seen, namespace: seen }
spec:
  nodeName: sees
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  containers:
  - name: one
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "11111"]
  - name: other
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "22222"]
    volumeMounts: [{ name: words, mountPath: /words }]
  volumes: [{ name: words, configMap: { name: words } }]
"#;

const OWN: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: own, namespace: seen }
spec:
  nodeName: sees
  terminationGracePeriodSeconds: 1
  hostUsers: false
  shareProcessNamespace: true
  securityContext: { fsGroup: 77 }
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo mine >/data/page; exec httpd -f -h /data']
    volumeMounts: [{ name: words, mountPath: /words }, { name: data, mountPath: /data }]
    readinessProbe: { httpGet: { path: /page, port: 80 } }
  - name: rules
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "44444"]
    securityContext: { capabilities: { add: [NET_ADMIN] } }
  volumes: [{ name: words, configMap: { name: words } }, { name: data, emptyDir: {} }]
"#;

/// A container that mounts for the others, one that follows what is mounted, and one that does not.
const MOUNTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: mounts, namespace: seen }
spec:
  nodeName: sees
  terminationGracePeriodSeconds: 1
  containers:
  - name: gives
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "44444"]
    securityContext: { privileged: true }
    volumeMounts: [{ name: between, mountPath: /between, mountPropagation: Bidirectional }]
  - name: takes
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "44444"]
    volumeMounts: [{ name: between, mountPath: /between, mountPropagation: HostToContainer }]
  - name: neither
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "44444"]
    volumeMounts: [{ name: between, mountPath: /between }]
  - name: part
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'until [ -e /end ]; do sleep 0.2; done']
    volumeMounts: [{ name: between, mountPath: /part, subPath: part }]
  volumes: [{ name: between, hostPath: { path: /var/between, type: DirectoryOrCreate } }]
"#;

/// The first process of the pod's PID namespace, as the node numbers it.
const PAUSE: &str = "cat /sys/fs/cgroup/kubepods/besteffort/pod*/pause/cgroup.procs";

#[test]
#[ignore = "long"]
fn containers_of_a_pod_see_each_other_and_files_that_change() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("sees")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/sees --timeout=1s")?;
    cluster.kubectl("create namespace seen")?;
    cluster.run_until("kubectl -n seen get serviceaccount default")?;
    cluster.apply(SEEN)?;
    cluster.run_until("kubectl -n seen wait --for=condition=Ready pod/seen --timeout=1s")?;
    let restarts = "kubectl -n seen get pod seen -o jsonpath='{.status.containerStatuses[*].restartCount}'";
    let exec = |line: &str| format!("kubectl -n seen exec seen -c other -- sh -c '{line}'");

    cluster.kubectl(r#"-n seen patch configmap words -p '{"data":{"word":"second"}}'"#)?;
    let changed = Instant::now();
    cluster.run_until(&exec("grep second /words/word"))?;
    let took = changed.elapsed();
    assert!(took < Duration::from_secs(20), "a ConfigMap's change took {took:?}");

    let seen = cluster.run(&exec("tr \"\\0\" \" \" </proc/1/cmdline; echo; ps -o args"))?;
    assert!(seen.starts_with("/pause") && seen.contains("sleep 11111"), "{seen}");
    // An orphan ends, and nobody of the containers would reap it.
    cluster.run(&exec("(sleep 0 & exec true); (sleep 0 &)"))?;
    cluster.run_until(&exec("! ps -o stat | grep Z"))?;
    let pss = format!("grep ^Pss: /proc/$({PAUSE})/smaps_rollup | awk '{{ print $2 }}'");
    let pss: u32 = node.run(&pss)?.trim().parse()?;
    assert!(pss <= 20, "the first process takes {pss} kB");

    let pause = node.run(PAUSE)?;
    node.end_service("skerry-agent", "KILL")?;
    cluster.run_until(&exec("true"))?;
    assert_eq!((node.run(PAUSE)?, cluster.run(restarts)?), (pause.clone(), "0 0".to_owned()));
    node.run(&format!("kill -KILL {}", pause.trim()))?;
    cluster.run_until(&format!("{restarts} | grep -x '1 1'"))?;
    cluster.run_until(&exec("ps -o args | grep -x \"sleep 11111\""))?;
    assert_ne!(node.run(PAUSE)?, pause);
    cluster.apply(OWN)?;
    cluster.run_until("kubectl -n seen wait --for=condition=Ready pod/own --timeout=1s")?;
    let inside = cluster.kubectl(
        "-n seen exec own -- sh -c 'tr -s \" \" </proc/self/uid_map; id -u; stat -c %u:%g /bin/sh /data /data/page; cat /words/word'",
    )?;
    assert_eq!(inside, " 0 65536 65536\n0\n0:0\n0:77\n0:77\nsecond");
    let nodes = "cat /proc/$(pidof httpd)/status | grep ^Uid; stat -c %u:%g /var/lib/kubelet/pods/*/volumes/*/data/page";
    assert_eq!(node.run(nodes)?, "Uid:\t65536\t65536\t65536\t65536\n0:77\n");
    // Its namespaces belong to its users: what it may there it may do, to its own network, and nothing else.
    let of_own = |container: &str, line: &str| {
        cluster.run(&format!("kubectl -n seen exec own -c {container} -- sh -c '{line}' 2>&1"))
    };
    let rules =
        "ip link set lo mtu 1400 && ip link show lo | grep -o \"mtu 1400\"; ip link show eth0 | grep -c mtu";
    assert_eq!(of_own("rules", rules)?, "mtu 1400\n1\n");
    assert!(of_own("main", "ip link set lo mtu 1500; :")?.contains("not permitted"));
    assert_eq!(node.run("ip link show lo | grep -o 'mtu [0-9]*'")?, "mtu 65536\n");
    let processes = of_own(
        "rules",
        "tr \"\\0\" \" \" </proc/1/cmdline; echo; ps -o user,args; grep -c /dev/mqueue /proc/mounts",
    )?;
    assert!(processes.starts_with("/pause") && processes.ends_with("\n1\n"), "{processes}");
    assert!(processes.contains("root     httpd -f -h /data"), "{processes}");
    let users = "ls -Li /run/skerry/agent/pods/*/user /proc/$(pidof httpd)/ns/user | awk '{ print $1 }' | sort -u | grep -c .";
    assert_eq!(node.run(users)?, "1\n", "its containers share one user namespace");

    node.run("mkdir -p /var/between/part/deep && mount -t tmpfs deep /var/between/part/deep && echo >/var/between/part/deep/file")?;
    cluster.apply(MOUNTS)?;
    cluster.run_until("kubectl -n seen wait --for=condition=Ready pod/mounts --timeout=1s")?;
    let within = |container: &str, line: &str| {
        cluster.run(&format!("kubectl -n seen exec mounts -c {container} -- sh -c '{line}'"))
    };
    within("gives", "mkdir /between/a /between/b && mount -t tmpfs a /between/a")?;
    node.run("mount -t tmpfs b /var/between/b")?;
    let seen = "grep -c \" /between/[ab] \" /proc/self/mountinfo || :";
    for (container, count) in [("gives", "2"), ("takes", "2"), ("neither", "0")] {
        assert_eq!(within(container, seen)?.trim(), count, "{container}");
    }
    assert_eq!(node.run("grep -c ' /var/between/[ab] ' /proc/mounts")?, "2\n");
    // A part of the volume is mounted anew for each start, and what is mounted in it stays.
    within("part", "touch /end")?;
    cluster
        .run_until("kubectl -n seen exec mounts -c part -- sh -c '[ ! -e /end ] && ls /part/deep/file'")?;
    cluster.kubectl("-n seen delete pod seen own mounts --timeout=300s")?;
    assert_eq!(node.run("ls /var/between/part/deep")?, "file\n");
    node.run("umount /var/between/a /var/between/b /var/between/part/deep")?;
    node.run_until(&format!("! {PAUSE} 2>/dev/null"))?;
    node.power_off()
}

const HUGE: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: huge, namespace: huge }
spec:
  nodeSelector: { kubernetes.io/hostname: huge }
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, '100000']
    resources: { limits: { cpu: 10m, memory: 16Mi, hugepages-2Mi: 4Mi } }
    volumeMounts: [{ name: pages, mountPath: /pages }]
  volumes: [{ name: pages, emptyDir: { medium: HugePages } }]
"#;

#[test]
#[ignore = "long"]
fn a_pod_has_the_huge_pages_that_it_asks_for() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("huge")?.boot()?;
    let ready = "kubectl wait --for=condition=Ready node/huge --timeout=1s";
    cluster.run_until(ready)?;
    // As the kernel's command line would.
    node.run("echo 8 >/proc/sys/vm/nr_hugepages && grep -x 8 /proc/sys/vm/nr_hugepages")?;
    node.end_service("skerry-agent", "KILL")?;
    cluster.run_until(
        "kubectl get node huge -o jsonpath='{.status.allocatable.hugepages-2Mi}' | grep -x 16Mi",
    )?;
    namespace(&cluster, "huge")?;
    cluster.apply(HUGE)?;
    cluster.run_until("kubectl -n huge wait --for=condition=Ready pod/huge --timeout=1s")?;
    let of = |line: &str| cluster.run(&format!("kubectl -n huge exec huge -- sh -c '{line}'"));
    assert_eq!(of("cat /sys/fs/cgroup/hugetlb.2MB.max")?, "4194304\n");
    assert!(
        of("grep \" /pages \" /proc/mounts")?
            .contains("hugetlbfs rw,nosuid,nodev,relatime,mode=1777,pagesize=2M")
    );
    node.run("grep -x 4194304 /sys/fs/cgroup/kubepods/pod*/hugetlb.2MB.max")?;
    cluster.kubectl("delete namespace huge --wait=true --timeout=300s")?;
    node.run_until("! grep hugetlbfs /proc/mounts")?;
    node.power_off()
}
