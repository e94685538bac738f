use super::*;
use nix::sys::socket::socketpair;
use std::io::{PipeReader, Read, Write, pipe};
use std::thread::{self, JoinHandle};

/// Answers one request after the other with what the test wrote down, keeping
/// what was sent along and giving it back with the next answer.
fn answering(script: Vec<(&'static str, String)>) -> (Keeper, JoinHandle<()>) {
    let (here, there) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let serve = move || {
        let mut kept = Vec::new();
        for (expected, answer) in script {
            let mut packet = [0; 256];
            let (length, sent) = sys::descriptors::receive(there.as_fd(), &mut packet).unwrap();
            assert_eq!(std::str::from_utf8(&packet[..length]).unwrap(), expected);
            let back: Vec<BorrowedFd<'_>> = kept.iter().map(AsFd::as_fd).collect();
            sys::descriptors::send(there.as_fd(), answer.as_bytes(), &back).unwrap();
            kept.extend(sent);
        }
    };
    (Keeper(here), thread::spawn(serve))
}

#[test]
fn a_pipe_is_kept_and_fetched() {
    let (keeper, server) =
        answering(vec![("store monitor:log:web:3", "ok".into()), ("fetch monitor:log:web:3", "ok".into())]);
    let (reader, mut writer) = pipe().unwrap();
    let name = log_name(&"web".parse().unwrap(), 3);
    keeper.store(&name, &[reader.as_fd()]).unwrap();
    drop(reader);
    let mut fetched = keeper.fetch(&name).unwrap();
    server.join().unwrap();
    writer.write_all(b"still here").unwrap();
    drop(writer);
    let mut text = String::new();
    PipeReader::from(fetched.remove(0)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
}

#[test]
fn what_is_not_kept_is_nothing_and_a_refusal_is_an_error() {
    let (keeper, server) =
        answering(vec![("fetch x", "ok".into()), ("drop x", "error nothing is kept under x".into())]);
    assert!(keeper.fetch("x").unwrap().is_empty());
    let error = keeper.drop("x").unwrap_err().to_string();
    assert_eq!(error, "init: drop x: error nothing is kept under x");
    server.join().unwrap();
}

#[test]
fn names_are_asked_for_until_there_are_no_more() {
    let (keeper, server) = answering(vec![
        ("names", "ok\nmonitor:desk\nmonitor:log:a:1".into()),
        ("names monitor:log:a:1", "ok\nmonitor:log:b:1".into()),
        ("names monitor:log:b:1", "ok".into()),
    ]);
    assert_eq!(keeper.names().unwrap(), ["monitor:desk", "monitor:log:a:1", "monitor:log:b:1"]);
    server.join().unwrap();
}

#[test]
fn exits_are_asked_for_until_there_are_no_more() {
    let (keeper, server) = answering(vec![
        ("exits 1", "ok\nexit 5 71 1000 256\nexit 6 72 1001 9".into()),
        ("exits 7", "ok\nexit 7 73 1002 0".into()),
        ("exits 8", "ok".into()),
    ]);
    let pids: Vec<i32> = keeper.exits().unwrap().iter().map(|exit| exit.pid).collect();
    assert_eq!(pids, [71, 72, 73]);
    server.join().unwrap();
}

#[test]
fn a_subscription_gives_what_was_told_and_says_when_pid_1_has_hung_up() {
    let (here, there) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let subscription = Subscription(here);
    assert_eq!(subscription.told(), (vec![], true));
    for packet in ["exit 5 71 1000 256", "exit 6 72 1001 9"] {
        sys::descriptors::send(there.as_fd(), packet.as_bytes(), &[]).unwrap();
    }
    let (exits, more) = subscription.told();
    assert_eq!((exits.iter().map(|exit| exit.pid).collect::<Vec<_>>(), more), (vec![71, 72], true));
    drop(there);
    assert_eq!(subscription.told(), (vec![], false));
}
