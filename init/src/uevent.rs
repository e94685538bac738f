//! The kernel's events of devices that come and go, and a look at those that
//! were there before (Documentation/ABI/testing/sysfs-uevent).

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket, sockopt,
};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A device came, went or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `add`, `remove`, `change`, `bind`, …
    pub action: String,
    /// `block`, `pci`, `net`, …
    pub subsystem: String,
    /// Path below `/dev`, when it has a node.
    pub node: Option<String>,
    /// What a driver for it matches.
    pub modalias: Option<String>,
}

/// Reads a message of the kernel: `ACTION@DEVPATH`, then `KEY=VALUE`, each ended by zero.
pub fn parse(message: &[u8]) -> Option<Event> {
    // A device's own name for itself, which is among the values, may be no text.
    let text = String::from_utf8_lossy(message);
    let mut parts = text.split_terminator('\0');
    parts.next().filter(|head| head.contains('@'))?;
    let mut event = Event::default();
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key {
            "ACTION" => value.clone_into(&mut event.action),
            "SUBSYSTEM" => value.clone_into(&mut event.subsystem),
            "DEVNAME" => event.node = Some(value.to_owned()),
            "MODALIAS" => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    (!event.action.is_empty()).then_some(event)
}

/// Hears of every event from its opening on.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// The group in which the kernel itself speaks.
const KERNEL: u32 = 1;
/// How many messages are taken before all else has its turn again.
const AT_ONCE: usize = 1024;

impl Socket {
    /// Opens it without blocking, with room for a burst of events.
    pub fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let opened =
            socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)
                .and_then(|fd| {
                    setsockopt(&fd, sockopt::RcvBufForce, &(4 << 20))?;
                    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
                    Ok(fd)
                });
        opened.map(Self).context(|| "listen to device events")
    }

    /// What has come, so much at a time. Of a burst that did not fit, what was lost is found by a look at the devices.
    pub fn drain(&self) -> Vec<Event> {
        let mut buffer = [0; 8192];
        collect(|| {
            let (length, from) = recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut buffer)?;
            // Others may send here; the kernel's own messages come from port 0.
            Ok(from.filter(|from| from.pid() == 0).and_then(|_| parse(&buffer[..length])))
        })
    }
}

fn collect(mut next: impl FnMut() -> nix::Result<Option<Event>>) -> Vec<Event> {
    let (mut events, mut lost) = (Vec::new(), false);
    for _ in 0..AT_ONCE {
        match next() {
            Ok(event) => events.extend(event),
            Err(Errno::ENOBUFS) => lost = true,
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    if lost {
        say!("device events were lost: too many at once; looking at all devices");
        let aliases = present_devices().into_iter();
        events.extend(aliases.map(|alias| Event { modalias: Some(alias), ..Event::default() }));
    }
    events
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The modalias of every device in `/sys/devices`.
pub fn present_devices() -> Vec<String> {
    let mut found = Vec::new();
    walk(Path::new("/sys/devices"), &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

/// The modaliases of a bus's devices: of the links in its folder.
pub fn modaliases(devices: &str) -> Vec<String> {
    let devices = fs::read_dir(devices).into_iter().flatten().flatten();
    let aliases = devices.filter_map(|device| fs::read_to_string(device.path().join("modalias")).ok());
    aliases.map(|alias| alias.trim_end().to_owned()).collect()
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if name != "power" {
                walk(&entry.path(), found);
            }
        } else if name == "modalias"
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(text.trim_end().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_kernel_is_read() {
        let message = b"add@/devices/virtio1/block/vda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda\0SEQNUM=7\0";
        let event = parse(message).unwrap();
        assert_eq!((event.action.as_str(), event.subsystem.as_str()), ("add", "block"));
        assert_eq!((event.node.as_deref(), event.modalias), (Some("vda"), None));
    }

    #[test]
    fn a_name_that_is_no_text_harms_nothing_else() {
        let event = parse(b"add@/devices/x\0ACTION=add\0NAME=\"\xff\"\0MODALIAS=usb:v1\0").unwrap();
        assert_eq!(event.modalias.as_deref(), Some("usb:v1"));
    }

    #[test]
    fn what_was_lost_is_looked_for() {
        let mut answers = vec![Err(Errno::EAGAIN), Ok(parse(b"add@/x\0ACTION=add\0")), Err(Errno::ENOBUFS)];
        let events = collect(|| answers.pop().unwrap());
        assert_eq!(events[0].action, "add");
        let looked: Vec<_> = events[1..].iter().filter_map(|event| event.modalias.clone()).collect();
        assert_eq!(looked, present_devices());
    }

    #[test]
    fn a_storm_of_events_has_an_end() {
        assert_eq!(collect(|| Ok(parse(b"add@/x\0ACTION=add\0"))).len(), AT_ONCE);
    }

    #[test]
    fn devices_of_a_bus_say_what_drives_them() {
        let bus = std::env::temp_dir().join(format!("skerry-init-bus-{}", std::process::id()));
        for (device, file) in [("0:0:1:0", "modalias"), ("host0", "uevent")] {
            fs::create_dir_all(bus.join(device)).unwrap();
            fs::write(bus.join(device).join(file), "scsi:t-0x05\n").unwrap();
        }
        assert_eq!(modaliases(bus.to_str().unwrap()), ["scsi:t-0x05"]);
        assert!(modaliases("/no/such/bus").is_empty());
        fs::remove_dir_all(bus).unwrap();
    }

    #[test]
    fn anything_else_is_passed_over() {
        assert_eq!(parse(b"libudev\0\xfe\xed"), None);
        assert_eq!(parse(b"ACTION=add\0"), None);
        assert_eq!(parse(b""), None);
    }
}
