//! What the node's pods are, as far as a request can name them: plain values, which the pod loop
//! replaces as a whole whenever they change.

use k8s_openapi::api::core::v1::Pod as Object;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// The pods of this moment, shared.
#[derive(Clone, Debug, Default)]
pub struct Pods(Arc<RwLock<Arc<[Pod]>>>);

/// A pod of this node.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Its namespace at the API server.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Where its ports are.
    pub network: Network,
    /// The folder of its logs, `/var/log/pods/NAMESPACE_NAME_UID`: in it `CONTAINER/N.log`, N
    /// being [`Container::log`].
    pub logs: PathBuf,
    /// Its cgroup, below [`spec::paths::CGROUP`]; empty while there is none.
    pub cgroup: PathBuf,
    /// When it was started, seconds since 1970.
    pub started: u64,
    /// Its containers that have been made at least once, and those that wait to be.
    pub containers: Vec<Container>,
    /// The pod with its status, as `/pods` gives it.
    pub object: Option<Arc<Object>>,
}

/// The network of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// None: it has no sandbox, not yet or not any more.
    #[default]
    Absent,
    /// The node's (`hostNetwork`).
    Node,
    /// Its own, by the file of the namespace.
    Own(PathBuf),
}

/// A container of a pod.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// The monitor's name or ID of its newest instance; none before the first.
    pub instance: Option<String>,
    /// The number of its newest instance that has begun, 0 for the first; none before that.
    pub log: Option<u32>,
    /// The number of the one whose end is told as the last one.
    pub previous: Option<u32>,
    /// Its image, as it was asked for.
    pub image: String,
    /// It runs.
    pub running: bool,
    /// Since when the newest instance runs or ran, seconds since 1970.
    pub started: Option<u64>,
    /// Why it waits, when it does: `ContainerCreating`, `CrashLoopBackOff`, …
    pub waiting: Option<String>,
    /// Its standard input ends with the first client's (`stdinOnce`).
    pub stdin_once: bool,
    /// Its cgroup, below [`spec::paths::CGROUP`]; empty while there is none.
    pub cgroup: PathBuf,
}

impl Pods {
    /// Puts these in place of what there was.
    pub fn replace(&self, pods: Vec<Pod>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pods.into();
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Arc<[Pod]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pod of a namespace and a name, and of a UID if one is given. Of several with one name
    /// it is the one that was started last.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<Pod> {
        let is = |pod: &&Pod| {
            pod.namespace == namespace && pod.name == name && uid.is_none_or(|uid| pod.uid == uid)
        };
        self.all().iter().filter(is).max_by_key(|pod| pod.started).cloned()
    }
}

impl Network {
    /// The file of a network of its own.
    #[must_use]
    pub fn own(&self) -> Option<&PathBuf> {
        match self {
            Self::Own(path) => Some(path),
            Self::Absent | Self::Node => None,
        }
    }
}

impl Pod {
    /// One of its containers.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }
}
