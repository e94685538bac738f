//! What keeps a pod's first container waiting until the policies that there are hold for it ("The lifecycle of network
//! policies": from the very first instant).

use super::{All, Known, described};
use crate::node::report::Own;
use k8s_openapi::api::core::v1::Pod;
use spec::node::By;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Pods that wait, and who lets them.
#[derive(Debug)]
pub struct Isolation {
    /// Pods of this node with the addresses that they were given.
    pub(super) own: watch::Sender<Arc<All<Arc<Known>>>>,
    /// Those for which policies hold; none before policies are known.
    pub(super) held: watch::Sender<Option<Arc<All<Arc<Known>>>>>,
    /// Policies are this node's to apply.
    pub(super) is_ours: bool,
}

impl Isolation {
    /// That of a node.
    pub fn new(own: &Own) -> Self {
        let is_ours = own.cluster.pod_network != By::Cluster;
        Self { own: watch::Sender::default(), held: watch::Sender::default(), is_ours }
    }

    /// A pod of this node has these addresses.
    pub fn tell(&self, pod: &Pod, addresses: &[IpAddr]) {
        let known = Arc::new(described(pod, addresses.to_vec(), true));
        self.own.send_if_modified(|own| {
            let is_new = own.get(&key(pod)) != Some(&known);
            if is_new {
                Arc::make_mut(own).insert(key(pod), known);
            }
            is_new
        });
    }

    /// The pod with these addresses is no more.
    pub fn forget(&self, pod: &Pod, addresses: &[IpAddr]) {
        self.own.send_if_modified(|own| {
            let is = own.get(&key(pod)).is_some_and(|known| known.pod.addresses == addresses);
            is && Arc::make_mut(own).remove(&key(pod)).is_some()
        });
    }

    /// Returns once policies hold for a pod that was told of with these addresses.
    pub async fn holds(&self, pod: &Pod, addresses: &[IpAddr]) {
        if !self.is_ours {
            return;
        }
        let has =
            |own: &Arc<All<Arc<Known>>>| own.get(&key(pod)).is_some_and(|one| one.pod.addresses == addresses);
        let _ = self.held.subscribe().wait_for(|held| held.as_ref().is_some_and(has)).await;
    }
}

fn key(pod: &Pod) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&pod.metadata.namespace), text(&pod.metadata.uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[tokio::test]
    async fn a_pod_waits_until_policies_hold_for_its_addresses() {
        let isolation =
            Isolation { own: watch::Sender::default(), held: watch::Sender::default(), is_ours: true };
        let pod: Pod =
            serde_json::from_value(json!({ "metadata": { "namespace": "n", "name": "db", "uid": "1" } }))
                .unwrap();
        let (old, new): (IpAddr, IpAddr) = ("10.1.0.2".parse().unwrap(), "10.1.0.9".parse().unwrap());
        let holds = async |address| {
            let (own, short) = ([address], Duration::from_millis(1));
            tokio::time::timeout(short, isolation.holds(&pod, &own)).await.is_ok()
        };
        let apply = || drop(isolation.held.send_replace(Some(isolation.own.borrow().clone())));
        isolation.tell(&pod, &[old]);
        assert!(!holds(old).await, "nobody knows policies yet");
        apply();
        isolation.tell(&pod, &[new]);
        assert!(holds(old).await && !holds(new).await);
        apply();
        assert!(holds(new).await && !holds(old).await);
        isolation.forget(&pod, &[old]);
        assert!(isolation.own.borrow().contains_key(&key(&pod)), "it has another by now");
        isolation.forget(&pod, &[new]);
        assert!(isolation.own.borrow().is_empty());
        // One of the same name that ends is another.
        isolation.tell(&pod, &[old]);
        let mut next = pod.clone();
        next.metadata.uid = Some("2".to_owned());
        isolation.tell(&next, &[new]);
        assert_eq!(isolation.own.borrow().len(), 2);
        let not_ours = Isolation { is_ours: false, ..isolation };
        not_ours.holds(&pod, &[new]).await;
    }
}
