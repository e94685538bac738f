//! The kernel's word that this machine's addresses or routes have changed (rtnetlink(7)).

use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net;
use std::time::Duration;
use sys::cause::cause;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_IPV6_ROUTE`, as bits.
const GROUPS: u32 = 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;

/// The socket on which the kernel tells of addresses and routes. Datagrams of any family are received alike, and
/// tokio has no type of its own for netlink's.
#[derive(Debug)]
pub struct Roads(UnixDatagram);

impl Roads {
    /// Listens from now on.
    ///
    /// # Errors
    /// The kernel gives no such socket, in words.
    pub fn watch() -> Result<Self, String> {
        open().map(Self).map_err(|error| format!("listen to changes of addresses: {}", cause(&error)))
    }

    /// Returns when something has changed, and at the latest after a while: names have addresses, too, of which the
    /// kernel knows nothing.
    pub async fn changed(&self, at_the_latest: Duration) {
        // What has changed is looked at anew: words that were cut short or lost (ENOBUFS) say as much.
        let mut word = [0; 64];
        if timeout(at_the_latest, self.0.recv(&mut word)).await.is_ok() {
            while self.0.try_recv(&mut word).is_ok() {}
        }
    }
}

fn open() -> io::Result<UnixDatagram> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    UnixDatagram::from_std(net::UnixDatagram::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn where_nothing_changes_the_wait_has_an_end() {
        let begin = Instant::now();
        Roads::watch().unwrap().changed(Duration::from_secs(10)).await;
        assert!(begin.elapsed() >= Duration::from_secs(10));
    }
}
