//! Under which addresses a pod speaks.

use crate::frames::{self, hear};
use crate::nodes::Cluster;

const IN_THIEF: &str = "nsenter --net=/run/skerry/netns/thief";

/// Pods `thief`, `a` and `b` of one node.
struct Scene {
    cluster: Cluster,
    thief: Pod,
    a: Pod,
    b: Pod,
    gateway: String,
}

struct Pod {
    mac: String,
    addresses: [String; 2],
}

fn scene() -> Scene {
    let cluster = Cluster::of_one();
    frames::write(&cluster);
    let [thief, a, b] = ["thief", "a", "b"].map(|name| {
        let addresses = cluster.pod(name, "");
        let mac = cluster.run(&format!("nsenter --net=/run/skerry/netns/{name} ip -br link show eth0"));
        Pod { mac: mac.split_whitespace().nth(2).unwrap().to_owned(), addresses }
    });
    let gateway = cluster.run("cat /sys/class/net/skerry0/address").trim().to_owned();
    Scene { cluster, thief, a, b, gateway }
}

impl Scene {
    /// The thief sends frames, one a line.
    fn say(&self, frames: &str) {
        frames::say(&self.cluster, IN_THIEF, frames);
    }
}

#[test]
fn what_a_pod_says_under_anothers_address_gets_nowhere() {
    let scene = scene();
    let Scene { cluster, thief, a, b, gateway } = &scene;
    let (mut pod, mut world) =
        (hear(cluster, "nsenter --net=/run/skerry/netns/a"), hear(cluster, "ip netns exec world"));
    let own = &thief.mac;
    let link_local = cluster
        .run("nsenter --net=/run/skerry/netns/thief ip -6 -br address show dev eth0 scope link")
        .split_whitespace()
        .find_map(|word| word.strip_suffix("/64").map(str::to_owned))
        .unwrap();
    for (to, v4, v6) in
        [(&mut pod, &*a.addresses[0], &*a.addresses[1]), (&mut world, "192.0.2.1", "2001:db8::1")]
    {
        let mut frames = String::new();
        for (mac, from) in [
            (own, "10.244.1.250"),
            (own, &*b.addresses[0]),
            (own, "10.244.2.7"),
            (&b.mac, &*b.addresses[0]),
            (&b.mac, &*thief.addresses[0]),
            (own, "fd44:0:0:1::fa"),
            (own, &*b.addresses[1]),
            (own, "fd44:0:0:9::1"),
            (own, "2001:db8:77::9"),
            (own, &*link_local),
            (own, "::"),
            (&b.mac, &*thief.addresses[1]),
        ] {
            let to = if from.contains(':') { v6 } else { v4 };
            frames += &format!("udp {mac} {gateway} {from} {to}\n");
        }
        let honest = thief.addresses.iter().zip([v4, v6]);
        let honest: Vec<String> =
            honest.map(|(from, to)| format!("udp {own} {gateway} {from} {to}")).collect();
        scene.say(&format!("{frames}{}", honest.join("\n")));
        to.says(&thief.addresses[1]);
        let heard: Vec<String> = thief.addresses.iter().map(|from| format!("{own} {from}")).collect();
        assert_eq!(to.said().lines().skip(1).collect::<Vec<_>>(), heard);
    }
}

#[test]
fn a_pod_does_not_take_anothers_traffic() {
    let scene = scene();
    let Scene { cluster, thief, b, gateway, .. } = &scene;
    let _server = cluster.serve("b", 80);
    let reached = || {
        for address in &b.addresses {
            assert!(cluster.ask("a", address, 80, "tcp").starts_with("b to "));
        }
    };
    reached();
    let [own, taken] = [&thief.mac, &b.mac];
    let [v4, v6] = &b.addresses;
    let port = |name: &str| {
        let record = cluster.run(&format!("cat /run/skerry/network/containers/{name}.json"));
        let (_, rest) = record.split_once("\"host-name\":").unwrap();
        rest.split('"').nth(1).unwrap().to_owned()
    };
    let (robbed, thiefs) = (port("b"), port("thief"));
    let is_bs = || {
        let learnt = cluster.run("bridge fdb show br skerry0 dynamic");
        let known = |address| {
            cluster.run(&format!("ip neigh show {address} dev skerry0")).contains(&format!("lladdr {taken} "))
        };
        learnt.contains(&format!("{taken} dev {robbed} "))
            && !learnt.contains(&format!("{taken} dev {thiefs} "))
            && known(v4)
            && known(v6)
    };
    let frames = [
        format!("lldp {taken}"),
        format!("na {own} {gateway} {v6} {v6}"),
        format!("na {own} {gateway} {} {v6}", thief.addresses[1]),
        format!("na {taken} {gateway} {v6} {v6}"),
        format!("arp {own} {own} {v4}"),
        format!("arp {own} {taken} {v4}"),
        format!("arp {taken} {own} {v4}"),
        format!("arp {taken} {taken} {v4}"),
    ];
    assert!(is_bs());
    let mut believed = Vec::from(frames);
    believed.retain(|frame| {
        scene.say(frame);
        !is_bs()
    });
    assert_eq!(believed, Vec::<String>::new());
    reached();
}

#[test]
fn a_pod_that_gives_itself_an_address_has_its_own_still() {
    let scene = scene();
    let _server = scene.cluster.serve("a", 80);
    scene.cluster.run(
        "nsenter --net=/run/skerry/netns/thief sh -c '
            ip address add 10.244.1.250/32 dev eth0
            ip address add fd44:0:0:1::fa/128 dev eth0 nodad'",
    );
    let ask = |own: &str, to: &str| {
        let script = format!(
            r#"import socket
try:
    client = socket.create_connection(("{to}", 80), 1, ("{own}", 0)); print(client.recv(100).decode())
except OSError as error: print("nothing:", error)"#
        );
        scene.cluster.run(&format!("nsenter --net=/run/skerry/netns/thief python3 -c '{script}'"))
    };
    for (to, (own, other)) in
        scene.a.addresses.iter().zip(scene.thief.addresses.iter().zip(["10.244.1.250", "fd44:0:0:1::fa"]))
    {
        assert_eq!(ask(own, to), format!("a to {own}\n"));
        assert!(ask(other, to).starts_with("nothing:"));
    }
}

#[test]
fn what_pods_may_say_is_written_down_again_and_goes_with_them() {
    let scene = scene();
    let list = || scene.cluster.run("nft list ruleset bridge");
    let before = list();
    assert!(before.contains(&scene.b.mac) && before.contains(&scene.b.addresses[0]), "{before}");
    for harm in ["delete table", "flush table"] {
        scene.cluster.run(&format!("nft {harm} bridge skerry"));
        scene.cluster.pod("a", "");
        assert_eq!(list(), before, "{harm}");
    }
    for name in ["a", "b", "thief"] {
        scene.cluster.detach(name);
    }
    assert_eq!(list(), "");
    scene.cluster.publish("box", "");
    assert_eq!(list(), "");
}
