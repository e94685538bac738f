//! Forwarded ports: free before the start, and when they answer.
//!
//! QEMU itself accepts every connection to a forwarded port, whether or not
//! anything listens in the guest; only an answer with a byte in it says that
//! something does.

use crate::options::Port;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Refuses a port that another program has.
pub fn check_free(ports: &[Port]) -> Result<(), String> {
    for Port { host, guest } in ports {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *host)).map_err(|cause| match cause.kind() {
            ErrorKind::AddrInUse => {
                format!("port {host} is busy; choose another with --port OTHER:{guest} (make run PORT=OTHER)")
            }
            ErrorKind::PermissionDenied => format!("port {host} needs root; choose one above 1023"),
            _ => format!("bind port {host}: {}", qemu::words(&cause)),
        })?;
    }
    Ok(())
}

/// Asks at the port until something answers, and returns how to reach it.
/// `None` once `over` says that there is no use in asking.
pub fn wait_for_answer(host: u16, over: impl Fn() -> bool) -> Option<String> {
    // Nothing tells the host that a guest's port has opened: asking is the only way.
    while !over() {
        match ask(host) {
            Some(answer) if answer.starts_with(b"HTTP/") => return Some(format!("http://127.0.0.1:{host}")),
            Some(_) => return Some(format!("127.0.0.1:{host}")),
            None => thread::sleep(Duration::from_millis(200)),
        }
    }
    None
}

/// The first bytes of the answer to a request for a page.
fn ask(host: u16) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut buffer = [0; 64];
    match stream.read(&mut buffer) {
        Ok(count @ 1..) => Some(buffer[..count].to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_refused_in_words() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = taken.local_addr().unwrap().port();
        let error = check_free(&[Port { host, guest: 80 }]).unwrap_err();
        assert!(error.starts_with(&format!("port {host} is busy")), "{error}");
    }

    #[test]
    fn a_web_page_is_told_from_another_answer() {
        for (answer, expected) in
            [("HTTP/1.0 200 OK\r\n", "http://127.0.0.1:"), ("SSH-2.0-x\r\n", "127.0.0.1:")]
        {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let host = listener.local_addr().unwrap().port();
            let server = thread::spawn(move || {
                drop(listener.accept().unwrap()); // as QEMU does while the guest is not there yet
                let mut stream = listener.accept().unwrap().0;
                let _request = stream.read(&mut [0; 64]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(wait_for_answer(host, || false), Some(format!("{expected}{host}")));
            server.join().unwrap();
        }
    }
}
