//! Those who are attached to a container.

use super::support::{COUNT, Client, Die, Node, Said, busybox, eventually, is_counted};
use spec::monitor::{Kind, Reply, Request, Size};

fn attach(name: &str, start: bool) -> Request {
    let size = Some(Size { rows: 30, columns: 90 });
    Request::Attach { name: name.to_owned(), input: true, size, start }
}

#[test]
fn who_starts_it_attached_misses_nothing_and_is_told_its_status() {
    let node = Node::boot();
    node.create_as("run", busybox("echo out; printf unfinished; echo err >&2; exit 9"), true);
    let said = Client::ask(&attach("run", true)).unwrap().follow();
    assert_eq!(
        (said.text().as_str(), said.err.as_slice(), said.status()),
        ("out\nunfinished", &b"err\n"[..], Some(9))
    );
    eventually("it is gone", || node.list().is_empty());
    let mut wrong = busybox("");
    wrong.entrypoint = Some(vec!["/none".into()]);
    node.create("wrong", wrong);
    let said = Client::ask(&attach("wrong", true)).unwrap().follow();
    let Some(Reply::Exited { status: 127, error: Some(error), .. }) = said.end else { panic!("{said:?}") };
    assert!(error.contains("/none"), "{error}");
}

#[test]
fn who_reads_slowly_misses_nothing_for_the_program_waits() {
    let node = Node::boot();
    let mut container = busybox("seq 1 500000");
    container.log_size = spec::quantity::Bytes(1 << 20);
    node.create("much", container);
    let mut said = Said::default();
    let mut client = Client::ask(&attach("much", true)).unwrap();
    assert!(client.take(&mut said));
    // One that begins later and is read by nobody is done first.
    let mut other = busybox("seq 1 500000");
    other.log_size = spec::quantity::Bytes(1 << 20);
    node.create("other", other);
    node.start("other");
    assert_eq!(node.wait("other"), 0);
    assert_eq!(node.state("much"), "running");
    while client.take(&mut said) {}
    let expected: String = (1..=500_000).map(|number| format!("{number}\n")).collect();
    assert!(said.text() == expected && said.status() == Some(0), "{} bytes, {:?}", said.out.len(), said.end);
    // Who leaves without having read it holds up nobody any more.
    node.done(&Request::Start { name: "much".into() });
    let mut client = Client::ask(&attach("much", false)).unwrap();
    client.frame().unwrap();
    drop(client);
    assert_eq!(node.wait("much"), 0);
}

#[test]
fn input_reaches_the_program_and_its_end_too() {
    let node = Node::boot();
    node.create_with_input("in", busybox("cat; echo over"));
    let mut client = Client::ask(&attach("in", true)).unwrap();
    // Before there is a program to take it.
    client.write(Kind::Input, b"one\n").unwrap();
    let mut said = Said::default();
    client.until(&mut said, "one\n");
    client.write(Kind::Input, b"two\n").unwrap();
    client.say(&Request::InputEnded).unwrap();
    while client.take(&mut said) {}
    assert_eq!((said.text().as_str(), said.status()), ("one\ntwo\nover\n", Some(0)));
}

#[test]
fn input_ends_with_its_first_client_however_that_leaves() {
    let node = Node::boot();
    node.create_with_input("in", busybox("cat; exit 5"));
    // A client may be gone before there is a program, and after.
    drop(Client::ask(&attach("in", true)).unwrap());
    eventually("it has ended", || node.summary("in").status.exit == Some(5));
    let mut client = Client::ask(&attach("in", true)).unwrap();
    client.write(Kind::Input, b"one\n").unwrap();
    client.until(&mut Said::default(), "one\n");
    // It has not left because the monitor was killed.
    node.kill_monitor();
    assert_eq!(node.state("in"), "running");
    let mut client = Client::ask(&attach("in", false)).unwrap();
    client.write(Kind::Input, b"two\n").unwrap();
    client.until(&mut Said::default(), "two\n");
    drop(client);
    assert_eq!(node.wait("in"), 5);
}

#[test]
fn what_is_typed_while_an_instance_is_cleared_away_is_for_the_next() {
    let node = Node::boot();
    node.create_with_input("in", busybox("cat; exit 5"));
    for words in ["one\n", "two\n", "three\n"] {
        let mut client = Client::ask(&attach("in", true)).unwrap();
        client.write(Kind::Input, words.as_bytes()).unwrap();
        client.until(&mut Said::default(), words);
        client.say(&Request::InputEnded).unwrap();
        // Said when it has ended, before it is cleared away.
        let end = client.follow().end;
        assert!(matches!(end, Some(Reply::Exited { status: 5, .. })), "{end:?}");
    }
}

#[test]
fn input_ends_also_when_its_client_and_the_monitor_are_killed_together() {
    let node = Node::boot();
    let typed = |name: &str| {
        node.create_with_input(name, busybox("cat; exit 5"));
        let (mut client, mut said) = (Client::ask(&attach(name, true)).unwrap(), Said::default());
        client.write(Kind::Input, b"one\n").unwrap();
        client.until(&mut said, "one\n");
        (client, said)
    };
    let (gone, back, other) = (typed("gone"), typed("back"), typed("other"));
    node.kill_monitor();
    drop((gone, other));
    // Somebody else types in place of one that does not come back.
    let mut other = Client::ask(&attach("other", false)).unwrap();
    other.write(Kind::Input, b"three\n").unwrap();
    other.until(&mut Said::default(), "three\n");
    let (_, mut said) = back;
    let mut client = Client::ask(&said.resume()).unwrap();
    client.write(Kind::Input, b"two\n").unwrap();
    client.until(&mut said, "two\n");
    assert_eq!(node.state("gone"), "running");
    // A minute later.
    assert_eq!(node.wait("gone"), 5);
    assert_eq!(node.state("back"), "running");
    assert_eq!(node.state("other"), "running");
}

#[test]
fn input_of_what_runs_by_itself_stays_open() {
    let node = Node::boot();
    let mut container = busybox("cat");
    container.stdin = true;
    node.create("in", container);
    node.start("in");
    for words in ["one\n", "two\n"] {
        let mut client = Client::ask(&attach("in", false)).unwrap();
        client.write(Kind::Input, words.as_bytes()).unwrap();
        client.say(&Request::InputEnded).unwrap();
        client.until(&mut Said::default(), words);
    }
    assert_eq!(node.state("in"), "running");
}

#[test]
fn a_terminal_is_the_same_after_the_client_left_and_the_monitor_died() {
    let node = Node::boot();
    let mut container = busybox("stty size; while read -r word; do echo \"<$word>\"; done");
    container.tty = true;
    node.create("tty", container);
    let mut said = Said::default();
    let mut client = Client::ask(&attach("tty", true)).unwrap();
    client.until(&mut said, "30 90\r\n");
    client.write(Kind::Input, b"a\n").unwrap();
    client.until(&mut said, "<a>\r\n");
    drop(client);
    let pid = node.summary("tty").status.pid;
    node.kill_monitor();
    let mut client = Client::ask(&attach("tty", false)).unwrap();
    let mut said = Said::default();
    client.write(Kind::Input, b"b\n\x04").unwrap();
    client.until(&mut said, "<b>\r\n");
    while client.take(&mut said) {}
    assert_eq!(said.status(), Some(0));
    assert!(pid.is_some() && node.summary("tty").status.pid.is_none());
    assert!(node.output("tty").contains("<a>\r\nb\r\n<b>\r\n"), "{:?}", node.output("tty"));
}

#[test]
fn who_joins_again_after_the_monitor_died_has_every_byte_once() {
    let node = Node::boot();
    node.create_as("run", busybox(&format!("{COUNT}; exit 7")), true);
    let mut client = Client::ask(&attach("run", true)).unwrap();
    let (mut said, mut die, mut kills) = (Said::default(), Die(3), 0);
    assert!(client.take(&mut said));
    while said.end.is_none() {
        let more = (0..die.below(50)).all(|_| client.take(&mut said));
        if more && kills < 5 {
            node.kill_monitor();
            kills += 1;
        }
        while client.take(&mut said) {}
        if said.end.is_none() {
            client = loop {
                if let Some(client) = Client::ask(&said.resume()) {
                    break client;
                }
            };
            if kills == 5 {
                node.enough("run");
            }
        }
    }
    assert_eq!((kills, said.status()), (5, Some(7)), "{:?}", said.end);
    is_counted(&said.text());
    eventually("it is gone", || node.list().is_empty());
}
