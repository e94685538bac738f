//! What a DHCP client hears, what it wants done, and what it says.

use super::Mac;
use super::lease::Lease;
use super::message::Message;
use std::fmt;
use std::net::Ipv4Addr;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The link can carry packets.
    Carrier,
    /// It cannot any more.
    NoCarrier,
    /// A message came, to anyone.
    Received(Message),
    /// [`super::client::Client::deadline`] has passed.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Message, To),
    /// Write the lease down, then give the interface what is in it. `Some` is
    /// the acknowledgement to write; without it the lease is already written.
    Configure(Lease, Option<Message>),
    /// Take the lease's address away and forget the lease.
    Remove(Lease),
    /// Say this.
    Report(Report),
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// From nobody to everybody, below the kernel's IP.
    Link,
    /// From an address of ours to every server.
    Broadcast(Ipv4Addr),
    /// From an address of ours, the first, to a server.
    Server(Ipv4Addr, Ipv4Addr),
}

/// What a user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A new lease, or the one of before confirmed.
    Leased(Lease),
    /// Several discoveries had no answer.
    NoAnswer,
    /// The lease of before could not be confirmed and is used on.
    Unconfirmed(Lease),
    /// The server that gave the lease has not renewed it; others are asked.
    NotRenewed(Lease),
    /// A server refused the request, with its reason.
    Refused(Option<String>),
    /// The lease ended.
    Expired,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The interface's hardware address, which is also the client identifier:
    /// one image makes many nodes, each known by its network card.
    pub mac: Mac,
    /// The configured name, for the server's records.
    pub host_name: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leased(lease) => leased(lease, out),
            Self::NoAnswer => out.write_str("no answer from a DHCP server, still asking"),
            Self::Unconfirmed(lease) => {
                write!(out, "{}/{} not confirmed by a DHCP server, kept", lease.address, lease.prefix)
            }
            Self::NotRenewed(lease) => {
                write!(
                    out,
                    "lease of {} not renewed by {}, asking every DHCP server",
                    lease.address, lease.server
                )
            }
            Self::Refused(None) => {
                out.write_str("request refused by the DHCP server, asking for another address")
            }
            Self::Refused(Some(reason)) => {
                write!(out, "request refused by the DHCP server ({reason}), asking for another address")
            }
            Self::Expired => out.write_str("lease expired"),
        }
    }
}

fn leased(lease: &Lease, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "{}/{} from DHCP server {}, lease ", lease.address, lease.prefix, lease.server)?;
    match lease.term.limits {
        Some(limits) => write!(out, "{} s", limits.end.as_secs()),
        None => out.write_str("without end"),
    }
}
