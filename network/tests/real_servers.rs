//! The network service against servers that are not ours, in namespaces.

mod place;

use place::{Place, Program};

/// `veth` pairs are software interfaces: they are looked after when named.
const NAMED: &str = "[network.interfaces.eth9]";
const ADDRESSES: &str = "ip -br address show dev eth9";

fn dnsmasq(place: &Place, options: &str) -> Program {
    let mut server = place.server(&format!(
        "dnsmasq -d -C /dev/null --no-resolv --no-hosts --interface=srv0 --bind-interfaces --pid-file= \
         --dhcp-leasefile=/run/dnsmasq.leases --log-dhcp --no-ping {options}"
    ));
    server.says("started");
    server
}

/// A server whose leases are as short as a test's patience, one address.
fn udhcpd(place: &Place, lease: u32) -> Program {
    place.run(&format!(
        "cat > /run/udhcpd.conf <<'END'
start 10.9.0.20
end 10.9.0.20
interface srv0
min_lease 4
max_leases 1
lease_file /run/udhcpd.leases
pidfile /run/udhcpd.pid
opt subnet 255.255.255.0
opt router 10.9.0.1
opt dns 10.9.0.1 10.9.0.2
opt domain example.org
opt hostname n9.example.org
opt ntpsrv 10.9.0.1
opt mtu 1400
opt lease {lease}
END
touch /run/udhcpd.leases"
    ));
    let mut server = place.server("udhcpd -f /run/udhcpd.conf");
    server.says("started");
    server
}

#[test]
fn a_lease_gives_address_route_names_and_mtu() {
    let place = Place::new(NAMED);
    let _server = udhcpd(&place, 600);
    let mut node = place.node();
    node.says("eth9: 10.9.0.20/24 from DHCP server 10.9.0.1, lease 600 s");
    node.says("host name: n9");
    let link = place.run("ip -4 address show dev eth9; ip route");
    for words in [
        "mtu 1400",
        "inet 10.9.0.20/24 brd 10.9.0.255",
        "default via 10.9.0.1 dev eth9 proto dhcp src 10.9.0.20",
    ] {
        assert!(link.contains(words), "no {words:?} in {link}");
    }
    assert!(!link.contains("valid_lft forever"), "the kernel ends it too: {link}");
    let resolv_conf = place.run("cat /run/skerry/resolv.conf");
    assert!(
        resolv_conf.ends_with("\nnameserver 10.9.0.1\nnameserver 10.9.0.2\nsearch example.org\n"),
        "{resolv_conf}"
    );
    assert_eq!(place.run("hostname"), "n9\n");
}

#[test]
fn a_lease_is_renewed_and_when_the_server_is_gone_it_expires() {
    let place = Place::new(NAMED);
    // It is renewed after 12 s, and may be until 24 s have passed.
    let mut server = udhcpd(&place, 24);
    let mut node = place.node();
    node.says("lease 24 s");
    for _ in 0..3 {
        server.says("sending ACK to 10.9.0.20");
    }
    assert!(place.run(ADDRESSES).contains("10.9.0.20/24"), "24 s after a lease of 24 s");
    server.kill();
    node.says("eth9: lease of 10.9.0.20 not renewed by 10.9.0.1, asking every DHCP server");
    node.says("eth9: lease expired");
    assert!(!place.run(ADDRESSES).contains("10.9.0.20"));
    place.wait_for("grep -c nameserver /run/skerry/resolv.conf || true", "0\n");
    let _server = udhcpd(&place, 24);
    node.says("eth9: 10.9.0.20/24 from DHCP server 10.9.0.1, lease 24 s");
    assert_eq!(node.said().matches("lease 24 s").count(), 2, "renewals are quiet:\n{}", node.said());
}

#[test]
fn a_service_killed_with_sigkill_comes_back_and_the_address_never_goes() {
    let place = Place::new(NAMED);
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative");
    let mut node = place.node();
    let first = node.says("from DHCP server 10.9.0.1");
    let watch = place.start("exec ip -4 monitor address dev eth9");
    for _ in 0..3 {
        node.kill();
        assert!(place.run(ADDRESSES).contains("10.9.0.2"), "the address stays");
        node = place.node();
        assert_eq!(node.says("from DHCP server 10.9.0.1"), first);
    }
    assert_eq!(node.terminate(), Some(0));
    assert!(place.run(ADDRESSES).contains("10.9.0.2"), "and when the service ends");
    let changes = watch.kill();
    assert!(!changes.contains("Deleted"), "{changes}");
}

#[test]
fn a_service_killed_at_any_moment_finds_its_way() {
    let place = Place::new(NAMED);
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.20,2m --dhcp-authoritative");
    let program = env!("CARGO_BIN_EXE_skerry-network");
    let moments: Vec<String> = (0..40).map(|moment| format!("0.{:03}", moment * 3)).collect();
    // As PID 1 does, which starts one again once it is gone.
    place.run(&format!(
        "for moment in {}; do {program} & sleep $moment; kill -KILL $!; wait $!; done; true",
        moments.join(" ")
    ));
    let mut node = place.node();
    node.says("eth9: 10.9.0.20/24 from DHCP server 10.9.0.1");
    assert_eq!(place.run("ip -4 -br address show dev eth9").matches("10.9.0.").count(), 1);
}

#[test]
fn an_address_that_is_refused_here_is_given_up_for_another() {
    let place = Place::new(NAMED);
    let server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative");
    let mut node = place.node();
    node.says("eth9: 10.9.0.2");
    node.kill();
    server.kill();
    place.run("rm /run/dnsmasq.leases");
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.150,10.9.0.150,2m --dhcp-authoritative");
    let mut node = place.node();
    node.says("eth9: request refused by the DHCP server");
    node.says("eth9: 10.9.0.150/24 from DHCP server 10.9.0.1");
    let addresses = place.run("ip -4 -br address show dev eth9");
    assert_eq!(addresses.matches("10.9.0.").count(), 1, "{addresses}");
}

#[test]
fn an_interface_that_somebody_switched_off_and_on_has_its_addresses_and_routes_again() {
    let addresses = r#"addresses = ["10.9.0.7/24", "2001:db8:9::7/64"]"#;
    let place = Place::new(&format!("{NAMED}\n{addresses}\ngateways = [\"10.9.0.1\", \"2001:db8:9::1\"]"));
    let mut node = place.node();
    node.says("eth9: 2001:db8:9::7/64 from the configuration");
    place.run("ip link set eth9 down && ip link set eth9 up");
    place.wait_for("ip -4 route", "default via 10.9.0.1 dev eth9");
    place.wait_for("ip -6 route", "default via 2001:db8:9::1 dev eth9");
    place.wait_for(ADDRESSES, "2001:db8:9::7/64");
}

#[test]
fn without_a_server_that_is_said_once_and_asked_on() {
    let place = Place::new(NAMED);
    let mut node = place.node();
    node.says("eth9: no answer from a DHCP server, still asking");
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative");
    node.says("from DHCP server 10.9.0.1");
    assert_eq!(node.said().matches("no answer").count(), 1, "{}", node.said());
}

#[test]
fn classless_routes_take_the_place_of_the_router() {
    let place = Place::new(NAMED);
    let routes = "--dhcp-option=121,0.0.0.0/0,10.9.0.7,192.168.7.0/24,10.9.0.8,169.254.169.254/32,0.0.0.0";
    let _server =
        dnsmasq(&place, &format!("--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative {routes}"));
    let mut node = place.node();
    node.says("from DHCP server");
    let routes = place.run("ip route");
    for route in ["default via 10.9.0.7 ", "192.168.7.0/24 via 10.9.0.8 ", "169.254.169.254 dev eth9 "] {
        assert!(routes.contains(route), "no {route:?} in {routes}");
    }
    assert!(!routes.contains("via 10.9.0.1 "), "{routes}");
}

#[test]
fn a_renewal_replaces_prefix_and_routes() {
    let place = Place::new(NAMED);
    let range = |mask: &str, routes: &str| {
        format!(
            "--dhcp-range=10.9.0.20,10.9.0.20,{mask},2m --dhcp-authoritative --dhcp-option=option:T1,3 --dhcp-option=option:T2,60 \
             --dhcp-option=121,0.0.0.0/0,10.9.0.1{routes}"
        )
    };
    let server = dnsmasq(&place, &range("255.255.255.0", ",192.168.7.0/24,10.9.0.8,192.168.8.0/24,10.9.0.8"));
    let mut node = place.node();
    node.says("eth9: 10.9.0.20/24 from DHCP server");
    place.wait_for("ip route", "192.168.8.0/24 via 10.9.0.8 ");
    server.kill();
    place.run("ip -n srv address add 10.9.0.1/16 dev srv0; ip -n srv address del 10.9.0.1/24 dev srv0");
    let _server = dnsmasq(&place, &range("255.255.0.0", ",192.168.8.0/24,10.9.0.9"));
    place.wait_for("ip route", "192.168.8.0/24 via 10.9.0.9 ");
    let shown = place.wait_for("ip -4 -br address show dev eth9; ip route", "10.9.0.20/16");
    for gone in ["10.9.0.20/24", "192.168.7.0", "10.9.0.8", "10.9.0.0/24"] {
        assert!(!shown.contains(gone), "{gone} in {shown}");
    }
    assert!(shown.contains("default via 10.9.0.1 dev eth9 proto dhcp src 10.9.0.20"), "{shown}");
}

#[test]
fn a_router_gives_addresses_and_name_servers_that_outlive_a_kill() {
    let place = Place::new("[network.interfaces.eth9]\ndhcp = false");
    let _server = dnsmasq(
        &place,
        "--enable-ra --dhcp-range=2001:db8:9::,ra-only,64,10m --dhcp-option=option6:dns-server,[2001:db8:9::1]",
    );
    let mut node = place.node();
    node.says("eth9: 2001:db8:9:");
    place.wait_for("cat /run/skerry/resolv.conf", "nameserver 2001:db8:9::1");
    node.kill();
    place.run("rm /run/skerry/resolv.conf");
    let _node = place.node();
    place.wait_for("cat /run/skerry/resolv.conf 2>&1 || true", "nameserver 2001:db8:9::1");
}

#[test]
fn static_addresses_and_routers_are_set_and_nobody_is_asked() {
    let place = Place::new(
        "hostname = \"kept\"
         [network]\ndns = [\"9.9.9.9\"]\nsearch = [\"lan\"]
         [network.interfaces.eth9]
         addresses = [\"10.9.0.7/24\", \"2001:db8:9::7/64\"]
         gateways = [\"10.9.0.1\", \"2001:db8:9::1\"]
         slaac = false\nmtu = 1300",
    );
    let sniffer = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m");
    let mut node = place.node();
    node.says("eth9: 10.9.0.7/24 from the configuration");
    node.says("eth9: 2001:db8:9::7/64 from the configuration");
    place.wait_for("cat /run/skerry/resolv.conf 2>&1 || true", "nameserver");
    let shown = place.run("ip route; ip -6 route; ip link show eth9; cat /run/skerry/resolv.conf /proc/sys/net/ipv6/conf/eth9/accept_ra; hostname");
    for words in [
        "default via 10.9.0.1",
        "default via 2001:db8:9::1",
        "mtu 1300",
        "nameserver 9.9.9.9\nsearch lan\n0\n",
    ] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
    assert!(!shown.contains("kept"), "a configured name is PID 1's to set");
    assert!(!sniffer.kill().contains("DHCPDISCOVER"));
}

#[test]
fn an_interface_that_comes_later_and_a_cable_put_in_later_are_served() {
    let place = Place::new("[network.interfaces.eth8]\n[network.interfaces.eth9]");
    place.run("ip -n srv link set srv0 down");
    let mut node = place.node();
    node.says("eth9: no carrier");
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative");
    place.run("ip -n srv link set srv0 up");
    node.says("eth9: 10.9.0.2");
    place.run("ip link add eth8 type veth peer name srv1 netns srv && ip -n srv link set srv1 up");
    place.wait_for("ip -br link show dev eth8", "LOWER_UP");
    place.run("ip link delete eth8");
    node.says("eth8: gone");
}

#[test]
fn readiness_comes_with_the_first_address() {
    let place = Place::new(NAMED);
    let _server = dnsmasq(&place, "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative");
    let program = env!("CARGO_BIN_EXE_skerry-network");
    let mut node = place.start(&format!("exec 7> /dev/stdout; SKERRY_READY_FD=7 exec {program}"));
    let line = node.says("ready");
    assert_eq!(line, "ready");
    assert!(place.run(ADDRESSES).contains("10.9.0.2"), "{}", node.said());
}

/// Answers as a time server does, from this machine's own clock.
const TIME_SERVER: &str = "python3 -uc '
import socket, struct, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((\"10.9.0.1\", 123))
print(\"listening\")
while True:
    request, client = server.recvfrom(1024)
    now = int((time.time() + 2208988800) * 2**32)
    server.sendto(struct.pack(\">BBbb11I\", 0x24, 2, 6, -20, 0, 0, 0, 0, 0, *struct.unpack(\">2I\", request[40:48]), now >> 32, now & 0xffffffff, now >> 32, now & 0xffffffff), client)
'";

#[test]
fn a_time_server_is_found_by_name_and_asked() {
    let place = Place::new("[network]\nntp = [\"time.example\"]\n[network.interfaces.eth9]");
    place.server(TIME_SERVER).says("listening");
    let _server = dnsmasq(
        &place,
        "--dhcp-range=10.9.0.20,10.9.0.29,2m --dhcp-authoritative --address=/time.example/10.9.0.1",
    );
    let mut node = place.node();
    let line = node.says("seconds from 10.9.0.1");
    let (off, _) = line.strip_prefix("clock: ").and_then(|line| line.split_once(' ')).expect(&line);
    // A busy machine may think a while between asking and answering.
    assert!(off.parse::<f64>().unwrap().abs() < 1.0, "{line}");
}
