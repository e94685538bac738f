//! Another machine under this node's name: two would take turns in saying what the one Node is. Who comes second
//! waits until the first is silent.
//!
//! A machine knows itself by its address. One with another address is another, or the same with a new one: that one's
//! Lease stays as it was.

use crate::api::{self, Api};
use crate::node::report::Own;
use crate::say::say;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use std::time::Duration;
use tokio::time::sleep;

/// How long a Lease that is kept stays as it is, and as long again for a machine that is slow.
const RENEWED: Duration = Duration::from_secs(25);

/// Returns once nobody else keeps the Lease of this node.
///
/// # Errors
/// The API server does not tell.
pub async fn wait(own: &Own, api: &Api, node: &Node) -> Result<(), kube::Error> {
    let Some(address) = other(own, node) else { return Ok(()) };
    let mut said = false;
    let mut last = lease(own, api).await?;
    loop {
        sleep(RENEWED).await;
        let now = lease(own, api).await?;
        if now == last {
            return Ok(());
        }
        if !std::mem::replace(&mut said, true) {
            say(format_args!(
                "{}: the machine at {address} is this node already: another hostname is needed",
                own.name
            ));
        }
        last = now;
    }
}

/// The address of the machine that a Node object is about, if that does not look like this one.
fn other(own: &Own, node: &Node) -> Option<String> {
    let status = node.status.as_ref()?;
    let theirs: Vec<&str> = status
        .addresses
        .iter()
        .flatten()
        .filter(|one| one.type_ == "InternalIP")
        .map(|one| one.address.as_str())
        .collect();
    let same = own.addresses.iter().any(|address| theirs.contains(&address.to_string().as_str()));
    theirs.first().filter(|_| !same).map(|address| (*address).to_owned())
}

/// When the Lease was renewed last.
async fn lease(own: &Own, api: &Api) -> Result<Option<String>, kube::Error> {
    let leases: kube::Api<Lease> = kube::Api::namespaced(api.client(), super::lease::NAMESPACE);
    match leases.get(&own.name).await {
        Ok(lease) => Ok(lease.spec.and_then(|spec| spec.renew_time).map(|time| time.0.to_string())),
        Err(error) if api::is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::facts::Machine;
    use serde_json::json;

    #[test]
    fn a_machine_knows_itself_by_its_address() {
        let own = Own {
            cluster: Default::default(),
            name: "a".into(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            machine: Machine::default(),
        };
        let node = |address: &str| -> Node {
            serde_json::from_value(json!({ "metadata": {}, "status": {
                "addresses": [{ "type": "Hostname", "address": "a" }, { "type": "InternalIP", "address": address }],
            } }))
            .unwrap()
        };
        assert_eq!(other(&own, &node("10.0.0.1")), None);
        assert_eq!(other(&own, &node("10.0.0.2")), Some("10.0.0.2".into()));
        assert_eq!(other(&own, &Node::default()), None);
    }
}
