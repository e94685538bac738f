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
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;
    use std::time::Instant;

    /// In a network of its own: addresses of the machine come and go.
    #[test]
    #[ignore = "needs root"]
    fn a_change_is_heard_and_without_one_the_wait_has_an_end() {
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(look());
        });
        thread.join().unwrap();
    }

    async fn look() {
        let (short, long) = (Duration::from_millis(200), Duration::from_secs(60));
        let roads = Roads::watch().unwrap();
        let wait = async |most: Duration| {
            let begun = Instant::now();
            roads.changed(most).await;
            begun.elapsed()
        };
        assert!(wait(short).await >= short, "nothing has changed");
        let changes = [
            "link set lo up",
            "address add 192.0.2.1/32 dev lo",
            "address del 192.0.2.1/32 dev lo",
            "address add fd00::1/128 dev lo",
            "route add unreachable 198.51.100.0/24",
        ];
        for change in changes {
            let done = Command::new("ip").args(change.split(' ')).status().unwrap();
            assert!(done.success(), "ip {change}");
            assert!(wait(long).await < long, "ip {change}");
            // What else belongs to it may come later.
            while wait(short).await < short {}
        }
    }
}
