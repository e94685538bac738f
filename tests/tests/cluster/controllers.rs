//! What the cluster's controllers and its operator ask of a node: it is drained, and a StatefulSet keeps its data on it.

use tests::{Cluster, Result};

/// A container of busybox that sleeps, on one node alone.
fn sleeps(node: &str) -> String {
    format!(
        r#"{{ "nodeSelector": {{ "kubernetes.io/hostname": "{node}" }}, "terminationGracePeriodSeconds": 1, "containers": [
            {{ "name": "main", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "1000000"] }} ] }}"#
    )
}

/// A controller of such pods.
fn controller(kind: &str, name: &str, node: &str, more: &str) -> String {
    let labels = format!(r#"{{ "app": "{name}" }}"#);
    format!(
        r#"{{ "apiVersion": "apps/v1", "kind": "{kind}", "metadata": {{ "name": "{name}" }}, "spec": {{ {more}
            "selector": {{ "matchLabels": {labels} }},
            "template": {{ "metadata": {{ "labels": {labels} }}, "spec": {} }} }} }}"#,
        sleeps(node)
    )
}

#[test]
#[ignore = "long"]
fn a_node_is_drained_as_budgets_allow_and_keeps_its_daemons() -> Result {
    let cluster = Cluster::shared()?;
    let _node = cluster.bare("drained", cluster.server())?;
    cluster.run_until("kubectl wait --for=condition=Ready node/drained --timeout=1s")?;
    cluster.apply(&controller("Deployment", "leaves", "drained", r#""replicas": 2,"#))?;
    cluster.apply(&controller("DaemonSet", "stays", "drained", ""))?;
    cluster.run_until("kubectl rollout status deployment leaves --timeout=1s")?;
    cluster.run_until("kubectl rollout status daemonset stays --timeout=1s")?;
    cluster.kubectl("create poddisruptionbudget keep --selector=app=leaves --min-available=2")?;
    cluster.run_until("kubectl get pdb keep -o jsonpath='{.status.currentHealthy}' | grep -x 2")?;
    let drain = "kubectl drain drained --ignore-daemonsets";
    let refused = cluster.run(&format!("! {drain} --timeout=3s 2>&1"))?;
    assert!(refused.contains("would violate the pod's disruption budget"), "{refused}");
    cluster.kubectl("delete pdb keep")?;
    let drained = cluster.run(&format!("{drain} --timeout=300s"))?;
    assert_eq!(drained.matches(" evicted").count(), 2, "{drained}");
    let there =
        "get pods --field-selector spec.nodeName=drained -o jsonpath='{.items[*].metadata.labels.app}'";
    assert_eq!(cluster.kubectl(there)?, "stays");
    cluster.kubectl("delete deployment/leaves daemonset/stays --timeout=300s").map(drop)
}

#[test]
#[ignore = "long"]
fn a_stateful_set_keeps_its_data_through_another_pod_and_a_reboot() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("keeps")?.boot()?;
    let image = cluster.push("busybox")?;
    cluster.apply(&format!(
        r#"apiVersion: v1
kind: PersistentVolume
metadata: {{ name: kept }}
spec:
  capacity: {{ storage: 1Mi }}
  accessModes: [ReadWriteOnce]
  storageClassName: kept
  hostPath: {{ path: /var/keeps, type: DirectoryOrCreate }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{ name: keeper }}
spec:
  serviceName: keeper
  selector: {{ matchLabels: {{ app: keeper }} }}
  volumeClaimTemplates:
  - metadata: {{ name: data }}
    spec: {{ accessModes: [ReadWriteOnce], storageClassName: kept, resources: {{ requests: {{ storage: 1Mi }} }} }}
  template:
    metadata: {{ labels: {{ app: keeper }} }}
    spec:
      nodeSelector: {{ kubernetes.io/hostname: keeps }}
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {image}
        command: [sh, -c, "echo life >>/data/lives; exec sleep 1000000"]
        volumeMounts: [{{ name: data, mountPath: /data }}]
"#
    ))?;
    let lives = |count: u32| {
        cluster
            .run_until(&format!("kubectl exec keeper-0 -- cat /data/lives | grep -c life | grep -x {count}"))
    };
    lives(1)?;
    cluster.kubectl("delete pod keeper-0 --timeout=300s")?;
    lives(2)?;
    node.power_off()?;
    drop(node);
    let node = cluster.node("keeps")?.boot()?;
    lives(3)?;
    cluster.kubectl("delete statefulset keeper --timeout=300s")?;
    cluster.kubectl("delete pod keeper-0 --ignore-not-found --timeout=300s")?;
    node.power_off()
}
