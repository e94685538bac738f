//! Pods run on a machine that has joined.

use tests::{Cluster, Result};

/// A namespace whose pods are admitted.
pub(super) fn namespace(cluster: &Cluster, name: &str) -> Result {
    cluster.kubectl(&format!("create namespace {name}"))?;
    cluster.run_until(&format!("kubectl -n {name} get serviceaccount default")).map(drop)
}

const POD: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: words, namespace: whole }
data: { greeting: hello, file: "from a map\n" }
---
apiVersion: v1
kind: Secret
metadata: { name: key, namespace: whole }
stringData: { password: open }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: whole, labels: { app: web } }
spec:
  nodeName: runs
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: first
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo "$GREETING from $NAME" > /shared/page; cat /key/password >> /shared/page']
    env:
    - { name: GREETING, valueFrom: { configMapKeyRef: { name: words, key: greeting } } }
    - { name: NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    volumeMounts: [{ name: shared, mountPath: /shared }, { name: key, mountPath: /key }]
  - name: side
    image: busybox
    imagePullPolicy: Never
    restartPolicy: Always
    command: [sh, -c, 'trap "exit 0" TERM; echo side is up; while :; do sleep 1 & wait $!; done']
  containers:
  - name: server
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo serving; exec httpd -f -h /shared']
    readinessProbe: { httpGet: { path: /page, port: 80 }, periodSeconds: 1 }
    livenessProbe: { exec: { command: [cat, /words/file] }, periodSeconds: 2, timeoutSeconds: 5 }
    lifecycle: { postStart: { exec: { command: [sh, -c, 'echo started > /shared/hook'] } } }
    resources: { requests: { memory: 4Mi, cpu: 10m }, limits: { memory: 32Mi } }
    volumeMounts:
    - { name: shared, mountPath: /shared }
    - { name: words, mountPath: /words }
    - { name: words, mountPath: /one, subPath: file }
  volumes:
  - { name: shared, emptyDir: {} }
  - { name: key, secret: { secretName: key } }
  - { name: words, configMap: { name: words } }
"#;

#[test]
fn a_pod_runs_from_its_first_container_to_its_last() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("runs")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/runs --timeout=1s")?;
    // Programs of the cluster may write there.
    node.run("touch /etc/cni/net.d/a /opt/cni/bin/a /usr/libexec/kubernetes/a && rm /etc/cni/net.d/a /opt/cni/bin/a")?;
    namespace(&cluster, "whole")?;
    cluster.apply(POD)?;
    cluster.run_until("kubectl -n whole wait --for=condition=Ready pod/web --timeout=1s")?;
    let of = |path: &str| cluster.kubectl(&format!("-n whole get pod web -o jsonpath='{{{path}}}'"));
    assert_eq!(of(".status.phase")?, "Running");
    assert_eq!(of(".status.qosClass")?, "Burstable");
    assert_eq!(of(".status.initContainerStatuses[0].state.terminated.reason")?, "Completed");
    let address = of(".status.podIP")?;
    assert!(address.starts_with("10.244."), "{address}");
    cluster.route_to_pods()?;
    let page = cluster.run(&format!("curl -s http://{address}/page"))?;
    assert_eq!(page, "hello from web\nopen");
    assert_eq!(cluster.kubectl("-n whole logs web -c server")?, "serving\n");
    assert_eq!(cluster.kubectl("-n whole logs web -c side")?, "side is up\n");
    assert_eq!(
        cluster.kubectl("-n whole exec web -c server -- cat /shared/hook /one /etc/hostname")?,
        "started\nfrom a map\nweb\n"
    );
    let failed = cluster.kubectl("-n whole exec web -c server -- sh -c 'exit 3'").unwrap_err().to_string();
    assert!(failed.contains("exit code 3"), "{failed}");
    let events = cluster.run_until(
        "kubectl -n whole get events -o custom-columns=R:.reason --no-headers | sort -u | grep Started",
    )?;
    assert!(events.contains("Started"), "{events}");
    cluster.kubectl("-n whole delete pod web --wait=true --timeout=300s")?;
    node.power_off()
}

const COUNTER: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: counter, namespace: killed }
spec:
  nodeName: lives
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: once
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo once >> /shared/once']
    volumeMounts: [{ name: shared, mountPath: /shared }]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'n=0; while :; do echo line $n; n=$((n+1)); usleep 50000; done']
    readinessProbe: { exec: { command: [cat, /shared/once] }, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 10 }
    volumeMounts: [{ name: shared, mountPath: /shared }]
  volumes: [{ name: shared, emptyDir: {} }]
"#;

/// What a node keeps of pods, in files, mounts, cgroups, namespaces and processes of theirs.
pub(super) const TRACES: &str = "ls /var/lib/kubelet/pods /run/skerry/agent/pods /run/skerry/netns /var/log/pods /var/log/containers \
     /var/lib/skerry/definitions /run/skerry/network/containers 2>/dev/null | grep -v -e : -e '^$'; \
     grep -e kubelet -e agent/pods /proc/mounts; find /sys/fs/cgroup/kubepods -mindepth 1 -type d -name 'pod*' 2>/dev/null; \
     pidof usleep sleep";

#[test]
fn a_pod_outlives_a_kill_of_any_part_of_ours() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("lives")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/lives --timeout=1s")?;
    let before = node.try_run(TRACES)?.text;
    namespace(&cluster, "killed")?;
    cluster.apply(COUNTER)?;
    let ready = "kubectl -n killed wait --for=condition=Ready pod/counter --timeout=1s";
    cluster.run_until(ready)?;
    let path = "{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} \
                {.status.initContainerStatuses[0].containerID} {.status.conditions[?(@.type==\"Ready\")].lastTransitionTime}";
    let look = || cluster.kubectl(&format!("-n killed get pod counter -o jsonpath='{path}'"));
    let first = look()?;
    let key = first.split("skerry://").nth(1).unwrap_or_default()[..12].to_owned();
    for program in ["skerry-agent", "skerry-monitor", "skerry-network", "skerry-agent"] {
        node.end_service(program, "KILL")?;
        node.log_is_whole_and_goes_on(&key)?;
        // The new one has looked at the pod: it answers for it.
        let once = "kubectl -n killed exec counter -- cat /shared/once";
        assert_eq!(cluster.run_until(once)?, "once\n", "after a kill of {program}");
        assert_eq!(look()?, first, "after a kill of {program}");
    }
    cluster.kubectl("-n killed delete pod counter --timeout=300s")?;
    node.run_until(&format!("[ \"$({TRACES})\" = '{before}' ]"))?;
    node.power_off()
}

#[test]
fn a_pod_runs_again_after_a_reboot_from_its_first_container_on() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("reboots")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/reboots --timeout=1s")?;
    namespace(&cluster, "again")?;
    cluster.apply(&COUNTER.replace("killed", "again").replace("lives", "reboots"))?;
    let look = "kubectl -n again get pod counter -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status} \
                {.status.containerStatuses[0].restartCount} {.status.initContainerStatuses[0].restartCount}'";
    cluster.run_until(&format!("{look} | grep -x 'True 0 0'"))?;
    node.power_off()?;
    drop(node);
    let node = cluster.node("reboots")?.boot()?;
    cluster.run_until(&format!("{look} | grep -x 'True 1 1'"))?;
    assert_eq!(cluster.run_until("kubectl -n again exec counter -- cat /shared/once")?, "once\nonce\n");
    cluster.kubectl("-n again delete pod counter --timeout=300s")?;
    node.power_off()
}

/// Pods with one policy each, which say in a file of the node that they have begun.
fn begins(name: &str, policy: &str, line: &str) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "{name}", "namespace": "cut" }}, "spec": {{
            "nodeName": "cut", "restartPolicy": "{policy}", "terminationGracePeriodSeconds": 1,
            "containers": [{{ "name": "main", "image": "busybox", "imagePullPolicy": "Never",
                "command": ["sh", "-c", "echo begun >>/node/{name}; sync; {line}"],
                "volumeMounts": [{{ "name": "node", "mountPath": "/node" }}] }}],
            "volumes": [{{ "name": "node", "hostPath": {{ "path": "/var/begun" }} }}] }} }}"#
    )
}

#[test]
#[ignore = "long"]
fn what_runs_when_the_power_goes_runs_again_only_by_its_policy() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("cut")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/cut --timeout=1s")?;
    namespace(&cluster, "cut")?;
    for (name, policy, line) in [
        ("never", "Never", "sleep 1000000"),
        ("always", "Always", "sleep 1000000"),
        ("done", "OnFailure", "exit 0"),
    ] {
        cluster.apply(&begins(name, policy, line))?;
    }
    cluster.run_until("kubectl -n cut wait --for=condition=Ready pod/never pod/always --timeout=1s")?;
    cluster
        .run_until("kubectl -n cut wait --for=jsonpath='{.status.phase}'=Succeeded pod/done --timeout=1s")?;
    // QEMU is killed.
    drop(node);
    let node = cluster.node("cut")?.boot()?;
    cluster
        .run_until("kubectl -n cut wait --for=jsonpath='{.status.phase}'=Failed pod/never --timeout=1s")?;
    let path = "{.status.phase} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}";
    cluster.run_until(&format!(
        "kubectl -n cut get pod always -o jsonpath='{path}' | grep -x 'Running 1 255'"
    ))?;
    assert_eq!(cluster.kubectl("-n cut get pod done -o jsonpath='{.status.phase}'")?, "Succeeded");
    assert_eq!(
        node.run("cd /var/begun && wc -l never always done | sed '$d'")?
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["1", "never", "2", "always", "1", "done"]
    );
    cluster.kubectl("-n cut delete pod --all --timeout=300s")?;
    node.power_off()
}

const STATIC: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "own" },
    "spec": { "containers": [{
        "name": "main", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "100000"]
    }], "terminationGracePeriodSeconds": 1 }
}"#;

#[test]
#[ignore = "long"]
fn a_file_of_the_node_is_a_pod_whose_picture_comes_back() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node_and("files", "static-pods = \"/var/pods\"\n")?.boot()?;
    node.run_until("[ -d /var/pods ]")?;
    let line = STATIC.replace('\n', " ");
    node.run(&format!("echo '{line}' >/var/pods/.new && mv /var/pods/.new /var/pods/own.json"))?;
    let pod = "kubectl get pod own-files";
    let ready =
        format!("{pod} -o jsonpath='{{.status.conditions[?(@.type==\"Ready\")].status}}' | grep True");
    cluster.run_until(&ready)?;
    let look = |path: &str| cluster.run(&format!("{pod} -o jsonpath='{{{path}}}'"));
    let (uid, container) = (look(".metadata.uid")?, look(".status.containerStatuses[0].containerID")?);
    assert_eq!(look(".metadata.ownerReferences[0].kind")?, "Node");
    cluster.kubectl("delete pod own-files --wait=false")?;
    cluster.run_until(&format!("{pod} -o jsonpath='{{.metadata.uid}}' | grep -v {uid}"))?;
    cluster.run_until(&ready)?;
    assert_eq!(
        look(".status.containerStatuses[0].containerID")?,
        container,
        "the picture went, the pod stayed"
    );
    node.run("rm /var/pods/own.json")?;
    cluster.run_until(&format!("! {pod}"))?;
    node.run_until("! pidof sleep")?;
    node.power_off()
}
