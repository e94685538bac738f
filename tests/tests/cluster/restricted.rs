//! Pods as restricted namespaces have them: not root, with one capability at most, on a root that nobody writes.

use crate::bad_pods::{is_clean, pod};
use crate::pods::TRACES;
use tests::{Cluster, Result};

/// kubeadm's CoreDNS but for the program; ports below 1024 are not for everybody in it, as in `plain` they are.
const DNS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: dns, namespace: restricted }
spec:
  nodeName: restricted
  terminationGracePeriodSeconds: 1
  securityContext:
    sysctls: [{ name: net.ipv4.ip_unprivileged_port_start, value: "1024" }, { name: net.core.somaxconn, value: "2048" }]
  containers:
  - name: main
    image: IMAGE
    command: [/capable/busybox, httpd, -f, -p, "53", -h, /data]
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: { add: [NET_BIND_SERVICE], drop: [ALL] }
      readOnlyRootFilesystem: true
      runAsNonRoot: true
    readinessProbe: { periodSeconds: 1, httpGet: { path: /page, port: 53 } }
---
apiVersion: v1
kind: Pod
metadata: { name: plain, namespace: restricted }
spec:
  nodeName: restricted
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: IMAGE
    command: [httpd, -f, -p, "53", -h, /data]
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] }, runAsNonRoot: true }
    readinessProbe: { periodSeconds: 1, httpGet: { path: /page, port: 53 } }
"#;

#[test]
fn pods_that_are_not_root_have_their_ports_their_volumes_and_what_lies_in_them() -> Result {
    let cluster = Cluster::shared()?;
    let image = cluster.push("restricted")?;
    let node = cluster.bare_with("restricted", "allowed-sysctls = [\"net.core.*\"]\n")?;
    cluster.run_until("kubectl wait --for=condition=Ready node/restricted --timeout=1s")?;
    cluster.kubectl("create namespace restricted")?;
    cluster.run_until("kubectl -n restricted get serviceaccount default")?;
    let before = node.run(&format!("{TRACES} || :"))?;
    let exec = |pod: &str, line: &str| format!("kubectl -n restricted exec {pod} -- sh -c '{line}'");
    let ready = |name: &str| {
        cluster
            .run_until(&format!("kubectl -n restricted wait --for=condition=Ready pod/{name} --timeout=1s"))
    };

    cluster.apply(&DNS.replace("IMAGE", &image))?;
    ready("dns")?;
    ready("plain")?;
    let held = |program: &str| {
        cluster.run(&format!("kubectl -n restricted exec dns -- {program} grep ^CapEff /proc/self/status"))
    };
    assert_eq!(held("/capable/busybox")?, "CapEff:\t0000000000000400\n", "its file has it");
    assert_eq!(held("/bin/busybox")?, "CapEff:\t0000000000000000\n", "this one's has not");
    assert_eq!(cluster.run(&exec("dns", "id -u"))?, "65532\n");
    assert_eq!(cluster.run(&exec("dns", "cat /proc/sys/net/core/somaxconn"))?, "2048\n");

    // A volume of the image's is the instance's own.
    let volume = "echo new >/data/new && cat /data/page; echo x >/x; :";
    let said = cluster.run(&format!("{} 2>&1", exec("dns", volume)))?;
    assert!(said.starts_with("of the image\n") && said.contains("Read-only file system"), "{said}");
    node.run("pkill -KILL -f '^/capable/busybox httpd'")?;
    cluster.run_until(&exec("dns", "[ ! -e /data/new ] && cat /data/page"))?;

    // Of a pod with users of its own it belongs to these.
    let own = DNS.split("---").nth(1).unwrap_or_default().replace("name: plain", "name: own");
    cluster.apply(&own.replace("spec:\n", "spec:\n  hostUsers: false\n").replace("IMAGE", &image))?;
    ready("own")?;
    let owners = |pod: &str| cluster.run(&exec(pod, "stat -c %u:%g:%a /data /data/page"));
    assert_eq!(owners("own")?, owners("dns")?);

    let mounts = r#""volumeMounts": [{ "name": "words", "mountPath": "/srv/conf" }, { "name": "data", "mountPath": "/srv" },
        { "name": "etc", "mountPath": "/etc" }],"#;
    let volumes = r#""volumes": [{ "name": "words", "configMap": { "name": "words" } }, { "name": "data", "emptyDir": {} },
        { "name": "etc", "emptyDir": {} }],"#;
    cluster.kubectl("-n restricted create configmap words --from-literal=word=inner")?;
    cluster.apply(&pod("restricted", "order", mounts, volumes))?;
    ready("order")?;
    let seen =
        cluster.run(&exec("order", "cat /srv/conf/word; grep -c order /etc/hosts; ls /etc/resolv.conf"))?;
    assert_eq!(seen, "inner1\n/etc/resolv.conf\n", "nothing is hidden by what it lies in");

    let privileged = r#""securityContext": { "privileged": true },"#;
    cluster.apply(&pod("restricted", "host", privileged, "\"hostNetwork\": true,"))?;
    ready("host")?;
    cluster.run(&exec("host", "grep -w restricted /etc/hosts"))?;
    cluster.run(&exec("host", "grep kubepods /proc/self/cgroup"))?;
    cluster.kubectl("-n restricted delete pod --all --timeout=300s")?;
    node.run_until("! ls /var/lib/skerry/volumes | grep .")?;
    is_clean(&node, &before)
}
