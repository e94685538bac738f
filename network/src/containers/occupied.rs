//! Whether a port can be published, and who has it when it cannot.

use spec::network::{Port, Protocol};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use sys::cause::cause;

/// Looks whether a port is free by taking it for a moment. Sockets at `gateways` do not
/// count: names are answered there, whoever publishes port 53.
///
/// # Errors
/// The port and who has it, in words.
pub fn check(port: Port, gateways: &[IpAddr]) -> Result<(), String> {
    let addresses = match port.address {
        Some(address) => vec![address],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    };
    for (outside, _) in port.pairs() {
        for &address in &addresses {
            match take(port.protocol, SocketAddr::new(address, outside)) {
                Ok(()) => {}
                // A kernel without IPv6.
                Err(error) if port.address.is_none() && lacks_family(&error) => {}
                Err(error)
                    if error.kind() == ErrorKind::AddrInUse
                        && port.address.is_none_or(|address| address.is_unspecified())
                        && only_at(gateways, port.protocol, outside) => {}
                Err(error) => return Err(format!("publish {port}: {}", why(&error, port, address, outside))),
            }
        }
    }
    Ok(())
}

fn take(protocol: Protocol, address: SocketAddr) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
        // What listens there itself is passed by, as by a Service's port.
        Protocol::Sctp => Ok(()),
    }
}

fn lacks_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn why(error: &io::Error, port: Port, address: IpAddr, number: u16) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = holder(port.protocol, number).unwrap_or_else(|| "another program".to_owned());
            format!("port {number}/{} is in use by {holder}", port.protocol)
        }
        ErrorKind::AddrNotAvailable => format!("{address} is no address of this node"),
        _ => cause(error),
    }
}

/// What the kernel lists of a protocol's sockets, in both families.
fn listed(protocol: Protocol) -> String {
    let tables = ["", "6"].map(|family| format!("/proc/net/{protocol}{family}"));
    tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Whether all sockets that wait at a port do so at these addresses.
fn only_at(addresses: &[IpAddr], protocol: Protocol, port: u16) -> bool {
    let known: Vec<String> = addresses.iter().map(|&address| hexadecimal(address)).collect();
    waiting(&listed(protocol), protocol, port).all(|(address, _)| known.iter().any(|known| known == address))
}

/// An address as `/proc/net/…` has it: words of four bytes, each in the host's order.
fn hexadecimal(address: IpAddr) -> String {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let words = bytes.as_chunks::<4>().0.iter();
    words.map(|&word| format!("{:08X}", u32::from_ne_bytes(word))).collect()
}

/// The program that has a port open, by `/proc/net/…` and the descriptors of all.
fn holder(protocol: Protocol, port: u16) -> Option<String> {
    let text = listed(protocol);
    let sockets: Vec<String> =
        waiting(&text, protocol, port).map(|(_, inode)| format!("socket:[{inode}]")).collect();
    let numbered = |process: &fs::DirEntry| process.file_name().to_string_lossy().parse::<u32>().is_ok();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok).filter(numbered);
    let mut owners = processes.filter(|process| {
        let descriptors =
            fs::read_dir(process.path().join("fd")).into_iter().flatten().filter_map(Result::ok);
        let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
    });
    let owner = owners.next()?;
    let name = fs::read_to_string(owner.path().join("comm")).ok()?;
    Some(format!("{} (pid {})", name.trim_end(), owner.file_name().display()))
}

/// Address and inode of sockets that wait at a port (proc_net(5): local address in
/// field 2, state in 4, inode in 10).
fn waiting(text: &str, protocol: Protocol, port: u16) -> impl Iterator<Item = (&str, &str)> {
    let waits = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
        // The kernel lists them otherwise, and nobody asks.
        Protocol::Sctp => "",
    };
    let port = format!("{port:04X}");
    text.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, number) = fields.get(1)?.split_once(':')?;
        (number == port && fields.get(3) == Some(&waits)).then_some((address, *fields.get(9)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0 100 0 0 10 0
";

    #[test]
    fn only_sockets_that_wait_at_the_port_are_found() {
        let found: Vec<(&str, &str)> = waiting(TCP, Protocol::Tcp, 8080).collect();
        assert_eq!(found, [("0100007F", "4711")]);
        assert_eq!(waiting(TCP, Protocol::Tcp, 80).count(), 0);
        assert_eq!(hexadecimal([127, 0, 0, 1].into()), "0100007F");
        assert_eq!(hexadecimal("fd00::1".parse().unwrap()), "000000FD000000000000000001000000");
    }

    #[test]
    fn an_occupied_port_is_named_with_who_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let error = check(format!("127.0.0.1:{number}:80").parse().unwrap(), &[]).unwrap_err();
        let ours = format!("port {number}/tcp is in use by ");
        assert!(error.contains(&ours) && error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(listener);
        // Another test's child may have it until it has executed its program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while check(format!("127.0.0.1:{number}:80").parse().unwrap(), &[]).is_err() {
            assert!(std::time::Instant::now() < until, "it is held still");
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_address_that_is_not_the_nodes_is_named() {
        let error = check("192.0.2.1:8080:80".parse().unwrap(), &[]).unwrap_err();
        assert!(error.ends_with("192.0.2.1 is no address of this node"), "{error}");
    }
}
