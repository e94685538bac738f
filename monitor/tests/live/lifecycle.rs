//! Containers that a person asks for, from their creation to their removal.

use super::support::{Client, Node, busybox, eventually};
use nix::mount::{MsFlags, mount};
use spec::monitor::{Code, Frame, Hello, Kind, Reply, Request, VERSION, Wait};
use spec::node::{Mount, Propagation, Restart};
use std::io::Write;

fn named(name: &str) -> String {
    name.to_owned()
}

#[test]
fn what_could_never_run_is_refused_when_it_is_created() {
    let node = Node::boot();
    let refused = |container: spec::node::Container| {
        let (name, image) = (Some("a".parse().unwrap()), node.digest.clone());
        let create = spec::monitor::Create {
            name,
            container,
            image,
            remove: false,
            stdin_once: false,
            nameless: Vec::new(),
            seccomp: None,
            sandbox: None,
        };
        node.failed(&Request::Create(Box::new(create))).message
    };
    let signal = spec::node::Container { stop_signal: Some("FLY".into()), ..busybox("true") };
    assert_eq!(refused(signal), "create: stop-signal: not a signal");
    let host = spec::node::Container { add_hosts: vec!["db".into()], ..busybox("true") };
    assert!(refused(host).starts_with("create: add-hosts: one is not NAME:ADDRESS"));
    assert!(node.list().is_empty());
}

#[test]
fn a_container_is_created_run_and_removed() {
    let node = Node::boot();
    let id = node.create("web", busybox("echo here; exit 3"));
    assert_eq!((id.len(), node.state("web").as_str()), (64, "created"));
    node.start("web");
    assert_eq!(node.wait("web"), 3);
    node.becomes("web", "exited");
    let status = node.summary("web").status;
    assert_eq!((status.exit, status.restarts, status.pid), (Some(3), 0, None));
    assert_eq!(node.output("web"), "here\n");
    // By the beginning of its ID, too.
    node.done(&Request::Remove { name: id[..8].to_owned(), force: false, volumes: false });
    assert!(node.list().is_empty());
    for left in
        ["/run/skerry/monitor/containers", "/var/log/skerry/containers", "/var/lib/skerry/definitions"]
    {
        assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "{left}");
    }
}

#[test]
fn what_it_wrote_stays_over_stop_and_start_and_goes_with_it() {
    let node = Node::boot();
    node.create("keeps", busybox("echo line >>/file; cat /file; exec sleep 1000"));
    for expected in ["line\n", "line\nline\nline\n"] {
        node.start("keeps");
        eventually("it has written", || node.output("keeps") == expected);
        node.done(&Request::Stop { name: named("keeps"), grace: Some(0), signal: None });
        assert_eq!(node.state("keeps"), "exited");
    }
    node.done(&Request::Remove { name: named("keeps"), force: false, volumes: false });
    assert_eq!(node.run("keeps", "cat /file"), 1);
}

#[test]
fn what_cannot_be_done_is_said_with_a_code() {
    let node = Node::with_config("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    node.create("a", busybox("exec sleep 1000"));
    node.start("a");
    let name = || named("a");
    for (request, code, words) in [
        (Request::Start { name: named("none") }, Code::NotFound, "container \"none\": there is none"),
        (Request::Remove { name: name(), force: false, volumes: false }, Code::State, "it runs"),
        (Request::Unpause { name: name() }, Code::State, "it is not paused"),
        (
            Request::Rename { name: name(), to: "own".parse().unwrap() },
            Code::Exists,
            "\"own\" is there already",
        ),
        (
            Request::Remove { name: named("own"), force: true, volumes: false },
            Code::Configured,
            "belongs to node.toml",
        ),
        (Request::Rename { name: named("own"), to: "x".parse().unwrap() }, Code::Configured, "node.toml"),
        (Request::Kill { name: name(), signal: 99 }, Code::Invalid, "99 is not a signal"),
        (Request::Resume { session: named("x"), received: 0 }, Code::NotFound, "session \"x\""),
    ] {
        let failure = node.failed(&request);
        assert!(failure.code == code && failure.message.contains(words), "{request:?}: {failure:?}");
    }
    node.create("none", {
        let mut own = busybox("");
        own.entrypoint = Some(vec!["/no/such".into()]);
        own
    });
    let failure = node.failed(&Request::Start { name: named("none") });
    assert_eq!(failure.code, Code::NoProgram, "{failure:?}");
    assert_eq!(node.summary("none").status.exit, Some(127));
}

#[test]
fn why_what_is_restarted_cannot_come_up_is_told() {
    let node = Node::boot();
    std::fs::create_dir("/run/source").unwrap();
    let mut container = busybox("exec sleep 1000");
    let (source, target, read_only) = ("/run/source".into(), "/target".into(), false);
    container.mounts = vec![Mount::Bind { source, target, read_only, propagation: Propagation::default() }];
    node.create("a", container);
    node.start("a");
    std::fs::remove_dir("/run/source").unwrap();
    // While it runs, and when it does not.
    for _ in 0..2 {
        let failure = node.failed(&Request::Restart { name: named("a"), grace: Some(0), signal: None });
        assert!(failure.message.contains("mount /run/source: no such file"), "{failure:?}");
    }
    std::fs::create_dir("/run/source").unwrap();
    node.done(&Request::Restart { name: named("a"), grace: Some(0), signal: None });
}

#[test]
fn what_is_removed_as_it_ends_does_not_start_again() {
    let node = Node::boot();
    node.create("a", busybox("trap 'exit 7' TERM; echo listens; while :; do sleep 0.05; done"));
    node.start("a");
    for starts in 1.. {
        eventually("it listens", || node.output("a") == "listens\n".repeat(starts));
        let mut events = Client::ask(&Request::Events { since: None, until: None, all: false }).unwrap();
        let mut remove = Client::connect();
        remove.say(&Hello { version: VERSION, program: "t".into() }).unwrap();
        remove.message().expect("it is greeted");
        let mut restart =
            Client::ask(&Request::Restart { name: named("a"), grace: None, signal: None }).unwrap();
        while !events.message().expect("events go on").contains("\"die\"") {}
        // What is left of it is being removed, and another instance is asked for.
        remove.say(&Request::Remove { name: named("a"), force: false, volumes: false }).unwrap();
        match remove.reply().unwrap() {
            Reply::Done => {
                let Some(Reply::Failed(failure)) = restart.reply() else { panic!("it was removed") };
                assert_eq!(failure.code, Code::State, "{failure:?}");
                break;
            }
            // The other instance was there already.
            Reply::Failed(failure) if failure.message.contains("it runs") => assert!(starts < 50),
            other => panic!("{other:?}"),
        }
    }
    assert!(node.list().is_empty());
}

#[test]
fn noise_is_refused_and_the_connection_closed() {
    let node = Node::boot();
    let hello = || serde_json::to_vec(&Hello { version: VERSION, program: "t".into() }).unwrap();
    let frames = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Frame::encode(Kind::Message, b"{\"version\":7,\"program\":\"t\"}"),
        Frame::encode(Kind::Message, b"{"),
        Frame::encode(Kind::Output, b"x"),
        [Frame::encode(Kind::Message, &hello()), Frame::encode(Kind::Message, b"{\"request\":\"dance\"}")]
            .concat(),
        [Frame::encode(Kind::Message, &hello()), Frame::encode(Kind::Input, b"x")].concat(),
    ];
    for bytes in frames {
        let mut client = Client::connect();
        client.stream.write_all(&bytes).unwrap();
        let said = loop {
            let message = client.message().expect("a refusal");
            if message.contains("\"reply\"") {
                break message;
            }
        };
        assert!(said.contains("\"failed\""), "{said}");
        assert!(client.frame().is_none(), "the connection is closed");
    }
    assert!(node.list().is_empty(), "and the monitor goes on");
}

#[test]
fn a_person_stops_restarts_pauses_and_kills() {
    let node = Node::boot();
    let mut container = busybox("trap 'exit 7' TERM; echo listens; while :; do sleep 0.05; done");
    container.restart = Restart::Always;
    node.create("a", container);
    node.start("a");
    eventually("it listens", || node.output("a") == "listens\n");
    let first = node.summary("a").status.pid;
    node.done(&Request::Restart { name: named("a"), grace: None, signal: None });
    assert_ne!(node.summary("a").status.pid, first);
    assert_eq!(node.summary("a").status.exit, Some(7));
    node.done(&Request::Pause { name: named("a") });
    assert_eq!(node.state("a"), "paused");
    node.done(&Request::Unpause { name: named("a") });
    node.done(&Request::Stop { name: named("a"), grace: None, signal: None });
    assert_eq!(node.state("a"), "exited");
    node.start("a");
    node.done(&Request::Kill { name: named("a"), signal: 9 });
    assert_eq!(node.wait("a"), 137);
    node.becomes("a", "exited");
    node.done(&Request::Rename { name: named("a"), to: "b".parse().unwrap() });
    node.start("b");
    node.done(&Request::Remove { name: named("b"), force: true, volumes: false });
    assert!(node.list().is_empty());
}

#[test]
fn who_waits_for_one_that_is_restarted_is_told_its_first_end() {
    let node = Node::boot();
    let line = "while [ ! -e /enough ]; do sleep 0.05; done; rm /enough; exit 4";
    node.create("a", spec::node::Container { restart: Restart::Always, ..busybox(line) });
    node.start("a");
    let wait = Request::Wait { name: named("a"), condition: Wait::NotRunning };
    let ended = Reply::Exited { status: 4, out_of_memory: false, error: None };
    let mut waits = Client::ask(&wait).unwrap();
    eventually("nobody is answered before", || node.state("a") == "running");
    node.enough("a");
    assert_eq!(waits.reply(), Some(ended.clone()));
    node.becomes("a", "running");
    assert_eq!(node.summary("a").status.restarts, 1);
    // Asked again when the monitor has died.
    let mut cut_off = Client::ask(&wait).unwrap();
    node.kill_monitor();
    assert_eq!(cut_off.reply(), None);
    let mut waits = Client::ask(&wait).unwrap();
    node.enough("a");
    assert_eq!(waits.reply(), Some(ended));
    node.becomes("a", "running");
    node.done(&Request::Stop { name: named("a"), grace: Some(0), signal: None });
    assert_eq!(node.wait("a"), 137);
}

#[test]
fn who_was_sent_its_stop_signal_does_not_come_back() {
    let mut node = Node::boot();
    let mut container =
        busybox("trap 'exit 7' TERM; trap 'exit 8' HUP; echo here; while :; do sleep 0.05; done");
    container.restart = Restart::UnlessStopped;
    let mut deaf = busybox("trap : TERM; echo here; while :; do sleep 0.05; done");
    deaf.restart = Restart::UnlessStopped;
    for (name, container) in [("a", container.clone()), ("other", container), ("deaf", deaf)] {
        node.create(name, container);
        node.start(name);
        eventually("it listens", || node.output(name) == "here\n");
    }
    node.done(&Request::Kill { name: named("other"), signal: nix::libc::SIGHUP });
    eventually("it came back", || node.output("other") == "here\nhere\n");
    for name in ["a", "deaf"] {
        node.done(&Request::Kill { name: named(name), signal: nix::libc::SIGTERM });
    }
    assert_eq!(node.wait("a"), 7);
    node.becomes("a", "exited");
    assert_eq!(node.state("deaf"), "running");
    node.reboot();
    for (name, state) in [("a", "exited"), ("other", "running"), ("deaf", "exited")] {
        node.becomes(name, state);
    }
}

#[test]
fn a_stop_may_wait_for_ever_and_another_one_does_not() {
    let node = Node::boot();
    // As its first process it does not see the signal.
    node.create("deaf", busybox("exec sleep 1000"));
    for grace in [Some(0), None] {
        node.start("deaf");
        let monitor = node.monitor();
        let mut patient =
            Client::ask(&Request::Stop { name: named("deaf"), grace: Some(u64::MAX), signal: None }).unwrap();
        node.becomes("deaf", "stopping");
        node.kill_monitor();
        assert!(patient.reply().is_none());
        assert_eq!(node.state("deaf"), "stopping");
        node.done(&Request::Stop { name: named("deaf"), grace, signal: None });
        assert_eq!(node.state("deaf"), "exited");
        assert_ne!(node.monitor(), monitor);
    }
}

#[test]
fn what_fills_the_disk_is_stopped_killed_and_removed() {
    let mut node = Node::boot();
    let definitions = "/var/lib/skerry/definitions";
    mount(Some("small"), definitions, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
    let full = || {
        let mut file = std::fs::File::create(format!("{definitions}/fill")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    let mut container = busybox("exec sleep 1000");
    container.restart = Restart::UnlessStopped;
    for name in ["stopped", "killed", "removed"] {
        node.create(name, container.clone());
        node.start(name);
    }
    full();
    node.done(&Request::Stop { name: named("stopped"), grace: Some(0), signal: None });
    node.done(&Request::Kill { name: named("killed"), signal: 9 });
    node.becomes("killed", "exited");
    node.done(&Request::Remove { name: named("removed"), force: true, volumes: false });
    // What cannot be kept is not begun.
    full();
    assert_eq!(node.failed(&Request::Start { name: named("killed") }).code, Code::Internal);
    std::fs::remove_file(format!("{definitions}/fill")).unwrap();
    let wanted = || {
        let files = std::fs::read_dir(definitions).unwrap().flatten();
        let texts: Vec<_> =
            files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
        texts.iter().filter(|text| text.contains("\"wanted\":true")).count()
    };
    eventually("it is written that they are stopped", || wanted() == 0);
    node.reboot();
    for name in ["stopped", "killed"] {
        assert_eq!(node.state(name), "exited");
    }
    assert_eq!(node.list().len(), 2);
}

#[test]
fn a_list_is_told_however_long_it_is() {
    let node = Node::boot();
    for name in ["a", "b", "c"] {
        let mut container = busybox(":");
        container.labels.insert("long".into(), "x".repeat(400 << 10));
        container.args = Some(vec!["x".repeat(400 << 10)]);
        node.create(name, container);
    }
    let list = node.list();
    assert_eq!(list.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(list.iter().all(|one| one.command.concat().len() < 300 && one.labels["long"].len() == 400 << 10));
}

#[test]
fn a_reboot_follows_the_restart_policy_and_forgets_no_end() {
    let mut node = Node::with_config("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    for (name, restart) in [
        ("always", Restart::Always),
        ("unless", Restart::UnlessStopped),
        ("stopped", Restart::UnlessStopped),
        ("failure", Restart::OnFailure(None)),
        ("no", Restart::No),
    ] {
        let mut container = busybox("exec sleep 1000");
        container.restart = restart;
        node.create(name, container);
        node.start(name);
    }
    node.create_as("once", busybox("exec sleep 1000"), true);
    node.start("once");
    node.run("ended", "exit 5");
    for name in ["always", "stopped"] {
        node.done(&Request::Stop { name: named(name), grace: Some(0), signal: None });
    }
    node.becomes("own", "running");
    node.done(&Request::Stop { name: named("own"), grace: Some(0), signal: None });
    node.reboot();
    for (name, state) in [
        ("always", "running"),
        ("unless", "running"),
        ("stopped", "exited"),
        ("failure", "running"),
        ("no", "exited"),
        ("ended", "exited"),
        // What a person said of node.toml's is forgotten.
        ("own", "running"),
    ] {
        node.becomes(name, state);
    }
    assert_eq!(node.summary("ended").status.exit, Some(5));
    eventually("what is to go once it has ended is gone", || {
        node.list().iter().all(|summary| &*summary.name != "once")
    });
}

#[test]
fn what_a_container_wrote_stays_though_its_definition_cannot_be_read() {
    let mut node = Node::boot();
    let id = node.create("keeps", busybox("echo line >/file"));
    node.start("keeps");
    assert_eq!(node.wait("keeps"), 0);
    let key = &id[..12];
    std::fs::write(format!("/var/lib/skerry/definitions/{key}.json"), "{").unwrap();
    node.reboot();
    // Another one that goes takes along what nobody knows.
    node.run("other", "true");
    node.done(&Request::Remove { name: named("other"), force: false, volumes: false });
    let kept = || {
        let all = std::fs::read_dir("/var/lib/skerry/containers").unwrap().flatten();
        all.filter_map(|one| one.file_name().into_string().ok())
            .filter(|name| name != ".old")
            .collect::<Vec<_>>()
    };
    eventually("the other's files are gone", || kept().len() <= 1);
    assert_eq!(kept(), [key]);
}

#[test]
fn what_is_to_go_once_it_has_ended_goes_and_its_status_is_told_first() {
    let node = Node::boot();
    node.create_as("once", busybox("sleep 0.2; exit 4"), true);
    let waits = Request::Wait { name: named("once"), condition: Wait::Removed };
    let mut waiter = Client::ask(&waits).unwrap();
    node.start("once");
    assert!(matches!(waiter.reply(), Some(Reply::Exited { status: 4, .. })));
    assert!(node.list().is_empty());
    node.create_as("again", busybox("exec sleep 1000"), true);
    node.start("again");
    node.kill_monitor();
    node.done(&Request::Stop { name: named("again"), grace: Some(0), signal: None });
    eventually("it is gone", || node.list().is_empty());
}

#[test]
fn events_tell_a_life_in_dockers_words() {
    let node = Node::boot();
    let mut events = Client::ask(&Request::Events { since: None, until: None, all: false }).unwrap();
    node.run("a", "exit 3");
    node.done(&Request::Remove { name: named("a"), force: false, volumes: false });
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "destroy") {
        let Some(Reply::Event { action, attributes, .. }) = events.reply() else { panic!("{words:?}") };
        assert_eq!(attributes["image"], "busybox");
        assert!(action != "die" || attributes["exitCode"] == "3");
        words.push(action);
    }
    assert_eq!(words, ["create", "start", "die", "destroy"]);
    // From the past, to now.
    let past = Request::Events { since: Some(0), until: Some(u64::MAX), all: false };
    let mut events = Client::ask(&past).unwrap();
    assert!(matches!(events.reply(), Some(Reply::Event { action, .. }) if action == "create"));
}
