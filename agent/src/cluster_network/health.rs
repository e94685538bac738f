//! `healthCheckNodePort` of Services: a load balancer asks each node whether it has endpoints of a Service whose external
//! traffic stays on the node (`externalTrafficPolicy: Local`), as it asks kube-proxy: status 200 when there are some,
//! 503 when there are none, whatever the path
//! (<https://kubernetes.io/docs/reference/networking/virtual-ips/>, "Traffic policies").
//!
//! Endpoints that are ready count, each address once; those of the family by which is asked.

use super::{Led, OTHERS, Slices, has_label};
use crate::answering::{self, AGAIN, ALL, listen, serve};
use crate::say::Trouble;
use crate::worker::Services as Known;
use http::{HeaderValue, StatusCode};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use sys::cause::cause;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Namespace and name of a Service.
type Key = (String, String);

/// What is answered for a Service: endpoints of this node by IPv4 and by IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    v4: usize,
    v6: usize,
}

/// Services that have such a port, each with what is answered there.
fn wanted(node: &str, services: &Known, slices: &Slices) -> BTreeMap<Key, (u16, Ends)> {
    let asked = services.iter().filter_map(|(key, service)| Some((key.clone(), port(service)?)));
    let mut wanted: BTreeMap<Key, (u16, Ends)> =
        asked.map(|(key, port)| (key, (port, Ends::default()))).collect();
    if wanted.is_empty() {
        return wanted;
    }
    let mut ends: BTreeMap<Key, BTreeSet<IpAddr>> = BTreeMap::new();
    for ((namespace, _), own) in slices {
        let key = (namespace.clone(), own.0.clone());
        if wanted.contains_key(&key) {
            let ready = own.1.endpoints.iter().filter(|end| end.ready && end.node.as_deref() == Some(node));
            ends.entry(key).or_default().extend(ready.map(|end| end.address));
        }
    }
    for (key, addresses) in ends {
        let v4 = addresses.iter().filter(|own| own.is_ipv4()).count();
        if let Some(own) = wanted.get_mut(&key) {
            own.1 = Ends { v4, v6: addresses.len() - v4 };
        }
    }
    wanted
}

/// The API server gives a port to those alone that can have one.
fn port(service: &Service) -> Option<u16> {
    let spec = service.spec.as_ref()?;
    let others = has_label(&service.metadata, OTHERS);
    if others || spec.external_traffic_policy.as_deref() != Some("Local") {
        return None;
    }
    u16::try_from(spec.health_check_node_port?).ok().filter(|port| *port > 0)
}

/// The answer: its status, and the words, which are kube-proxy's.
fn answer(key: &Key, count: usize, healthy: bool) -> (StatusCode, String) {
    let words = json!({
        "service": { "namespace": key.0, "name": key.1 },
        "localEndpoints": count,
        "serviceProxyHealthy": healthy,
    });
    let status = if count > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, words.to_string())
}

/// A port that is served.
struct Server {
    port: u16,
    ends: watch::Sender<Ends>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers for ever.
pub(super) async fn keep(
    node: &str,
    mut services: watch::Receiver<Arc<Known>>,
    mut slices: watch::Receiver<Arc<Slices>>,
    led: watch::Receiver<Led>,
) {
    let mut servers: BTreeMap<Key, Server> = BTreeMap::new();
    let mut troubles: BTreeMap<Key, Trouble> = BTreeMap::new();
    loop {
        let wanted = wanted(node, &services.borrow_and_update(), &slices.borrow_and_update());
        // Ports that are given up first: one may be another's by now.
        servers.retain(|key, own| wanted.get(key).is_some_and(|(port, _)| *port == own.port));
        troubles.retain(|key, _| wanted.contains_key(key));
        for (key, (port, ends)) in &wanted {
            if let Some(server) = servers.get(key) {
                server.ends.send_replace(*ends);
                continue;
            }
            let listening = listen(ALL, *port).await.map_err(|error| cause(&error));
            let what = format!("listen on healthCheckNodePort {port} of service {}/{}", key.0, key.1);
            if let Some(listener) = troubles.entry(key.clone()).or_default().of(&what, listening) {
                let (ends, receiver) = watch::channel(*ends);
                let (of, led) = (key.clone(), led.clone());
                let task = tokio::spawn(serve(listener, move |peer, _| {
                    let now = *receiver.borrow();
                    let count = if peer.is_ipv4() { now.v4 } else { now.v6 };
                    let (status, words) = answer(&of, count, led.borrow().healthy);
                    let mut response = answering::json(status, words);
                    response
                        .headers_mut()
                        .insert("x-load-balancing-endpoint-weight", HeaderValue::from(count));
                    response
                }));
                servers.insert(key.clone(), Server { port: *port, ends, task });
            }
        }
        let missing = servers.len() < wanted.len();
        tokio::select! {
            one = services.changed() => if one.is_err() { return },
            one = slices.changed() => if one.is_err() { return },
            () = tokio::time::sleep(AGAIN), if missing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use network::cluster::services::{Endpoint, Slice};
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    fn key(name: &str) -> Key {
        ("n".to_owned(), name.to_owned())
    }

    fn services(list: &[(&str, &str, i32)]) -> Known {
        let service = |policy: &str, port: i32| -> Service {
            let spec = json!({ "externalTrafficPolicy": policy, "healthCheckNodePort": port });
            serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
        };
        list.iter().map(|(name, policy, port)| (key(name), Arc::new(service(policy, *port)))).collect()
    }

    fn slice(service: &str, ends: &[(&str, bool, &str)]) -> Arc<(String, Slice)> {
        let end = |(address, ready, node): &(&str, bool, &str)| Endpoint {
            address: address.parse().unwrap(),
            ready: *ready,
            serving: true,
            terminating: !ready,
            node: Some((*node).to_owned()),
            for_zones: Vec::new(),
            for_nodes: Vec::new(),
        };
        Arc::new((service.to_owned(), Slice { ports: Vec::new(), endpoints: ends.iter().map(end).collect() }))
    }

    #[test]
    fn ready_endpoints_of_this_node_count_each_once() {
        let services =
            services(&[("web", "Local", 30_100), ("all", "Cluster", 30_101), ("none", "Local", 30_102)]);
        let slices = Slices::from([
            (
                key("web-1"),
                slice(
                    "web",
                    &[("10.1.0.1", true, "me"), ("10.1.0.2", false, "me"), ("10.2.0.1", true, "other")],
                ),
            ),
            (key("web-2"), slice("web", &[("10.1.0.1", true, "me"), ("10.1.0.3", true, "me")])),
            (key("web-6"), slice("web", &[("fd00::1", true, "me")])),
            (key("all-1"), slice("all", &[("10.1.0.9", true, "me")])),
        ]);
        let expected = BTreeMap::from([
            (key("web"), (30_100, Ends { v4: 2, v6: 1 })),
            (key("none"), (30_102, Ends::default())),
        ]);
        assert_eq!(wanted("me", &services, &slices), expected);
    }

    #[test]
    fn a_port_of_a_service_that_another_program_leads_to_is_that_programs() {
        let mut service = Service::clone(&services(&[("web", "Local", 30_100)])[&key("web")]);
        assert_eq!(port(&service), Some(30_100));
        service.metadata.labels = Some([(OTHERS.to_owned(), "other".to_owned())].into());
        assert_eq!(port(&service), None);
    }

    #[test]
    fn an_answer_is_yes_when_there_are_endpoints_and_the_node_leads_to_them() {
        let of = |count, healthy| answer(&key("web"), count, healthy).0.as_u16();
        assert_eq!([of(2, true), of(0, true), of(2, false)], [200, 503, 503]);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&answer(&key("web"), 2, true).1).unwrap(),
            json!({ "service": { "namespace": "n", "name": "web" }, "localEndpoints": 2, "serviceProxyHealthy": true })
        );
    }

    async fn ask(port: u16) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(b"GET /any HTTP/1.1\r\nHost: me\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text)
    }

    async fn ask_until(port: u16, is: impl Fn(Option<&str>) -> bool) {
        let asked = async {
            while !is(ask(port).await.as_deref()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), asked).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_is_served_as_long_as_its_service_has_it() {
        // It does not listen, and so leaves the port to who does; nobody else is given it meanwhile.
        let held = tokio::net::TcpSocket::new_v6().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("[::]:0".parse().unwrap()).unwrap();
        let port = held.local_addr().unwrap().port();
        let known = watch::Sender::new(Arc::new(services(&[("web", "Local", port.into())])));
        let slices = watch::Sender::new(Arc::new(Slices::new()));
        let led = watch::Sender::new(Led { healthy: true, last: None });
        let task = keep("me", known.subscribe(), slices.subscribe(), led.subscribe());
        let asks = async {
            ask_until(port, |text| text.is_some_and(|text| text.starts_with("HTTP/1.1 503"))).await;
            let one = slice("web", &[("10.1.0.1", true, "me")]);
            slices.send_replace(Arc::new(Slices::from([(key("web-1"), one)])));
            ask_until(port, |text| {
                text.is_some_and(|text| {
                    text.starts_with("HTTP/1.1 200")
                        && text.to_lowercase().contains("x-load-balancing-endpoint-weight: 1")
                        && text.contains("\"localEndpoints\":1")
                })
            })
            .await;
            known.send_replace(Arc::default());
            ask_until(port, |text| text.is_none()).await;
        };
        tokio::select! {
            () = task => panic!("it serves for ever"),
            () = asks => {}
        }
    }
}
