//! Networks of `run`: published ports, name servers, what is told of them.

use super::said::{Terminal, fails, says, skerry};
use super::support::{Node, eventually};
use std::process::Command;

const SLEEP: &str = "busybox sleep 1000";

#[test]
fn one_port_of_a_range_is_published() {
    let _node = Node::boot();
    says(&format!("run -d --name a -p 18000-18001:80 {SLEEP}"));
    says(&format!("run -d --name b -p 18000-18001:80 -p 127.0.0.1:18010-18011:90-91 {SLEEP}"));
    let ports = |name: &str| says(&format!("ps --filter name={name} --format '{{{{.Ports}}}}'"));
    assert_eq!(ports("a"), "0.0.0.0:18000->80/tcp, [::]:18000->80/tcp");
    assert_eq!(ports("b"), "0.0.0.0:18001->80/tcp, [::]:18001->80/tcp, 127.0.0.1:18010-18011->90-91/tcp");
    assert_eq!(says("port b 80"), "0.0.0.0:18001\n[::]:18001");
    assert_eq!(
        says("inspect --format '{{json .NetworkSettings.Ports}}' a"),
        r#"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"18000"},{"HostIp":"::","HostPort":"18000"}]}"#
    );
    let told = fails(&format!("run -d --name c -p 18000-18001:80 {SLEEP}"), 125);
    assert!(told.ends_with("publish 18000-18001:80: none of these ports of the node is free"), "{told}");
    let told = fails(&format!("run -p 18000-18001:80-82 {SLEEP}"), 125);
    assert!(told.contains("has 2 ports outside and 3 inside"), "{told}");
}

#[test]
fn with_name_servers_of_its_own_a_container_still_asks_its_networks() {
    let _node = Node::boot();
    says(&format!("run -d --name web --network bridge {SLEEP}"));
    let line = "run --rm --dns 192.0.2.9 busybox sh -c 'cat /etc/resolv.conf; nslookup web'";
    let said = says(line);
    assert!(said.starts_with("nameserver 10.210.0.1\noptions ndots:0\n"), "{said}");
    assert!(said.contains("10.210.0.2"), "{said}");
    let said = says("run --rm --network host --dns 192.0.2.9 busybox cat /etc/resolv.conf");
    assert_eq!(said, "nameserver 192.0.2.9");
}

#[test]
fn ports_that_are_exposed_alone_are_listed_while_it_runs() {
    let node = Node::boot();
    says(&format!("run -d --name web --expose 81 --expose 53/udp -p 18080:80 {SLEEP}"));
    let ports = || says("ps -a --format '{{.Ports}}'");
    assert_eq!(ports(), "53/udp, 81/tcp, 0.0.0.0:18080->80/tcp, [::]:18080->80/tcp");
    assert_eq!(says("ps -f expose=53/udp --format '{{.Names}}'"), "web");
    assert_eq!(says("ps -q -f expose=82"), "");
    node.kill_monitor();
    assert!(ports().starts_with("53/udp, 81/tcp, "));
    says("stop -t 0 web");
    eventually("its network is gone", || ports().is_empty());
}

#[test]
fn names_are_looked_for_in_its_own_domains() {
    let _node = Node::boot();
    let own = "--dns-search a.b --dns-search c --dns-option rotate";
    let cat = "busybox cat /etc/resolv.conf";
    let said = says(&format!("run --name own --network host {own} {cat}"));
    assert_eq!(said, "nameserver 192.0.2.53\nsearch a.b c\noptions rotate");
    let said = says(&format!("run --rm {own} --dns-opt ndots:1 {cat}"));
    assert_eq!(said, "nameserver 10.210.0.1\nsearch a.b c\noptions rotate ndots:1");
    let told = says("inspect -f '{{json .HostConfig.DnsSearch}} {{json .HostConfig.DnsOptions}}' own");
    assert_eq!(told, r#"["a.b","c"] ["rotate"]"#);
    // The node's are followed, but for what is its own.
    says("run -d --name stays --network host --dns-search mine busybox sh -c 'sleep 1000'");
    std::fs::write("/run/skerry/new", "nameserver 192.0.2.54\nsearch example.org\n").unwrap();
    std::fs::rename("/run/skerry/new", "/run/skerry/resolv.conf").unwrap();
    let seen = || says("exec stays cat /etc/resolv.conf");
    eventually("it follows", || seen() == "nameserver 192.0.2.54\nsearch mine");
    assert_eq!(
        says(&format!("run --rm {cat}")),
        "nameserver 10.210.0.1\nsearch example.org\noptions ndots:0"
    );
    let none = says(&format!("run --rm --dns-search . {cat}"));
    assert_eq!(none, "nameserver 10.210.0.1\noptions ndots:0");
    let told = fails(&format!("create --dns-search 'a b' {cat}"), 125);
    assert!(told.contains("dns-search: one is empty or has blanks"), "{told}");
}

#[test]
fn who_shares_a_network_shares_its_names() {
    let _node = Node::boot();
    says(&format!("run -d --name own --hostname its-name --add-host database:192.0.2.7 {SLEEP}"));
    let said = says(
        "run --rm --network container:own busybox sh -c 'hostname; grep -c its-name /etc/hosts; grep database /etc/hosts'",
    );
    assert_eq!(said, "its-name\n1\n192.0.2.7\tdatabase");
    for (words, key) in
        [("--hostname h", "hostname"), ("--dns 192.0.2.9", "dns"), ("--add-host a:192.0.2.1", "add-hosts")]
    {
        let told = fails(&format!("run {words} --network container:own busybox true"), 125);
        assert!(
            told.ends_with(&format!("{key}: it comes from the container whose network is shared")),
            "{told}"
        );
    }
}

#[test]
fn what_a_network_warns_of_reaches_who_typed_the_line() {
    let _node = Node::boot();
    let table = "table inet other { chain forward { type filter hook forward priority 0; policy drop; }; }";
    assert!(Command::new("nft").arg(table).status().unwrap().success());
    let warning = "chain forward of table other drops forwarded packets";
    let told = |line: &str| {
        let said = skerry(line);
        assert_eq!(said.status, 0, "{line}: {said:?}");
        said.err
            .lines()
            .filter(|line| line.starts_with("skerry: container ") && line.contains(warning))
            .count()
    };
    assert_eq!(told("run --rm busybox true"), 1);
    assert_eq!(told(&format!("run -d --name a {SLEEP}")), 1);
    says("kill a");
    says("wait a");
    assert_eq!(told("start a"), 1);
    let mut terminal = Terminal::of("run -it --rm busybox echo done");
    let (screen, status) = terminal.end();
    assert!(status == 0 && screen.contains(warning) && screen.contains("done\r\n"), "{screen}");
}
