//! Published ports: who reaches a container through them, and who has one already.

use crate::Scene;
use crate::helpers::PROGRAM;

#[test]
fn a_published_port_is_reached_from_outside_and_from_the_nodes_addresses() {
    let scene = Scene::new();
    scene.publish("web", r#""8080:80", "5353:80/udp""#);
    let [v4, v6] = scene.addresses("web");
    let _server = scene.serve("web", 80);
    for (who, host, seen) in [
        ("world", "192.0.2.2", "192.0.2.1"),
        ("world", "2001:db8::2", "2001:db8::1"),
        ("node", "192.0.2.2", "192.0.2.2"),
        ("node", "2001:db8::2", "2001:db8::2"),
    ] {
        assert_eq!(scene.ask(who, host, 8080, "tcp"), format!("web to {seen}"), "{who} {host}");
        assert_eq!(scene.ask(who, host, 5353, "udp"), format!("web to {seen}"), "{who} {host} by UDP");
    }
    assert!(scene.ask("node", &v4, 80, "tcp").starts_with("web to "), "the node itself needs no port");
    assert!(scene.ask("node", &v6, 80, "tcp").starts_with("web to "));
}

#[test]
fn a_container_reaches_a_published_port_of_its_own_and_of_its_neighbours() {
    let scene = Scene::new();
    scene.publish("web", r#""8080:80""#);
    scene.publish("client", "");
    scene.run(&format!("{PROGRAM} networks create other --ipv6"));
    scene.attach("stranger", r#"{"networks": [{"network": "other"}]}"#);
    let _server = scene.serve("web", 80);
    // With packets within a bridge passing through nftables, as where Docker is, and without.
    for filtered in ["1", "0"] {
        scene.run(&format!(
            "cd /proc/sys/net/bridge 2>/dev/null || exit 0; for one in *; do echo {filtered} > $one; done"
        ));
        for (host, who) in ["192.0.2.2", "2001:db8::2"]
            .iter()
            .flat_map(|host| ["web", "client", "stranger"].map(|who| (host, who)))
        {
            let said = scene.ask(who, host, 8080, "tcp");
            assert!(said.starts_with("web to "), "{who} at {host}, filtered {filtered}: {said}");
        }
    }
}

#[test]
fn a_datagram_client_that_goes_on_sending_reaches_the_next_container() {
    let scene = Scene::new();
    let script = "
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind((\"192.0.2.1\", 5000))
client.settimeout(0.2)
while True:
    client.sendto(b\"?\", (\"192.0.2.2\", 514))
    try: print(client.recv(100).decode(), flush=True)
    except OSError: print(\"nothing\", flush=True)
";
    scene.run(&format!("cat > /run/client <<'END'\n{script}\nEND"));
    // Connections are tracked while there is a container.
    scene.publish("other", "");
    let mut client = scene.world("python3 /run/client");
    client.says("nothing");
    for name in ["one", "two"] {
        scene.publish(name, r#""514:80/udp""#);
        let _server = scene.serve(name, 80);
        client.says(&format!("{name} to 192.0.2.1"));
        scene.detach(name);
        client.says("nothing");
        client.says("nothing");
    }
}

#[test]
fn a_port_may_be_of_sctp() {
    let scene = Scene::new();
    scene.publish("web", r#""5060:5061/sctp""#);
    let [v4, _] = scene.addresses("web");
    let map = scene.run("nft list map inet skerry any4");
    assert!(map.contains(&format!("sctp . 5060 : {v4} . 5061")), "{map}");
}

#[test]
fn a_port_of_one_address_is_not_on_the_others() {
    let scene = Scene::new();
    scene.run("ip address add 192.0.2.3/24 dev up0");
    scene.publish("web", r#""192.0.2.3:8080-8082:80-82""#);
    let _server = scene.serve("web", 82);
    assert_eq!(scene.ask("world", "192.0.2.3", 8082, "tcp"), "web to 192.0.2.1");
    scene.hears_nothing("world", "192.0.2.2", 8082, "tcp");
    scene.hears_nothing("world", "2001:db8::2", 8082, "tcp");
}

#[test]
fn an_occupied_port_is_named_with_who_has_it() {
    let scene = Scene::new();
    let mut server = scene.start("exec python3 /run/echo 8080 node 2>&1");
    server.says("listening");
    let request = |ports: &str| {
        format!(
            "echo '{{\"networks\": [{{\"network\": \"bridge\"}}], \"ports\": [{ports}]}}' | {PROGRAM} attach --container b"
        )
    };
    let refused = scene.fails(&request(r#""8080:80""#));
    assert!(refused.contains("publish 8080:80: port 8080/tcp is in use by python3 (pid "), "{refused}");
    scene.publish("a", r#""9090:90""#);
    let refused = scene.fails(&request(r#""127.0.0.1:9090:1""#));
    assert_eq!(refused, "skerry-network: attach b: publish 127.0.0.1:9090:1: \"a\" has published 9090:90\n");
    scene.detach("a");
    scene.run(&request(r#""127.0.0.1:9090:1""#));
}
