//! Who reaches whom without a published port.

use crate::Scene;
use crate::helpers::PROGRAM;

#[test]
fn a_container_reaches_the_world_under_the_nodes_address() {
    let scene = Scene::new();
    scene.publish("web", "");
    let _server = scene.serve_in_the_world(7000);
    for (host, seen) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        assert_eq!(scene.ask("web", host, 7000, "tcp"), format!("world to {seen}"));
        assert_eq!(scene.ask("web", host, 7000, "udp"), format!("world to {seen}"));
    }
}

#[test]
fn containers_of_one_network_reach_each_other_and_those_of_another_do_not() {
    let scene = Scene::new();
    scene.run(&format!("{PROGRAM} networks create other --ipv6"));
    scene.publish("web", "");
    scene.publish("client", "");
    scene.attach("stranger", r#"{"networks": [{"network": "other"}]}"#);
    scene.attach("both", r#"{"networks": [{"network": "other"}, {"network": "bridge"}]}"#);
    let _server = scene.serve("web", 80);
    for address in scene.addresses("web") {
        for who in ["client", "both"] {
            assert!(scene.ask(who, &address, 80, "tcp").starts_with("web to "), "{who} at {address}");
        }
        scene.hears_nothing("stranger", &address, 80, "tcp");
    }
}

#[test]
fn a_neighbour_of_the_node_reaches_no_container_by_its_address() {
    let scene = Scene::new();
    scene.publish("web", r#""8080:80""#);
    let _server = scene.serve("web", 80);
    let [v4, v6] = scene.addresses("web");
    scene.run(
        "ip -n world route add 10.210.0.0/22 via 192.0.2.2; ip -n world route add fd00::/8 via 2001:db8::2",
    );
    for address in [v4, v6] {
        scene.hears_nothing("world", &address, 80, "tcp");
    }
}

#[test]
fn an_internal_network_has_no_way_out_and_none_in() {
    let scene = Scene::new();
    scene.run(&format!("{PROGRAM} networks create back --internal --ipv6"));
    for name in ["a", "b"] {
        scene.attach(name, r#"{"networks": [{"network": "back"}]}"#);
    }
    let _world = scene.serve_in_the_world(7000);
    let _server = scene.serve("a", 80);
    scene.hears_nothing("b", "192.0.2.1", 7000, "tcp");
    // Nor when it makes itself a route.
    scene.run("nsenter --net=/run/skerry/netns/b ip route add default via 10.210.0.1");
    scene.hears_nothing("b", "192.0.2.1", 7000, "tcp");
    assert!(scene.ask("b", &scene.addresses("a")[0], 80, "tcp").starts_with("a to "));
}

#[test]
fn another_programs_tables_are_left_as_they_are() {
    let scene = Scene::new();
    scene.run(
        "iptables -A FORWARD -s 203.0.113.0/24 -j DROP; nft add table inet mine; nft add chain inet mine c",
    );
    let before = scene.run("nft list ruleset");
    scene.publish("web", r#""8080:80""#);
    let with = scene.run("nft list ruleset");
    assert!(with.starts_with(&before), "{with}");
    scene.detach("web");
    assert_eq!(scene.run("nft list ruleset"), before);
}

#[test]
fn what_somebody_takes_away_of_containers_networks_comes_back() {
    let scene = Scene::new();
    let mut service = scene.service();
    scene.publish("web", "\"8080:80\"");
    let (_world, _server) = (scene.serve_in_the_world(7), scene.serve("web", 80));
    for command in ["nft flush ruleset", "nft flush table inet skerry", "ip link delete skerry0"] {
        scene.run(command);
        service.says("network: somebody has taken nftables rules or bridges of containers away");
        assert_eq!(scene.ask("web", "192.0.2.1", 7, "tcp"), "world to 192.0.2.2", "after {command}");
        assert_eq!(scene.ask("world", "192.0.2.2", 8080, "tcp"), "web to 192.0.2.1", "after {command}");
    }
    scene.detach("web");
    let left = scene.run("nft list ruleset; ip -br link");
    assert!(!left.contains("skerry"), "nothing is kept that nobody needs: {left}");
}

#[test]
fn a_node_that_listens_to_routers_goes_on_to() {
    let scene = Scene::new();
    assert_eq!(scene.run("cat /proc/sys/net/ipv6/conf/up0/accept_ra"), "1\n");
    scene.publish("web", "");
    let switches = scene.run(
        "cd /proc/sys/net; cat ipv4/ip_forward ipv6/conf/all/forwarding ipv6/conf/up0/accept_ra ipv6/conf/skerry0/accept_ra
         nsenter --net=/run/skerry/netns/web cat /proc/sys/net/ipv6/conf/eth0/accept_ra",
    );
    assert_eq!(switches, "1\n1\n2\n0\n0\n");
}

#[test]
fn fifty_containers_reach_the_first() {
    let scene = Scene::new();
    scene.publish("c0", r#""8080:80""#);
    let request = r#"{"networks": [{"network": "bridge"}], "ports": ["%:80"]}"#;
    scene.run(&format!(
        "for n in $(seq 1 49); do echo '{request}' | sed \"s/%/$((9000 + n))/\" | {PROGRAM} attach --container c$n & done >/dev/null; wait"
    ));
    let _server = scene.serve("c0", 80);
    let [address, _] = scene.addresses("c0");
    let said = scene.run(&format!(
        "for n in $(seq 1 49); do nsenter --net=/run/skerry/netns/c$n busybox ping -c 1 -W 5 {address} | grep -c '1 packets received'; done"
    ));
    assert_eq!(said, "1\n".repeat(49));
    let _last = scene.serve("c49", 80);
    assert_eq!(scene.ask("world", "192.0.2.2", 9049, "tcp"), "c49 to 192.0.2.1");
    scene.run(&format!("for n in $(seq 0 49); do {PROGRAM} detach --container c$n & done; wait"));
    assert_eq!(scene.run("nft list ruleset; ls /run/skerry/netns"), "");
}
