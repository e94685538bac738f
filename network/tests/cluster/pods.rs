//! Pods' addresses: who reaches whom, and under which address.

use crate::helpers::PROGRAM;
use crate::nodes::{AGENT, Cluster};

#[test]
fn pods_reach_each_other_and_themselves_under_their_own_addresses() {
    let cluster = Cluster::of_one();
    let (web, client) = (cluster.pod("web", ""), cluster.pod("client", ""));
    let _server = cluster.serve("web", 80);
    for (to, from) in web.iter().zip(&client) {
        for kind in ["tcp", "udp"] {
            assert_eq!(cluster.ask("client", to, 80, kind), format!("web to {from}"));
            assert_eq!(cluster.ask("web", to, 80, kind), format!("web to {to}"));
        }
    }
    // All of it is routed, and stays so whatever routers say of shorter ways.
    for address in &web {
        cluster.run(&format!("nsenter --net=/run/skerry/netns/client busybox ping -c 5 -i 0.1 {address}"));
    }
    let neighbours = cluster.run("nsenter --net=/run/skerry/netns/client ip neigh show dev eth0");
    assert!(!web.iter().any(|address| neighbours.contains(&format!("{address} "))), "{neighbours}");
}

#[test]
fn the_node_reaches_its_pods_under_an_address_of_its_own() {
    let cluster = Cluster::of_one();
    let [v4, v6] = cluster.pod("web", "");
    let _server = cluster.serve("web", 80);
    assert_eq!(cluster.ask("node", &v4, 80, "tcp"), "web to 10.244.1.1");
    assert_eq!(cluster.ask("node", &v6, 80, "tcp"), "web to fd44:0:0:1::1");
    let mut server = cluster.start("exec python3 /run/echo 81 node 2>&1");
    server.says("listening");
    assert_eq!(cluster.ask("web", "192.0.2.2", 81, "tcp"), format!("node to {v4}"));
}

#[test]
fn what_leaves_the_cluster_gets_the_nodes_address() {
    let cluster = Cluster::of_one();
    let [v4, v6] = cluster.pod("web", "");
    let _server = cluster.serve_in_the_world(7000);
    assert_eq!(cluster.ask("web", "192.0.2.1", 7000, "tcp"), "world to 192.0.2.2");
    assert_eq!(cluster.ask("web", "2001:db8::1", 7000, "udp"), "world to 2001:db8::2");
    // An address of the cluster that happens to be there: the pod is seen as it is.
    cluster.run(
        "ip -n world address add 10.244.9.9/32 dev world0; ip -n world address add fd44:0:0:9::9/128 dev world0 nodad
         ip -n world route add 10.244.1.0/24 via 192.0.2.2; ip -n world route add fd44:0:0:1::/64 via 2001:db8::2",
    );
    assert_eq!(cluster.ask("web", "10.244.9.9", 7000, "tcp"), format!("world to {v4}"));
    assert_eq!(cluster.ask("web", "fd44:0:0:9::9", 7000, "tcp"), format!("world to {v6}"));
}

#[test]
fn pods_are_reached_from_outside_and_containers_still_are_not() {
    let cluster = Cluster::of_one();
    let [v4, v6] = cluster.pod("web", "");
    cluster.publish("box", "");
    let (_server, _other) = (cluster.serve("web", 80), cluster.serve("box", 80));
    cluster.run(
        "ip -n world route add 10.0.0.0/8 via 192.0.2.2; ip -n world route add fc00::/7 via 2001:db8::2",
    );
    assert_eq!(cluster.ask("world", &v4, 80, "tcp"), "web to 192.0.2.1");
    assert_eq!(cluster.ask("world", &v6, 80, "tcp"), "web to 2001:db8::1");
    let [hidden, _] = cluster.addresses("box");
    for who in ["world", "web"] {
        cluster.hears_nothing(who, &hidden, 80, "tcp");
    }
    cluster.hears_nothing("box", &v4, 80, "tcp");
}

#[test]
fn a_host_port_leads_to_its_pod_from_everywhere() {
    let cluster = Cluster::of_one();
    let web = cluster.pod("web", r#""8080:80""#);
    let client = cluster.pod("client", "");
    let _server = cluster.serve("web", 80);
    for (node, seen, number) in [("192.0.2.2", "192.0.2.1", 0), ("2001:db8::2", "2001:db8::1", 1)] {
        assert_eq!(cluster.ask("world", node, 8080, "tcp"), format!("web to {seen}"));
        assert_eq!(cluster.ask("client", node, 8080, "tcp"), format!("web to {}", client[number]));
        let itself = cluster.ask("web", node, 8080, "tcp");
        assert!(itself.starts_with("web to ") && !itself.ends_with(&web[number]), "{itself}");
        assert!(cluster.ask("node", node, 8080, "tcp").starts_with("web to "));
    }
}

#[test]
fn the_port_of_the_tunnel_is_nobody_elses() {
    let cluster = Cluster::of_one();
    let request = r#"{"networks": [{"network": "pods"}], "ports": ["4789:80/udp"]}"#;
    let said = cluster.fails(&format!("echo '{request}' | {PROGRAM} attach --container web"));
    assert!(said.contains("publish 4789:80/udp: port 4789/udp is for the tunnel between nodes"), "{said}");
    cluster.pod("web", r#""4789:80""#);
}

#[test]
fn nobody_answers_names_at_the_pods_gateway_but_a_pod_that_publishes_their_port() {
    let cluster = Cluster::of_one();
    let _service = cluster.service();
    cluster.pod("client", "");
    for gateway in ["10.244.1.1", "fd44:0:0:1::1"] {
        let said = cluster.ask("client", gateway, 53, "tcp");
        assert!(said.contains("refused"), "{said}");
    }
    cluster.pod("names", r#""53:80""#);
    let _server = cluster.serve("names", 80);
    for gateway in ["10.244.1.1", "fd44:0:0:1::1"] {
        assert!(cluster.ask("client", gateway, 53, "tcp").starts_with("names to "));
    }
}

#[test]
fn a_datagram_client_of_a_host_port_follows_to_the_next_pod() {
    let cluster = Cluster::of_one();
    cluster.pod("web", r#""8080:80/udp""#);
    let first = cluster.serve("web", 80);
    let script = "
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.connect((\"192.0.2.2\", 8080))
for _ in range(2):
    client.send(b\"?\"); print(client.recv(100).decode(), flush=True); open(\"/run/go\").read()
";
    cluster.run(&format!("mkfifo /run/go; cat > /run/client <<'END'\n{script}\nEND"));
    let mut client = cluster.world("python3 /run/client");
    client.says("web to ");
    first.kill();
    cluster.detach("web");
    cluster.pod("next", r#""8080:80/udp""#);
    let _second = cluster.serve("next", 80);
    cluster.run("echo > /run/go");
    client.says("next to ");
}

#[test]
fn addresses_outlive_their_makers_and_are_not_given_again_at_once() {
    let cluster = Cluster::of_one();
    let web = cluster.pod("web", "");
    cluster.apply("pods", r#"{"subnets": ["10.244.1.0/24", "fd44:0:0:1::/64"], "cluster": ["10.0.0.0/8"]}"#);
    cluster.run("nft delete table inet skerry; ip link delete skerry0");
    assert_eq!(cluster.pod("web", ""), web, "attached again, the same");
    let _server = cluster.serve("web", 80);
    assert!(cluster.ask("node", &web[0], 80, "tcp").starts_with("web to "));
    cluster.detach("web");
    assert_ne!(cluster.pod("other", ""), web);
    let held = cluster.fails(&format!("echo '{{\"subnets\": [\"10.245.0.0/24\"]}}' | {} pods", AGENT));
    assert!(held.contains("pods are on it"), "{held}");
    cluster.detach("other");
    let left = cluster.run("ip -br link; nft list ruleset; ls /run/skerry/network/containers");
    assert!(!left.contains("skerry"), "{left}");
    cluster.apply("pods", r#"{"subnets": ["10.245.0.0/24"]}"#);
    let list = cluster.run(&format!("{PROGRAM} networks list"));
    assert!(list.contains("pods skerry0 10.245.0.1/24 -"), "{list}");
}
