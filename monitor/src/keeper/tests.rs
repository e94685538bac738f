use super::*;
use nix::sys::socket::socketpair;
use std::io::{PipeReader, Read, Write, pipe};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    (Keeper { path: "", socket: RefCell::new(Some(here)) }, thread::spawn(serve))
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
    // Another test's child may have it until it has executed its program.
    let until = Instant::now() + Duration::from_secs(60);
    while subscription.told() != (vec![], false) {
        assert!(Instant::now() < until, "nobody has hung up");
        thread::yield_now();
    }
}

/// PID 1's socket, and the way to it.
fn listening(name: &str) -> (OwnedFd, Keeper) {
    use nix::sys::socket::{Backlog, bind, listen};
    let path = std::env::temp_dir().join(format!("skerry-keeper-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let path: &'static str = path.to_str().unwrap().to_owned().leak();
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&socket, Backlog::new(1).unwrap()).unwrap();
    (socket, Keeper::connect(path).unwrap())
}

/// Answers the one request of a client.
fn answer(client: &OwnedFd, expected: &str, text: &str) {
    let mut packet = [0; 256];
    let length = loop {
        match sys::descriptors::receive(client.as_fd(), &mut packet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            received => break received.unwrap().0,
        }
    };
    assert_eq!(std::str::from_utf8(&packet[..length]).unwrap(), expected);
    sys::descriptors::send(client.as_fd(), text.as_bytes(), &[]).unwrap();
}

#[test]
fn an_answer_that_came_late_is_not_taken_for_the_next_ones() {
    let (socket, keeper) = listening("late");
    let first = sys::socket::accept(socket.as_fd()).unwrap();
    let own = keeper.socket.take().unwrap();
    setsockopt(&own, ReceiveTimeout, &TimeVal::new(0, 1000)).unwrap();
    keeper.socket.replace(Some(own));
    assert_eq!(keeper.names().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let server = thread::spawn(move || {
        let second = sys::socket::accept(socket.as_fd()).unwrap();
        // Nobody hears it any more, once no other test's child has that socket.
        let until = Instant::now() + Duration::from_secs(60);
        while sys::descriptors::send(first.as_fd(), b"ok\nlate", &[]).is_ok() && Instant::now() < until {
            thread::yield_now();
        }
        answer(&second, "drop b", "error nothing is kept under b");
        Instant::now() < until
    });
    assert_eq!(keeper.drop("b").unwrap_err().to_string(), "init: drop b: error nothing is kept under b");
    assert!(server.join().unwrap());
}

#[test]
fn where_pid_1_has_hung_up_it_is_asked_anew() {
    let (socket, keeper) = listening("anew");
    drop(sys::socket::accept(socket.as_fd()).unwrap());
    let server = thread::spawn(move || {
        let second = sys::socket::accept(socket.as_fd()).unwrap();
        answer(&second, "fetch x", "ok");
    });
    assert!(keeper.fetch("x").unwrap().is_empty());
    server.join().unwrap();
}
