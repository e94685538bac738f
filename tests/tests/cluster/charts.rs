//! Charts as their makers have them, installed by Helm: of metrics-server, which asks each node's agent and extends the API
//! server, and of what makes persistent volumes of folders of nodes.

use std::process::Command;
use tests::{Cluster, Result, repository, said};

/// Who asks for a volume, and writes into it.
const WRITER: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: kept, namespace: charts }
spec: { accessModes: [ReadWriteOnce], storageClassName: local-path, resources: { requests: { storage: 1Mi } } }
---
apiVersion: v1
kind: Pod
metadata: { name: writer, namespace: charts }
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: { kubernetes.io/hostname: charts }
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo kept >/data/file; while :; do sleep 0.01; done']
    volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: kept } }]
"#;

#[test]
#[ignore = "long"]
fn charts_of_metrics_and_of_local_volumes_run_on_a_node() -> Result {
    let cluster = Cluster::shared()?;
    let programs = said(Command::new(repository().join("tools/control-plane")).arg("helm"))?;
    let programs = programs.lines().last().unwrap_or_default().to_owned();
    cluster.push_as("tests/control-plane/images/metrics-server", "metrics-server/metrics-server:v0.9.0")?;
    cluster.push_as(
        "tests/control-plane/images/local-path-provisioner",
        "rancher/local-path-provisioner:v0.0.30",
    )?;
    cluster.push_as("busybox", "library/busybox:latest")?;
    let mirrors = ["registry.k8s.io", "docker.io"].map(|registry| cluster.mirror_of(registry)).concat();
    let node = cluster.node("charts")?.memory(1024).more_config(&mirrors).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/charts --timeout=1s")?;
    cluster.kubectl("create namespace charts")?;
    // Other tests' nodes come and go.
    let install = |chart: &str, more: &str| {
        cluster.run(&format!(
            "{programs}/helm -n charts install {chart} {programs}/charts/{chart} \
             --set-string nodeSelector.'kubernetes\\.io/hostname'=charts {more} --wait --timeout 10m"
        ))
    };

    install("metrics-server", "--set image.tag=v0.9.0 --set args={--kubelet-insecure-tls}")?;
    cluster.route_to_pods()?;
    cluster.run_until("kubectl top node charts --no-headers | grep -E '^charts +[1-9]'")?;

    install("local-path-provisioner", "")?;
    cluster.apply(WRITER)?;
    cluster.run_until("kubectl -n charts wait --for=condition=Ready pod/writer --timeout=1s")?;
    cluster.run_until("kubectl -n charts top pod writer --no-headers | grep -E '^writer +[1-9]'")?;
    assert_eq!(node.run("cat /opt/local-path-provisioner/*/file")?, "kept\n");
    cluster.kubectl("-n charts delete pod/writer pvc/kept --timeout=300s")?;
    cluster.run_until("! kubectl get pv -o jsonpath='{..claimRef.namespace}' | grep -w charts")?;
    assert_eq!(node.run("ls /opt/local-path-provisioner")?, "", "what made it has removed it");

    for chart in ["metrics-server", "local-path-provisioner"] {
        cluster.run(&format!("{programs}/helm -n charts uninstall {chart} --wait --timeout 10m"))?;
    }
    cluster.kubectl("delete namespace charts --timeout=300s")?;
    node.power_off()
}
