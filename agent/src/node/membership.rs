//! This node among those of the cluster: registered, its Lease renewed, its status told; and registered again when
//! somebody has deleted the Node while this machine runs.
//!
//! A Node that comes back is a new one: it has what the configuration says, and nothing that others had put on it. Its
//! pods are still bound to it by name, and the cluster deletes them only when the name has been gone for 40 s. So it comes
//! back before that the first time, with the podCIDRs of which its pods have their addresses, and no pod notices. Who goes on
//! deleting it means it: then it comes back later each time.

use super::report::{self, Own, Standing};
use super::{lease, object};
use crate::api::Api;
use crate::events::Events;
use crate::pod::allocation::OwnNode;
use crate::say::say;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long after it was deleted a Node comes back, and how long at most when that goes on.
const RETURNS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// A Node that stood so long is deleted for the first time.
const STOOD: Duration = Duration::from_secs(600);

/// Keeps the node in the cluster for ever. `owner` is told the Node that there is, none while it is gone; `seen` is what the API
/// server says of it; `subnets` are the podCIDRs that its pods have addresses of, from before the agent began.
pub async fn keep(
    (own, api, events): (&Arc<Own>, &Api, &Events),
    standing: &mut watch::Receiver<Standing>,
    owner: &watch::Sender<Option<OwnerReference>>,
    seen: &watch::Sender<OwnNode>,
    subnets: Vec<String>,
) {
    let first = standing.borrow().clone();
    let mut node = report::register(own, api, &first, subnets).await;
    report::tell_start(own, events, &node);
    let mut deletions = 0;
    loop {
        let uid = node.metadata.uid.clone().unwrap_or_default();
        owner.send_replace(Some(report::reference(&own.name, &uid)));
        let registered = Instant::now();
        let gone = tokio::select! {
            gone = report::keep(own, api, events, node, standing, seen) => gone,
            () = lease::keep(api, &own.name, &uid) => return,
        };
        owner.send_replace(None);
        deletions = if registered.elapsed() < STOOD { deletions + 1 } else { 1 };
        let pause = pause(deletions);
        say(format_args!("{}: the Node was deleted: it comes back in {pause:?}", own.name));
        sleep(pause).await;
        let now = standing.borrow().clone();
        node = report::register(own, api, &now, object::subnets(&gone)).await;
    }
}

/// How long a Node stays away that was deleted so many times in a row.
fn pause(deletions: u32) -> Duration {
    RETURNS.0.saturating_mul(1 << deletions.saturating_sub(1).min(16)).min(RETURNS.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response, StatusCode};
    use http_body_util::BodyExt;
    use k8s_openapi::api::core::v1::Node;
    use kube::client::Body;
    use serde_json::{Value, json};
    use std::convert::Infallible;
    use std::sync::Mutex;

    #[test]
    fn who_is_deleted_again_and_again_comes_back_later_each_time() {
        let pauses: Vec<u64> = (1..8).map(|times| pause(times).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pause(u32::MAX), RETURNS.1);
    }

    /// An API server that is played: its one Node, and all that was asked of it, with what was sent.
    #[derive(Default)]
    struct Played {
        node: Mutex<Option<Value>>,
        asked: Mutex<Vec<(Method, String, Value)>>,
    }

    impl Played {
        async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (path, is_get) = (head.uri.path().to_owned(), head.method == Method::GET);
            let mut asked = self.asked.lock().unwrap();
            asked.push((head.method.clone(), path.clone(), sent.clone()));
            let mut node = self.node.lock().unwrap();
            if (head.method, path.as_str()) == (Method::POST, "/api/v1/nodes") {
                let mut made = sent.clone();
                made["metadata"]["uid"] = json!(format!("uid-{}", asked.len()));
                made["metadata"]["resourceVersion"] = json!(asked.len().to_string());
                *node = Some(made);
            }
            let nodes = json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [] });
            let answer = match &*path {
                _ if path.contains("/leases/") => Some(sent),
                "/api/v1/nodes" if is_get => Some(nodes),
                _ => node.clone(),
            };
            let missing = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound" });
            let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let body = answer.unwrap_or(missing).to_string().into_bytes();
            Ok(Response::builder().status(status).body(Body::from(body)).unwrap())
        }

        fn nodes(&self) -> Vec<Value> {
            let asked = self.asked.lock().unwrap();
            let made =
                asked.iter().filter(|(method, path, _)| *method == Method::POST && path.ends_with("/nodes"));
            made.map(|(.., sent)| sent.clone()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_deleted_comes_back_as_it_was() {
        let played = Arc::new(Played::default());
        let server = played.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        let api = Api::new(kube::Client::new(service, "default"));
        let cluster = spec::node::Cluster {
            labels: [("rack".to_owned(), "7".to_owned())].into(),
            taints: vec!["k=v:NoSchedule".parse().unwrap()],
            ..Default::default()
        };
        let machine = Default::default();
        let own = Arc::new(Own { cluster, name: "a".into(), addresses: Vec::new(), machine });
        let (events, _waiting) = Events::new();
        let (_standing, mut told) = watch::channel(Standing::default());
        let (owner, mut owned) = watch::channel(None::<OwnerReference>);
        let seen = watch::Sender::<OwnNode>::default();
        let see = |node: Option<Value>| {
            let node = node.map(|node| Arc::new(serde_json::from_value::<Node>(node).unwrap()));
            let all = node.into_iter().map(|node| ((String::new(), "a".to_owned()), node));
            seen.send_replace(Arc::new(all.collect()));
        };
        let run = keep((&own, &api, &events), &mut told, &owner, &seen, Vec::new());
        let look = async {
            let first = owned.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            assert_eq!(first.uid, "uid-1");
            // The cluster gives it its pods' network.
            let mut node = played.node.lock().unwrap().clone().unwrap();
            node["spec"]["podCIDRs"] = json!(["10.1.7.0/24"]);
            node["metadata"]["resourceVersion"] = json!("1000");
            *played.node.lock().unwrap() = Some(node.clone());
            see(Some(node));
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(played.nodes().len(), 1, "nobody has deleted it");
            *played.node.lock().unwrap() = None;
            let deleted = Instant::now();
            see(None);
            owned.wait_for(Option::is_none).await.unwrap();
            let second = owned.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            assert!((RETURNS.0..RETURNS.0 * 2).contains(&deleted.elapsed()), "{:?}", deleted.elapsed());
            assert_ne!(second.uid, first.uid);
            let nodes = played.nodes();
            let [_, node] = nodes.as_slice() else { panic!("{nodes:?}") };
            assert_eq!(node["metadata"]["labels"]["rack"], "7");
            assert_eq!(node["spec"]["taints"][0]["key"], "k");
            assert_eq!(node["spec"]["podCIDRs"], json!(["10.1.7.0/24"]));
            assert_eq!(node["spec"]["podCIDR"], "10.1.7.0/24");
            tokio::time::sleep(Duration::from_secs(11)).await;
            let asked = played.asked.lock().unwrap();
            let lease = asked.iter().rfind(|(_, path, _)| path.contains("/leases/")).unwrap();
            assert_eq!(lease.2["metadata"]["ownerReferences"][0]["uid"], second.uid);
        };
        tokio::select! {
            () = run => panic!("it goes on for ever"),
            () = look => {}
        }
    }
}
