//! The programs of the control plane and their arguments, realistic where a node can tell.

use super::namespace::Namespace;
use super::pki::{Pki, Subject};
use super::program::Program;
use super::{PODS, SERVER, SERVICES};
use crate::Result;
use std::path::Path;

/// The address of etcd, for the API server alone.
const ETCD: &str = "http://127.0.0.1:2379";

/// What a cluster may have otherwise than Kubernetes has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// More arguments of kube-apiserver; `PKI/` is the folder of its certificates.
    pub api_server: Vec<String>,
    /// More arguments of kube-controller-manager.
    pub controller_manager: Vec<String>,
}

/// The running programs, in the order in which they end: who uses another before that one.
pub(crate) struct ControlPlane(Vec<Program>);

impl ControlPlane {
    /// Starts them all at once; each waits for the others.
    pub fn start(
        namespace: &Namespace,
        programs: &Path,
        pki: &Pki,
        folder: &Path,
        settings: &Settings,
    ) -> Result<Self> {
        let start = |name: &str, arguments: Vec<String>| {
            Program::start(namespace, &programs.join(name), &arguments, folder)
        };
        let manager = config(pki, "kube-controller-manager")?;
        let scheduler = config(pki, "kube-scheduler")?;
        let etcd = start("etcd", etcd(folder))?;
        let api_server = start("kube-apiserver", api_server(pki, settings))?;
        let manager = start("kube-controller-manager", controller_manager(pki, &manager, settings))?;
        let scheduler = start("kube-scheduler", kube_scheduler(&scheduler))?;
        Ok(Self(vec![scheduler, manager, api_server, etcd]))
    }

    /// The last lines of one that has ended, which none should.
    pub fn ended(&self) -> Option<String> {
        self.0.iter().find(|program| program.ended()).map(Program::tail)
    }

    /// The last lines of each.
    pub fn tails(&self) -> String {
        self.0.iter().rev().map(Program::tail).collect()
    }
}

/// Writes the kubeconfig of one of them.
fn config(pki: &Pki, name: &str) -> Result<String> {
    let user = format!("system:{name}");
    let file = pki.kubeconfig(name, Subject { name: &user, group: None }, SERVER)?;
    Ok(file.display().to_string())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Nothing is kept for longer than the cluster, so nothing needs to reach a disk.
fn etcd(folder: &Path) -> Vec<String> {
    let data = folder.join("etcd");
    words(&format!(
        "--name skerry --data-dir {} --unsafe-no-fsync --log-level warn \
         --listen-client-urls {ETCD} --advertise-client-urls {ETCD} \
         --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
         --initial-cluster skerry=http://127.0.0.1:2380",
        data.display()
    ))
}

fn api_server(pki: &Pki, settings: &Settings) -> Vec<String> {
    let file = |name| pki.file(name);
    let mut all = words(&format!(
        "--etcd-servers={ETCD} --advertise-address={} --secure-port=6443 \
         --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
         --enable-bootstrap-token-auth --allow-privileged=true --service-cluster-ip-range={SERVICES} \
         --service-account-issuer=https://kubernetes.default.svc.cluster.local \
         --kubelet-preferred-address-types=InternalIP --enable-aggregator-routing=true \
         --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
         --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra-",
        super::GATEWAY,
    ));
    let files = [
        ("client-ca-file", "ca.crt"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        ("kubelet-client-key", "apiserver-kubelet-client.key"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ("proxy-client-cert-file", "front-proxy-client.crt"),
        ("proxy-client-key-file", "front-proxy-client.key"),
    ];
    all.extend(files.map(|(option, name)| format!("--{option}={}", file(name))));
    all.extend(settings.api_server.iter().map(|word| word.replace("PKI/", &file(""))));
    all
}

/// The controllers of bootstrap tokens are off by default, as kubeadm's users never see. A node that is silent is given up
/// after three Leases that did not come, not five, for tests wait for that; and also where most nodes are, as those of
/// tests that are over.
fn controller_manager(pki: &Pki, config: &str, settings: &Settings) -> Vec<String> {
    let mut all = words(&format!(
        "--kubeconfig={config} --authentication-kubeconfig={config} --authorization-kubeconfig={config} \
         --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
         --controllers=*,bootstrap-signer-controller,token-cleaner-controller --node-monitor-grace-period=30s \
         --unhealthy-zone-threshold=1 \
         --allocate-node-cidrs=true --cluster-cidr={PODS} --service-cluster-ip-range={SERVICES} \
         --root-ca-file={ca} --cluster-signing-cert-file={ca} --cluster-signing-key-file={} \
         --client-ca-file={ca} --requestheader-client-ca-file={} --service-account-private-key-file={}",
        pki.file("ca.key"),
        pki.file("front-proxy-ca.crt"),
        pki.file("sa.key"),
        ca = pki.file("ca.crt"),
    ));
    all.extend(settings.controller_manager.iter().cloned());
    all
}

fn kube_scheduler(config: &str) -> Vec<String> {
    words(&format!(
        "--kubeconfig={config} --authentication-kubeconfig={config} --authorization-kubeconfig={config} \
         --bind-address=127.0.0.1 --leader-elect=false"
    ))
}
