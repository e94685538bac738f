//! Containers on networks of their own, and their ports.

use super::support::{Die, Node, busybox, eventually};
use spec::monitor::{Code, Reply, Request, Summary};
use spec::node::Container;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Serves its own name as a page.
const SERVE: &str = "mkdir /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w";

/// A world outside that the node has a cable to.
const WORLD: &str = "
    ip netns add world
    ip link add up0 type veth peer name world0 netns world
    ip -n world address add 192.0.2.1/24 dev world0
    ip -n world link set lo up
    ip -n world link set world0 up
    ip address add 192.0.2.2/24 dev up0
    ip link set up0 up
    ip route add default via 192.0.2.1
";

fn on(network: &str, ports: &[&str], line: &str) -> Container {
    let mut container = busybox(line);
    container.hostname = None;
    container.network = Some(network.parse().unwrap());
    container.ports = ports.iter().map(|port| port.parse().unwrap()).collect();
    container
}

#[track_caller]
fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a server of pages answers; nothing when nobody does.
fn page(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, page)| page.trim().to_owned()).filter(|page| !page.is_empty())
}

#[track_caller]
fn serves(address: &str, name: &str) {
    eventually(&format!("{name} answers at {address}"), || page(address).as_deref() == Some(name));
}

fn addresses(summary: &Summary, network: &str) -> Vec<IpAddr> {
    summary.networks[network].clone()
}

/// All that a network may leave behind, as others see it.
fn leftovers() -> String {
    let entries = |folder: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>().join(" ")
    };
    let links = sh(
        "ip -o link | grep skerry || true; nft list ruleset; grep netns/ /proc/mounts | grep -v world || true",
    );
    links + &entries("/run/skerry/netns") + &entries("/run/skerry/network/containers")
}

fn request(name: &str) -> String {
    name.to_owned()
}

#[test]
fn containers_of_a_network_find_each_other_by_name() {
    let node = Node::boot();
    let mut web = on("bridge", &[], SERVE);
    web.network_alias = vec!["site".into()];
    let id = node.create("web", web);
    node.start("web");
    let line = format!(
        "for name in web site web.bridge {}; do wget -q -O - http://$name/ || exit 1; done; \
         cat /etc/resolv.conf; grep me /etc/hosts; ip -4 -o address show dev eth0 | awk '{{print $4}}'",
        &id[..12]
    );
    let mut me = on("bridge", &[], &line);
    me.hostname = Some("me".into());
    node.create("me", me);
    serves_inside(&node, "web");
    node.start("me");
    assert_eq!(node.wait("me"), 0, "{}", node.output("me"));
    let said = node.output("me");
    let host = &id[..12];
    let expected =
        format!("{host}\n{host}\n{host}\n{host}\nnameserver 10.210.0.1\noptions ndots:0\n10.210.0.3\tme\n");
    assert!(said.starts_with(&expected) && said.ends_with("\n10.210.0.3/22\n"), "{said}");
    assert_eq!(addresses(&node.summary("web"), "bridge")[0], IpAddr::from([10, 210, 0, 2]));
}

/// Waits until a container's server listens.
#[track_caller]
fn serves_inside(node: &Node, name: &str) {
    let address = addresses(&node.summary(name), "bridge")[0];
    eventually("it serves", || page(&format!("{address}:80")).is_some());
}

#[test]
fn a_published_port_answers_from_outside_and_from_the_loopback() {
    let node = Node::boot();
    sh(WORLD);
    let mut web = on("bridge", &["8080:80", "127.0.0.1::80"], SERVE);
    web.hostname = Some("web".into());
    node.create("web", web);
    node.start("web");
    serves("127.0.0.1:8080", "web");
    serves("192.0.2.2:8080", "web");
    assert_eq!(sh("ip netns exec world busybox wget -q -O - http://192.0.2.2:8080/"), "web\n");
    let ports = node.summary("web").ports;
    assert_eq!((ports.len(), ports[0].node, ports[0].container), (2, 8080, 80));
    assert!(ports[1].node >= 49152, "{ports:?}");
    serves(&format!("127.0.0.1:{}", ports[1].node), "web");
    // The way out is under the node's address, which the world knows.
    node.create("out", on("bridge", &[], "ping -c 1 -w 10 192.0.2.1 >/dev/null && echo reached"));
    node.start("out");
    assert_eq!((node.wait("out"), node.output("out").as_str()), (0, "reached\n"));
    for name in ["web", "out"] {
        node.done(&Request::Remove { name: request(name), force: true, volumes: false });
    }
    assert_eq!(leftovers(), "");
    assert_eq!(page("127.0.0.1:8080"), None);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_leaves_nothing() {
    let node = Node::boot();
    let taken = Command::new("busybox").args(["httpd", "-f", "-p", "8080"]).spawn();
    let mut taken = taken.expect("busybox runs");
    eventually("it listens", || TcpStream::connect("127.0.0.1:8080").is_ok());
    node.create("web", on("bridge", &["8080:80"], SERVE));
    let failure = node.failed(&Request::Start { name: request("web") });
    assert_eq!(failure.code, Code::Internal);
    assert!(
        failure.message.starts_with(
            "container \"web\": not started: publish 8080:80: port 8080/tcp is in use by busybox (pid "
        ),
        "{failure:?}"
    );
    eventually("nothing is left of it", || leftovers().is_empty());
    taken.kill().and_then(|()| taken.wait()).expect("it ends");
    node.create("first", on("bridge", &["8081:80"], SERVE));
    node.start("first");
    node.create("second", on("bridge", &["127.0.0.1:8081:80"], SERVE));
    let failure = node.failed(&Request::Start { name: request("second") });
    assert!(
        failure.message.ends_with("publish 127.0.0.1:8081:80: \"first\" has published 8081:80"),
        "{failure:?}"
    );
    node.create("lost", on("brigde", &[], SERVE));
    let failure = node.failed(&Request::Start { name: request("lost") });
    assert!(failure.message.ends_with("there is no network \"brigde\", but \"bridge\""), "{failure:?}");
    let mut host = busybox(SERVE);
    host.ports = vec!["1:1".parse().unwrap()];
    host.network = Some("host".parse().unwrap());
    let create = spec::monitor::Create {
        name: None,
        container: host,
        image: node.digest.clone(),
        remove: false,
        stdin_once: false,
        nameless: Vec::new(),
        seccomp: None,
        sandbox: None,
    };
    let failure = node.failed(&Request::Create(Box::new(create)));
    assert!(failure.message.contains("ports: the container has no network of its own"), "{failure:?}");
}

#[test]
fn an_address_is_kept_over_restarts() {
    let node = Node::boot();
    for name in ["a", "b"] {
        node.create(name, on("bridge", &[], "exec sleep 1000"));
        node.start(name);
    }
    let before = addresses(&node.summary("b"), "bridge");
    assert_eq!(before[0], IpAddr::from([10, 210, 0, 3]));
    // What a has had is free meanwhile.
    node.done(&Request::Stop { name: request("a"), grace: Some(0), signal: None });
    node.done(&Request::Restart { name: request("b"), grace: Some(0), signal: None });
    assert_eq!(addresses(&node.summary("b"), "bridge"), before);
    node.kill_monitor();
    node.done(&Request::Restart { name: request("b"), grace: Some(0), signal: None });
    assert_eq!(addresses(&node.summary("b"), "bridge"), before);
    assert!(node.summary("a").networks["bridge"].is_empty());
}

#[test]
fn a_network_is_shared_with_another_container_or_with_nobody() {
    let node = Node::boot();
    let mut own = on("bridge", &[], "readlink /proc/self/ns/net; exec sleep 1000");
    own.hostname = Some("its-name".into());
    let id = node.create("own", own);
    let look = "readlink /proc/self/ns/net; cat /etc/resolv.conf; ls /sys/class/net; \
                hostname; cat /etc/hostname; tail -n 1 /etc/hosts | cut -f 2; echo $HOSTNAME";
    node.create("guest", on("container:own", &[], look));
    let failure = node.failed(&Request::Start { name: request("guest") });
    assert!(failure.message.ends_with("network container:own: it does not run"), "{failure:?}");
    node.start("own");
    eventually("it has looked", || !node.output("own").is_empty());
    node.start("guest");
    node.wait("guest");
    let expected = format!(
        "{}nameserver 10.210.0.1\noptions ndots:0\neth0\nlo\n{}",
        node.output("own"),
        "its-name\n".repeat(4)
    );
    assert_eq!(node.output("guest"), expected);
    // By its ID, by the beginning of that, and by a name that it had.
    node.create("guest-2", on(&format!("container:{id}"), &[], look));
    node.create("guest-3", on(&format!("container:{}", &id[..8]), &[], look));
    node.done(&Request::Rename { name: request("own"), to: "renamed".parse().unwrap() });
    for (guest, output) in
        [("guest", expected.repeat(2)), ("guest-2", expected.clone()), ("guest-3", expected)]
    {
        node.start(guest);
        node.wait(guest);
        assert_eq!(node.output(guest), output, "{guest}");
        assert_eq!(node.summary(guest).networks.into_keys().collect::<Vec<_>>(), ["container:renamed"]);
    }
    node.create("alone", on("none", &[], "ls /sys/class/net"));
    node.start("alone");
    node.wait("alone");
    assert_eq!(node.output("alone"), "lo\n");
}

/// How often the monitor is killed.
const ROUNDS: usize = 20;

#[test]
fn whenever_the_monitor_is_killed_ports_answer_and_nothing_is_left_behind() {
    let node = Node::boot();
    let mut web = on("bridge", &["8080:80"], SERVE);
    web.hostname = Some("web".into());
    node.create("web", web);
    node.start("web");
    serves("127.0.0.1:8080", "web");
    let before = (addresses(&node.summary("web"), "bridge"), node.summary("web").status.pid);
    let mut die = Die(5);
    for round in 0..ROUNDS {
        let name = format!("short-{round}");
        node.create(&name, on("bridge", &["8081:80"], "echo here; exit 3"));
        let asked = [
            Request::Start { name: name.clone() },
            Request::Remove { name: name.clone(), force: true, volumes: false },
        ];
        for request in asked {
            let _client = super::support::Client::ask(&request);
            std::thread::sleep(Duration::from_millis(die.below(60)));
            node.kill_monitor();
        }
        // The last word counts, if the monitor has heard it.
        match node.ask(&Request::Remove { name: name.clone(), force: true, volumes: false }) {
            Reply::Done => {}
            Reply::Failed(failure) if failure.code == Code::NotFound => {}
            other => panic!("{other:?}"),
        }
        serves("127.0.0.1:8080", "web");
    }
    assert_eq!((addresses(&node.summary("web"), "bridge"), node.summary("web").status.pid), before);
    let records = fs::read_dir("/run/skerry/network/containers").unwrap().count();
    let held = fs::read_dir("/run/skerry/netns").unwrap().count();
    let ports = sh("ip -o link | grep -c 'skerry0p' || true");
    assert_eq!((records, held, ports.trim()), (1, 1, "1"));
    assert_eq!(page("127.0.0.1:8081"), None);
    node.done(&Request::Remove { name: request("web"), force: true, volumes: false });
    assert_eq!(leftovers(), "");
    assert!(!Path::new("/run/skerry/monitor/containers").read_dir().unwrap().any(|_| true));
}

#[test]
fn a_running_container_is_put_on_a_network_and_taken_off_and_renamed() {
    let node = Node::with_config("[networks.back]\nsubnets = [\"10.9.0.0/24\"]\ninternal = true\n");
    let files = "until [ -e /sys/class/net/eth1 ]; do sleep 0.05; done; echo on; \
                 while [ -e /sys/class/net/eth1 ]; do sleep 0.05; done; echo off; exec sleep 1000";
    node.create("a", on("bridge", &[], files));
    node.create(
        "b",
        on("back", &[], "while ! nslookup other >/dev/null; do sleep 0.05; done; exec sleep 1000"),
    );
    node.start("a");
    node.start("b");
    let network = |text: &str| text.parse().unwrap();
    let connect = |text: &str| Request::Connect { name: request("a"), network: network(text) };
    let failure = node.failed(&connect("back:ip=10.9.0.1"));
    assert!(failure.message.contains("10.9.0.1 is the gateway of network \"back\""), "{failure:?}");
    assert!(!node.summary("a").networks.contains_key("back"), "what is refused is not written down");
    node.done(&connect("back:ip=10.9.0.77,alias=other"));
    assert_eq!(addresses(&node.summary("a"), "back"), ["10.9.0.77".parse::<IpAddr>().unwrap()]);
    assert!(node.failed(&connect("back")).message.contains("is on network \"back\" already"));
    eventually("it sees its interface", || node.output("a") == "on\n");
    // Found by the new name from then on, and by the old one no longer.
    node.done(&Request::Rename { name: request("a"), to: "new".parse().unwrap() });
    let look = "while ! nslookup new >/dev/null; do sleep 0.05; done; ! nslookup a >/dev/null";
    node.create("c", on("back", &[], look));
    node.start("c");
    assert_eq!(node.wait("c"), 0);
    let off = |network: &str| Request::Disconnect { name: request("new"), network: network.parse().unwrap() };
    node.kill_monitor();
    node.done(&off("back"));
    eventually("its interface is gone", || node.output("new") == "on\noff\n");
    assert!(node.failed(&off("back")).message.contains("is not on network \"back\""));
    node.done(&off("bridge"));
    assert!(node.summary("new").networks.is_empty());
    assert!(node.failed(&off("bridge")).message.contains("is not on network \"bridge\""));
    // It can begin without one, and be put on one again.
    node.kill_monitor();
    node.done(&Request::Stop { name: request("new"), grace: Some(0), signal: None });
    node.start("new");
    let again = Request::Connect { name: request("new"), network: network("back:ip=10.9.0.78") };
    node.done(&again);
    assert_eq!(addresses(&node.summary("new"), "back"), ["10.9.0.78".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_first_process_of_ours_reaps_orphans_and_passes_signals_on() {
    let node = Node::boot();
    // Each orphan's parent is gone at once; only the first process can reap it.
    let line = "trap 'exit 7' TERM; for i in 1 2 3; do sh -c 'true & exec sleep 0.05' & done; wait; \
                until [ \"$(ps -o stat | grep -c Z)\" = 0 ]; do sleep 0.05; done; cat /proc/1/comm; \
                grep SigBlk /proc/self/status; echo $$; while :; do sleep 0.05; done";
    let mut container = busybox(line);
    container.init = true;
    node.create("a", container);
    node.start("a");
    eventually("it has spoken", || node.output("a").lines().count() == 3);
    assert_eq!(node.output("a"), "init\nSigBlk:\t0000000000000000\n2\n");
    node.done(&Request::Stop { name: request("a"), grace: Some(20), signal: None });
    assert_eq!(node.wait("a"), 7);
    let mut none = busybox("");
    (none.init, none.entrypoint) = (true, Some(vec!["/no/such".into()]));
    node.create("none", none);
    node.start("none");
    assert_eq!(node.wait("none"), 127);
    let log =
        fs::read_to_string(format!("/var/log/skerry/containers/{}.log", &node.summary("none").id[..12]));
    assert!(log.unwrap().ends_with("/dev/init: exec \"/no/such\": no such file or directory\n"));
}
