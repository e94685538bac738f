//! The monitor is killed at moments that nobody chose.

use super::support::{Client, Die, Node, Said, busybox, eventually};
use spec::monitor::Request;
use std::time::Duration;

/// A number from the environment, which `make torture` gives.
fn given(name: &str, default: u64) -> u64 {
    let read = |number: String| number.parse().unwrap_or_else(|_| panic!("{name}={number} is no number"));
    std::env::var(name).map_or(default, read)
}

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
    let (rounds, seed) = (given("SKERRY_TORTURE_ROUNDS", 20), given("SKERRY_TORTURE_SEED", 7));
    let (node, lines) = (Node::boot(), rounds * 1000);
    let count = format!(
        "n=0; while [ $n -lt {lines} ]; do n=$((n+1)); echo line $n; [ $((n % 200)) = 0 ] && sleep 0.05; done"
    );
    let mut container = busybox(&format!("{count}; exec sleep 1000000"));
    container.log_size = spec::quantity::Bytes(1 << 30);
    node.create("count", container);
    let mut container = busybox("i=0; while read -r word; do i=$((i+1)); echo $i:$word; done");
    container.tty = true;
    node.create("tty", container);
    node.start("count");
    node.start("tty");
    let pids = ["count", "tty"].map(|name| node.summary(name).status.pid);
    let mut die = Die(seed);
    for round in 0..rounds {
        kill_soon(&node, &mut die);
        // Exit statuses of those that end while there is no monitor, or hardly one.
        let (name, status) = (format!("short-{round}"), (round % 200) as u8 + 1);
        assert_eq!(node.run(&name, &format!("exit {status}")), status, "round {round}");
        node.done(&Request::Remove { name, force: false, volumes: false });
    }
    println!("seed {seed}: {rounds} kills");
    assert_eq!(["count", "tty"].map(|name| node.summary(name).status.pid), pids, "nobody was restarted");
    let last = format!("line {lines}\n");
    eventually("all is written", || node.output("count").ends_with(&last));
    let expected: String = (1..=lines).map(|number| format!("line {number}\n")).collect();
    assert!(node.output("count") == expected, "a line is lost or repeated");
    // The terminal is the same one.
    let attach = Request::Attach { name: named("tty"), input: true, size: None, start: false };
    let mut client = Client::ask(&attach).unwrap();
    let mut said = Said::default();
    client.write(spec::monitor::Kind::Input, b"hello\n").unwrap();
    client.until(&mut said, "1:hello");
}
