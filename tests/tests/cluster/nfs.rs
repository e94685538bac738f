//! Volumes on a file server: claimed and a pod's own, written from two pods, kept over a reboot.

use tests::{Cluster, Result};

const CLAIM: &str = r#"
apiVersion: v1
kind: PersistentVolume
metadata: { name: far }
spec:
  capacity: { storage: 1Gi }
  accessModes: [ReadWriteMany]
  storageClassName: ""
  mountOptions: [hard, nfsvers=4.1, noatime]
  nfs: { server: 10.30.0.1, path: /data }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: far, namespace: files }
spec:
  accessModes: [ReadWriteMany]
  storageClassName: ""
  volumeName: far
  resources: { requests: { storage: 1Gi } }
"#;

/// A pod with this volume at `/data`, which adds a line to a file there at each start, and ends once it has a file `/end`.
fn pod(name: &str, volume: &str) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "{name}", "namespace": "files" }}, "spec": {{
            "nodeName": "clerk", "terminationGracePeriodSeconds": 1,
            "containers": [{{ "name": "main", "image": "busybox", "imagePullPolicy": "Never",
                "command": ["sh", "-c", "echo {name} >>/data/log; until [ -e /end ]; do sleep 0.2; done"],
                "volumeMounts": [{{ "name": "v", "mountPath": "/data" }}] }}],
            "volumes": [{{ "name": "v", {volume} }}] }} }}"#
    )
}

#[test]
#[ignore = "long"]
fn volumes_on_a_file_server_are_shared_and_outlive_pod_and_node() -> Result {
    let cluster = Cluster::shared()?;
    let mut server = cluster.file_server()?;
    let node = cluster.node("clerk")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/clerk --timeout=1s")?;
    cluster.kubectl("create namespace files")?;
    cluster.run_until("kubectl -n files get serviceaccount default")?;
    cluster.apply(CLAIM)?;
    cluster.run_until("kubectl -n files wait --for=jsonpath='{.status.phase}'=Bound pvc/far --timeout=1s")?;
    let before = node.run("grep -c ' nfs4 ' /proc/mounts || :")?;
    assert_eq!(before, "0\n");
    cluster.apply(&pod("claims", r#""persistentVolumeClaim": { "claimName": "far" }"#))?;
    cluster.apply(&pod("reads", r#""nfs": { "server": "10.30.0.1", "path": "/data", "readOnly": true }"#))?;
    cluster.run_until("kubectl -n files wait --for=condition=Ready pod/claims --timeout=1s")?;
    let table = node.run("grep ' nfs4 ' /proc/mounts")?;
    assert!(table.contains("vers=4.1") && table.contains("noatime") && table.contains("hard"), "{table}");
    // The same server's folder, and read-only for this one alone.
    cluster.run_until("kubectl -n files logs reads 2>&1 | grep -q 'Read-only file system'")?;
    let log = || cluster.run_until("kubectl -n files exec claims -- cat /data/log");
    assert_eq!(log()?, "claims\n");
    assert_eq!(cluster.run_until("kubectl -n files exec claims -- stat -c %u:%g /data/log")?, "0:0\n");
    // A new agent mounts nothing again, though it makes a container anew.
    node.end_service("skerry-agent", "KILL")?;
    cluster.run_until("kubectl -n files exec claims -- touch /end")?;
    cluster.run_until("kubectl -n files get pod claims -o jsonpath='{.status.containerStatuses[0].restartCount}' | grep -x 1")?;
    assert_eq!(
        cluster.run_until("kubectl -n files exec claims -- cat /data/log | grep -c . | grep -x 2")?,
        "2\n"
    );
    assert_eq!(node.run("grep -c 'io~nfs.* nfs4 ' /proc/mounts")?, "2\n");
    node.power_off()?;
    drop(node);
    let node = cluster.node("clerk")?.boot()?;
    cluster.run_until("kubectl -n files exec claims -- cat /data/log | grep -c . | grep -x 3")?;
    let refused = pod("old", r#""nfs": { "server": "10.30.0.99", "path": "/data" }"#);
    cluster.apply(&refused)?;
    cluster.run_until("kubectl -n files get events | grep 'pod/old' | grep -q 'mount 10.30.0.99:/data: '")?;
    cluster.kubectl("-n files delete pod old reads --timeout=300s")?;
    // A server that is gone holds up nobody but its pod, and that one not for ever.
    server.end();
    cluster.kubectl("-n files delete pod claims --wait=false")?;
    cluster.apply(&pod("other", r#""emptyDir": {}"#))?;
    cluster.run_until("kubectl -n files wait --for=condition=Ready pod/other --timeout=1s")?;
    cluster.run_until("! kubectl -n files get pod claims 2>/dev/null | grep .")?;
    node.run_until("! grep ' nfs4 ' /proc/mounts")?;
    assert_eq!(
        cluster.kubectl("get node clerk -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'")?,
        "True"
    );
    cluster.kubectl("-n files delete pod other --timeout=300s")?;
    node.run_until("! ls /var/lib/kubelet/pods | grep .")?;
    cluster.kubectl("delete namespace files --timeout=300s")?;
    cluster.kubectl("delete pv far --timeout=300s")?;
    node.power_off()
}

#[test]
#[ignore = "long"]
fn a_file_server_that_is_gone_does_not_hold_a_nodes_own_disk_at_its_end() -> Result {
    let cluster = Cluster::shared()?;
    let mut server = cluster.file_server()?;
    let node = cluster.node("archivist")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/archivist --timeout=1s")?;
    cluster.kubectl("create namespace archive")?;
    cluster.run_until("kubectl -n archive get serviceaccount default")?;
    // It writes to the end, so that something waits for the server.
    let writes = pod("writes", r#""nfs": { "server": "10.30.0.1", "path": "/data" }"#)
        .replace("until [ -e /end ]", "while echo more >>/data/log")
        .replace("clerk", "archivist")
        .replace("\"files\"", "\"archive\"");
    cluster.apply(&writes)?;
    cluster.run_until("kubectl -n archive wait --for=condition=Ready pod/writes --timeout=1s")?;
    server.end();
    node.machine().power_button()?;
    node.console().wait_for("skerry: all file systems unmounted; power off")?;
    node.machine().wait_off()?;
    cluster.kubectl("delete namespace archive --timeout=300s --wait=false")?;
    Ok(())
}
