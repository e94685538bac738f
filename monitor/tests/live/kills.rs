//! The monitor is killed at moments that nobody chose.

use super::support::{Client, Die, Node, Said, busybox, eventually};
use spec::monitor::Request;
use std::time::Duration;

/// How often the monitor is killed in a test.
const ROUNDS: usize = 20;

fn named(name: &str) -> String {
    name.to_owned()
}

/// Waits a moment that the die chooses, a hundred milliseconds at most, and kills the monitor.
fn kill_soon(node: &Node, die: &mut Die) {
    std::thread::sleep(Duration::from_millis(die.below(100)));
    node.kill_monitor();
}

#[test]
fn who_was_shown_more_than_the_log_holds_is_shown_the_rest() {
    let node = Node::boot();
    let mut container = busybox("seq 1 200000; read -r go; seq 200001 200100");
    (container.stdin, container.log_size) = (true, spec::quantity::Bytes(1 << 20));
    node.create("much", container);
    let attach = Request::Attach { name: named("much"), input: true, size: None, start: true };
    let (mut said, mut client) = (Said::default(), Client::ask(&attach).unwrap());
    while !said.out.ends_with(b"\n200000\n") {
        assert!(client.take(&mut said), "{:?}", said.end);
    }
    node.kill_monitor();
    let mut client = Client::ask(&said.resume()).unwrap();
    client.write(spec::monitor::Kind::Input, b"go\n").unwrap();
    while client.take(&mut said) {}
    let expected: String = (1..=200_100).map(|number| format!("{number}\n")).collect();
    assert!(said.text() == expected && said.status() == Some(0), "{} bytes, {:?}", said.out.len(), said.end);
    // What is no longer there is told, and not passed over.
    let gone =
        Request::Resume { session: format!("attach-{}-0-1-0", &node.summary("much").id[..12]), received: 0 };
    assert!(node.failed(&gone).message.contains("rotated away"));
}

#[test]
fn no_line_is_lost_or_repeated_and_no_container_notices() {
    let node = Node::boot();
    let count =
        "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo line $n; [ $((n % 200)) = 0 ] && sleep 0.05; done";
    node.create("count", busybox(&format!("{count}; exec sleep 1000")));
    let mut container = busybox("i=0; while read -r word; do i=$((i+1)); echo $i:$word; done");
    container.tty = true;
    node.create("tty", container);
    node.start("count");
    node.start("tty");
    let pids = ["count", "tty"].map(|name| node.summary(name).status.pid);
    let mut die = Die(7);
    for round in 0..ROUNDS {
        kill_soon(&node, &mut die);
        // Exit statuses of those that end while there is no monitor, or hardly one.
        let status = (round as u8) + 1;
        assert_eq!(node.run(&format!("short-{round}"), &format!("exit {status}")), status, "round {round}");
    }
    assert_eq!(["count", "tty"].map(|name| node.summary(name).status.pid), pids, "nobody was restarted");
    eventually("all is written", || node.output("count").ends_with("line 20000\n"));
    let expected: String = (1..=20000).map(|number| format!("line {number}\n")).collect();
    assert!(node.output("count") == expected, "a line is lost or repeated");
    // The terminal is the same one.
    let attach = Request::Attach { name: named("tty"), input: true, size: None, start: false };
    let mut client = Client::ask(&attach).unwrap();
    let mut said = Said::default();
    client.write(spec::monitor::Kind::Input, b"hello\n").unwrap();
    client.until(&mut said, "1:hello");
}
