//! Who a node is, when something is wrong with that: a certificate that ends, a clock that differs, a name that is taken.

use std::ops::Range;
use std::time::{Duration, SystemTime};
use tests::{Bare, Cluster, Fault, Result};

const CERTIFICATE: &str = "/var/lib/skerry/agent/client.pem";

/// The time between two moments that are so many seconds from now.
fn from_now(begin: i64, end: i64) -> Range<SystemTime> {
    let now = SystemTime::now();
    let moment = |seconds: i64| {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - distance } else { now + distance }
    };
    moment(begin)..moment(end)
}

/// Gives the node another certificate, and has a new agent begin with that.
fn begins_with(node: &Bare, certificate: &str) -> Result {
    node.run(&format!("echo '{certificate}' >{CERTIFICATE}"))?;
    node.kill("skerry-agent")
}

#[test]
fn a_certificate_is_replaced_before_it_ends_and_after() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.bare("brief", cluster.server())?;
    let ready = "kubectl wait --for=condition=Ready node/brief --timeout=1s";
    cluster.run_until(ready)?;
    // 65 % of its life of ten minutes are over: it is replaced at 70 to 90 %, and holds for a minute then, at least.
    let soon = cluster.certificate_while("brief", &from_now(-390, 210))?;
    begins_with(&node, &soon)?;
    let line = soon.lines().nth(1).unwrap_or_default();
    node.run_until(&format!("! grep -qF {line} {CERTIFICATE}"))?;
    assert!(!node.said().contains("replace the certificate"), "in time, and without trouble");
    // Watches go on with the new one: a pod is heard of.
    let place = r#"{"spec":{"nodeName":"brief"}}"#;
    cluster.kubectl(&format!(
        "run brief --image=busybox --image-pull-policy=Never --overrides='{place}' -- sleep 100000"
    ))?;
    cluster.run_until("kubectl wait --for=condition=Ready pod/brief --timeout=1s")?;
    // One that has ended already is replaced by the token.
    let late = cluster.certificate_while("brief", &from_now(-3660, -60))?;
    let before = node.said().matches("brief: has a certificate").count();
    begins_with(&node, &late)?;
    node.wait_for_times("brief: has a certificate", before + 1)?;
    cluster.run_until("kubectl exec brief -- true")?;
    cluster.kubectl("delete pod brief --timeout=300s").map(drop)
}

/// Names of a node's requests for the certificate of its own server, those alone that nobody has approved or denied.
fn waiting_requests(name: &str) -> String {
    format!(
        "kubectl get csr --no-headers --field-selector spec.signerName=kubernetes.io/kubelet-serving | \
         awk '/system:node:{name} / && $NF == \"Pending\" {{ print $1 }}'"
    )
}

/// Waits for the one request of a node that waits; gives its name.
fn request(cluster: &Cluster, name: &str) -> Result<String> {
    cluster
        .run_until(&format!("{} | grep -x 'node-serving-.*'", waiting_requests(name)))
        .map(|name| name.trim().to_owned())
}

#[test]
fn the_nodes_own_server_is_believed_once_somebody_approves_its_request() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.bare("signed", cluster.server())?;
    let request = request(&cluster, "signed")?;
    let ask = format!("{} get --raw /healthz", cluster.kubectl_of_node("signed"));
    let refused = cluster.run(&format!("! {ask} 2>&1"))?;
    assert!(refused.contains("certificate signed by unknown authority"), "{refused}");
    cluster.kubectl(&format!("certificate approve {request}"))?;
    assert_eq!(cluster.run_until(&ask)?, "ok");
    let ca = cluster.scratch_file("ca", cluster.ca())?;
    cluster.run(&format!(
        "openssl s_client -connect {}:10250 -CAfile {} -verify_hostname signed -verify_return_error </dev/null",
        cluster.address_of("signed"),
        ca.display()
    ))?;
    // An agent that begins anew shows the same, and asks for no other.
    node.kill("skerry-agent")?;
    cluster.run_until(&ask)?;
    assert_eq!(cluster.run(&waiting_requests("signed"))?, "");
    // One of another name it replaces.
    let other = cluster.certificate_while("other", &from_now(0, 3600))?;
    node.run(&format!("echo '{other}' >/var/lib/skerry/agent/serving.pem"))?;
    node.kill("skerry-agent")?;
    let request = self::request(&cluster, "signed")?;
    cluster.kubectl(&format!("certificate approve {request}"))?;
    cluster.run_until(&ask).map(drop)
}

/// The API server believes no node by itself here, as hardened clusters have it.
#[test]
#[ignore = "long"]
fn a_denied_request_is_told_once_and_made_anew_and_logs_come_by_the_next() -> Result {
    let cluster = Cluster::start_with_api_server(["--kubelet-certificate-authority=PKI/ca.crt".to_owned()])?;
    let node = cluster.bare("strict", cluster.server())?;
    let first = request(&cluster, "strict")?;
    cluster.kubectl(&format!("certificate deny {first}"))?;
    node.wait_for("get a serving certificate: Denied: ")?;
    let place = r#"{"spec":{"nodeName":"strict"}}"#;
    cluster.kubectl(&format!(
        "run says --image=busybox --image-pull-policy=Never --overrides='{place}' -- sh -c 'echo heard; sleep 100000'"
    ))?;
    cluster.run_until("kubectl wait --for=condition=Ready pod/says --timeout=1s")?;
    let refused = cluster.run("! kubectl logs says 2>&1")?;
    assert!(refused.contains("certificate signed by unknown authority"), "{refused}");
    let second = request(&cluster, "strict")?;
    assert_ne!(first, second);
    cluster.kubectl(&format!("certificate approve {second}"))?;
    assert_eq!(cluster.run_until("kubectl logs says")?, "heard\n");
    assert_eq!(node.said().matches("get a serving certificate: Denied").count(), 1);
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_certificate_that_nobody_knows_or_that_is_anothers_is_asked_for_anew() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.bare("forgotten", cluster.server())?;
    let ready = "kubectl wait --for=condition=Ready node/forgotten --timeout=1s";
    cluster.run_until(ready)?;
    // Of another authority, as when the cluster was set up anew: it holds by its dates.
    let made = cluster.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout /dev/stdout \
         -subj /O=system:nodes/CN=system:node:forgotten 2>/dev/null",
    )?;
    let before = node.said().matches("forgotten: has a certificate").count();
    begins_with(&node, &made)?;
    node.wait_for_times("forgotten: has a certificate", before + 1)?;
    // Of a node of another name, which this one was before.
    let other = cluster.certificate_while("other", &from_now(0, 3600))?;
    begins_with(&node, &other)?;
    node.wait_for_times("forgotten: has a certificate", before + 2)?;
    cluster.run_until(ready).map(drop)
}

#[test]
#[ignore = "long"]
fn a_clock_that_is_wrong_is_told_once() -> Result {
    let cluster = Cluster::shared()?;
    let proxy = cluster.proxy()?;
    proxy.does(|_| Fault::HourAhead);
    let node = cluster.bare("slow", &proxy.server())?;
    cluster.run_until("kubectl wait --for=condition=Ready node/slow --timeout=1s")?;
    proxy.does(|_| Fault::None);
    node.wait_for("the clock of this node agrees with the API server's again")?;
    assert_eq!(node.said().matches("behind the API server's").count(), 1);
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_name_that_another_machine_has_is_not_taken() -> Result {
    let cluster = Cluster::shared()?;
    let first = cluster.bare("twin", cluster.server())?;
    cluster.run_until("kubectl wait --for=condition=Ready node/twin --timeout=1s")?;
    let second = cluster.bare_as("other-twin", "twin", cluster.server())?;
    let address = cluster.address_of("twin").to_string();
    second.wait_for(&format!(
        "twin: the machine at {address} is this node already: another hostname is needed"
    ))?;
    let look = r#"kubectl get node twin -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}'"#;
    assert_eq!(cluster.run(look)?, address);
    let place = r#"{"spec":{"nodeName":"twin"}}"#;
    cluster.kubectl(&format!(
        "run twin --image=busybox --image-pull-policy=Never --overrides='{place}' -- sleep 100000"
    ))?;
    cluster.run_until("kubectl wait --for=condition=Ready pod/twin --timeout=1s")?;
    second.run("! pgrep -x sleep")?;
    // Once the first is silent the second is the node.
    drop(first);
    let address = cluster.address_of("other-twin").to_string();
    cluster.run_until(&format!("{look} | grep -x {address}"))?;
    second.run_until("pgrep -x sleep")?;
    cluster.kubectl("delete pod twin --timeout=300s").map(drop)
}

#[test]
#[ignore = "long"]
fn a_node_that_somebody_deletes_comes_back_and_no_pod_notices() -> Result {
    let cluster = Cluster::shared()?;
    let _node = cluster.bare("deleted", cluster.server())?;
    let ready = "kubectl wait --for=condition=Ready node/deleted --timeout=1s";
    cluster.run_until(ready)?;
    let place = r#"{"spec":{"nodeName":"deleted"}}"#;
    cluster.kubectl(&format!(
        "run deleted --image=busybox --image-pull-policy=Never --overrides='{place}' -- sleep 100000"
    ))?;
    cluster.run_until("kubectl wait --for=condition=Ready pod/deleted --timeout=1s")?;
    let of_pod = "get pod deleted -o jsonpath='{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].containerID}'";
    let of_node = |path: &str| cluster.kubectl(&format!("get node deleted -o jsonpath='{{{path}}}'"));
    let (pod, uid, subnet) = (cluster.kubectl(of_pod)?, of_node(".metadata.uid")?, of_node(".spec.podCIDR")?);
    cluster.kubectl("cordon deleted")?;
    cluster.kubectl("delete node deleted")?;
    cluster.run_until(ready)?;
    let new = of_node(".metadata.uid")?;
    assert_ne!(new, uid);
    assert_eq!((of_node(".spec.podCIDR")?, of_node(".spec.unschedulable")?), (subnet, String::new()));
    cluster
        .run_until(&format!("kubectl -n kube-node-lease get lease deleted -o yaml | grep 'uid: {new}'"))?;
    // Longer than the cluster waits before it deletes pods of a node that is gone.
    std::thread::sleep(Duration::from_secs(90));
    assert_eq!(cluster.kubectl(of_pod)?, pod);
    cluster.run_until("kubectl exec deleted -- true")?;
    cluster.kubectl("delete pod deleted --timeout=300s").map(drop)
}
