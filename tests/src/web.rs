//! A page over HTTP/1.0, as far as tests need it.

use crate::{Failure, Result};
use qemu::Accelerator;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;

/// A port of this machine that nobody else is given as long as this is there. Its socket does not listen, and so leaves
/// the port to who names it and does.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _held: TcpSocket,
}

impl Port {
    /// One that is free.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn free() -> Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.set_reuseaddr(true)?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { number: held.local_addr()?.port(), _held: held })
    }
}

/// The page at `path` of the server behind `port`, asked for until it answers.
///
/// # Errors
///
/// When nothing does in time, or not with status 200.
pub fn page_at(port: u16, path: &str) -> Result<String> {
    page((Ipv4Addr::LOCALHOST, port).into(), path, Accelerator::detect().patience())
}

/// The page at `path` of the server at this address, asked for until it answers:
/// nothing tells a host that a port in a guest has opened.
pub(crate) fn page(server: SocketAddr, path: &str, limit: Duration) -> Result<String> {
    let end = Instant::now() + limit;
    loop {
        match ask(server, path) {
            Ok(answer) if answer.starts_with(b"HTTP/") => return body(&answer, path),
            _ if Instant::now() > end => {
                return Err(Failure::new(format!("no page at {server} within {} s", limit.as_secs())));
            }
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn ask(server: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: node\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn body(answer: &[u8], path: &str) -> Result<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(Failure::new(format!("{path}: {status}")))
    }
}
