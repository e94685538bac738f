//! Ports that nftables cannot serve: from 127.0.0.1 and ::1, and all where another
//! program's table drops forwarded packets.

use crate::Scene;
use crate::helpers::PROGRAM;

#[test]
fn a_published_port_is_reached_from_the_nodes_loopback() {
    let scene = Scene::new();
    let _service = scene.service();
    let said = scene.publish("web", r#""8080:80", "5353:80/udp", "127.0.0.1:9090:80""#);
    assert!(!said.contains("warnings"), "{said}");
    let _server = scene.serve("web", 80);
    let [_, v6] = scene.addresses("web");
    let gateway6 = v6.strip_suffix('2').unwrap().to_owned() + "1";
    for kind in ["tcp", "udp"] {
        let port = if kind == "tcp" { 8080 } else { 5353 };
        assert_eq!(scene.ask("node", "127.0.0.1", port, kind), "web to 10.210.0.1");
        assert_eq!(scene.ask("node", "::1", port, kind), format!("web to {gateway6}"));
    }
    assert_eq!(scene.ask("node", "127.0.0.1", 9090, "tcp"), "web to 10.210.0.1");
    scene.hears_nothing("world", "192.0.2.2", 9090, "tcp");
    scene.hears_nothing("node", "192.0.2.2", 9090, "tcp");
    let localnet = scene.run("cat /proc/sys/net/ipv4/conf/*/route_localnet | sort -u");
    assert_eq!(localnet, "0\n");
    scene.detach("web");
    scene.hears_nothing("node", "127.0.0.1", 8080, "tcp");
    assert_eq!(scene.run("ss -Hltnu sport = :8080 || true"), "");
}

#[test]
fn a_program_that_listens_by_ipv4_alone_answers_at_both_loopbacks() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.run("echo here > /run/word");
    for (container, port, bind) in [("web", 8080, "0.0.0.0"), ("other", 8081, "::")] {
        scene.publish(container, &format!("\"{port}:80\""));
        // What Python binds to `::` hears IPv4 too, unless it is told.
        let serve = "python3 -u -m http.server 80 --directory /run --bind ";
        let only = "sysctl -qw net.ipv6.bindv6only=1;";
        let _server = scene.inside(container, &format!("sh -c '{only} exec {serve}{bind}'"));
        scene
            .wait_for(&format!("nsenter --net=/run/skerry/netns/{container} ss -Hltn sport = :80"), "LISTEN");
        for loopback in ["127.0.0.1", "[::1]"] {
            let fetch = format!(
                "import urllib.request; print(urllib.request.urlopen('http://{loopback}:{port}/word').read())"
            );
            assert_eq!(scene.run(&format!("python3 -c \"{fetch}\"")), "b'here\\n'\n", "{loopback} {bind}");
        }
        scene.detach(container);
    }
}

#[test]
fn a_container_without_ipv6_is_reached_by_it_all_the_same() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.run(&format!("{PROGRAM} networks create back"));
    let said =
        scene.attach("web", r#"{"networks": [{"network": "back"}], "ports": ["8080:80", "5353:80/udp"]}"#);
    assert!(said.contains(r#""10.210."#) && !said.contains("fd") && !said.contains("warnings"), "{said}");
    let _server = scene.serve("web", 80);
    for (kind, port) in [("tcp", 8080), ("udp", 5353)] {
        assert_eq!(scene.ask("world", "192.0.2.2", port, kind), "web to 192.0.2.1");
        for (who, address) in [("world", "2001:db8::2"), ("node", "2001:db8::2"), ("node", "::1")] {
            assert_eq!(scene.ask(who, address, port, kind), "web to 10.210.4.1", "{who} {address} {kind}");
        }
    }
}

#[test]
fn port_53_of_a_container_without_ipv6_leaves_others_their_names() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.run(&format!("{PROGRAM} networks create back"));
    // In either order: names at a gateway with IPv6 before the port at every address, and after.
    for around in [false, true] {
        let server = || {
            let wish = r#"{"networks": [{"network": "back"}], "ports": ["53:53/udp", "53:53"]}"#;
            let said = scene.attach("server", wish);
            assert!(!said.contains("warnings"), "{said}");
        };
        let client = || {
            let said = scene.publish("client", "");
            assert!(!said.contains("warnings"), "{said}");
        };
        let both: [&dyn Fn(); 2] = if around { [&server, &client] } else { [&client, &server] };
        both.iter().for_each(|begin| begin());
        let _server = scene.serve("server", 53);
        for kind in ["tcp", "udp"] {
            assert_eq!(
                scene.ask("world", "2001:db8::2", 53, kind),
                "server to 10.210.4.1",
                "{kind} {around}"
            );
        }
        let [v4, v6] = scene.addresses("client");
        let gateway6 = v6.rsplit_once("::").unwrap().0.to_owned() + "::1";
        for gateway in ["10.210.0.1", &gateway6] {
            let asked = format!("nsenter --net=/run/skerry/netns/client busybox nslookup {v4} {gateway}");
            assert!(scene.run(&asked).contains("name = client.bridge"), "{gateway} {around}");
        }
        ["client", "server"].iter().for_each(|container| scene.detach(container));
    }
}

#[test]
fn an_internal_network_reaches_nobody_by_the_relay() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.run(&format!("{PROGRAM} networks create back; {PROGRAM} networks create closed --internal --ipv6"));
    scene.attach("web", r#"{"networks": [{"network": "back"}], "ports": ["8080:80", "5353:80/udp"]}"#);
    for (name, network) in [("inside", "closed"), ("other", "bridge")] {
        scene.attach(name, &format!(r#"{{"networks": [{{"network": "{network}"}}]}}"#));
    }
    let _server = scene.serve("web", 80);
    for (who, reaches) in [("inside", false), ("other", true)] {
        let [_, v6] = scene.addresses(who);
        let gateway = v6.rsplit_once("::").unwrap().0.to_owned() + "::1";
        let bridge = scene.run(&format!("ip -o -6 route show {gateway}/64 | grep -o 'dev [^ ]*' | cut -c5-"));
        let local = scene.run(&format!("ip -o -6 address show dev {} scope link", bridge.trim()));
        let local = local.split_whitespace().nth(3).unwrap().trim_end_matches("/64").to_owned() + "%eth0";
        for address in [gateway, local] {
            let asked = ["tcp", "udp"].map(|kind| {
                let port = if kind == "tcp" { 8080 } else { 5353 };
                let seconds = if reaches { 10 } else { 1 };
                let place = format!("nsenter --net=/run/skerry/netns/{who}");
                scene.run(&format!("{place} python3 /run/ask {address} {port} {kind} {seconds}"))
            });
            for said in asked {
                assert_eq!(said.starts_with("web to "), reaches, "{who} {address}: {said}");
                assert!(reaches || said.starts_with("closed") || said.contains("timed out"), "{said}");
            }
        }
    }
}

#[test]
fn a_large_transfer_through_the_relay_is_whole() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.publish("web", r#""127.0.0.1:8080:80""#);
    scene.run("head -c 20000000 /dev/urandom > /run/large");
    let serve = "python3 -u -m http.server 80 --bind 0.0.0.0 --directory /run";
    let _server = scene.inside("web", serve);
    scene.wait_for("nsenter --net=/run/skerry/netns/web ss -Hltn sport = :80", "LISTEN");
    let fetch = "python3 -c \"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/large').read() == open('/run/large', 'rb').read())\"";
    // A word and the end of its line may come apart.
    let said = scene.run(&format!("for n in 1 2 3; do {fetch} & done; wait"));
    assert_eq!(said.matches("True").count(), 3, "{said}");
}

/// Connections to a port that nobody ends.
const HOLD: &str = r#"
import signal, socket
each = [socket.create_connection(("127.0.0.1", 8080)) for _ in range(60)]
print("open", flush=True)
signal.pause()
"#;

#[test]
fn the_connections_of_one_port_leave_room_for_others() {
    let scene = Scene::new();
    let mut service = scene.start(&format!("ulimit -n 256; exec {PROGRAM} 2>&1"));
    service.says("up0: ");
    scene.wait_for("ls /run/skerry/network", "service.sock");
    scene.publish("web", r#""127.0.0.1:8080:80""#);
    scene.publish("other", r#""127.0.0.1:8081:80""#);
    let _web = scene.serve("web", 80);
    let _other = scene.serve("other", 80);
    scene.run(&format!("cat > /run/hold <<'END'\n{HOLD}\nEND"));
    let mut hold = scene.start("exec python3 /run/hold 2>&1");
    hold.says("open");
    assert_eq!(scene.ask("node", "127.0.0.1", 8081, "tcp"), "other to 10.210.0.1");
    hold.kill();
    scene.wait_for("python3 /run/ask 127.0.0.1 8080 tcp 10", "web to 10.210.0.1");
}

#[test]
fn a_service_killed_with_sigkill_comes_back_and_serves_on() {
    let scene = Scene::new();
    let service = scene.service();
    scene.publish("web", r#""8080:80""#);
    let _server = scene.serve("web", 80);
    service.kill();
    assert_eq!(scene.ask("world", "192.0.2.2", 8080, "tcp"), "web to 192.0.2.1", "nftables needs no service");
    let warned = scene.publish("web", r#""8080:80""#);
    assert!(warned.contains("the network service does not answer"), "{warned}");
    scene.publish("other", r#""8081:80""#);
    let _other = scene.serve("other", 80);
    let _service = scene.service();
    assert_eq!(scene.ask("node", "127.0.0.1", 8080, "tcp"), "web to 10.210.0.1");
    assert_eq!(scene.ask("node", "127.0.0.1", 8081, "tcp"), "other to 10.210.0.1", "attached meanwhile");
}

#[test]
fn a_second_service_is_refused_and_the_first_goes_on() {
    let scene = Scene::new();
    let _service = scene.service();
    for command in ["", "serve"] {
        let said = scene.fails(&format!("timeout 10 {PROGRAM} {command}"));
        assert_eq!(said, "skerry-network: /run/skerry/network: another one runs\n");
    }
    assert!(scene.publish("web", "\"8080:80\"").contains("\"ports\""));
    let _server = scene.serve("web", 80);
    assert_eq!(scene.ask("node", "127.0.0.1", 8080, "tcp"), "web to 10.210.0.1");
}

/// As Docker's and ufw's tables do, and as nft(8) writes it.
#[test]
fn where_another_table_drops_forwarded_packets_the_relay_serves_all_addresses() {
    for firewall in [
        "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP",
        "nft add table inet wall; nft 'add chain inet wall f { type filter hook forward priority 0; policy drop; }'",
    ] {
        let scene = Scene::new();
        scene.run(firewall);
        let before = scene.run("nft list ruleset");
        let _service = scene.service();
        let said = scene.publish("web", r#""8080:80", "5353:80/udp""#);
        assert!(said.contains("drops forwarded packets"), "{said}");
        let _server = scene.serve("web", 80);
        for (host, seen) in [("192.0.2.2", "10.210.0.1"), ("127.0.0.1", "10.210.0.1"), ("2001:db8::2", "fd")]
        {
            for (kind, port) in [("tcp", 8080), ("udp", 5353)] {
                let who = if host == "127.0.0.1" { "node" } else { "world" };
                let said = scene.ask(who, host, port, kind);
                assert!(said.starts_with(&format!("web to {seen}")), "{host} {kind}: {said}");
            }
        }
        scene.detach("web");
        assert_eq!(scene.run("nft list ruleset"), before);
    }
}

#[test]
fn a_port_that_the_service_cannot_have_is_told() {
    let scene = Scene::new();
    let _service = scene.service();
    let mut server = scene.start("exec python3 /run/echo 53 node 2>&1");
    server.says("listening");
    let said = scene.publish("web", "");
    assert!(said.contains("answer names at 10.210.0.1:53/tcp: address already in use"), "{said}");
}
