//! The control plane that nodes join is a real one, and machines may join it as they join one that
//! `kubeadm init` made.

use rcgen::{CertificateParams, DnType, KeyPair};
use tests::{Cluster, Result};

/// A namespace whose pods are admitted.
fn namespace(cluster: &Cluster, name: &str) -> Result {
    cluster.kubectl(&format!("create namespace {name}"))?;
    cluster.run_until(&format!("kubectl -n {name} get serviceaccount default")).map(drop)
}

#[test]
fn a_pod_without_a_node_is_pending() -> Result {
    let cluster = Cluster::shared()?;
    namespace(&cluster, "lonely")?;
    cluster.kubectl(
        "-n lonely run web --image=nginx --overrides='{\"spec\":{\"nodeSelector\":{\"a\":\"b\"}}}'",
    )?;
    let word = cluster.run_until(
        "kubectl -n lonely get pod web -o jsonpath='{.status.phase} {.status.conditions[0].reason}' | \
         grep Unschedulable",
    )?;
    assert_eq!(word.trim(), "Pending Unschedulable");
    Ok(())
}

/// What a machine reads first that has the token and the authority's hash; it believes what the token has
/// signed.
#[test]
fn who_knows_nothing_but_the_token_finds_the_cluster() -> Result {
    let cluster = Cluster::shared()?;
    let anonymous = |path: &str| {
        format!(
            "printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect 10.30.0.1:6443 2>/dev/null"
        )
    };
    let info = anonymous("/api/v1/namespaces/kube-public/configmaps/cluster-info");
    let info = cluster.run_until(&format!("{info} | grep jws-kubeconfig-abcdef"))?;
    assert!(info.contains("server: https://10.30.0.1:6443"), "{info}");
    let refused = cluster.run(&anonymous("/api/v1/nodes"))?;
    assert!(refused.starts_with("HTTP/1.0 403 "), "{refused}");
    Ok(())
}

/// As `openssl x509 -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256` tells it, which is in
/// kubeadm's documentation.
#[test]
fn the_hash_of_the_authority_is_kubeadms() -> Result {
    let cluster = Cluster::shared()?;
    let file = cluster.scratch_file("ca", cluster.ca())?;
    let hash = cluster.run(&format!(
        "openssl x509 -pubkey -noout -in {} | openssl pkey -pubin -outform der | openssl dgst -sha256 -r | cut -c1-64",
        file.display()
    ))?;
    assert_eq!(cluster.ca_hash(), format!("sha256:{}", hash.trim()));
    Ok(())
}

/// The signing request of node `name`, as its agent makes it (TLS bootstrapping).
fn request_of(cluster: &Cluster, name: &str, config: &str) -> Result<KeyPair> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
    let request = cluster.scratch_file("request", &params.serialize_request(&key)?.pem()?)?;
    let object = cluster.scratch_file(
        "csr",
        &format!(
            "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata:\n  name: {name}\n\
             spec:\n  signerName: kubernetes.io/kube-apiserver-client-kubelet\n  \
             usages: [digital signature, client auth]\n  request: REQUEST\n"
        ),
    )?;
    let (request, object) = (request.display(), object.display());
    cluster.run(&format!(
        "sed \"s/REQUEST/$(base64 -w0 {request})/\" {object} | kubectl --kubeconfig={config} create -f -"
    ))?;
    Ok(key)
}

#[test]
fn the_holder_of_the_token_gets_a_nodes_certificate() -> Result {
    let cluster = Cluster::shared()?;
    let config = cluster.config_with_token("joining", &cluster.token())?.display().to_string();
    let key = request_of(&cluster, "paper", &config)?;
    let certificate = cluster
        .run_until("kubectl get csr paper -o jsonpath='{.status.certificate}' | base64 -d | grep -v '^$'")?;
    let certificate = cluster.scratch_file("certificate", &certificate)?.display().to_string();
    let key = cluster.scratch_file("key", &key.serialize_pem())?.display().to_string();
    let ca = cluster.scratch_file("ca", cluster.ca())?.display().to_string();
    let node = format!(
        "kubectl --kubeconfig=/dev/null --server=https://10.30.0.1:6443 --certificate-authority={ca} \
         --client-certificate={certificate} --client-key={key}"
    );
    let who = cluster.run(&format!("{node} auth whoami"))?;
    assert!(who.contains("system:node:paper") && who.contains("system:nodes"), "{who}");
    // The Node authorizer and NodeRestriction hold it to its own.
    let refused = cluster.run(&format!("{node} get secrets -A 2>&1 || true"))?;
    assert!(refused.contains("Forbidden"), "{refused}");
    Ok(())
}

#[test]
fn a_token_that_is_wrong_is_refused() -> Result {
    let cluster = Cluster::shared()?;
    let config = cluster.config_with_token("stranger", "abcdef.fedcba9876543210")?;
    let refused = cluster.run(&format!("kubectl --kubeconfig={} get csr 2>&1 || true", config.display()))?;
    assert!(refused.contains("Unauthorized") || refused.contains("must be logged in"), "{refused}");
    Ok(())
}

#[test]
fn a_machine_on_the_clusters_wire_reaches_the_api_server_and_is_reached() -> Result {
    let cluster = Cluster::shared()?;
    let machine = cluster.station("alone")?.boot()?;
    machine.console().wait_for("/24 from the configuration")?;
    machine.run_until("nc -w 5 10.30.0.1 6443 </dev/null")?;
    machine.run("mkdir /run/www && echo from the machine >/run/www/index.html && httpd -p 80 -h /run/www")?;
    assert_eq!(cluster.page((cluster.address_of("alone"), 80), "/")?, "from the machine\n");
    assert_eq!(machine.run("hostname")?, "alone\n");
    machine.power_off()
}

#[test]
fn an_image_of_the_clusters_registry_is_pulled_on_a_node() -> Result {
    let cluster = Cluster::shared()?;
    let image = cluster.push("busybox")?;
    let node = cluster
        .node("pulls")?
        .more_config(&format!(
            "[containers.box]\nimage = \"{image}\"\npull = \"missing\"\nargs = [\"sleep\", \"1000000\"]\n"
        ))
        .boot()?;
    node.console().wait_for("box: running")?;
    node.power_off()
}
