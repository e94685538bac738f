//! Services: who gets to which endpoint, and under which address.

use crate::nodes::{Cluster, SAME_SUBNET};
use std::collections::BTreeSet;

/// The address and port of an endpoint's pod, its node and more.
fn endpoint(address: &str, node: &str, more: &str) -> String {
    format!(r#"{{"address": "{address}", "node": "{node}"{more}}}"#)
}

/// A Service `web` whose endpoints serve at port 80.
fn service(spec: &str, protocol: &str, endpoints: &[String]) -> String {
    let (v6, v4): (Vec<&String>, Vec<&String>) = endpoints.iter().partition(|one| one.contains("fd44"));
    let slice = |list: Vec<&String>| {
        let list: Vec<&str> = list.into_iter().map(|one| &**one).collect();
        format!(
            r#"{{"ports": [{{"protocol": "{protocol}", "port": 80}}], "endpoints": [{}]}}"#,
            list.join(",")
        )
    };
    format!(
        r#"{{"name": "default/web", "now": {{"service": {{"ports": [{{"protocol": "{protocol}", "port": 8000, "node-port": 30080}}], {spec}}},
            "slices": [{}, {}]}}}}"#,
        slice(v4),
        slice(v6)
    )
}

fn line(changes: &str) -> String {
    let line = format!(
        r#"{{"here": {{"node": "one", "pods": ["10.244.0.0/16", "fd44::/48"]}}, "changes": [{changes}]}}"#
    );
    line.replace('\n', " ")
}

const VIP: &str = r#""cluster-ips": ["10.96.0.10", "fd96::10"]"#;

/// A node, the addresses of its pods `a`, `b` and `client`, and what serves in the first two.
fn scene() -> (Cluster, [[String; 2]; 3], [crate::place::Program; 2]) {
    let cluster = Cluster::of_one();
    let pods = ["a", "b", "client"].map(|name| cluster.pod(name, ""));
    let servers = ["a", "b"].map(|name| cluster.serve(name, 80));
    (cluster, pods, servers)
}

fn endpoints(pods: &[[String; 2]], more: &str) -> Vec<String> {
    pods.iter().flatten().map(|address| endpoint(address, "one", more)).collect()
}

/// Who answers, asked so often.
fn answers(
    cluster: &Cluster,
    who: &str,
    host: &str,
    port: u16,
    kind: &str,
    times: usize,
) -> BTreeSet<String> {
    (0..times).map(|_| cluster.ask(who, host, port, kind)).collect()
}

#[test]
fn a_cluster_ip_leads_to_every_endpoint_which_sees_the_pod() {
    let (cluster, pods, _servers) = scene();
    for (kind, protocol) in [("tcp", "TCP"), ("udp", "UDP")] {
        cluster.apply("services", &line(&service(VIP, protocol, &endpoints(&pods[..2], ""))));
        for (family, vip) in ["10.96.0.10", "fd96::10"].iter().enumerate() {
            let expected = ["a", "b"].map(|name| format!("{name} to {}", pods[2][family]));
            assert_eq!(answers(&cluster, "client", vip, 8000, kind, 20), BTreeSet::from(expected));
        }
    }
}

#[test]
fn a_pod_reaches_itself_and_the_node_every_pod_through_a_service() {
    let (cluster, pods, _servers) = scene();
    cluster.apply("services", &line(&service(VIP, "TCP", &endpoints(&pods[..1], ""))));
    for (vip, gateway) in [("10.96.0.10", "10.244.1.1"), ("fd96::10", "fd44:0:0:1::1")] {
        assert_eq!(cluster.ask("a", vip, 8000, "tcp"), format!("a to {gateway}"));
        assert_eq!(cluster.ask("node", vip, 8000, "tcp"), format!("a to {gateway}"));
    }
}

#[test]
fn a_node_port_leads_there_from_outside_from_the_node_and_from_pods() {
    let (cluster, pods, _servers) = scene();
    let more = r#", "external-ips": ["203.0.113.80"], "load-balancer-ips": ["203.0.113.81"]"#;
    cluster.apply("services", &line(&service(&format!("{VIP}{more}"), "TCP", &endpoints(&pods[..1], ""))));
    cluster.run("ip -n world route add 203.0.113.0/24 via 192.0.2.2");
    for (host, port) in [("192.0.2.2", 30080), ("203.0.113.80", 8000), ("203.0.113.81", 8000)] {
        assert_eq!(cluster.ask("world", host, port, "tcp"), "a to 10.244.1.1", "{host}");
        assert_eq!(cluster.ask("node", host, port, "tcp"), "a to 10.244.1.1", "{host}");
        assert_eq!(cluster.ask("client", host, port, "tcp"), format!("a to {}", pods[2][0]), "{host}");
    }
    assert_eq!(cluster.ask("world", "2001:db8::2", 30080, "tcp"), "a to fd44:0:0:1::1");
    assert!(cluster.ask("node", "127.0.0.1", 30080, "tcp").contains("refused"), "not of the loopback");
}

#[test]
fn a_service_leads_to_no_container_that_has_not_published_the_port() {
    let (cluster, _pods, _servers) = scene();
    cluster.publish("box", r#""8080:81""#);
    let _closed = cluster.serve("box", 80);
    let _open = cluster.serve("box", 81);
    let hidden = cluster.addresses("box");
    let ends = hidden.each_ref().map(|address| endpoint(address, "one", ""));
    let at = |port: u16| {
        let change = service(VIP, "TCP", &ends).replace(r#""port": 80}"#, &format!(r#""port": {port}}}"#));
        cluster.apply("services", &line(&change));
    };
    at(80);
    for (who, host, port) in [("client", "10.96.0.10", 8000), ("world", "192.0.2.2", 30080)] {
        cluster.hears_nothing(who, host, port, "tcp");
    }
    at(81);
    for (who, host, port) in [("client", "10.96.0.10", 8000), ("world", "192.0.2.2", 30080)] {
        assert!(cluster.ask(who, host, port, "tcp").starts_with("box to "), "{who}");
    }
    assert!(cluster.ask("world", "192.0.2.2", 8080, "tcp").starts_with("box to "));
}

#[test]
fn a_node_port_goes_before_a_host_port_of_its_number() {
    let (cluster, pods, _servers) = scene();
    cluster.pod("host", r#""30080:80", "8081:80""#);
    let _server = cluster.serve("host", 80);
    cluster.apply("services", &line(&service(VIP, "TCP", &endpoints(&pods[..1], ""))));
    for who in ["world", "client", "node"] {
        assert!(cluster.ask(who, "192.0.2.2", 30080, "tcp").starts_with("a to "), "{who}");
        assert!(cluster.ask(who, "192.0.2.2", 8081, "tcp").starts_with("host to "), "{who}");
    }
    // Whichever of the two tables was made last.
    cluster.run("nft delete table inet skerry");
    cluster.pod("host", r#""30080:80", "8081:80""#);
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("a to "));
    cluster.run("nft delete table inet skerry-services");
    cluster.apply("services", &line(&service(VIP, "TCP", &endpoints(&pods[..1], ""))));
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("a to "));
}

#[test]
fn an_endpoint_may_be_the_node_itself() {
    let (cluster, pods, _servers) = scene();
    let mut server = cluster.start("exec python3 /run/echo 80 node 2>&1");
    server.says("listening");
    cluster.apply("services", &line(&service(VIP, "TCP", &[endpoint("192.0.2.2", "one", "")])));
    assert_eq!(cluster.ask("client", "10.96.0.10", 8000, "tcp"), format!("node to {}", pods[2][0]));
    for (who, host, port) in [("node", "10.96.0.10", 8000), ("world", "192.0.2.2", 30080)] {
        assert!(cluster.ask(who, host, port, "tcp").starts_with("node to "), "{who}");
    }
}

#[test]
fn a_load_balancers_address_is_for_those_who_may() {
    let (cluster, pods, _servers) = scene();
    cluster.run("ip -n world route add 203.0.113.0/24 via 192.0.2.2; ip -n world route add 2001:db8:b::/64 via 2001:db8::2");
    // Without such an address a router cannot ask again, some seconds later, where a neighbour is.
    cluster.run("ip address add fe80::2/64 dev up0 nodad");
    let with = |ranges: &str| {
        let ips = r#""load-balancer-ips": ["203.0.113.81", "2001:db8:b::81"]"#;
        let spec = format!(r#"{VIP}, {ips}, "load-balancer-source-ranges": [{ranges}]"#);
        cluster.apply("services", &line(&service(&spec, "TCP", &endpoints(&pods[..1], ""))));
    };
    with(r#""198.51.100.0/24", "2001:db8::/64""#);
    cluster.hears_nothing("world", "203.0.113.81", 8000, "tcp");
    assert!(cluster.ask("world", "2001:db8:b::81", 8000, "tcp").starts_with("a to "));
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("a to "));
    with(r#""198.51.100.0/24", "192.0.2.0/31", "192.0.2.128/25""#);
    assert!(cluster.ask("world", "203.0.113.81", 8000, "tcp").starts_with("a to "));
    let said = cluster.ask("world", "2001:db8:b::81", 8000, "tcp");
    assert!(said.starts_with("a to "), "it has no ranges: {said}");
    with(r#""198.51.100.0/24", "2001:db8:c::/64""#);
    cluster.hears_nothing("world", "2001:db8:b::81", 8000, "tcp");
    with("");
    let said = cluster.ask("world", "2001:db8:b::81", 8000, "tcp");
    assert!(said.starts_with("a to "), "{said}");
    let table = cluster.run("nft list set inet skerry-services allowed4");
    assert!(!table.contains("elements"), "{table}");
}

#[test]
fn a_node_that_has_a_load_balancers_address_reaches_it_when_it_may() {
    let (cluster, pods, _servers) = scene();
    cluster.run("ip address add 203.0.113.81/32 dev lo");
    let with = |ranges: &str| {
        let ips = r#""load-balancer-ips": ["203.0.113.81"]"#;
        let spec = format!(r#"{VIP}, {ips}, "load-balancer-source-ranges": ["{ranges}"]"#);
        let told = line(&service(&spec, "TCP", &endpoints(&pods[..1], "")));
        let here = r#""node": "one", "addresses": ["192.0.2.2"]"#;
        cluster.apply("services", &told.replace(r#""node": "one", "pods""#, &format!(r#"{here}, "pods""#)));
    };
    with("192.0.2.0/24");
    assert!(cluster.ask("node", "203.0.113.81", 8000, "tcp").starts_with("a to "));
    with("198.51.100.0/24");
    cluster.hears_nothing("node", "203.0.113.81", 8000, "tcp");
}

#[test]
fn an_external_policy_of_local_keeps_the_clients_address() {
    let (cluster, pods, _servers) = scene();
    let two = |more: &str| {
        let away = endpoint("10.244.2.9", "two", "");
        let spec = format!(r#"{VIP}, "external-local": true{more}"#);
        move |ours: &[[String; 2]]| {
            let list = [endpoints(ours, ""), vec![away.clone()]].concat();
            line(&service(&spec, "TCP", &list))
        }
    };
    cluster.apply("services", &two("")(&pods[..2]));
    let expected = ["a", "b"].map(|name| format!("{name} to 192.0.2.1"));
    assert_eq!(answers(&cluster, "world", "192.0.2.2", 30080, "tcp", 20), BTreeSet::from(expected));
    cluster.apply("services", &two("")(&pods[..1]));
    assert_eq!(
        answers(&cluster, "world", "192.0.2.2", 30080, "tcp", 5),
        BTreeSet::from(["a to 192.0.2.1".to_owned()])
    );
    // Without an endpoint of this node nobody outside is answered; with none at all everybody is refused.
    cluster.apply("services", &two("")(&[]));
    cluster.hears_nothing("world", "192.0.2.2", 30080, "tcp");
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").contains("timed out"));
    cluster.apply("services", &line(&service(&format!(r#"{VIP}, "external-local": true"#), "TCP", &[])));
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").contains("refused"));
}

#[test]
fn an_internal_policy_of_local_answers_nobody_where_there_is_no_endpoint() {
    let (cluster, pods, _servers) = scene();
    let spec = format!(r#"{VIP}, "internal-local": true"#);
    let away = pods[0].each_ref().map(|address| endpoint(address, "two", ""));
    cluster.apply("services", &line(&service(&spec, "TCP", &away)));
    for (who, host) in [("client", "10.96.0.10"), ("client", "fd96::10"), ("node", "10.96.0.10")] {
        cluster.hears_nothing(who, host, 8000, "tcp");
        assert!(cluster.ask(who, host, 8000, "tcp").contains("timed out"), "{who} {host}");
    }
    assert!(
        cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("a to "),
        "outside it is another policy's"
    );
    cluster.apply("services", &line(&service(&spec, "TCP", &endpoints(&pods[1..2], ""))));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("b to "));
    cluster.apply("services", &line(&service(&spec, "TCP", &[])));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").contains("refused"));
}

#[test]
fn without_endpoints_a_service_refuses_and_so_do_ports_that_it_has_not() {
    let (cluster, pods, _servers) = scene();
    let refused = |who: &str, host: &str, port: u16| {
        let said = cluster.ask(who, host, port, "tcp");
        assert!(said.contains("refused"), "{who} {host} {port}: {said}");
    };
    cluster.apply("services", &line(&service(VIP, "TCP", &[])));
    for who in ["client", "node"] {
        for (host, port) in [("10.96.0.10", 8000), ("fd96::10", 8000), ("192.0.2.2", 30080)] {
            refused(who, host, port);
        }
    }
    refused("world", "192.0.2.2", 30080);
    cluster.apply(
        "services",
        &line(&service(VIP, "TCP", &endpoints(&pods[..1], r#", "ready": false, "serving": true"#))),
    );
    refused("client", "10.96.0.10", 8000);
    let ending = r#", "ready": false, "serving": true, "terminating": true"#;
    cluster.apply("services", &line(&service(VIP, "TCP", &endpoints(&pods[..1], ending))));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("a to "));
    refused("client", "10.96.0.10", 8001);
    cluster.apply("services", &line(""));
    let table = cluster.run("nft list table inet skerry-services");
    assert!(!table.contains("10.96.0.10") && !table.contains("elements = { 2"), "{table}");
}

#[test]
fn what_is_for_a_cluster_ip_that_no_service_has_goes_nowhere() {
    let (cluster, pods, _servers) = scene();
    // The world would answer, and so would whatever router is on the way.
    cluster.run("ip -n world address add 10.96.0.99/32 dev world0; ip -n world address add fd96::99/128 dev world0 nodad");
    let _world = cluster.serve_in_the_world(8000);
    let told = line(&service(VIP, "TCP", &endpoints(&pods[..1], "")));
    cluster.apply("services", &told);
    assert!(cluster.ask("client", "10.96.0.99", 8000, "tcp").starts_with("world to "));
    let ranges = r#""node": "one", "service-ranges": ["10.96.0.0/16", "fd96::/112"]"#;
    cluster.apply("services", &told.replace(r#""node": "one", "pods""#, &format!(r#"{ranges}, "pods""#)));
    for (who, host) in [("client", "10.96.0.99"), ("node", "10.96.0.99"), ("client", "fd96::99")] {
        cluster.hears_nothing(who, host, 8000, "tcp");
    }
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("a to "));
    assert!(cluster.ask("client", "10.96.0.10", 8001, "tcp").contains("refused"));
    assert!(cluster.ask("client", "192.0.2.1", 8000, "tcp").starts_with("world to "));
}

#[test]
fn a_client_is_kept_at_its_endpoint_while_it_is_there() {
    let (cluster, pods, _servers) = scene();
    let spec = format!(r#"{VIP}, "affinity-seconds": 10800"#);
    let both = line(&service(&spec, "TCP", &endpoints(&pods[..2], "")));
    cluster.apply("services", &both);
    for (who, host, port) in
        [("client", "10.96.0.10", 8000), ("client", "fd96::10", 8000), ("world", "192.0.2.2", 30080)]
    {
        let kept = answers(&cluster, who, host, port, "tcp", 10);
        assert_eq!(kept.len(), 1, "{who} {host}: {kept:?}");
        // An agent that comes anew does not change it.
        cluster.apply("services", &both);
        assert_eq!(answers(&cluster, who, host, port, "tcp", 10), kept);
    }
    let kept = cluster.ask("client", "10.96.0.10", 8000, "tcp");
    let (other, left) = if kept.starts_with('a') { ("b", &pods[1..2]) } else { ("a", &pods[..1]) };
    cluster.apply("services", &line(&service(&spec, "TCP", &endpoints(left, ""))));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with(other));
    cluster.apply("services", &both);
    let after = answers(&cluster, "client", "10.96.0.10", 8000, "tcp", 10);
    assert!(after.len() == 1 && after.first().is_some_and(|said| said.starts_with(other)), "{after:?}");
    // Kept no more, it is free at once.
    let plain = line(&service(VIP, "TCP", &endpoints(&pods[..2], "")));
    cluster.apply("services", &format!("{both}\n{plain}"));
    assert_eq!(answers(&cluster, "client", "10.96.0.10", 8000, "tcp", 20).len(), 2);
}

#[test]
fn a_client_is_kept_at_an_endpoint_that_is_the_node_itself() {
    let (cluster, pods, _servers) = scene();
    let mut server = cluster.start("exec python3 /run/echo 80 node 2>&1");
    server.says("listening");
    let spec = format!(r#"{VIP}, "affinity-seconds": 10800"#);
    let node = endpoint("192.0.2.2", "one", "");
    let all = [vec![node.clone()], endpoints(&pods[..2], "")].concat();
    cluster.apply("services", &line(&service(&spec, "TCP", &[node])));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("node to "));
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("node to "));
    cluster.apply("services", &line(&service(&spec, "TCP", &all)));
    for (who, host, port) in [("client", "10.96.0.10", 8000), ("world", "192.0.2.2", 30080)] {
        let kept = answers(&cluster, who, host, port, "tcp", 10);
        assert!(
            kept.len() == 1 && kept.first().is_some_and(|said| said.starts_with("node")),
            "{who}: {kept:?}"
        );
    }
}

#[test]
fn a_client_is_free_though_whoever_freed_it_was_killed_before() {
    let (cluster, pods, _servers) = scene();
    let with = |more: &str, pods: &[[String; 2]]| {
        line(&service(&format!("{VIP}{more}"), "TCP", &endpoints(pods, "")))
    };
    let sticky = r#", "affinity-seconds": 10800"#;
    let element = |front: &str, end: &str| {
        let client = &pods[2][0];
        cluster.run(&format!(
            "nft add element inet skerry-services kept4 {{ {front} . {client} : {end} . 80 }}"
        ));
    };
    // The endpoint has gone; the change is written already.
    cluster.apply("services", &with(sticky, &pods[..1]));
    element("10.96.0.10 . tcp . 8000", &pods[1][0]);
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("b to "));
    cluster.apply("services", &with(sticky, &pods[..1]));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").starts_with("a to "));
    // Nobody is kept any more.
    cluster.apply("services", &with("", &pods[..2]));
    element("10.96.0.10 . tcp . 8000", &pods[1][0]);
    cluster.apply("services", &with("", &pods[..2]));
    assert_eq!(answers(&cluster, "client", "10.96.0.10", 8000, "tcp", 20).len(), 2);
}

#[test]
fn a_client_that_was_kept_elsewhere_comes_to_this_nodes_endpoints_when_the_policy_says_so() {
    let (cluster, pods, _servers) = scene();
    let _third = cluster.serve("client", 80);
    let away = pods[1].each_ref().map(|address| endpoint(address, "two", ""));
    let spec = format!(r#"{VIP}, "affinity-seconds": 10800"#);
    cluster.apply("services", &line(&service(&spec, "TCP", &away)));
    assert!(cluster.ask("world", "192.0.2.2", 30080, "tcp").starts_with("b to "));
    let ours = [endpoints(&pods[..1], ""), endpoints(&pods[2..], "")].concat();
    let spec = format!(r#"{spec}, "external-local": true"#);
    cluster.apply("services", &line(&service(&spec, "TCP", &[ours, away.to_vec()].concat())));
    let said = cluster.ask("world", "192.0.2.2", 30080, "tcp");
    assert!(["a to 192.0.2.1", "client to 192.0.2.1"].contains(&&*said), "{said}");
}

#[test]
fn a_udp_client_stays_while_its_endpoint_serves_and_follows_when_it_goes() {
    let (cluster, pods, _servers) = scene();
    cluster.apply("services", &line(&service(VIP, "UDP", &endpoints(&pods[..1], ""))));
    // One socket, and so one tracked connection, across the change.
    let script = "
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.connect((\"10.96.0.10\", 8000))
for _ in range(3):
    client.send(b\"?\"); print(client.recv(100).decode(), flush=True); open(\"/run/go\").read()
";
    cluster.run(&format!("mkfifo /run/go; cat > /run/client <<'END'\n{script}\nEND"));
    let mut client = cluster.inside("client", "python3 /run/client");
    client.says("a to ");
    let ending = endpoints(&pods[..1], r#", "ready": false, "serving": true, "terminating": true"#);
    let other = endpoints(&pods[1..2], "");
    cluster.apply("services", &line(&service(VIP, "UDP", &[ending, other.clone()].concat())));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "udp").starts_with("b to "), "who is new");
    cluster.run("echo > /run/go");
    client.says("a to ");
    cluster.apply("services", &line(&service(VIP, "UDP", &other)));
    cluster.run("echo > /run/go");
    client.says("b to ");
}

#[test]
fn a_udp_client_that_came_before_the_nodes_port_led_anywhere_is_led() {
    let (cluster, pods, _servers) = scene();
    let script = "
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.connect((\"192.0.2.2\", 30080))
for _ in range(2):
    client.send(b\"?\")
    try: print(client.recv(100).decode(), flush=True)
    except OSError as error: print(error, flush=True)
    open(\"/run/go\").read()
";
    cluster.run(&format!("mkfifo /run/go; cat > /run/client <<'END'\n{script}\nEND"));
    let mut client = cluster.world("python3 /run/client");
    client.says("refused");
    cluster.apply("services", &line(&service(VIP, "UDP", &endpoints(&pods[..1], ""))));
    cluster.run("echo > /run/go");
    client.says("a to ");
}

#[test]
fn a_connection_that_one_side_has_closed_is_tracked_for_an_hour() {
    let (cluster, pods, _servers) = scene();
    cluster.apply("services", &line(&service(VIP, "TCP", &endpoints(&pods[..1], ""))));
    let read = "cd /proc/sys/net/netfilter; cat nf_conntrack_tcp_timeout_close_wait nf_conntrack_tcp_timeout_established";
    assert_eq!(cluster.run(read), "3600\n86400\n");
    // Somebody has chosen another.
    cluster.run("echo 7200 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established");
    cluster.apply("services", &line(""));
    assert_eq!(cluster.run(read), "3600\n7200\n");
}

#[test]
fn changes_touch_only_what_is_theirs_and_established_connections_go_on() {
    let (cluster, pods, _servers) = scene();
    let other = service(VIP, "TCP", &endpoints(&pods[..2], ""))
        .replace("default/web", "default/other")
        .replace("10.96.0.10", "10.96.0.11")
        .replace("fd96::10", "fd96::11")
        .replace("30080", "30081");
    let web = service(VIP, "TCP", &endpoints(&pods[..2], ""));
    let mut monitor = cluster.start("exec nft monitor 2>&1");
    cluster
        .wait_for(r#"awk '$2 == 12 && $4 !~ /^0*$/ { print "listening" }' /proc/net/netlink"#, "listening");
    let first = line(&format!("{web}, {other}"));
    let second = line(&service(VIP, "TCP", &endpoints(&pods[..1], "")));
    let third = line(r#"{"name": "default/web"}"#);
    cluster.apply("services", &format!("{first}\n{second}\n{third}"));
    cluster.run("nft add table inet last");
    monitor.says("add table inet last");
    // From the moment when there were two of them on.
    let (_, changes) = monitor.said().split_once("delete element").expect("the second change");
    assert!(
        !changes.contains("10.96.0.11") && !changes.contains("30081") && !changes.contains("add rule"),
        "{changes}"
    );
    assert!(changes.lines().count() < 40, "{changes}");
    let expected = ["a", "b"].map(|name| format!("{name} to {}", pods[2][0]));
    assert_eq!(answers(&cluster, "client", "10.96.0.11", 8000, "tcp", 20), BTreeSet::from(expected));
    let before = cluster.run("nft list table inet skerry-services");
    cluster.apply("services", &line(&other));
    assert_eq!(cluster.run("nft list table inet skerry-services"), before);
    // Somebody takes the table away: the next change makes it whole.
    cluster.run("nft delete table inet skerry-services");
    cluster.apply("services", &line(&format!("{web}, {other}")));
    assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").contains(" to "));
}

#[test]
fn a_table_that_somebody_flushes_or_deletes_is_whole_at_the_next_look_or_start() {
    let (cluster, pods, _servers) = scene();
    let web = line(&service(VIP, "TCP", &endpoints(&pods[..2], "")));
    let answers = || assert!(cluster.ask("client", "10.96.0.10", 8000, "tcp").contains(" to "));
    let mut agent = cluster.agent("services", &web);
    let all = ["ruleset", "table inet skerry-services", "chain inet skerry-services common"];
    let damage = all.map(|what| format!("nft flush {what}"));
    for damage in damage.iter().map(String::as_str).chain(["nft delete table inet skerry-services"]) {
        cluster.run("echo > /run/lines");
        agent.says("whole");
        cluster.run(&format!("{damage}; echo > /run/lines"));
        agent.says("made anew");
        answers();
    }
    // Another's table is none of ours.
    cluster.run("nft add table inet other; echo > /run/lines");
    agent.says("whole");
    cluster.run("nft flush table inet skerry-services");
    cluster.apply("services", &web);
    answers();
}

#[test]
fn with_another_node_to_lead_from_what_is_not_told_again_is_gone() {
    let (cluster, pods, _servers) = scene();
    let web = service(VIP, "TCP", &endpoints(&pods[..1], ""));
    let other = web.replace("default/web", "default/other").replace("::10", "::11").replace(".0.10", ".0.11");
    let other = other.replace("30080", "30081");
    let first = line(&format!("{web}, {other}"));
    let second = line(&other).replace(r#""node": "one", "pods""#, r#""node": "one", "zone": "z", "pods""#);
    cluster.apply("services", &format!("{first}\n{second}"));
    assert!(cluster.ask("client", "10.96.0.11", 8000, "tcp").starts_with("a to "));
    assert!(!cluster.run("nft list table inet skerry-services").contains("10.96.0.10"));
}

#[test]
fn endpoints_of_another_node_answer_those_who_come_by_this_one() {
    let cluster = Cluster::of_two(SAME_SUBNET);
    let routes = |own: u32, address: &str, other: u32, others: &str| {
        format!(
            r#"{{"subnets": ["10.244.{own}.0/24"], "addresses": ["{address}"],
                "others": [{{"name": "other", "subnets": ["10.244.{other}.0/24"], "addresses": ["{others}"]}}]}}"#
        )
    };
    cluster.apply("routes", &routes(1, "192.0.2.2", 2, "192.0.2.3"));
    cluster.on_two(&format!(
        "echo '{}' | {} routes",
        routes(2, "192.0.2.3", 1, "192.0.2.2"),
        crate::nodes::AGENT
    ));
    let web = cluster.pod_on_two("web");
    let [client, _] = cluster.pod("client", "");
    let _server = cluster.serve("two-web", 80);
    cluster.apply("services", &line(&service(VIP, "TCP", &[endpoint(&web[0], "two", "")])));
    assert_eq!(cluster.ask("client", "10.96.0.10", 8000, "tcp"), format!("two-web to {client}"));
    assert_eq!(cluster.ask("world", "192.0.2.2", 30080, "tcp"), "two-web to 192.0.2.2");
    assert_eq!(cluster.ask("node", "10.96.0.10", 8000, "tcp"), "two-web to 192.0.2.2");
}
