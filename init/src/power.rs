//! Who may ask PID 1 to end the machine's run, beside the control socket.
//!
//! | signal | asks for |
//! |---|---|
//! | `SIGTERM`, `SIGINT` (Ctrl-Alt-Del) | reboot |
//! | `SIGUSR2`, `SIGPWR` | power off |
//! | `SIGUSR1` | halt |
//!
//! These are busybox init's. The power button speaks by generic netlink: the
//! `button` module announces it in the family `acpi_event` and needs no input
//! device for that (drivers/acpi/event.c).

use crate::error::{Context, Error, Result};
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use spec::control::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a signal asks for.
pub fn asked_by(signal: i32) -> Option<Shutdown> {
    match signal {
        libc::SIGTERM | libc::SIGINT => Some(Shutdown::Reboot),
        libc::SIGUSR2 | libc::SIGPWR => Some(Shutdown::PowerOff),
        libc::SIGUSR1 => Some(Shutdown::Halt),
        _ => None,
    }
}

/// Blocks the signals that PID 1 takes, and gives the descriptor that tells of them.
pub fn signals() -> Result<SignalFd> {
    use Signal::{SIGCHLD, SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2};
    let mask: SigSet = [SIGCHLD, SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2].into_iter().collect();
    mask.thread_block().context(|| "block signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context(|| "open a signal descriptor")
}

/// Hears the power button.
#[derive(Debug)]
pub struct Button(OwnedFd);

const CONTROLLER: u16 = 0x10; // GENL_ID_CTRL
const GET_FAMILY: u8 = 3; // CTRL_CMD_GETFAMILY
const FAMILY_NAME: u16 = 2; // CTRL_ATTR_FAMILY_NAME
const GROUPS: u16 = 7; // CTRL_ATTR_MCAST_GROUPS
const GROUP_ID: u16 = 2; // CTRL_ATTR_MCAST_GRP_ID
const EVENT: u16 = 1; // ACPI_GENL_ATTR_EVENT
/// Bytes of `nlmsghdr` and `genlmsghdr` before the attributes.
const HEADERS: usize = 16 + 4;

impl Button {
    /// Joins the group of ACPI events; an error on a kernel without ACPI.
    pub fn open() -> Result<Self> {
        let doing = || "listen to the power button";
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkGeneric,
        )
        .context(doing)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).context(doing)?;
        // The kernel answers at once; should it not, PID 1 must not stand still.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(1)).context(doing)?;
        send(fd.as_raw_fd(), &question(), MsgFlags::empty()).context(doing)?;
        let mut buffer = [0; 2048];
        let length = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).context(doing)?;
        let group =
            group_in(&buffer[..length]).ok_or_else(|| Error("this kernel has no ACPI events".to_owned()))?;
        sys::multicast::join(fd.as_fd(), group).context(doing)?;
        Ok(Self(fd))
    }

    /// Reads what has come; whether the button was pressed.
    pub fn pressed(&self) -> bool {
        let mut buffer = [0; 2048];
        let mut pressed = false;
        while let Ok(length @ 1..) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            pressed |= is_button(&buffer[..length]);
        }
        pressed
    }
}

impl AsFd for Button {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn question() -> Vec<u8> {
    let name = b"acpi_event\0\0"; // padded to a multiple of four
    let length = HEADERS + 4 + name.len();
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(CONTROLLER.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([GET_FAMILY, 1, 0, 0]);
    message.extend((4 + 11_u16).to_ne_bytes());
    message.extend(FAMILY_NAME.to_ne_bytes());
    message.extend(name);
    message
}

/// Divides attributes: kind and content (linux/netlink.h, `struct nlattr`).
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]) & 0x3fff;
        let content = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, content)| content)
}

/// The family's only group, in the controller's answer.
fn group_in(message: &[u8]) -> Option<u32> {
    let (_, group) = attributes(find(message.get(HEADERS..)?, GROUPS)?).next()?;
    find(group, GROUP_ID)?.try_into().ok().map(u32::from_ne_bytes)
}

/// `struct acpi_genl_event` begins with the device's class, 20 bytes.
fn is_button(message: &[u8]) -> bool {
    message
        .get(HEADERS..)
        .and_then(|attributes| find(attributes, EVENT))
        .is_some_and(|event| event.starts_with(b"button/power"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + content.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_group_is_found_in_the_controllers_answer() {
        let group = [attribute(1, b"acpi_mc_group\0"), attribute(GROUP_ID, &5_u32.to_ne_bytes())].concat();
        let groups = attribute(GROUPS, &attribute(1, &group));
        let message = [vec![0; HEADERS], attribute(FAMILY_NAME, b"acpi_event\0"), groups].concat();
        assert_eq!(group_in(&message), Some(5));
        assert_eq!(group_in(&message[..30]), None);
        assert_eq!(group_in(&[]), None);
    }

    #[test]
    fn only_the_power_button_is_the_power_button() {
        let message = |class: &[u8]| [vec![0; HEADERS], attribute(EVENT, class)].concat();
        assert!(is_button(&message(b"button/power\0\0\0\0\0\0\0\0LNXPWRBN:00")));
        assert!(!is_button(&message(b"button/sleep\0\0\0\0\0\0\0\0LNXSLPBN:00")));
        assert!(!is_button(b""));
    }

    #[test]
    fn the_question_has_the_length_that_it_says() {
        let message = question();
        assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
    }
}
