//! A node that runs short.

use tests::{Cluster, Result};

/// Three pods: one asks for what it takes, one takes more and more of the memory, one comes too late.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: modest, namespace: short }
spec:
  nodeName: short
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "100000"]
    resources: { requests: { memory: 16Mi } }
---
apiVersion: v1
kind: Pod
metadata: { name: greedy, namespace: short }
spec:
  nodeName: short
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'n=0; while :; do n=$((n+1)); dd if=/dev/zero of=/memory/$n bs=1M count=8 2>/dev/null; sleep 0.3; done']
    volumeMounts: [{ name: memory, mountPath: /memory }]
  volumes: [{ name: memory, emptyDir: { medium: Memory } }]
"#;

#[test]
#[ignore = "long"]
fn who_takes_more_than_was_asked_for_is_evicted() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node_and("short", "eviction-memory = \"256M\"\n")?.memory(512).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/short --timeout=1s")?;
    cluster.kubectl("create namespace short")?;
    cluster.run_until("kubectl -n short get serviceaccount default")?;
    cluster.apply(PODS)?;
    let of = |pod: &str, path: &str| format!("kubectl -n short get pod {pod} -o jsonpath='{{{path}}}'");
    cluster.run_until(&format!("{} | grep -x Failed", of("greedy", ".status.phase")))?;
    assert_eq!(cluster.run(&of("greedy", ".status.reason"))?, "Evicted");
    let words = cluster.run(&of("greedy", ".status.message"))?;
    assert!(words.starts_with("The node was low on resource: memory."), "{words}");
    let target = ".status.conditions[?(@.type==\"DisruptionTarget\")].reason";
    assert_eq!(cluster.run(&of("greedy", target))?, "TerminationByKubelet");
    cluster.run_until("kubectl -n short get events -o jsonpath='{.items[*].reason}' | grep Evicted")?;
    cluster.run_until(
        "kubectl get node short -o jsonpath='{.status.conditions[?(@.type==\"MemoryPressure\")].status} \
         {.spec.taints[*].key}' | grep 'True .*memory-pressure'",
    )?;
    assert_eq!(cluster.run(&of("modest", ".status.phase"))?, "Running");
    // What it took is free again, so nobody else has to go.
    node.run_until(
        "! grep kubernetes.io~empty-dir /proc/mounts && ! ls -d /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir",
    )?;
    assert_eq!(node.run("cat /sys/fs/cgroup/kubepods/memory.swap.max")?, "0\n");
    let swap = "kubectl -n short exec modest -- cat /sys/fs/cgroup/memory.swap.max";
    cluster.run_until(&format!("{swap} | grep -x 0"))?;
    node.run("grep -vx max /sys/fs/cgroup/kubepods/memory.max")?;
    // The condition stands: who asks for nothing is refused.
    let place = r#"{"spec":{"nodeName":"short"}}"#;
    cluster.kubectl(&format!(
        "-n short run late --image=busybox --image-pull-policy=Never --restart=Never --overrides='{place}' -- true"
    ))?;
    cluster.run_until(&format!(
        "{} | grep -x 'Failed The node had condition: \\[MemoryPressure\\].'",
        of("late", ".status.phase} {.status.message")
    ))?;
    assert_eq!(cluster.run(&of("modest", ".status.phase"))?, "Running");
    // The kernel's own way out, when no memory is left at all.
    node.run("! (echo 1000 >/proc/self/oom_score_adj; exec tail /dev/zero)")?;
    let told = "kubectl get events --field-selector involvedObject.name=short,reason=SystemOOM";
    cluster
        .run_until(&format!("{told} | grep 'System OOM encountered, victim process: tail, pid: [0-9]'"))?;
    node.power_off()
}
