//! Pods of two nodes: on one subnet, and with a router between them.

use crate::frames::{self, hear};
use crate::nodes::{AGENT, Cluster, ROUTED, SAME_SUBNET};

/// What a node is told of the other.
fn routes(own: u32, address: &str, other: u32, others: &str) -> String {
    format!(
        r#"{{"subnets": ["10.244.{own}.0/24", "fd44:0:0:{own}::/64"], "addresses": [{address}],
            "others": [{{"name": "other", "subnets": ["10.244.{other}.0/24", "fd44:0:0:{other}::/64"], "addresses": [{others}]}}]}}"#
    )
}

const SAME: [&str; 2] = [r#""192.0.2.2", "2001:db8::2""#, r#""192.0.2.3", "2001:db8::3""#];
const APART: [&str; 2] = [r#""192.0.2.2", "2001:db8::2""#, r#""198.51.100.2""#];

fn joined(world: &str, [one, two]: [&str; 2]) -> Cluster {
    let cluster = Cluster::of_two(world);
    assert_eq!(cluster.apply("routes", &routes(1, one, 2, two)), "\n");
    cluster.on_two(&format!("echo '{}' | {AGENT} routes", routes(2, two, 1, one)));
    cluster
}

/// Pods and nodes reach a pod of the other node, which sees them as they are; gives its addresses.
fn speak(cluster: &Cluster, node_seen: [&str; 2]) -> [String; 2] {
    let web = cluster.pod_on_two("web");
    let client = cluster.pod("client", "");
    let _server = cluster.serve("two-web", 80);
    for family in [0, 1] {
        for kind in ["tcp", "udp"] {
            let said = cluster.ask("client", &web[family], 80, kind);
            assert_eq!(said, format!("two-web to {}", client[family]));
        }
        assert_eq!(cluster.ask("node", &web[family], 80, "tcp"), format!("two-web to {}", node_seen[family]));
    }
    web
}

#[test]
fn a_node_of_the_same_subnet_is_its_pods_router() {
    let cluster = joined(SAME_SUBNET, SAME);
    speak(&cluster, ["192.0.2.2", "2001:db8::2"]);
    cluster.pod("late", "");
    let late = cluster.run("nsenter --net=/run/skerry/netns/late ip link show eth0");
    assert!(late.contains("mtu 1350"), "no tunnel takes a part of it: {late}");
}

#[test]
fn a_tunnel_leads_to_a_node_behind_a_router() {
    let cluster = joined(ROUTED, APART);
    let web = speak(&cluster, ["10.244.1.1", "fd44:0:0:1::1"]);
    cluster.pod("late", "");
    let late = cluster.run("nsenter --net=/run/skerry/netns/late ip link show eth0");
    assert!(late.contains("mtu 1330"), "the cable's 1400 without the tunnel's 70: {late}");
    // Packets of the pods' greatest length pass, and pass whole.
    cluster.run(&format!(
        "nsenter --net=/run/skerry/netns/client python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)
s.connect((\"{}\", 80)); s.send(b\"x\" * (1330 - 28))'",
        web[0]
    ));
}

#[test]
fn who_sends_by_the_tunnel_is_heard_by_whom_answers_directly() {
    let cluster = joined(SAME_SUBNET, SAME);
    let only = routes(2, SAME[1], 1, SAME[0]).replacen('{', r#"{"tunnel-only": true, "#, 1);
    cluster.on_two(&format!("echo '{only}' | {AGENT} routes"));
    assert!(
        cluster.on_two("ip route show proto 83").contains("10.244.1.0/24 via 10.244.1.1 dev skerry-vxlan")
    );
    assert!(cluster.run("ip route show proto 83").contains("10.244.2.0/24 via 192.0.2.3 dev up0"));
    speak(&cluster, ["192.0.2.2", "2001:db8::2"]);
}

/// Where the second node is, in the first one's namespaces.
const ON_TWO: &str = "ip netns exec two";

#[test]
fn nobody_but_a_node_says_anything_by_the_tunnel_and_that_of_its_own_pods() {
    let cluster = joined(ROUTED, APART);
    frames::write(&cluster);
    let [v4, v6] = cluster.pod("a", "");
    cluster.pod("thief", "");
    cluster.run("ip -n world route add 10.244.0.0/16 via 192.0.2.2");
    let mut heard = hear(&cluster, "nsenter --net=/run/skerry/netns/a");
    let in_thief = "nsenter --net=/run/skerry/netns/thief";
    let wrapped = |node: &str, from: &str| {
        let to = if from.contains(':') { &v6 } else { &v4 };
        format!("vxlan {node} 4789 02:01:c6:33:64:02 02:01:c0:00:02:02 {from} {to}")
    };
    for (place, node) in [
        (in_thief, "192.0.2.2"),
        (in_thief, "10.244.1.1"),
        (in_thief, "2001:db8::2"),
        ("ip netns exec world", "192.0.2.2"),
        ("ip netns exec world", "10.244.1.1"),
        ("ip netns exec world", "2001:db8::2"),
    ] {
        frames::say(
            &cluster,
            place,
            &[wrapped(node, "10.244.2.66"), wrapped(node, "fd44:0:0:2::66")].join("\n"),
        );
    }
    let lies = ["10.244.3.7", "192.0.2.1", "10.244.1.1", "fd44:0:0:3::7", "2001:db8::1"];
    let words = ["10.244.2.7", "fd44:0:0:2::7"];
    let all: Vec<String> = lies.iter().chain(&words).map(|from| wrapped("192.0.2.2", from)).collect();
    frames::say(&cluster, ON_TWO, &all.join("\n"));
    heard.says(words[1]);
    let expected = words.map(|from| format!("02:01:c6:33:64:02 {from}"));
    assert_eq!(heard.said().lines().skip(1).collect::<Vec<_>>(), expected);
}

#[test]
fn what_a_pod_wraps_for_another_node_does_not_leave_its_own() {
    let cluster = joined(ROUTED, APART);
    frames::write(&cluster);
    let [web, _] = cluster.pod_on_two("web");
    let [thief, _] = cluster.pod("thief", "");
    let service = r#"{"here": {"node": "one", "pods": ["10.244.0.0/16"]}, "changes": [{"name": "default/two", "now": {"service": {"cluster-ips": ["10.96.0.10"], "ports": [{"protocol": "UDP", "port": 8000}]}, "slices": [{"ports": [{"protocol": "UDP", "port": 4789}], "endpoints": [{"address": "198.51.100.2"}]}]}}]}"#;
    cluster.apply("services", service);
    let mut heard = hear(&cluster, "nsenter --net=/run/skerry/netns/two-web");
    let wrapped =
        |node: &str, from: &str| format!("vxlan {node} 02:01:c0:00:02:02 02:01:c6:33:64:02 {from} {web}");
    let in_thief = "nsenter --net=/run/skerry/netns/thief";
    frames::say(
        &cluster,
        in_thief,
        &[wrapped("198.51.100.2 4789", "10.244.1.250"), wrapped("10.96.0.10 8000", "10.244.1.250")]
            .join("\n"),
    );
    // The node itself may: it is what the other takes it for.
    frames::say(&cluster, "", &wrapped("198.51.100.2 4789", &thief));
    heard.says(&thief);
    assert_eq!(heard.said().lines().count(), 2, "{}", heard.said());
}

#[test]
fn only_what_differs_is_written_and_others_routes_stay() {
    let cluster = joined(SAME_SUBNET, SAME);
    cluster.run("ip route add 10.244.7.0/24 via 192.0.2.9 proto static");
    let mut watch = cluster.start("exec ip monitor route neigh 2>&1");
    cluster.wait_for(r#"awk '$2 == 0 && $4 !~ /^0*$/ { print "listening" }' /proc/net/netlink"#, "listening");
    let list = || cluster.run("ip route show proto 83; ip -6 route show proto 83");
    let before = list();
    assert!(
        before.contains("10.244.2.0/24 via 192.0.2.3 dev up0")
            && before.contains("unreachable 10.244.1.0/24"),
        "{before}"
    );
    cluster.apply("routes", &routes(1, SAME[0], 2, SAME[1]));
    cluster.run("ip route add 203.0.113.0/24 via 192.0.2.9");
    watch.says("203.0.113.0/24");
    assert!(!watch.said().contains("10.244."), "{}", watch.said());
    // The other moves behind a router, and goes.
    cluster.apply("routes", &routes(1, APART[0], 2, APART[1]));
    assert!(list().contains("10.244.2.0/24 via 10.244.2.1 dev skerry-vxlan"), "{}", list());
    let table = cluster.run("bridge fdb show dev skerry-vxlan; ip neigh show dev skerry-vxlan nud permanent");
    assert!(table.contains("02:01:c6:33:64:02 dst 198.51.100.2"), "{table}");
    assert!(table.contains("10.244.2.1 lladdr 02:01:c6:33:64:02"), "{table}");
    cluster.apply("routes", r#"{"subnets": [], "addresses": [], "others": []}"#);
    assert_eq!(list(), "");
    assert!(!cluster.run("ip -br link").contains("vxlan"));
    assert!(cluster.run("ip route").contains("10.244.7.0/24 via 192.0.2.9"));
}

#[test]
fn a_way_that_went_with_the_nodes_address_is_made_again() {
    let cluster = joined(SAME_SUBNET, SAME);
    let list = || cluster.run("ip route show proto 83");
    let before = list();
    cluster.run("ip address del 192.0.2.2/24 dev up0; ip address add 192.0.2.2/24 dev up0");
    assert!(!list().contains("10.244.2.0/24"), "the kernel drops it: {}", list());
    cluster.apply("routes", &routes(1, SAME[0], 2, SAME[1]));
    assert_eq!(list(), before);
}

#[test]
fn a_way_that_the_kernel_refuses_is_told_and_the_others_are_made() {
    let cluster = joined(SAME_SUBNET, SAME);
    cluster.run("ip link add up1 type veth peer name up2; ip address add 203.0.113.1/24 dev up1");
    let odd = r#"{"name": "odd", "subnets": ["10.244.9.0/24"], "addresses": ["203.0.113.2"]}, "#;
    let wanted = routes(1, SAME[0], 4, SAME[1])
        .replace(r#"[{"name": "other""#, &format!(r#"[{odd}{{"name": "other""#));
    let said = cluster.apply("routes", &wanted);
    assert_eq!(said, "set the route to 10.244.9.0/24: network is down\n");
    assert!(cluster.run("ip route show proto 83").contains("10.244.4.0/24 via 192.0.2.3 dev up0"));
}

#[test]
fn what_is_for_no_pod_is_refused() {
    let cluster = joined(SAME_SUBNET, SAME);
    let said = cluster.ask("node", "10.244.1.77", 80, "tcp");
    assert!(said.contains("unreachable") || said.contains("No route"), "{said}");
}
