//! Pods of two nodes: on one subnet, and with a router between them.

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
    assert!(!cluster.run("ip -br link").contains("vxlan"));
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
