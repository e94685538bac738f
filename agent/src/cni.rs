//! Pods' networks by the cluster's own plugins, for nodes with `cluster.pod-network = "cluster"`: the Container Network
//! Interface, 0.3 to 1.1, as container runtimes speak it.
//!
//! ```text
//! /etc/cni/net.d/10-name.conflist ─▶ Network ─┬─ ADD one plugin after another ─▶ cni.json ─▶ addresses
//! /opt/cni/bin/TYPE                           └─ DEL in reverse, by what cni.json says ◀──┘
//! ```
//!
//! A DaemonSet of the cluster brings files and programs. The pod's namespace and its loopback interface are ours; all else
//! in it is the plugins'. What was asked for is written down before it is done, so that an agent that is killed
//! meanwhile has it taken away before it asks again.
//!
//! Source: <https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md>

mod network;
mod plugin;

use crate::folder;
use crate::node::report::Standing;
use crate::record;
use crate::say::{Trouble, say};
use crate::volume::place;
use k8s_openapi::api::core::v1::Pod;
use network::Network;
use plugin::{Call, Verb};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spec::network::Port;
use spec::paths;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::cause::cause;
use tokio::sync::watch;
use tokio::time::sleep;

/// The interface that a pod's address is on.
const INTERFACE: &str = "eth0";

/// Between two attempts to watch the folder.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells for ever whether there is a network, in a kubelet's words.
pub async fn keep(standing: &watch::Sender<Standing>) {
    let mut trouble = Trouble::default();
    loop {
        let opened = folder::watch(Path::new(paths::CNI_NETWORKS));
        let watched = trouble.of(&format!("watch {}", paths::CNI_NETWORKS), opened);
        let Some(mut changes) = watched else {
            sleep(PAUSE).await;
            continue;
        };
        loop {
            let unready = Network::find(Path::new(paths::CNI_NETWORKS)).err().map(|reason| {
                format!(
                    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                     message:Network plugin returns error: cni plugin not initialized: {reason}"
                )
            });
            standing.send_if_modified(|standing| {
                std::mem::replace(&mut standing.unready, unready.clone()) != unready
            });
            if changes.changed().await.is_err() {
                break;
            }
        }
    }
}

/// What was asked of plugins for a pod, and what they gave it: it is on the disk, as what most of them keep is, since an
/// address that was given before a reboot is taken until it is given back.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The boot's ID.
    boot: String,
    network: Network,
    arguments: String,
    capabilities: Map<String, Value>,
    namespace: PathBuf,
    /// Of the last plugin; none while they are being asked.
    result: Option<Value>,
}

impl Record {
    fn path(pod: &Pod) -> PathBuf {
        place::pod(key(pod)).join("cni.json")
    }

    fn read(path: &Path) -> Result<Option<Self>, String> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| format!("read {}: {}", path.display(), cause(&error)))?,
        };
        // Nobody can do anything about one that is none.
        let record = serde_json::from_slice(&bytes);
        Ok(record.inspect_err(|error| say(format_args!("read {}: {error}", path.display()))).ok())
    }

    async fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let written = record::write(path, text, true).await;
        written.map_err(|error| format!("write {}: {}", path.display(), cause(&error)))
    }

    /// The addresses that still hold.
    fn addresses(&self, boot: &str) -> Option<Result<Vec<IpAddr>, String>> {
        let result = self.result.as_ref().filter(|_| self.boot == boot)?;
        Some(network::addresses(result, INTERFACE))
    }

    /// Asks each plugin in its turn.
    async fn add(&self, key: &str) -> Result<Value, String> {
        let mut result = None;
        for index in 0..self.network.plugins.len() {
            result = Some(self.call(Verb::Add, key, index, result.as_ref()).await?);
        }
        result.ok_or_else(|| "the network has no plugins".to_owned())
    }

    /// Takes all of it back, as far as it was given.
    async fn delete(&self, key: &str) -> Result<(), String> {
        let mut done = Ok(());
        for index in (0..self.network.plugins.len()).rev() {
            let deleted = self.call(Verb::Delete, key, index, self.result.as_ref()).await;
            done = done.and(deleted.map(drop));
        }
        done
    }

    /// The same. Of another boot only what plugins keep on the disk is left, and one that is gone keeps nothing.
    async fn give_back(&self, key: &str, boot: &str) -> Result<(), String> {
        match self.delete(key).await {
            Err(reason) if self.boot != boot => {
                say(format_args!("pod {key}: give back its network of another boot: {reason}"));
                Ok(())
            }
            deleted => deleted,
        }
    }

    async fn call(
        &self,
        verb: Verb,
        key: &str,
        index: usize,
        before: Option<&Value>,
    ) -> Result<Value, String> {
        let call = Call {
            verb,
            container: key,
            namespace: &self.namespace,
            interface: INTERFACE,
            arguments: &self.arguments,
            programs: Path::new(paths::CNI_PROGRAMS),
        };
        call.run(&self.network.input(index, &self.capabilities, before)).await
    }
}

/// Gives a pod's namespace its network, and tells the pod's addresses.
///
/// # Errors
/// There is no network, or what a plugin says; nothing is left of it then.
pub async fn attach(pod: &Pod, namespace: &str, ports: &[Port]) -> Result<Vec<IpAddr>, String> {
    let (key, path, boot) = (key(pod), Record::path(pod), boot()?);
    if let Some(before) = Record::read(&path)? {
        if let Some(addresses) = before.addresses(&boot) {
            return addresses;
        }
        before.give_back(key, &boot).await?;
    }
    let mut record = Record {
        boot,
        network: Network::find(Path::new(paths::CNI_NETWORKS))?,
        arguments: arguments(pod),
        capabilities: capabilities(pod, ports),
        namespace: PathBuf::from(namespace),
        result: None,
    };
    record.write(&path).await?;
    let added = match record.add(key).await {
        Ok(result) => network::addresses(&result, INTERFACE).map(|addresses| (result, addresses)),
        Err(reason) => Err(reason),
    };
    match added {
        Ok((result, addresses)) => {
            record.result = Some(result);
            record.write(&path).await?;
            Ok(addresses)
        }
        Err(reason) => {
            // Whatever is still there after this is tried again with the next attempt.
            if record.delete(key).await.is_ok() {
                let _ = fs::remove_file(path);
            }
            Err(reason)
        }
    }
}

/// Takes a pod's network away; that there is none is no error.
///
/// # Errors
/// What a plugin says.
pub async fn detach(pod: &Pod) -> Result<(), String> {
    let path = Record::path(pod);
    let Some(record) = Record::read(&path)? else { return Ok(()) };
    record.give_back(key(pod), &boot()?).await?;
    fs::remove_file(&path).map_err(|error| format!("remove {}: {}", path.display(), cause(&error)))
}

fn boot() -> Result<String, String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path).map_err(|error| format!("read {path}: {}", cause(&error)))
}

fn key(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// `CNI_ARGS`: which pod it is.
fn arguments(pod: &Pod) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        text(&pod.metadata.namespace),
        text(&pod.metadata.name),
        key(pod),
        key(pod)
    )
}

/// What a pod wants of plugins that say they can do it (the conventions of CNI): ports of the node, and bandwidth in bits a
/// second.
fn capabilities(pod: &Pod, ports: &[Port]) -> Map<String, Value> {
    let mut all = Map::new();
    let mappings: Vec<Value> = ports
        .iter()
        .map(|port| {
            json!({
                "hostPort": port.host, "containerPort": port.container, "protocol": port.protocol.to_string(),
                "hostIP": port.address.map(|own| own.to_string()).unwrap_or_default(),
            })
        })
        .collect();
    if !mappings.is_empty() {
        all.insert("portMappings".to_owned(), mappings.into());
    }
    let notes = pod.metadata.annotations.as_ref();
    let rate = |name: &str| {
        let text = notes?.get(&format!("kubernetes.io/{name}-bandwidth"))?;
        crate::pod::quantity::units(text).and_then(|bits| u64::try_from(bits).ok()).filter(|bits| *bits > 0)
    };
    let mut bandwidth = Map::new();
    for name in ["ingress", "egress"] {
        if let Some(bits) = rate(name) {
            bandwidth.insert(format!("{name}Rate"), bits.into());
            bandwidth.insert(format!("{name}Burst"), i32::MAX.into());
        }
    }
    if !bandwidth.is_empty() {
        all.insert("bandwidth".to_owned(), bandwidth.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_boot_before_is_none() {
        let result = json!({ "ips": [{ "address": "10.9.0.5/24" }] });
        let network = json!({ "name": "n", "version": "1.0.0", "plugins": [] });
        let record: Record = serde_json::from_value(json!({
            "boot": "b1", "network": network, "arguments": "", "capabilities": {}, "namespace": "/n", "result": result,
        }))
        .unwrap();
        assert_eq!(record.addresses("b1"), Some(Ok(vec!["10.9.0.5".parse().unwrap()])));
        assert_eq!(record.addresses("b2"), None);
        assert_eq!(Record { result: None, ..record }.addresses("b1"), None, "plugins were being asked");
    }

    #[test]
    fn a_pod_says_who_it_is_and_what_it_wants() {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {
            "name": "web", "namespace": "shop", "uid": "1-2",
            "annotations": { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "0" },
        } }))
        .unwrap();
        assert_eq!(
            arguments(&pod),
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=1-2;K8S_POD_UID=1-2"
        );
        let ports: Vec<Port> = vec!["8080:80".parse().unwrap(), "192.0.2.1:53:53/udp".parse().unwrap()];
        assert_eq!(
            Value::from(capabilities(&pod, &ports)),
            json!({
                "portMappings": [
                    { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "" },
                    { "hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1" },
                ],
                "bandwidth": { "ingressRate": 10_000_000, "ingressBurst": i32::MAX },
            })
        );
        assert!(capabilities(&Pod::default(), &[]).is_empty());
    }
}
