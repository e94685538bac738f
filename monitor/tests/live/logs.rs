//! A container's log, read over the socket.

use super::support::{Client, Node, Said, busybox};
use spec::monitor::{Kind, Logs, Reply, Request};
use spec::quantity::Bytes;

fn logs(logs: Logs) -> Client {
    Client::ask(&Request::Logs(Logs { name: "a".into(), ..logs })).unwrap()
}

fn lines(log: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(log).lines().map(|line| line[40..].to_owned()).collect()
}

#[test]
fn the_end_a_part_and_all_of_it() {
    let node = Node::boot();
    say_one_by_one(&node, 5);
    let said = logs(Logs { tail: Some(2), ..Logs::default() }).follow();
    assert_eq!((lines(&said.out), said.end), (vec!["4".to_owned(), "5".to_owned()], Some(Reply::Done)));
    // Follows one that is over: that is all.
    let all = logs(Logs { follow: true, ..Logs::default() }).follow();
    assert_eq!(lines(&all.out), ["1", "2", "3", "4", "5"]);
    let third = String::from_utf8_lossy(&all.out).lines().nth(2).unwrap()[..30].to_owned();
    let time = nanoseconds(&third);
    let since = logs(Logs { since: Some(time), ..Logs::default() }).follow();
    assert_eq!(lines(&since.out), ["3", "4", "5"]);
    let until = logs(Logs { until: Some(time), ..Logs::default() }).follow();
    assert_eq!(lines(&until.out), ["1", "2", "3"]);
}

/// Runs `a`, which writes the numbers to this one. Each is read apart from the one before it, so
/// that their times differ.
fn say_one_by_one(node: &Node, last: u32) {
    node.create_with_input("a", busybox("while read -r x; do echo $x; done"));
    let attach = Request::Attach { name: "a".into(), input: true, size: None, start: true };
    let mut client = Client::ask(&attach).unwrap();
    let mut said = Said::default();
    for number in 1..=last {
        let line = format!("{number}\n");
        client.write(Kind::Input, line.as_bytes()).unwrap();
        client.until(&mut said, &line);
    }
    client.say(&Request::InputEnded).unwrap();
    while client.take(&mut said) {}
    assert_eq!(said.status(), Some(0));
}

fn nanoseconds(stamp: &str) -> u64 {
    spec::timestamp::parse(stamp).unwrap()
}

#[test]
fn a_follower_sees_every_line_once_over_rotations_and_restarts() {
    let node = Node::boot();
    // What is rotated away before anybody follows is seen by nobody: it waits for its follower.
    let mut container = busybox(
        "[ -e /go ] || echo ready; until [ -e /go ]; do sleep 0.05; done; \
         i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo $i; [ $((i % 50)) = 0 ] && sleep 0.03; done; exit 1",
    );
    container.log_size = Bytes(16 * 1024);
    container.restart = spec::node::Restart::OnFailure(Some(2));
    node.create("a", container);
    node.start("a");
    let (mut client, mut said) = (logs(Logs { follow: true, ..Logs::default() }), Said::default());
    client.until(&mut said, "ready\n");
    node.touch("a", "/go");
    while client.take(&mut said) {}
    let once: Vec<String> = (1..=500).map(|number: u32| number.to_string()).collect();
    assert_eq!(lines(&said.out), [&["ready".to_owned()], &once[..], &once, &once].concat());
    assert_eq!(said.end, Some(Reply::Done));
}
