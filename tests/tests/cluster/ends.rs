//! How pods and their containers end, as on other nodes.

use super::pods::namespace;
use tests::{Cluster, Result};

/// Containers that say when they are asked to end, and take their time.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: forced, namespace: endings }
spec:
  nodeName: ends
  terminationGracePeriodSeconds: 60
  initContainers:
  - name: side
    image: busybox
    imagePullPolicy: Never
    restartPolicy: Always
    command: [sh, -c, 'trap "echo side asked; exit 0" TERM; while :; do sleep 1 & wait $!; done']
    lifecycle: { preStop: { exec: { command: [sh, -c, 'echo side hook >> /kept/said'] } } }
    volumeMounts: [{ name: kept, mountPath: /kept }]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'trap "until test -e /kept/go; do usleep 100000; done; echo main ended >> /kept/said; exit 0" TERM; echo up; while :; do sleep 1 & wait $!; done']
    volumeMounts: [{ name: kept, mountPath: /kept }]
  volumes: [{ name: kept, hostPath: { path: /var/ends, type: DirectoryOrCreate } }]
---
apiVersion: v1
kind: Pod
metadata: { name: hangs, namespace: endings }
spec:
  nodeName: ends
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 10
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 1 & wait $!; done']
    livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 10 }
---
apiVersion: v1
kind: Pod
metadata: { name: greedy, namespace: endings }
spec:
  nodeName: ends
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'tail /dev/zero; sleep 3600']
    resources: { limits: { memory: 16Mi } }
---
apiVersion: v1
kind: Pod
metadata: { name: stuck, namespace: endings }
spec:
  nodeName: ends
  terminationGracePeriodSeconds: 1
  initContainers: [{ name: waits, image: busybox, imagePullPolicy: Never, command: [sleep, '3600'] }]
  containers: [{ name: main, image: busybox, imagePullPolicy: Never, command: ['true'] }]
---
apiVersion: v1
kind: Pod
metadata: { name: parts, namespace: endings }
spec:
  nodeName: ends
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, '3600']
    volumeMounts: [{ name: here, mountPath: /here, subPathExpr: 'of/$(NOBODY)' }]
  volumes: [{ name: here, emptyDir: {} }]
"#;

#[test]
fn pods_end_as_on_other_nodes() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("ends")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/ends --timeout=1s")?;
    cluster.run_until("kubectl describe node ends | grep -A99 ^Events: | grep 'NodeReady .* kubelet'")?;
    namespace(&cluster, "endings")?;
    cluster.apply(PODS)?;
    let of = |pod: &str, path: &str| format!("kubectl -n endings get pod {pod} -o jsonpath='{{{path}}}'");
    let status = ".status.containerStatuses[0]";

    // What is left of a container that lost a process to its limit goes, too.
    cluster.run_until(&format!(
        "{} | grep -x OOMKilled",
        of("greedy", &format!("{status}.state.terminated.reason"))
    ))?;
    // A failed probe restarts whatever ends with 0 then.
    cluster.run_until(&format!("{} | grep -x '[1-9]'", of("hangs", &format!("{status}.restartCount"))))?;
    cluster.run_until(
        "kubectl -n endings get events | grep 'Container main failed liveness probe, will be restarted'",
    )?;
    // A path with a part that nobody knows is no path.
    cluster.run_until(&format!(
        "{} | grep 'missing value for \"NOBODY\"'",
        of("parts", &format!("{status}.state.waiting.message"))
    ))?;
    // Who looks into a pod that does not come up need not wait.
    cluster.kubectl("-n endings debug stuck --image=busybox --image-pull-policy=Never -- sleep 3600")?;
    cluster.run_until(&format!(
        "{} | grep -q startedAt",
        of("stuck", ".status.ephemeralContainerStatuses[0].state.running")
    ))?;

    // Logs lie where collectors look, and are told with users and mounts.
    cluster.run_until("kubectl -n endings wait --for=condition=Ready pod/forced --timeout=1s")?;
    let log = "/var/log/pods/endings_forced_*/main/0.log";
    node.run_until(&format!("test -f {log} && ! test -L {log} && grep -q 'stdout F up$' {log}"))?;
    let link = node.run("readlink /var/log/containers/forced_endings_main-*.log")?;
    assert!(link.starts_with("/var/log/pods/endings_forced_"), "{link}");
    let user = cluster.run(&of("forced", &format!("{status}.user.linux.uid")))?;
    let mount = cluster.run(&of("forced", &format!("{status}.volumeMounts[0].mountPath")))?;
    assert_eq!((user.as_str(), mount.as_str()), ("0", "/kept"));

    // Whoever is deleted by force has its time all the same, and hooks of sidecars run from the beginning.
    cluster.kubectl("-n endings delete pod forced --force --grace-period=0 --wait=true --timeout=300s")?;
    node.run_until("grep -x 'side hook' /var/ends/said")?;
    node.run("! grep -q main /var/ends/said && touch /var/ends/go")?;
    node.run_until("grep -x 'main ended' /var/ends/said")?;
    node.run_until("! ls -d /var/log/pods/endings_forced_* 2>/dev/null")?;
    cluster.kubectl("delete namespace endings --wait=true --timeout=300s")?;
    node.power_off()
}

const STATIC: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "own" },
    "spec": { "terminationGracePeriodSeconds": 60, "containers": [{
        "name": "main", "image": "busybox", "imagePullPolicy": "Never", "command": ["sh", "-c",
            "end() { until test -e /kept/go; do usleep 100000; done; echo NUMBER ends >> /kept/said; exit 0; }; trap end TERM; echo NUMBER begins >> /kept/said; while :; do sleep 1 & wait $!; done"],
        "volumeMounts": [{ "name": "kept", "mountPath": "/kept" }]
    }], "volumes": [{ "name": "kept", "hostPath": { "path": "/var/kept", "type": "DirectoryOrCreate" } }] }
}"#;

#[test]
#[ignore = "long"]
fn a_static_pod_that_changes_begins_when_the_one_before_has_ended() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node_and("changes", "static-pods = \"/var/pods\"\n")?.boot()?;
    node.run_until("[ -d /var/pods ]")?;
    let write = |number: &str| {
        let line = STATIC.replace("NUMBER", number).replace('\n', " ");
        node.run(&format!("echo '{line}' >/var/pods/.new && mv /var/pods/.new /var/pods/own.json"))
    };
    write("one")?;
    node.run_until("grep -x 'one begins' /var/kept/said")?;
    write("two")?;
    // The one before it hears that it is to end, and takes its time.
    cluster.run_until("kubectl get events | grep 'own-changes.*Stopping container main'")?;
    assert_eq!(node.run("cat /var/kept/said")?, "one begins\n");
    node.run("touch /var/kept/go")?;
    node.run_until("grep -x 'two begins' /var/kept/said")?;
    assert_eq!(node.run("cat /var/kept/said")?, "one begins\none ends\ntwo begins\n");
    node.run("rm /var/pods/own.json")?;
    node.power_off()
}

/// Each container writes down when it begins; one of them ends by a rule that has all of them begin anew.
const RENEWED: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: team, namespace: renewals }
spec:
  nodeSelector: { kubernetes.io/hostname: renews }
  restartPolicy: Never
  terminationGracePeriodSeconds: 60
  initContainers:
  - { name: first, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'echo first >>/kept/said'], volumeMounts: &kept [{ name: kept, mountPath: /kept }] }
  containers:
  - { name: works, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'echo works >>/kept/said; trap "" TERM; while :; do sleep 1; done'], volumeMounts: *kept }
  - { name: once, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'echo once >>/kept/said'], volumeMounts: *kept }
  - name: watches
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'until rm /kept/anew; do usleep 200000; done 2>/dev/null; exit 88']
    restartPolicy: Never
    restartPolicyRules: [{ action: RestartAllContainers, exitCodes: { operator: In, values: [88] } }]
    volumeMounts: *kept
  volumes: [{ name: kept, emptyDir: {} }]
"#;

#[test]
#[ignore = "long"]
fn all_containers_begin_anew_in_the_same_pod() -> Result {
    let cluster = Cluster::shared()?;
    let gate = "kubectl get --raw /metrics | grep '^kubernetes_feature_enabled{name=\"RestartAllContainersOnContainerExits\".* [01]$'";
    if cluster.run(gate)?.trim_end().ends_with('0') {
        println!("left out: this API server knows no restart of all containers");
        return Ok(());
    }
    let node = cluster.bare("renews", cluster.server())?;
    cluster.run_until("kubectl wait --for=condition=Ready node/renews --timeout=1s")?;
    namespace(&cluster, "renewals")?;
    // The scheduler gives such a pod to nodes alone that declare that they can do it.
    cluster.apply(RENEWED)?;
    let of = |path: &str| format!("kubectl -n renewals get pod team -o jsonpath='{{{path}}}'");
    let begun = |times: usize| {
        let said = format!(
            "kubectl -n renewals exec team -c works -- cat /kept/said | grep -c {{}} | grep -x {times}"
        );
        ["first", "works", "once"]
            .iter()
            .try_for_each(|who| cluster.run_until(&said.replace("{}", who)).map(drop))
    };
    begun(1)?;
    let pod = cluster.run(&of(".metadata.uid} {.status.podIP"))?;
    cluster.kubectl("-n renewals exec team -c works -- touch /kept/anew")?;
    begun(2)?;
    let counts =
        of(".status.initContainerStatuses[*].restartCount} {.status.containerStatuses[*].restartCount");
    cluster.run_until(&format!("{counts} | grep -x '1 1 1 1'"))?;
    let condition = of(".status.conditions[?(@.type==\"AllContainersRestarting\")].status");
    cluster.run_until(&format!("{condition} | grep -x False"))?;
    assert_eq!(cluster.run(&of(".metadata.uid} {.status.podIP"))?, pod);
    assert_eq!(cluster.run(&of(".status.phase"))?, "Running");
    // So it is when the agent is killed over it.
    cluster.kubectl("-n renewals exec team -c works -- touch /kept/anew")?;
    node.kill("skerry-agent")?;
    begun(3)?;
    cluster.run_until(&format!("{counts} | grep -x '2 2 2 2'"))?;
    cluster.kubectl("delete namespace renewals --wait=true --timeout=300s").map(drop)
}
