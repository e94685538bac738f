//! Attached, attached again, detached: what is there then, and what is not.

use crate::Scene;
use crate::helpers::PROGRAM;

const PLAIN: &str = r#"{"networks": [{"network": "bridge"}]}"#;
const FULL: &str = r#"{"networks": [{"network": "bridge", "aliases": ["w"]}],
                       "ports": ["8080:80", "192.0.2.2:53:53/udp", "127.0.0.1:9000-9009:9000-9009"]}"#;

/// A first container makes folders and the default network, which stay.
fn warm(scene: &Scene) {
    scene.attach("warm", PLAIN);
    scene.detach("warm");
}

#[test]
fn a_detached_container_leaves_nothing() {
    let scene = Scene::new();
    warm(&scene);
    let before = scene.everything();
    scene.attach("web", FULL);
    scene.attach("other", PLAIN);
    assert!(scene.everything().contains("skerry0p2"));
    scene.detach("web");
    let table = scene.run("nft list table inet skerry");
    assert!(!table.contains("8080"), "{table}");
    scene.detach("other");
    assert_eq!(scene.everything(), before);
    scene.detach("other");
    assert_eq!(scene.everything(), before, "once more");
}

#[test]
fn attaching_again_changes_nothing_and_mends_what_is_missing() {
    let scene = Scene::new();
    let first = scene.attach("web", FULL);
    let whole = scene.everything();
    assert_eq!(scene.attach("web", FULL), first);
    assert_eq!(scene.everything(), whole);
    for damage in ["ip link delete skerry0p1", "nft delete table inet skerry", "nft flush ruleset"] {
        scene.run(damage);
        assert_eq!(scene.attach("web", FULL), first, "{damage}");
        let table = scene.run("nft list table inet skerry; ip link show dev skerry0p1");
        assert!(table.contains("8080") && table.contains("skerry0p1"), "{damage}: {table}");
    }
    scene.run("ip link delete skerry0");
    assert_eq!(scene.attach("web", FULL), first);
    scene.serve("web", 80);
    assert_eq!(scene.ask("world", "192.0.2.2", 8080, "tcp"), "web to 192.0.2.1");
}

#[test]
fn a_container_keeps_its_address_and_another_never_gets_it() {
    let scene = Scene::new();
    scene.attach("a", PLAIN);
    scene.attach("b", PLAIN);
    let [first, _] = scene.addresses("a");
    scene.detach("b");
    scene.attach("c", PLAIN);
    let [third, _] = scene.addresses("c");
    assert_ne!(first, third);
    scene.attach("a", FULL);
    assert_eq!(scene.addresses("a")[0], first, "kept when the request changes");
    let wish = |address: &str| {
        format!(
            "echo '{{\"networks\": [{{\"network\": \"bridge\", \"addresses\": [\"{address}\"]}}]}}' | {PROGRAM} attach --container d"
        )
    };
    let refused = scene.fails(&wish(&first));
    assert_eq!(refused, format!("skerry-network: attach d: {first} is the address of \"a\"\n"));
    scene.run(&wish("10.210.2.77"));
    assert_eq!(scene.addresses("d")[0], "10.210.2.77");
    let inside = scene.run("nsenter --net=/run/skerry/netns/d ip -o link show eth0");
    assert!(inside.contains("mtu 1400") && inside.contains("02:00:0a:d2:02:4d"), "{inside}");
}

#[test]
fn a_container_without_a_network_has_a_loopback_and_nothing_of_the_node_is_touched() {
    let scene = Scene::new();
    // By name: whether the other end of one is up yet is nobody's doing here.
    let look = "ip -br link | cut -d ' ' -f 1; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward";
    let before = scene.run(look);
    scene.attach("alone", "{}");
    let inside = scene.run("nsenter --net=/run/skerry/netns/alone ip -br address");
    assert!(
        inside.starts_with("lo ") && inside.lines().count() == 1 && inside.contains("127.0.0.1/8"),
        "{inside}"
    );
    assert_eq!(scene.run(look), before);
    scene.detach("alone");
    scene.fails("test -e /run/skerry/netns/alone");
}

#[test]
fn networks_are_made_listed_and_removed() {
    let scene = Scene::new();
    scene.run(&format!("{PROGRAM} networks create back --subnet 10.9.0.0/24 --subnet fd09::/64 --internal"));
    scene.attach("db", r#"{"networks": [{"network": "back"}, {"network": "bridge"}]}"#);
    let list = scene.run(&format!("{PROGRAM} networks list"));
    assert!(
        list.starts_with("back skerry0 10.9.0.1/24,fd09::1/64 db\nbridge skerry1 10.210.0.1/22,"),
        "{list}"
    );
    let used = scene.fails(&format!("{PROGRAM} networks remove back"));
    assert_eq!(used, "skerry-network: network \"back\" is in use by db\n");
    let routes = scene.run("nsenter --net=/run/skerry/netns/db ip -o route");
    assert!(routes.contains("default via 10.210.0.1 dev eth1"), "{routes}");
    scene.detach("db");
    scene.run(&format!("{PROGRAM} networks remove back"));
    assert!(!scene.run(&format!("{PROGRAM} networks list")).contains("back"));
}

#[test]
fn a_subnet_that_collides_is_refused_and_a_chosen_one_goes_around() {
    let scene = Scene::new();
    scene.run("ip route add 10.210.0.0/21 via 192.0.2.1");
    let refused = scene.fails(&format!("{PROGRAM} networks create x --subnet 192.0.2.128/25"));
    assert!(refused.contains("subnet 192.0.2.128/25 overlaps 192.0.2.0/24, the route of up0"), "{refused}");
    let made = scene.run(&format!("{PROGRAM} networks create x"));
    assert!(made.contains("10.210.8.1/22"), "{made}");
}

#[test]
fn a_failed_attach_leaves_nothing() {
    let scene = Scene::new();
    warm(&scene);
    let before = scene.everything();
    // The kernel's limit of an interface's name, reached inside the container.
    scene.run("mkdir -p /run/skerry/netns && touch /run/file");
    let failed = scene.fails(&format!("echo '{PLAIN}' | {PROGRAM} attach --container web --netns /run/file"));
    assert!(
        failed.contains("set up network namespace /run/file") || failed.contains("make skerry0p1"),
        "{failed}"
    );
    assert_eq!(scene.everything(), before);
}

#[test]
fn a_network_that_cannot_be_read_keeps_nobody_elses_container_from_anything() {
    let scene = Scene::new();
    scene.run(&format!("{PROGRAM} networks create back"));
    scene.attach("web", PLAIN);
    scene.attach("db", r#"{"networks": [{"network": "back"}]}"#);
    scene.run("echo -n > /var/lib/skerry/networks/back.json");
    scene.attach("other", PLAIN);
    scene.detach("web");
    let links = scene.run("ip -br link");
    assert!(links.contains("skerry1 ") && links.contains("skerry1p2"), "who is on it keeps it: {links}");
    let on_back = r#"{"networks": [{"network": "back"}]}"#;
    for command in [
        format!("echo '{on_back}' | {PROGRAM} attach --container more"),
        format!("{PROGRAM} networks create third"),
    ] {
        let error = scene.fails(&command);
        assert!(error.contains("back.json: EOF"), "{command}: {error}");
    }
    let error = scene.fails(&format!("{PROGRAM} networks remove back"));
    assert!(error.contains("in use by db"), "{error}");
    scene.detach("db");
    scene.run(&format!("{PROGRAM} networks remove back && {PROGRAM} networks create third"));
    scene.detach("other");
    assert!(!scene.run("ip -br link").contains("skerry"), "nothing is left");
}

#[test]
fn a_record_that_cannot_be_read_goes_with_its_container() {
    let scene = Scene::new();
    scene.attach("web", PLAIN);
    scene.attach("db", PLAIN);
    scene.run("echo '{' > /run/skerry/network/containers/db.json");
    scene.attach("web", PLAIN);
    let error = scene.fails(&format!("echo '{PLAIN}' | {PROGRAM} attach --container more"));
    assert!(error.contains("db.json: EOF"), "its address may be another's: {error}");
    scene.detach("web");
    assert!(scene.run("ip -br link").contains("skerry0p2"), "that one keeps what it has");
    scene.detach("db");
    scene.attach("more", PLAIN);
    scene.detach("more");
    // Hardware addresses are random, and "db" may stand in one.
    let left = scene.run("ip -br link | cut -d' ' -f1; ls /run/skerry/netns /run/skerry/network/containers");
    assert!(!left.contains("db"), "{left}");
}
