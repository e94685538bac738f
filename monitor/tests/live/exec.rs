//! Programs more in a container.

use super::support::{COUNT, Client, Die, Node, Said, busybox, eventually, is_counted};
use spec::monitor::{Code, Exec, Frame, Kind, Reply, Request, Size};
use std::io::Write;
use std::time::Duration;

fn exec(line: &str) -> Exec {
    Exec { name: "a".into(), command: ["sh", "-c", line].map(str::to_owned).into(), ..Exec::default() }
}

fn ask(exec: Exec) -> Client {
    Client::ask(&Request::Exec(Box::new(exec))).expect("the monitor is there")
}

fn node() -> Node {
    let node = Node::boot();
    node.create("a", busybox("exec sleep 1000"));
    node.start("a");
    node
}

#[test]
fn its_streams_and_its_status_come_back() {
    let node = node();
    let mut asked = exec("echo out $A; echo err >&2; id -u; pwd; exit 5");
    asked.env = [("A".to_owned(), "b".to_owned())].into();
    asked.user = Some("7".into());
    asked.working_dir = Some("/bin".into());
    let said = ask(asked).follow();
    assert_eq!(
        (said.text().as_str(), said.err.as_slice(), said.status()),
        ("out b\n7\n/bin\n", &b"err\n"[..], Some(5))
    );
    let Reply::Failed(failure) = ask(Exec { command: vec!["none".into()], ..exec("") }).reply().unwrap()
    else {
        panic!("there is no such program")
    };
    assert_eq!(failure.code, Code::NoProgram, "{failure:?}");
    assert_eq!(ask(Exec { detach: true, ..exec("touch /done") }).reply(), Some(Reply::Done));
    let waits = exec("while [ ! -e /done ]; do sleep 0.01; done");
    assert_eq!(ask(waits).follow().status(), Some(0));
    let sessions = || std::fs::read_dir("/run/skerry/monitor/sessions").unwrap().count();
    eventually("nothing is left of them", || sessions() == 0);
    drop(node);
}

#[test]
fn much_input_and_output_waits_for_who_is_slow() {
    let node = node();
    let mut client = ask(Exec { input: true, ..exec("cat") });
    let mut said = Said::default();
    assert!(client.take(&mut said), "the streams are open");
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    // All that the socket takes is written before anything is read: it is not much, since the
    // monitor hears nobody whose program is not done with what it has.
    let mut stream =
        bytes.chunks(50_000).map(|piece| Frame::encode(Kind::Input, piece)).collect::<Vec<_>>().concat();
    stream.extend(Frame::encode(Kind::Message, &serde_json::to_vec(&Request::InputEnded).unwrap()));
    let (mut sent, mut most_ahead) = (0, 0);
    client.stream.set_nonblocking(true).unwrap();
    while said.end.is_none() {
        while let Ok(length) = client.stream.write(&stream[sent..]) {
            sent += length;
            if length == 0 {
                break;
            }
        }
        most_ahead = most_ahead.max(sent.saturating_sub(said.out.len()));
        // Others are served meanwhile.
        if said.out.is_empty() {
            assert_eq!(node.list().len(), 1);
        }
        client.stream.set_nonblocking(false).unwrap();
        client.take(&mut said);
        client.stream.set_nonblocking(true).unwrap();
    }
    assert!(said.out == bytes, "{} of {} bytes", said.out.len(), bytes.len());
    assert_eq!(said.status(), Some(0));
    assert!(most_ahead < 3_000_000, "{most_ahead} bytes waited for a program");
}

#[test]
fn a_program_that_reads_its_own_output_ends_as_any_other() {
    let node = node();
    let line = "exec 3</proc/self/fd/1; cat <&3 >/dev/null & n=0; while [ $n -lt 2000 ]; do n=$((n+1)); echo $n; done; exit 7";
    assert_eq!(ask(exec(line)).follow().status(), Some(7));
    drop(node);
}

#[test]
fn a_terminal_has_the_clients_size_and_takes_what_is_typed() {
    let node = node();
    let size = Some(Size { rows: 33, columns: 101 });
    let mut client =
        ask(Exec { tty: true, input: true, size, ..exec("stty size; tty; read x; stty size; echo got $x") });
    let mut said = Said::default();
    client.until(&mut said, "33 101\r\n/dev/pts/0\r\n");
    client.say(&Request::Resize(Size { rows: 44, columns: 80 })).unwrap();
    client.write(Kind::Input, b"word\n").unwrap();
    client.until(&mut said, "44 80\r\ngot word\r\n");
    while client.take(&mut said) {}
    assert_eq!(said.status(), Some(0));
    let mut client = ask(exec("exec sleep 1000"));
    client.take(&mut said);
    client.say(&Request::Signal { signal: 15 }).unwrap();
    assert_eq!(client.follow().status(), Some(143));
    drop(node);
}

#[test]
fn a_session_goes_on_where_it_was_when_the_monitor_was_killed() {
    let node = node();
    let mut die = Die(11);
    for tty in [false, true] {
        let mut client = ask(Exec { tty, ..exec(&format!("{COUNT}; exit 6")) });
        let mut said = Said::default();
        assert!(client.take(&mut said));
        let mut kills = 0;
        loop {
            // Some frames, then death.
            let frames = die.below(20);
            let more = (0..frames).all(|_| client.take(&mut said));
            if said.end.is_some() {
                break;
            }
            if more && kills < 5 {
                node.kill_monitor();
                kills += 1;
            }
            while client.take(&mut said) {}
            if said.end.is_some() {
                break;
            }
            let end = std::time::Instant::now() + Duration::from_secs(30);
            client = loop {
                if let Some(client) = Client::ask(&said.resume()) {
                    break client;
                }
                assert!(std::time::Instant::now() < end);
            };
            if kills == 5 {
                node.enough("a");
            }
        }
        let text = said.text().replace('\r', "");
        assert_eq!((kills, said.status()), (5, Some(6)), "tty {tty}: {:?}", said.end);
        is_counted(&text);
    }
}
