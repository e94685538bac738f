//! What must outlive this program within one boot, below
//! [`spec::paths::NETWORK_ROOT`], so that it may be killed at any instruction:
//!
//! ```text
//! NAME.lease    when the lease was asked for (milliseconds since boot, 8 bytes,
//!               big-endian), then the server's acknowledgement as it came
//! NAME.ra       a line per name server or domain of a router advertisement:
//!               END ADDRESS|DOMAIN, END in seconds since boot
//! ```
//!
//! A file is replaced by one rename. A malformed one counts as none.

use crate::dhcp::lease::Lease;
use crate::dhcp::message::{Message, Side};
use crate::names::Advertised;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of these files.
#[derive(Clone, Debug)]
pub struct State(PathBuf);

impl State {
    /// Opens the folder, made if need be.
    ///
    /// # Errors
    /// As mkdir(2) has them.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// The lease of an interface, if it still holds.
    pub fn lease(&self, interface: &str, now: Duration) -> Option<Lease> {
        let bytes = fs::read(self.path(interface, "lease")).ok()?;
        decode_lease(&bytes).filter(|lease| lease.term.holds(now))
    }

    /// Writes a lease down: before its address is used, so that no program that
    /// comes after can find an address it does not know of.
    ///
    /// # Errors
    /// As write(2) and rename(2) have them.
    pub fn keep_lease(&self, interface: &str, start: Duration, ack: &Message) -> io::Result<()> {
        sys::file::replace(&self.path(interface, "lease"), &encode_lease(start, ack))
    }

    /// Forgets the lease of an interface.
    ///
    /// # Errors
    /// As unlink(2) has them; that there is none is no error.
    pub fn drop_lease(&self, interface: &str) -> io::Result<()> {
        match fs::remove_file(self.path(interface, "lease")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// What was advertised on an interface.
    pub fn advertised(&self, interface: &str) -> Vec<Advertised> {
        let text = fs::read_to_string(self.path(interface, "ra")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Writes down what was advertised on an interface.
    ///
    /// # Errors
    /// As write(2) and rename(2) have them.
    pub fn keep_advertised(&self, interface: &str, list: &[Advertised]) -> io::Result<()> {
        let text: String = list.iter().map(|entry| format!("{entry}\n")).collect();
        sys::file::replace(&self.path(interface, "ra"), text.as_bytes())
    }

    fn path(&self, interface: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{interface}.{kind}"))
    }
}

/// The text of a lease.
pub fn encode_lease(start: Duration, ack: &Message) -> Vec<u8> {
    let mut bytes = (start.as_millis() as u64).to_be_bytes().to_vec();
    bytes.extend(ack.encode(Side::Server));
    bytes
}

/// The lease that it is; nothing for what is none.
pub fn decode_lease(bytes: &[u8]) -> Option<Lease> {
    let (start, ack) = bytes.split_first_chunk::<8>()?;
    let start = Duration::from_millis(u64::from_be_bytes(*start));
    Lease::from_ack(&Message::parse(ack)?, start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::Mac;
    use crate::dhcp::message::{Kind, option};
    use std::collections::BTreeMap;

    #[test]
    fn a_lease_reads_back_as_it_was_written_and_noise_is_none() {
        let ack = Message {
            kind: Kind::Ack,
            xid: 1,
            secs: 0,
            ciaddr: [0; 4].into(),
            yiaddr: [10, 0, 2, 15].into(),
            chaddr: Mac([2; 6]),
            options: BTreeMap::from([
                (option::SERVER, vec![10, 0, 2, 2]),
                (option::LEASE_TIME, vec![0, 0, 0, 9]),
            ]),
        };
        let start = Duration::from_millis(1_234_567);
        let bytes = encode_lease(start, &ack);
        assert_eq!(decode_lease(&bytes), Lease::from_ack(&ack, start));
        assert!(decode_lease(&bytes).is_some());
        for length in 0..250 {
            assert_eq!(decode_lease(&bytes[..length]), None, "cut at {length}");
        }
    }
}
