//! The service is told that records have changed, and heard: when a verb returns,
//! names are answered and ports relayed as the records say.

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use spec::paths;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::descriptors;

/// The service answers at once; one that is stopped holds up nobody.
const PATIENCE: TimeVal = TimeVal::new(3, 0);
const ANSWER: usize = 4096;
/// How long it may take to start, and how often it is looked for meanwhile.
const START: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Connects to a socket of packets. Who does not take connections is not waited for any longer than for an answer.
///
/// # Errors
/// As connect(2) has them; `WouldBlock` after that time.
pub fn connect(path: &str) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &PATIENCE)?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Connects to the service. Where PID 1 or a keeper runs there is one, or will be in a moment: after a
/// boot verbs may be earlier than it.
fn reach() -> io::Result<OwnedFd> {
    let kept = connect(paths::INIT_SOCKET).is_ok();
    let end = Instant::now() + START;
    loop {
        match connect(paths::NETWORK_SOCKET) {
            Err(_) if kept && Instant::now() < end => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

/// Tells it, and gives what it could not do, a line each.
pub fn tell() -> Vec<String> {
    let ask = || -> io::Result<String> {
        let socket = reach()?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &PATIENCE)?;
        descriptors::send(socket.as_fd(), b"changed", &[])?;
        let mut answer = [0; ANSWER];
        let (length, _) = descriptors::receive(socket.as_fd(), &mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    match ask() {
        Ok(answer) => answer.lines().skip(1).map(str::to_owned).collect(),
        Err(_) => vec![
            "the network service does not answer: until it does, names are not resolved and \
             published ports not reached from 127.0.0.1"
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, listen};
    use std::sync::mpsc::channel;

    #[test]
    fn who_takes_no_connections_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("skerry-told-{}", std::process::id()));
        let door = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(door.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&door, Backlog::new(0).unwrap()).unwrap();
        let (tell, told) = channel();
        let text = path.display().to_string();
        std::thread::spawn(move || {
            let connections = [(); 2].map(|()| connect(&text));
            tell.send(connections.map(|one| one.err().map(|error| error.kind())))
        });
        let came = told.recv_timeout(10 * START).expect("it is given up");
        assert_eq!(came, [None, Some(io::ErrorKind::WouldBlock)]);
        std::fs::remove_file(path).unwrap();
    }
}
