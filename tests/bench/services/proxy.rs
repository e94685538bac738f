//! Kubernetes' own proxy for Services, in nftables mode.

use ::tests::{Bare, Cluster, Result, repository, said};
use std::process::Command;

/// A proxy that runs on a node and ends with it.
pub struct Proxy {
    /// Its process, in the node.
    pub process: String,
}

impl Proxy {
    /// Starts it on a node that leaves Services to it.
    ///
    /// # Errors
    ///
    /// When it cannot be built, or does not start.
    pub fn start(cluster: &Cluster, node: &Bare) -> Result<Self> {
        let folder = said(Command::new(repository().join("tools/control-plane")).arg("kube-proxy"))?;
        let config = cluster.admin_config(cluster.server())?;
        let process = node.run(&format!(
            "{}/kube-proxy --proxy-mode=nftables --kubeconfig={} --hostname-override=theirs \
             --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0 --conntrack-min=0 \
             </dev/null >/run/kube-proxy.log 2>&1 & echo $!",
            folder.trim(),
            config.display()
        ))?;
        node.run_until(
            "wget -qO- http://127.0.0.1:10256/healthz || { tail -n 3 /run/kube-proxy.log >&2; exit 1; }",
        )?;
        Ok(Self { process: process.trim().to_owned() })
    }
}
