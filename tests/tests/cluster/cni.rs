//! Pods' networks by Debian's CNI plugins, on a node that leaves networks to the cluster.

use tests::{Cluster, Result, unpacked};

/// A bridge, and ports of the node.
const NETWORK: &str = r#"{
    "cniVersion": "1.0.0", "name": "pods", "plugins": [
        { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
          "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.99.7.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
        { "type": "portmap", "capabilities": { "portMappings": true } }
    ]
}"#;

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: plugs }
spec:
  nodeName: plugs
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo by-plugins >/tmp/index.html; exec httpd -f -p 8080 -h /tmp']
    ports: [{ containerPort: 8080, hostPort: 18080 }]
    readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Pod
metadata: { name: asks, namespace: plugs }
spec:
  nodeName: plugs
  terminationGracePeriodSeconds: 1
  containers:
  - { name: asks, image: busybox, imagePullPolicy: Never, command: [sleep, "33333"] }
"#;

/// What plugins might leave behind: addresses that are taken, interfaces, rules.
const LEFT: &str = "ls /var/lib/cni/networks/pods 2>/dev/null | grep '^10'; ip -brief link | grep veth; \
                    iptables-save | grep 10.99.7; ls /run/skerry/netns";

/// What a reboot is to an agent that is gone meanwhile: another boot, nothing of its own in /run, no rules.
const REBOOT: &str = "set -e; pkill -STOP -x skerry-agent; echo another >/tmp/boot; \
    mount --bind /tmp/boot /proc/sys/kernel/random/boot_id; iptables -t nat -F; iptables -t nat -X; cd /run/skerry/agent/pods; \
    for uid in *; do umount $uid/* 2>/dev/null || :; /sbin/skerry-network detach --container $uid; rm -r $uid; done";

#[test]
fn a_clusters_own_plugins_give_pods_their_network() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.bare_with("plugs", "pod-network = \"cluster\"\n")?;
    let words = "kubectl get node plugs -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].message}'";
    cluster.run_until(&format!(
        "{words} | grep 'cni plugin not initialized: no network config found in /etc/cni/net.d'"
    ))?;
    let plugins = unpacked("containernetworking-plugins")?.join("usr/lib/cni");
    // The last of them comes later.
    node.run(&format!(
        "cp {0}/bridge {0}/host-local /opt/cni/bin/ && echo '{NETWORK}' >/etc/cni/net.d/10-pods.conflist",
        plugins.display()
    ))?;
    cluster.run_until("kubectl wait --for=condition=Ready node/plugs --timeout=1s")?;
    cluster.kubectl("create namespace plugs")?;
    cluster.run_until("kubectl -n plugs get serviceaccount default")?;
    cluster.apply(PODS)?;
    cluster.run_until(
        "kubectl -n plugs get events --field-selector reason=FailedCreatePodSandBox | \
         grep 'failed to find plugin \"portmap\" in path \\[/opt/cni/bin\\]'",
    )?;
    node.run(&format!("cp {}/portmap /opt/cni/bin/", plugins.display()))?;
    for pod in ["web", "asks"] {
        cluster.run_until(&format!("kubectl -n plugs wait --for=condition=Ready pod/{pod} --timeout=1s"))?;
    }
    let address = cluster.kubectl("-n plugs get pod web -o jsonpath='{.status.podIP}'")?;
    assert!(address.starts_with("10.99.7."), "{address}");
    node.kill("skerry-agent")?;
    cluster.run_until(&format!(
        "kubectl -n plugs exec asks -- wget -q -O - http://{address}:8080/ | grep by-plugins"
    ))?;
    let port = format!("http://{}:18080/", cluster.address_of("plugs"));
    cluster.run_until(&format!("curl -s -m 2 {port} | grep by-plugins"))?;
    // What plugins gave before a reboot is given back: for a pod that is made again, and for one that went meanwhile.
    node.run(REBOOT)?;
    cluster.kubectl("-n plugs delete pod asks --force --grace-period=0")?;
    node.kill("skerry-agent")?;
    cluster.run_until(&format!(
        "kubectl -n plugs get pod web -o jsonpath='{{.status.podIP}}' | grep -v '^{address}$' | grep '^10.99.7.'"
    ))?;
    cluster.run_until(&format!("curl -s -m 2 {port} | grep by-plugins"))?;
    node.run_until("[ $(ls /var/lib/cni/networks/pods | grep -c '^10') = 1 ]")?;
    // A network whose file is gone is taken away as it was made.
    node.run("rm /etc/cni/net.d/10-pods.conflist")?;
    cluster.run_until(&format!("{words} | grep 'no network config found'"))?;
    cluster.kubectl("-n plugs delete pod --all --timeout=300s")?;
    node.run_until(&format!("[ -z \"$({LEFT})\" ] || {{ {LEFT}; exit 1; }} >&2"))?;
    cluster.kubectl("delete node plugs --wait=false").map(drop)
}

#[test]
#[ignore = "long"]
fn a_node_that_leaves_services_to_the_cluster_has_loaded_what_iptables_asks_for() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node_and("foreign", "services = \"cluster\"\n")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/foreign --timeout=1s")?;
    for module in ["nft_compat", "xt_REDIRECT", "xt_conntrack", "xt_nat", "xt_owner", "xt_recent"] {
        node.run_until(&format!("grep -q '^{module} ' /proc/modules || [ ! -e /proc/modules ]"))?;
    }
    node.power_off()?;
    cluster.kubectl("delete node foreign --wait=false").map(drop)
}
