//! The language of PID 1's control socket, [`crate::paths::INIT_SOCKET`].
//!
//! The socket is `SOCK_SEQPACKET`; its peer must be root (`SO_PEERCRED`). One
//! packet is one request or one answer, so no framing is needed: a first word,
//! then words divided by single spaces. Descriptors travel with the packet
//! (`SCM_RIGHTS`, see unix(7)). PID 1 answers each request with one packet that
//! begins `ok` or `error`.
//!
//! | request | answer | meaning |
//! |---|---|---|
//! | `poweroff`, `reboot`, `halt` | `ok` | shut down; a second request hurries it |
//! | `status` | `ok`, then a line per service: name, state, pid, restarts | |
//! | `store NAME` + descriptors | `ok` | keep these under NAME, in place of any before |
//! | `fetch NAME` | `ok` + descriptors | duplicates of what is kept; none when nothing is |
//! | `drop NAME` | `ok` | close what is kept under NAME |
//! | `names [NAME]` | `ok`, then a name per line, in order from the one after NAME on, as many as fit | what is kept; ask again from the last one on |
//! | `load MODULE …` | `ok` | load these kernel modules, as far as the image has them |
//! | `exits SEQ` | `ok`, then a line per [`Exit`] with `seq >= SEQ`, oldest first, as many as fit | the ring of exit statuses; ask again from the last one on |
//! | `subscribe` | `ok`, then a packet `exit …` per orphan reaped | the same as they happen |

use std::fmt;
use std::str::FromStr;

/// Greatest packet in either direction, in bytes.
pub const MAX_PACKET: usize = 64 * 1024;

/// Most descriptors kept under one name (the kernel's SCM_MAX_FD is 253).
pub const MAX_DESCRIPTORS: usize = 16;

/// How many exit statuses PID 1 remembers.
pub const EXIT_RING: usize = 4096;

/// How PID 1 ends the machine's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Switch the machine off.
    PowerOff,
    /// Start the machine again.
    Reboot,
    /// Stop the processors and leave the machine on.
    Halt,
}

/// A request of a client to PID 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// End the machine's run.
    Shutdown(Shutdown),
    /// Ask for the services' states.
    Status,
    /// Keep the packet's descriptors under this name.
    Store(String),
    /// Ask for the descriptors kept under this name.
    Fetch(String),
    /// Close the descriptors kept under this name.
    Drop(String),
    /// Ask for the names under which descriptors are kept, those after this one; all follow the empty one.
    Names(String),
    /// Load these kernel modules.
    Load(Vec<String>),
    /// Ask for the exits from this sequence number on.
    Exits(u64),
    /// Ask to be sent every further exit.
    Subscribe,
}

impl FromStr for Request {
    type Err = String;

    fn from_str(packet: &str) -> Result<Self, String> {
        let (verb, rest) = packet.split_once(' ').unwrap_or((packet, ""));
        let name = || match rest {
            "" => Err(format!("{verb} needs a name")),
            name if name.contains([' ', '\n']) => Err(format!("{name:?} is not one word")),
            name => Ok(name.to_owned()),
        };
        match verb {
            "store" => return name().map(Self::Store),
            "fetch" => return name().map(Self::Fetch),
            "drop" => return name().map(Self::Drop),
            "names" if rest.is_empty() => return Ok(Self::Names(String::new())),
            "names" => return name().map(Self::Names),
            "load" if rest.is_empty() => return Err("load needs names".to_owned()),
            "load" => return Ok(Self::Load(rest.split(' ').map(str::to_owned).collect())),
            "exits" => {
                return rest
                    .parse()
                    .map(Self::Exits)
                    .map_err(|_| format!("{rest:?} is not a sequence number"));
            }
            _ => {}
        }
        if !rest.is_empty() {
            return Err(format!("{verb} takes no argument"));
        }
        match verb {
            "poweroff" => Ok(Self::Shutdown(Shutdown::PowerOff)),
            "reboot" => Ok(Self::Shutdown(Shutdown::Reboot)),
            "halt" => Ok(Self::Shutdown(Shutdown::Halt)),
            "status" => Ok(Self::Status),
            "subscribe" => Ok(Self::Subscribe),
            _ => Err(format!("unknown request {verb:?}")),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown(Shutdown::PowerOff) => out.write_str("poweroff"),
            Self::Shutdown(Shutdown::Reboot) => out.write_str("reboot"),
            Self::Shutdown(Shutdown::Halt) => out.write_str("halt"),
            Self::Status => out.write_str("status"),
            Self::Store(name) => write!(out, "store {name}"),
            Self::Fetch(name) => write!(out, "fetch {name}"),
            Self::Drop(name) => write!(out, "drop {name}"),
            Self::Names(after) if after.is_empty() => out.write_str("names"),
            Self::Names(after) => write!(out, "names {after}"),
            Self::Load(names) => write!(out, "load {}", names.join(" ")),
            Self::Exits(seq) => write!(out, "exits {seq}"),
            Self::Subscribe => out.write_str("subscribe"),
        }
    }
}

/// The end of a process that PID 1 reaped and did not start itself: a container
/// whose monitor was dead at that moment, or any other orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Counts up by one from 1 at boot.
    pub seq: u64,
    /// Process ID; meaningful only together with `start_time`.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot (proc(5)).
    pub start_time: u64,
    /// The wait status as wait(2) gives it.
    pub status: i32,
}

impl FromStr for Exit {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("{line:?} is not an exit record");
        let mut words = line.strip_prefix("exit ").ok_or_else(wrong)?.split(' ');
        let mut next = || words.next().ok_or_else(wrong);
        let exit = Self {
            seq: next()?.parse().map_err(|_| wrong())?,
            pid: next()?.parse().map_err(|_| wrong())?,
            start_time: next()?.parse().map_err(|_| wrong())?,
            status: next()?.parse().map_err(|_| wrong())?,
        };
        if words.next().is_some() { Err(wrong()) } else { Ok(exit) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, pid, start_time, status } = self;
        write!(out, "exit {seq} {pid} {start_time} {status}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        for text in [
            "poweroff",
            "reboot",
            "halt",
            "status",
            "store web.out",
            "fetch web.out",
            "drop web.out",
            "names",
            "names web.out",
            "load bridge nf_tables",
            "exits 17",
            "subscribe",
        ] {
            assert_eq!(text.parse::<Request>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_request_is_refused_in_words() {
        for (text, words) in [
            ("", "unknown request"),
            ("dance", "unknown request"),
            ("poweroff now", "takes no argument"),
            ("store", "needs a name"),
            ("store a b", "not one word"),
            ("names a b", "not one word"),
            ("load", "needs names"),
            ("exits x", "not a sequence number"),
        ] {
            let error = text.parse::<Request>().unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_exit_reads_back_as_it_was_written() {
        let exit = Exit { seq: 3, pid: 812, start_time: 5571, status: 0x8b };
        assert_eq!(exit.to_string().parse(), Ok(exit));
        assert!("exit 1 2 3".parse::<Exit>().is_err());
        assert!("exit 1 2 3 4 5".parse::<Exit>().is_err());
    }
}
