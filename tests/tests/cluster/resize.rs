//! Pods that get other resources while they run.

use tests::{Cluster, Result, Running};

/// One that has them changed in place, with a container that begins anew for other memory; and one that stands in its way.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: sized, namespace: sized }
spec:
  nodeName: sizes
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "300001"]
    resources: { requests: { cpu: 100m, memory: 32Mi }, limits: { cpu: 200m, memory: 64Mi } }
    volumeMounts: [{ name: memory, mountPath: /memory }]
  - name: anew
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "300002"]
    resources: { requests: { cpu: 100m, memory: 16Mi }, limits: { cpu: 100m, memory: 32Mi } }
    resizePolicy: [{ resourceName: memory, restartPolicy: RestartContainer }]
  volumes: [{ name: memory, emptyDir: { medium: Memory } }]
---
apiVersion: v1
kind: Pod
metadata: { name: other, namespace: sized }
spec:
  nodeName: sizes
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "300003"]
    resources: { requests: { cpu: 600m } }
"#;

/// The whole node has one processor.
struct Sized {
    cluster: Cluster,
    node: Running,
}

impl Sized {
    /// Has a container of the pod have other resources.
    fn patch(&self, container: &str, resources: &str) -> Result {
        let words = format!(
            "-n sized patch pod sized --subresource resize --type strategic -p \
             '{{\"spec\":{{\"containers\":[{{\"name\":\"{container}\",\"resources\":{resources}}}]}}}}'"
        );
        self.cluster.kubectl(&words).map(drop)
    }

    /// What the API server says of the pod.
    fn of(path: &str) -> String {
        format!("kubectl -n sized get pod sized -o jsonpath='{{{path}}}'")
    }

    /// The status of a container: limits that hold, and how often it began anew.
    fn told(&self, container: &str, words: &str) -> Result {
        let own = format!(".status.containerStatuses[?(@.name==\"{container}\")]");
        let path =
            format!("{own}.resources.limits.cpu}} {{{own}.resources.limits.memory}} {{{own}.restartCount");
        self.cluster.run_until(&format!("{} | grep -x '{words}'", Self::of(&path))).map(drop)
    }

    /// No condition of a resize stands, and all that was wanted has been seen.
    fn is_quiet(&self) -> Result {
        let path = ".status.conditions[*].type} {.metadata.generation} {.status.observedGeneration";
        let ask = format!("{} | grep -v Resize | grep -E ' ([0-9]+) \\1$'", Self::of(path));
        self.cluster.run_until(&ask).map(drop)
    }

    /// Files of the cgroup of the pod, or of the one in which a program of these arguments runs, on the node.
    fn cgroup(&self, program: &str, files: &str) -> Result<String> {
        let up = if program.is_empty() { "/.." } else { "" };
        let program = if program.is_empty() { "300001" } else { program };
        let ask = format!(
            "for own in $(pidof sleep); do grep -zqx {program} /proc/$own/cmdline && break; done; \
             cd /sys/fs/cgroup$(sed 's/^0:://' /proc/$own/cgroup){up} && cat {files}"
        );
        Ok(self.node.run(&ask)?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn condition(&self, kind: &str, words: &str) -> Result {
        let path = format!(".status.conditions[?(@.type==\"{kind}\")].reason");
        self.cluster.run_until(&format!("{} | grep -x '{words}'", Self::of(&path))).map(drop)
    }
}

#[test]
#[ignore = "long"]
fn a_pod_gets_other_resources_while_it_runs() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("sizes")?.cpus(1).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/sizes --timeout=1s")?;
    cluster.kubectl("create namespace sized")?;
    cluster.run_until("kubectl -n sized get serviceaccount default")?;
    cluster.apply(PODS)?;
    cluster.run_until("kubectl -n sized wait --for=condition=Ready pod/sized pod/other --timeout=1s")?;
    let own = Sized { cluster, node };
    own.told("main", "200m 64Mi 0")?;
    assert_eq!(own.cgroup("", "memory.max cpu.max")?, "100663296 30000 100000");

    // More, while it runs.
    own.patch("main", r#"{"requests":{"cpu":"150m"},"limits":{"cpu":"300m","memory":"128Mi"}}"#)?;
    own.told("main", "300m 128Mi 0")?;
    own.is_quiet()?;
    assert_eq!(own.cgroup("300001", "memory.max cpu.max cpu.weight")?, "134217728 30000 100000 24");
    assert_eq!(own.cgroup("", "memory.max cpu.max")?, "167772160 40000 100000");
    let allocated = Sized::of(".status.containerStatuses[?(@.name==\"main\")].allocatedResources.cpu");
    assert_eq!(own.cluster.run(&allocated)?, "150m");

    // An agent that comes after another begins nothing anew.
    own.node.end_service("skerry-agent", "KILL")?;
    own.patch("anew", r#"{"requests":{"memory":"24Mi"},"limits":{"memory":"48Mi"}}"#)?;
    own.told("anew", "100m 48Mi 1")?;
    own.told("main", "300m 128Mi 0")?;
    own.is_quiet()?;
    assert_eq!(own.cgroup("300002", "memory.max")?, "50331648");
    let reasons = "kubectl -n sized get events -o jsonpath='{.items[*].reason}'";
    own.cluster.run_until(&format!("{reasons} | grep ResizeStarted | grep ResizeCompleted"))?;

    // Less than is used: it says so, and does it once it can.
    own.cluster.kubectl("-n sized exec sized -c main -- dd if=/dev/zero of=/memory/own bs=1M count=40")?;
    own.patch("main", r#"{"limits":{"memory":"34Mi"}}"#)?;
    own.condition("PodResizeInProgress", "Error")?;
    own.told("main", "300m 128Mi 0")?;
    let message = Sized::of(".status.conditions[?(@.type==\"PodResizeInProgress\")].message");
    let words = own.cluster.run(&message)?;
    assert!(words.starts_with("cannot decrease memory limits: "), "{words}");
    own.cluster.kubectl("-n sized exec sized -c main -- rm /memory/own")?;
    own.told("main", "300m 34Mi 0")?;
    own.is_quiet()?;
    assert_eq!(own.cgroup("", "memory.max")?, (82 << 20).to_string());

    // No room, until the other goes. An agent that comes meanwhile knows what was allocated.
    own.patch("main", r#"{"requests":{"cpu":"350m"},"limits":{"cpu":"400m"}}"#)?;
    own.condition("PodResizePending", "Deferred")?;
    own.node.end_service("skerry-agent", "KILL")?;
    own.cluster.run_until("kubectl wait --for=condition=Ready node/sizes --timeout=1s")?;
    own.told("main", "300m 34Mi 0")?;
    assert_eq!(own.cluster.run(&allocated)?, "150m");
    own.cluster.kubectl("-n sized delete pod other --wait=true --timeout=300s")?;
    own.told("main", "400m 34Mi 0")?;
    own.is_quiet()?;
    assert_eq!(own.cgroup("300001", "cpu.max")?, "40000 100000");
    own.node.power_off()
}
