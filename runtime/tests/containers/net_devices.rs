//! `linux.netDevices`: interfaces of the host that move in. Since 1.3 of the specification.

use crate::support::{Bundle, Peer, fails, leftovers, sh};
use serde_json::{Value, json};

fn peers_do_not_know_them() -> bool {
    fails(Peer::Runc, "1.1.5 follows 1.0") || fails(Peer::Crun, "1.8.1 follows 1.0")
}

/// A container that gets these interfaces, and one end of a cable on the host, with addresses of
/// every kind.
fn with_devices(devices: Value) -> Bundle {
    let bundle = Bundle::new();
    sh("ip link add out0 type veth peer name peer0
        ip addr add 10.1.2.3/24 broadcast 10.1.2.255 dev out0
        ip addr add 169.254.5.5/16 scope link dev out0
        ip addr add 10.9.9.9/32 valid_lft 1000 preferred_lft 1000 dev out0
        ip -6 addr add 2001:db8::7/64 dev out0 nodad
        ip link set out0 mtu 1400 address 02:00:00:00:00:07 up");
    bundle.set("/linux/netDevices", devices)
}

#[test]
fn one_moves_in_under_another_name_with_its_lasting_addresses() {
    if peers_do_not_know_them() {
        return;
    }
    let bundle = with_devices(json!({ "out0": { "name": "data0" } }));
    let said = bundle.sh("ip addr show dev data0").says();
    assert!(said.contains("mtu 1400") && said.contains("UP") && said.contains("02:00:00:00:00:07"), "{said}");
    assert!(
        said.contains("inet 10.1.2.3/24 brd 10.1.2.255") && said.contains("inet6 2001:db8::7/64"),
        "{said}"
    );
    assert!(!said.contains("169.254.5.5") && !said.contains("10.9.9.9"), "{said}");
    assert!(!sh("ip link").contains("out0"));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn one_moves_into_a_network_that_is_there_and_stays() {
    if peers_do_not_know_them() {
        return;
    }
    let bundle = with_devices(json!({ "out0": { "name": "net%d" } })).join("network", "/run/net");
    sh("touch /run/net; unshare --net=/run/net ip link add net0 type veth peer name other0");
    // The kernel puts the first number that is free.
    assert!(bundle.sh("ip -o link").says().contains(": net1@"));
    assert!(sh("nsenter --net=/run/net ip addr show dev net1").contains("10.1.2.3/24"));
}

#[test]
fn one_moves_into_the_network_of_a_user_namespace() {
    if peers_do_not_know_them() {
        return;
    }
    let bundle = with_devices(json!({ "out0": {} })).user_namespace().sh("ip addr show dev out0");
    assert!(bundle.says().contains("inet 10.1.2.3/24"));
}

#[test]
fn one_that_cannot_move_is_named_and_left_as_it_was() {
    if peers_do_not_know_them() {
        return;
    }
    let error = with_devices(json!({ "none0": {} })).try_create().error();
    assert!(error.contains("linux.netDevices[\"none0\"]") && error.contains("no such interface"), "{error}");
    let taken = json!({ "out0": { "name": "lo" } });
    let error = Bundle::new().set("/linux/netDevices", taken).try_create().error();
    assert!(
        error.contains("linux.netDevices[\"out0\"]") && error.contains("there is one of this name"),
        "{error}"
    );
    assert!(sh("ip addr show dev out0 up").contains("10.1.2.3/24"));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn all_move_or_none() {
    if peers_do_not_know_them() {
        return;
    }
    let devices = json!({ "out0": { "name": "a" }, "peer0": { "name": "b" }, "zero0": {} });
    let bundle = with_devices(devices);
    // Without what is left of a lifetime.
    let links = || {
        sh("(ip -o addr show dev out0; ip -o addr show dev peer0; ip -o link show up) | sed 's/[0-9]*sec//g'")
    };
    let before = links();
    let error = bundle.try_create().error();
    assert!(error.contains("linux.netDevices[\"zero0\"]") && error.contains("no such interface"), "{error}");
    assert_eq!(links(), before, "nothing has moved");
    let error =
        bundle.clone().set("/linux/netDevices", json!({ "lo": { "name": "a" } })).try_create().error();
    assert!(error.contains("linux.netDevices[\"lo\"]") && error.contains("loopback"), "{error}");
    // The second pattern gives the name that the third asks for, which only the kernel finds out.
    sh("ip link add other0 type veth peer name other1");
    let before = sh("ip -br link | sort; ip -o -4 addr show dev out0");
    let devices =
        json!({ "out0": { "name": "n%d" }, "other0": { "name": "n%d" }, "peer0": { "name": "n1" } });
    let error = bundle.set("/linux/netDevices", devices).try_create().error();
    assert!(error.contains("linux.netDevices[\"peer0\"]"), "{error}");
    let lasting = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("169.254") && !line.contains("10.9.9.9"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let after = sh("ip -br link | sort; ip -o -4 addr show dev out0");
    assert_eq!(lasting(&after), lasting(&before), "what has moved is back");
    assert_eq!(leftovers(), [""; 0]);
}
