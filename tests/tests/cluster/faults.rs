//! What a node does when the API server is away, overloaded, broken or behind a bad wire. The node is without a machine:
//! these tests are about what our programs ask and do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::{Asked, Bare, Cluster, Fault, Proxy, Result};

/// A node behind a proxy, and a namespace of the same name.
fn node(cluster: &Cluster, name: &str) -> Result<(Proxy, Bare)> {
    let proxy = cluster.proxy()?;
    let node = cluster.bare(name, &proxy.server())?;
    cluster.run_until(&format!("kubectl wait --for=condition=Ready node/{name} --timeout=1s"))?;
    cluster.kubectl(&format!("create namespace {name}"))?;
    cluster.run_until(&format!("kubectl -n {name} get serviceaccount default"))?;
    Ok((proxy, node))
}

/// A pod of this name on node `place`, with something of every kind that is read at the API server. `number` tells its
/// process from others'.
fn pod(place: &str, name: &str, number: u32) -> String {
    format!(
        r#"{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: {name}, namespace: {place} }}, data: {{ word: hello }} }}
---
{{ apiVersion: v1, kind: Secret, metadata: {{ name: {name}, namespace: {place} }}, stringData: {{ word: secret }} }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: {name}, namespace: {place} }}
spec:
  nodeName: {place}
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'exec sleep {number}']
    env: [{{ name: WORD, valueFrom: {{ configMapKeyRef: {{ name: {name}, key: word }} }} }}]
    volumeMounts: [{{ name: words, mountPath: /words }}]
  volumes: [{{ name: words, secret: {{ secretName: {name} }} }}]
"#
    )
}

fn is_ready(pod: &str) -> String {
    format!(
        "kubectl wait --for=condition=Ready {pod} --timeout=1s || {{ kubectl describe {pod} | tail -n 15 >&2; exit 1; }}"
    )
}

/// When the node's Lease was renewed last.
fn renewed(node: &str) -> String {
    format!("kubectl -n kube-node-lease get lease {node} -o jsonpath='{{.spec.renewTime}}'")
}

#[test]
#[ignore = "long"]
fn what_runs_goes_on_while_the_api_server_is_away() -> Result {
    let cluster = Cluster::shared()?;
    let (proxy, node) = node(&cluster, "away")?;
    for (name, number) in [("stays", 100_001), ("falls", 100_002), ("leaves", 100_003)] {
        cluster.apply(&pod("away", name, number))?;
        cluster.run_until(&is_ready(&format!("-n away pod/{name}")))?;
    }
    let path = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
    let look = |pod: &str| cluster.kubectl(&format!("-n away get pod {pod} -o jsonpath='{path}'"));
    let before = look("stays")?;
    proxy.goes_away();
    node.wait_for("renew the node's lease: ")?;
    proxy.asked();
    cluster.kubectl("-n away delete pod leaves --wait=false")?;
    cluster.apply(&pod("away", "comes", 100_004))?;
    // Whoever falls is put up again, by what was known when it began.
    node.run("pkill -KILL -xf 'sleep 100002'")?;
    node.run_until("pgrep -xf 'sleep 100002'")?;
    // So do they when an agent has come that never heard of an API server.
    node.kill("skerry-agent")?;
    node.run_until("pgrep -x skerry-agent")?;
    sleep(Duration::from_secs(15));
    node.run("pgrep -xf 'sleep 100001' && pgrep -xf 'sleep 100003'")?;
    let last = cluster.run(&renewed("away"))?;
    proxy.comes_back();
    cluster.run_until(&format!("{} | grep -v {last}", renewed("away")))?;
    cluster.run_until(&is_ready("-n away pod/comes"))?;
    cluster.run_until("! kubectl -n away get pod leaves")?;
    node.run_until("! pgrep -xf 'sleep 100003'")?;
    cluster.run_until(
        "kubectl -n away get pod falls -o jsonpath='{.status.containerStatuses[0].restartCount}' | grep -x 1",
    )?;
    cluster.run_until(&is_ready("-n away pod/stays"))?;
    assert_eq!(look("stays")?, before, "nobody touched it");
    cluster.run_until("kubectl wait --for=condition=Ready node/away --timeout=1s")?;
    Ok(())
}

/// As the node's controller says it of pods on a node that it has not heard of for too long.
#[test]
fn what_others_say_of_a_pod_is_put_right() -> Result {
    let cluster = Cluster::shared()?;
    let (_proxy, _node) = node(&cluster, "maligned")?;
    cluster.apply(&pod("maligned", "box", 100_005))?;
    cluster.run_until(&is_ready("-n maligned pod/box"))?;
    let words = r#"{"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#;
    cluster.kubectl(&format!("-n maligned patch pod box --subresource=status -p '{words}'"))?;
    cluster.run_until(&is_ready("-n maligned pod/box"))?;
    // And of the node itself; a Lease that is renewed would not do it.
    let words = r#"{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}"#;
    cluster.kubectl(&format!("patch node maligned --subresource=status -p '{words}'"))?;
    cluster.kubectl("label node maligned kubernetes.io/os=plan9 --overwrite")?;
    cluster.run_until(&is_ready("node/maligned"))?;
    let label = "kubectl get node maligned -o jsonpath='{.metadata.labels.kubernetes\\.io/os}'";
    cluster.run_until(&format!("{label} | grep -x linux")).map(drop)
}

/// One of two requests that `of` is about fails like that, by a coin that falls the same each time.
fn half_of_them(proxy: &Proxy, fault: Fault, of: fn(&Asked) -> bool) {
    let coin = AtomicU64::new(7);
    proxy.does(move |asked| {
        let next = |coin: u64| Some(coin.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let thrown = coin.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        if of(asked) && thrown >> 62 & 1 == 0 { fault } else { Fault::None }
    });
}

/// A pod comes and goes.
fn comes_and_goes(cluster: &Cluster, node: &Bare, place: &str) -> Result {
    cluster.apply(&pod(place, "guest", 200_001))?;
    cluster.run_until(&is_ready(&format!("-n {place} pod/guest")))?;
    cluster.kubectl(&format!("-n {place} delete pod guest --timeout=300s"))?;
    cluster.kubectl(&format!("-n {place} delete configmap guest"))?;
    cluster.kubectl(&format!("-n {place} delete secret guest"))?;
    node.run_until("! pgrep -xf 'sleep 200001' && ! ls /var/lib/kubelet/pods | grep .").map(drop)
}

#[test]
#[ignore = "long"]
fn a_pod_comes_and_goes_though_half_of_all_requests_fail() -> Result {
    let cluster = Cluster::shared()?;
    let (proxy, node) = node(&cluster, "halves")?;
    for fault in [Fault::Status(500), Fault::Status(429), Fault::Garbage, Fault::Cut] {
        half_of_them(&proxy, fault, |_| true);
        comes_and_goes(&cluster, &node, "halves")?;
    }
    // Watches begin well and end at each event, in any way.
    for fault in [Fault::CutAfter(1), Fault::EndAfter(1), Fault::EndAfter(0), Fault::Expired] {
        half_of_them(&proxy, fault, Asked::is_watch);
        proxy.asked();
        comes_and_goes(&cluster, &node, "halves")?;
    }
    assert!(node.said().matches("panicked").count() == 0);
    Ok(())
}

/// Ten seconds of nothing but failures: each thing is asked for now and then, not again and again.
#[test]
#[ignore = "long"]
fn a_broken_api_server_is_not_hammered() -> Result {
    let cluster = Cluster::shared()?;
    let (proxy, _node) = node(&cluster, "lenient")?;
    for number in 0..5 {
        cluster.apply(&pod("lenient", &format!("box-{number}"), 300_000 + number))?;
    }
    cluster.run_until("kubectl -n lenient wait --for=condition=Ready pod --all --timeout=20s")?;
    for fault in [Fault::Status(500), Fault::Cut] {
        proxy.does(move |_| fault);
        proxy.cut();
        proxy.asked();
        sleep(Duration::from_secs(10));
        let mut times = BTreeMap::<String, usize>::new();
        for asked in proxy.asked() {
            let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
            let which = query.split('&').find(|part| part.starts_with("fieldSelector")).unwrap_or_default();
            *times.entry(format!("{} {path} {which}", asked.method)).or_default() += 1;
        }
        assert!(times.len() > 10 && times.values().all(|times| *times <= 8), "{fault:?}: {times:#?}");
        proxy.does(|_| Fault::None);
        let last = cluster.run(&renewed("lenient"))?;
        cluster.run_until(&format!("{} | grep -v {last}", renewed("lenient")))?;
    }
    Ok(())
}

#[test]
fn who_is_not_answered_asks_again() -> Result {
    let cluster = Cluster::shared()?;
    let (proxy, node) = node(&cluster, "ignored")?;
    proxy.does(|asked| if asked.path.contains("/leases/") { Fault::Silence } else { Fault::None });
    node.wait_for("renew the node's lease: no answer within 10s")?;
    let last = cluster.run(&renewed("ignored"))?;
    proxy.does(|_| Fault::None);
    cluster.run_until(&format!("{} | grep -v {last}", renewed("ignored"))).map(drop)
}

/// Packets of watches are dropped in silence, as by a firewall that has forgotten their connections; those of the Lease are not,
/// whose silence has all connections made anew.
#[test]
#[ignore = "long"]
fn a_watch_that_leads_nowhere_begins_anew() -> Result {
    let cluster = Cluster::shared()?;
    let (_proxy, node) = node(&cluster, "nowhere")?;
    // Who has sent nothing for so long watches: the Lease is renewed every ten seconds.
    sleep(Duration::from_secs(30));
    let watches = "ss -HtnOi state established \
        | awk '/ lastsnd:[2-9][0-9][0-9][0-9][0-9] / { n = split($3, part, \":\"); print part[n] }'";
    for (chain, port) in [("input", "dport"), ("output", "sport")] {
        let add = format!("nft 'add chain inet test {chain} {{ type filter hook {chain} priority 0; }}'");
        node.run(&format!("nft add table inet test && {add}"))?;
        let rule = format!("nft add rule inet test {chain} tcp {port} $port drop");
        node.run(&format!(
            "for port in $({watches}); do {rule}; done; nft list ruleset | grep '{port} [0-9]* drop'"
        ))?;
    }
    let dropped = Instant::now();
    cluster.apply(&pod("nowhere", "late", 100_006))?;
    cluster.run_until(&is_ready("-n nowhere pod/late"))?;
    assert!(dropped.elapsed() < Duration::from_secs(120), "{:?}", dropped.elapsed());
    Ok(())
}

/// Every object has fields that this agent does not know, and it has said nothing of what it does not know in the end.
#[test]
#[ignore = "long"]
fn an_api_server_of_a_later_version_is_understood() -> Result {
    let cluster = Cluster::shared()?;
    let (proxy, node) = node(&cluster, "older")?;
    proxy.does(|_| Fault::Later);
    proxy.cut();
    comes_and_goes(&cluster, &node, "older")?;
    node.kill("skerry-agent")?;
    cluster.apply(&pod("older", "box", 100_006))?;
    cluster.run_until(&is_ready("-n older pod/box"))?;
    // What is another's stands for what is of a later version, which this API server would not keep.
    let words = r#"{"status":{"conditions":[{"type":"theirs","status":"True"}]}}"#;
    cluster.kubectl(&format!("-n older patch pod box --subresource=status -p '{words}'"))?;
    node.run("pkill -KILL -xf 'sleep 100006'")?;
    let path =
        "{.status.containerStatuses[0].restartCount} {.status.conditions[?(@.type==\"theirs\")].status}";
    cluster.run_until(&format!("kubectl -n older get pod box -o jsonpath='{path}' | grep -x '1 True'"))?;
    let last = cluster.run(&renewed("older"))?;
    cluster.run_until(&format!("{} | grep -v {last}", renewed("older")))?;
    assert_eq!(node.said().matches("panicked").count(), 0);
    Ok(())
}
