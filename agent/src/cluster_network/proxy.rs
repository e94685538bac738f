//! What is asked of kube-proxy at ports of its own, answered in its place. Load balancers of Services whose traffic may come
//! by every node (`externalTrafficPolicy: Cluster`) ask port 10256 which nodes take it: `/healthz` is status 200 while this
//! node leads to Services and is to stay, else 503, so that it is left in time by who goes elsewhere
//! (<https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/3836-kube-proxy-improved-ingress-connectivity-reliability>);
//! `/livez` asks for the first alone. 127.0.0.1:10249 tells how it leads, `/proxyMode`.

use super::{Led, Places};
use crate::answering::{self, ALL, Answer, listener, nothing, serve};
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::watch;

/// In whose place these ports are.
const PLACE: &str = " in kube-proxy's place";

/// Answers for ever.
pub async fn keep(node: &str, places: watch::Receiver<Arc<Places>>, led: watch::Receiver<Led>) {
    let node = (String::new(), node.to_owned());
    let health = move |_: IpAddr, path: &str| {
        let stays = places.borrow().get(&node).is_some_and(|place| !place.leaves);
        health(path, *led.borrow(), stays, Timestamp::now())
    };
    tokio::join!(async { serve(listener(ALL, 10256, PLACE).await, health).await }, async {
        serve(listener(Ipv4Addr::LOCALHOST.into(), 10249, PLACE).await, |_, path| mode(path)).await
    },);
}

/// In kube-proxy's words, which have the time of the answer for that of a change while all is well.
fn health(path: &str, led: Led, stays: bool, now: Timestamp) -> Answer {
    let last = if led.healthy { now } else { led.last.unwrap_or(Timestamp::UNIX_EPOCH) };
    let mut words = json!({
        "lastUpdated": last.to_string(),
        "currentTime": now.to_string(),
        "healthy": led.healthy,
    });
    let well = match path {
        "/healthz" => {
            words["nodeEligible"] = stays.into();
            led.healthy && stays
        }
        "/livez" => led.healthy,
        _ => return nothing(),
    };
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answering::json(status, words.to_string())
}

fn mode(path: &str) -> Answer {
    match path {
        "/proxyMode" => answering::text("nftables"),
        _ => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_node_takes_traffic_while_it_leads_to_services_and_stays() {
        let [before, now] = [1_000, 2_000].map(|second| Timestamp::from_second(second).unwrap());
        let ask = async |path: &str, healthy, stays| {
            let answer = health(path, Led { healthy, last: Some(before) }, stays, now);
            let status = answer.status().as_u16();
            let words = answer.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<serde_json::Value>(&words).unwrap_or_default())
        };
        for (healthy, stays, statuses) in
            [(true, true, [200, 200]), (true, false, [503, 200]), (false, true, [503, 503])]
        {
            let said = [ask("/healthz", healthy, stays).await.0, ask("/livez", healthy, stays).await.0];
            assert_eq!(said, statuses, "{healthy} {stays}");
        }
        let times = |words: &serde_json::Value| [words["lastUpdated"].clone(), words["currentTime"].clone()];
        let [first, second] = ["1970-01-01T00:16:40Z", "1970-01-01T00:33:20Z"];
        let (_, well) = ask("/healthz", true, true).await;
        assert_eq!((times(&well), well["nodeEligible"] == true), ([second, second].map(Into::into), true));
        let (_, ill) = ask("/livez", false, true).await;
        assert_eq!((times(&ill), ill.get("nodeEligible")), ([first, second].map(Into::into), None));
        assert_eq!(ask("/metrics", true, true).await.0, 404);
    }

    #[test]
    fn the_way_of_leading_is_told() {
        assert_eq!(
            [mode("/proxyMode").status(), mode("/").status()],
            [StatusCode::OK, StatusCode::NOT_FOUND]
        );
    }
}
