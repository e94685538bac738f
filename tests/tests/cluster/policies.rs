//! Network policies between machines: who may speak to a pod, and who gets no answer.

use tests::{Cluster, Result};

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: guarded, labels: { app: web } }
spec:
  nodeName: guards
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo hello >/tmp/page; httpd -p 9090 -h /tmp; exec httpd -f -p 8080 -h /tmp']
    readinessProbe: { httpGet: { path: /page, port: 8080 }, periodSeconds: 1 }
"#;

const POLICY: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: friends, namespace: guarded }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress:
  - from: [{ podSelector: { matchLabels: { friend: "yes" } } }]
    ports: [{ port: 8080 }]
"#;

fn client(name: &str, node: &str, friend: &str) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "{name}", "namespace": "guarded", "labels": {{ "friend": "{friend}" }} }},
            "spec": {{ "nodeName": "{node}", "terminationGracePeriodSeconds": 1, "containers": [{{ "name": "main", "image": "busybox",
                "imagePullPolicy": "Never", "command": ["sleep", "100000"] }}] }} }}"#
    )
}

#[test]
#[ignore = "long"]
fn a_policy_holds_between_pods_of_two_machines() -> Result {
    let cluster = Cluster::shared()?;
    let (guards, asks) = (cluster.node("guards")?.boot()?, cluster.node("asks")?.boot()?);
    for (name, node) in [("guards", &guards), ("asks", &asks)] {
        let ready = format!("kubectl wait --for=condition=Ready node/{name} --timeout=1s");
        node.machine().blame(cluster.run_until(&ready))?;
    }
    cluster.kubectl("create namespace guarded")?;
    cluster.run_until("kubectl -n guarded get serviceaccount default")?;
    cluster.apply(PODS)?;
    let clients = [
        ("near", "guards", "no"),
        ("far", "asks", "no"),
        ("kin", "guards", "yes"),
        ("friend", "asks", "yes"),
    ];
    for (name, node, friend) in clients {
        cluster.apply(&client(name, node, friend))?;
    }
    cluster.run_until("kubectl -n guarded wait --for=condition=Ready pod --all --timeout=1s")?;
    let address = cluster.kubectl("-n guarded get pod web -o jsonpath='{.status.podIP}'")?;
    let asks_for = |client: &str, port: u16| {
        format!("kubectl -n guarded exec {client} -- timeout 3 wget -q -O - http://{address}:{port}/page")
    };
    let answered =
        |client: &str, port| cluster.run_until(&format!("{} | grep -x hello", asks_for(client, port)));
    // What the node has not been told of yet is not refused: once it is, it stays so.
    let refused = |client: &str, port| cluster.run_until(&format!("! {0} && ! {0}", asks_for(client, port)));
    for (name, ..) in clients {
        answered(name, 8080)?;
        answered(name, 9090)?;
    }
    cluster.apply(POLICY)?;
    for (name, _, friend) in clients {
        if friend == "yes" {
            answered(name, 8080)?
        } else {
            refused(name, 8080)?
        };
        refused(name, 9090)?;
    }
    // Probes come from the node, whom no policy keeps out.
    cluster.run_until("kubectl -n guarded wait --for=condition=Ready pod/web --timeout=1s")?;
    // Who becomes a friend is let in, and who is one no more is not.
    cluster.kubectl("-n guarded label pod far friend=yes --overwrite")?;
    answered("far", 8080)?;
    cluster.kubectl("-n guarded label pod friend friend=no --overwrite")?;
    refused("friend", 8080)?;
    cluster.kubectl("-n guarded delete networkpolicy friends")?;
    for (name, ..) in clients {
        answered(name, 9090)?;
    }
    cluster.kubectl("-n guarded delete pod --all --timeout=300s")?;
    guards.power_off()?;
    asks.power_off()
}

const CLOSED: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: closed }
spec: { podSelector: {}, policyTypes: [Egress] }
---
apiVersion: v1
kind: Pod
metadata: { name: open, namespace: default }
spec:
  nodeName: instant
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [httpd, -f, -p, '8080', -h, /etc]
    readinessProbe: { httpGet: { path: /hostname, port: 8080 }, periodSeconds: 1 }
"#;

/// A pod that asks as soon as it runs: 0 when it is answered. Whoever waits in vain is killed, which a namespace's first
/// process would not be.
fn hasty(number: u32, address: &str) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "hasty{number}", "namespace": "closed" }},
            "spec": {{ "nodeName": "instant", "restartPolicy": "Never", "containers": [{{ "name": "main", "image": "busybox",
                "imagePullPolicy": "Never", "command": ["sh", "-c", "timeout 3 wget -q -O /dev/null http://{address}:8080/hostname; exit $?"] }}] }} }}"#
    )
}

#[test]
#[ignore = "long"]
fn a_policy_holds_from_a_pods_first_instant() -> Result {
    const PODS: u32 = 8;
    let cluster = Cluster::shared()?;
    let node = cluster.node("instant")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/instant --timeout=1s")?;
    cluster.kubectl("create namespace closed")?;
    cluster.run_until("kubectl -n closed get serviceaccount default")?;
    cluster.apply(CLOSED)?;
    cluster.run_until("kubectl wait --for=condition=Ready pod/open --timeout=1s")?;
    let address = cluster.kubectl("get pod open -o jsonpath='{.status.podIP}'")?;
    let phases = "kubectl -n closed get pod -o jsonpath='{range .items[*]}{.status.phase}{\"\\n\"}{end}'";
    // Until the first of them no other node's pods matter, so policies are heard of when there is one.
    for number in 0..PODS {
        cluster.apply(&hasty(number, &address))?;
    }
    let over = cluster
        .run_until(&format!("{phases} | grep -c -e Failed -e Succeeded | grep -x {PODS} && {phases}"))?;
    assert!(!over.contains("Succeeded"), "somebody was answered: {over}");
    // They could have been: without the policy they are.
    cluster.kubectl("-n closed delete networkpolicy closed")?;
    cluster.apply(&hasty(PODS, &address))?;
    cluster.run_until(&format!("{phases} | grep Succeeded"))?;
    cluster.kubectl("delete namespace closed --timeout=300s")?;
    cluster.kubectl("delete pod open --timeout=300s")?;
    node.power_off()
}
