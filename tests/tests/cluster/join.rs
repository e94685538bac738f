//! A machine becomes a node of the cluster, and tells its console why when it does not.

use tests::{Cluster, Result};

/// What kubectl says of a node by a JSON path.
fn of_node(cluster: &Cluster, name: &str, path: &str) -> Result<String> {
    cluster.kubectl(&format!("get node {name} -o jsonpath='{{{path}}}'"))
}

#[test]
fn a_machine_joins_by_what_kubeadm_prints_and_later_by_its_certificate() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("joins")?.boot()?;
    node.console().wait_for("joins: has a certificate")?;
    cluster.run_until("kubectl get node joins -o jsonpath='{.spec.podCIDR}' | grep -F 10.244.")?;
    let address = cluster.address_of("joins").to_string();
    assert_eq!(of_node(&cluster, "joins", r#".status.addresses[?(@.type=="InternalIP")].address"#)?, address);
    assert_eq!(of_node(&cluster, "joins", r".metadata.labels.kubernetes\.io/hostname")?, "joins");
    let uid = of_node(&cluster, "joins", ".metadata.uid")?;
    let lease = "kubectl -n kube-node-lease get lease joins -o jsonpath='{.spec.renewTime}'";
    let first = cluster.run_until(&format!("{lease} | grep .Z"))?;
    cluster.run_until(&format!("{lease} | grep -vF {}", first.trim()))?;
    node.power_off()?;
    drop(node);
    // The same machine, whose token is gone by now.
    let hash = cluster.ca_hash();
    let node = cluster.node_with("joins", &format!("ca-cert-hash = \"{hash}\"\n"))?.boot()?;
    let last = cluster.run(lease)?;
    cluster.run_until(&format!("{lease} | grep -vF {}", last.trim()))?;
    assert_eq!(of_node(&cluster, "joins", ".metadata.uid")?, uid);
    assert!(!node.console().text().contains("has a certificate"), "it asked for another one");
    node.power_off()
}

#[test]
fn a_token_that_is_not_known_is_told_once_and_tried_until_it_is() -> Result {
    let cluster = Cluster::shared()?;
    let (hash, token) = (cluster.ca_hash(), "late00.0123456789abcdef");
    let node = cluster
        .node_with("patient", &format!("ca-cert-hash = \"{hash}\"\ntoken = \"{token}\"\n"))?
        .more_config("[containers.box]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000000\"]\n")
        .boot()?;
    let trouble = "the API server does not know cluster.token: it is wrong or has expired";
    node.console().wait_for(trouble)?;
    node.console().wait_for("box: running")?;
    cluster.create_token(token)?;
    cluster.run_until("kubectl get node patient")?;
    assert_eq!(node.console().text().matches(trouble).count(), 1);
    node.power_off()
}

#[test]
fn an_authority_of_another_hash_is_not_believed() -> Result {
    let cluster = Cluster::shared()?;
    let hash = format!("sha256:{}", "0".repeat(64));
    let lines = format!("ca-cert-hash = \"{hash}\"\ntoken = \"{}\"\n", cluster.token());
    let node = cluster.node_with("careful", &lines)?.boot()?;
    node.console().wait_for(&format!("cluster.ca-cert-hash {hash}: no authority"))?;
    assert_eq!(cluster.kubectl("get nodes --field-selector metadata.name=careful -o name")?, "");
    node.power_off()
}
