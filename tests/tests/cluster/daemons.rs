//! What clusters run on each of their nodes runs here unchanged.

use tests::{Cluster, Result};

/// As kube-prometheus has it, but for the image and the node.
const EXPORTER: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: node-exporter, namespace: monitoring }
spec:
  selector: { matchLabels: { app: node-exporter } }
  updateStrategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 10% } }
  template:
    metadata: { labels: { app: node-exporter } }
    spec:
      automountServiceAccountToken: true
      hostNetwork: true
      hostPID: true
      nodeSelector: { kubernetes.io/os: linux, kubernetes.io/hostname: exports }
      priorityClassName: system-cluster-critical
      securityContext: { runAsGroup: 65534, runAsNonRoot: true, runAsUser: 65534 }
      tolerations: [{ operator: Exists }]
      containers:
      - name: node-exporter
        image: IMAGE
        args:
        - --web.listen-address=:9100
        - --path.sysfs=/host/sys
        - --path.rootfs=/host/root
        - --path.udev.data=/host/root/run/udev/data
        - --no-collector.wifi
        - --no-collector.hwmon
        - --collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run/k3s/containerd/.+|var/lib/docker/.+|var/lib/kubelet/pods/.+)($|/)
        - --collector.netclass.ignored-devices=^(veth.*|[a-f0-9]{15})$
        ports: [{ containerPort: 9100, hostPort: 9100, name: http }]
        resources: { limits: { cpu: 250m, memory: 180Mi }, requests: { cpu: 102m, memory: 180Mi } }
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: { add: [SYS_TIME], drop: [ALL] }
          readOnlyRootFilesystem: true
        volumeMounts:
        - { mountPath: /host/sys, mountPropagation: HostToContainer, name: sys, readOnly: true }
        - { mountPath: /host/root, mountPropagation: HostToContainer, name: root, readOnly: true }
      volumes:
      - { name: sys, hostPath: { path: /sys } }
      - { name: root, hostPath: { path: / } }
"#;

#[test]
#[ignore = "long"]
fn prometheus_exporter_of_nodes_tells_of_the_node() -> Result {
    let cluster = Cluster::shared()?;
    let image = cluster.push("tests/control-plane/images/node-exporter")?;
    let node = cluster.node("exports")?.memory(512).boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/exports --timeout=1s")?;
    cluster.kubectl("create namespace monitoring")?;
    cluster.run_until("kubectl -n monitoring get serviceaccount default")?;
    cluster.apply(&EXPORTER.replace("IMAGE", &image))?;
    cluster.run_until("kubectl -n monitoring rollout status daemonset/node-exporter --timeout=1s")?;
    let address = cluster
        .kubectl("-n monitoring get pod -l app=node-exporter -o jsonpath='{.items[0].status.hostIP}'")?;
    let page = cluster.run_until(&format!("curl -sf http://{address}:9100/metrics"))?;
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|text| text.parse::<f64>().ok())
    };
    let memory: f64 =
        node.run("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?.trim().parse()?;
    assert_eq!(value("node_memory_MemTotal_bytes"), Some(memory * 1024.0));
    let release = node.run("uname -r")?;
    assert!(page.contains(&format!("release=\"{}\"", release.trim())), "{release}");
    // The disk with the node's data, seen through the node's root.
    assert!(page.contains("node_filesystem_size_bytes{") && page.contains("mountpoint=\"/var\""), "{page}");
    let failed: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("node_scrape_collector_success{") && line.ends_with(" 0"))
        .collect();
    println!("collectors that found nothing of theirs: {failed:?}");
    for collector in
        ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat", "uname", "vmstat"]
    {
        assert!(
            page.contains(&format!("node_scrape_collector_success{{collector=\"{collector}\"}} 1")),
            "{collector}"
        );
    }
    cluster.kubectl("delete namespace monitoring --timeout=300s")?;
    node.power_off()
}

/// What charts of collectors mount of any host (Fluent Bit: `/etc/machine-id`), and others beside.
const HOST: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: collector, namespace: collectors }
spec:
  nodeName: collects
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sleep, "100000"]
    volumeMounts:
    - { name: id, mountPath: /etc/machine-id, readOnly: true }
    - { name: time, mountPath: /etc/localtime, readOnly: true }
    - { name: certs, mountPath: /etc/ssl/certs, readOnly: true }
    - { name: sources, mountPath: /usr/src, readOnly: true }
    - { name: boot, mountPath: /boot, readOnly: true }
    - { name: run, mountPath: /own }
  volumes:
  - { name: id, hostPath: { path: /etc/machine-id, type: File } }
  - { name: time, hostPath: { path: /etc/localtime } }
  - { name: certs, hostPath: { path: /etc/ssl/certs, type: DirectoryOrCreate } }
  - { name: sources, hostPath: { path: /usr/src } }
  - { name: boot, hostPath: { path: /boot, type: Directory } }
  - { name: run, hostPath: { path: /var/run/collector, type: DirectoryOrCreate } }
"#;

#[test]
#[ignore = "long"]
fn what_collectors_mount_of_any_host_is_there() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("collects")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/collects --timeout=1s")?;
    cluster.kubectl("create namespace collectors")?;
    cluster.run_until("kubectl -n collectors get serviceaccount default")?;
    cluster.apply(HOST)?;
    cluster.run_until("kubectl -n collectors wait --for=condition=Ready pod/collector --timeout=1s")?;
    let within = cluster
        .kubectl("-n collectors exec collector -- sh -c 'touch /own/sock; cat /etc/machine-id; date +%Z'")?;
    let id = cluster.kubectl("get node collects -o jsonpath='{.status.nodeInfo.machineID}'")?;
    assert_eq!(within, format!("{id}\nUTC\n"));
    assert_eq!(
        node.run("readlink /var/run; ls /run/collector; stat -c %a /etc/machine-id -L")?,
        "../run\nsock\n644\n"
    );
    cluster.kubectl("delete namespace collectors --wait=true --timeout=300s")?;
    node.power_off()
}
