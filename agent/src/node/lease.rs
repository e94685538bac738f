//! The Lease in `kube-node-lease` that says that this node lives: 40 s, renewed every 10.

use crate::api::{self, Api};
use crate::say::Trouble;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Where all nodes have theirs.
pub(super) const NAMESPACE: &str = "kube-node-lease";
const SECONDS: u32 = 40;
const EVERY: Duration = Duration::from_secs(10);

/// Renews it for ever; `uid` is the Node object's.
pub async fn keep(api: &Api, name: &str, uid: &str) {
    let mut trouble = Trouble::default();
    loop {
        let begun = Instant::now();
        // One that is not answered must not use up the time of the next.
        let renewed = timeout(EVERY, renew(api, name, uid)).await;
        let is_unknown = |done: &Result<(), kube::Error>| done.as_ref().is_err_and(api::is_unknown);
        if renewed.as_ref().map_or(true, is_unknown) {
            api.doubt();
        }
        let renewed = renewed.map_err(|_| format!("no answer within {EVERY:?}"));
        let renewed = renewed.and_then(|done| done.map_err(|error| api::words(&error)));
        match trouble.of("renew the node's lease", renewed) {
            Some(()) => sleep_until(begun + EVERY).await,
            None => trouble.pause().await,
        }
    }
}

async fn renew(api: &Api, name: &str, uid: &str) -> Result<(), kube::Error> {
    let leases: kube::Api<Lease> = kube::Api::namespaced(api.client(), NAMESPACE);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }],
        },
        // MicroTime: six digits, always.
        "spec": { "holderIdentity": name, "leaseDurationSeconds": SECONDS, "renewTime": format!("{:.6}", Timestamp::now()) },
    });
    match leases.patch(name, &PatchParams::default(), &Patch::Merge(&lease)).await {
        Err(error) if api::is_missing(&error) => {
            let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        patched => patched.map(drop),
    }
}
