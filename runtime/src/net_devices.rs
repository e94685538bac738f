//! Moves interfaces of the host into a container's network namespace
//! (`config-linux.md`, Network Devices; rtnetlink(7)).
//!
//! The kernel takes an interface's addresses away when it moves: those that were given for good
//! and reach far are given again. What becomes of an interface when the namespace ends is the
//! kernel's: a card goes back to the host, any other goes away.

use crate::error::{Context, Error, Result};
use crate::plan::NetDevice;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use sys::netlink::Netlink;
use sys::netlink::wire::{Request, attributes, number};

/// `struct ifinfomsg`: family, pad, type (2), index (4), flags (4), change (4).
const LINK: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4).
const ADDRESS: usize = 8;
const NEW: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const UP: u32 = libc::IFF_UP as u32;
const LOOPBACK: u32 = libc::IFF_LOOPBACK as u32;

/// An interface of a namespace.
#[derive(Clone, Debug)]
struct Link {
    index: u32,
    name: String,
    flags: u32,
}

impl Link {
    fn is_up(&self) -> bool {
        self.flags & UP != 0
    }
}

/// An interface as it was found, and what of its addresses moves along.
struct Found<'a> {
    device: &'a NetDevice,
    link: Link,
    addresses: Vec<Vec<u8>>,
}

/// A network namespace, and a socket that was opened in it.
struct Side {
    namespace: File,
    socket: Netlink,
}

/// Moves them to the namespace that a process is in, and switches them on: all, or none when one cannot.
///
/// # Errors
/// One that is not there or cannot move, a name that is taken.
pub fn move_to(pid: i32, devices: &[NetDevice]) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let (mut here, mut there) =
        sides(pid).context(|| "linux.netDevices: enter the container's network".into())?;
    let found = look(devices, &mut here, &mut there)?;
    let mut moved = Vec::new();
    let done = found.iter().try_for_each(|one| {
        let words = || words(one.device);
        let index = hand_over(one, &mut here, &mut there).context(words)?;
        moved.push((one, index));
        furnish(one, index, true, &mut there).context(words)
    });
    if done.is_err() {
        moved.into_iter().rev().for_each(|(one, index)| give_back(one, index, &mut here, &mut there));
    }
    done
}

fn words(device: &NetDevice) -> String {
    format!("linux.netDevices[{:?}]: move it to the container as {}", device.name, device.inside)
}

/// A socket belongs to the namespace in which it was opened.
fn sides(pid: i32) -> io::Result<(Side, Side)> {
    let here = Side { namespace: File::open("/proc/self/ns/net")?, socket: Netlink::route()? };
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    setns(&namespace, CloneFlags::CLONE_NEWNET)?;
    let socket = Netlink::route();
    setns(&here.namespace, CloneFlags::CLONE_NEWNET)?;
    Ok((here, Side { namespace, socket: socket? }))
}

/// Whether each can move, before the first does (`config-linux.md`, Network Devices). The kernel would move one first and
/// then fail to name it.
fn look<'a>(devices: &'a [NetDevice], here: &mut Side, there: &mut Side) -> Result<Vec<Found<'a>>> {
    let (links, taken) = (links(&mut here.socket)?, links(&mut there.socket)?);
    let mut one = |device: &'a NetDevice| {
        let link = links.iter().find(|link| link.name == device.name).cloned();
        let link = link.ok_or_else(|| Error::new("there is no such interface"))?;
        if link.flags & LOOPBACK != 0 {
            return Err(Error::new("a loopback interface stays where it is"));
        }
        if taken.iter().any(|link| link.name == device.inside) {
            return Err(Error::new("there is one of this name already"));
        }
        // Before it is switched off, which takes IPv6 addresses away.
        let addresses = addresses(&mut here.socket, link.index).context(|| "read its addresses".into())?;
        Ok(Found { device, link, addresses })
    };
    devices.iter().map(|device| one(device).context(|| words(device))).collect()
}

/// Moves it to the container; gives its number there. One that cannot move is as it was found.
fn hand_over(found: &Found<'_>, here: &mut Side, there: &mut Side) -> Result<u32> {
    match send(found.link.index, &found.device.inside, here, there)? {
        (Ok(()), Some(index)) => Ok(index),
        (Ok(()), None) => Err(Error::new("it did not arrive")),
        (Err(error), arrived) => {
            match arrived {
                // It could move, and not have the name.
                Some(index) => give_back(found, index, here, there),
                None => drop(furnish(found, found.link.index, found.link.is_up(), here)),
            }
            Err(error).context(|| "hand it over".into())
        }
    }
}

/// Moves one, switched off, and says under which number it has arrived, if it has.
fn send(index: u32, name: &str, from: &mut Side, to: &mut Side) -> Result<(io::Result<()>, Option<u32>)> {
    let before = links(&mut to.socket)?;
    switch(&mut from.socket, index, false).context(|| "switch it off".into())?;
    let request = Request::new(libc::RTM_NEWLINK, 0, &link_body(index, 0, 0))
        .with(libc::IFLA_IFNAME, format!("{name}\0").as_bytes())
        .with(libc::IFLA_NET_NS_FD, &to.namespace.as_raw_fd().to_ne_bytes());
    let sent = from.socket.change(request);
    let mut after = links(&mut to.socket)?.into_iter();
    let arrived = after.find(|link| !before.iter().any(|known| known.index == link.index));
    Ok((sent, arrived.map(|link| link.index)))
}

/// Gives it the addresses that it had, and switches it on.
fn furnish(found: &Found<'_>, index: u32, on: bool, at: &mut Side) -> Result<()> {
    for address in &found.addresses {
        match give(&mut at.socket, index, address) {
            // It has not lost this one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            given => given.context(|| "give it its addresses".into())?,
        }
    }
    switch(&mut at.socket, index, on).context(|| "switch it on".into())
}

/// As it was found, as far as that can be.
fn give_back(found: &Found<'_>, index: u32, here: &mut Side, there: &mut Side) {
    if let Ok((_, Some(index))) = send(index, &found.link.name, there, here) {
        let _ = furnish(found, index, found.link.is_up(), here);
    }
}

fn links(socket: &mut Netlink) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let all = socket.dump(Request::new(libc::RTM_GETLINK, 0, &[0; LINK]), |_, body| links.extend(link(body)));
    all.context(|| "list the interfaces".into()).map(|()| links)
}

fn link(body: &[u8]) -> Option<Link> {
    let (index, flags) = (number(body, 4)?, number(body, 8)?);
    let name = attributes(body.get(LINK..)?).find(|(kind, _)| *kind == libc::IFLA_IFNAME)?.1;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    Some(Link { index, name, flags })
}

fn switch(socket: &mut Netlink, index: u32, on: bool) -> io::Result<()> {
    let flags = if on { UP } else { 0 };
    socket.change(Request::new(libc::RTM_NEWLINK, 0, &link_body(index, flags, UP)))
}

fn link_body(index: u32, flags: u32, change: u32) -> [u8; LINK] {
    let mut body = [0; LINK];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..].copy_from_slice(&change.to_ne_bytes());
    body
}

/// The addresses of an interface that move along.
fn addresses(socket: &mut Netlink, index: u32) -> io::Result<Vec<Vec<u8>>> {
    let mut kept = Vec::new();
    socket.dump(Request::new(libc::RTM_GETADDR, 0, &[0; ADDRESS]), |_, body| {
        kept.extend((number(body, 4) == Some(index) && is_kept(body)).then(|| body.to_owned()));
    })?;
    Ok(kept)
}

/// Given for good, and of a scope that reaches everywhere.
fn is_kept(body: &[u8]) -> bool {
    let Some(rest) = body.get(ADDRESS..) else { return false };
    let flags = attributes(rest).find(|(kind, _)| *kind == libc::IFA_FLAGS);
    let flags = flags.and_then(|(_, value)| number(value, 0)).unwrap_or_else(|| body[2].into());
    flags & libc::IFA_F_PERMANENT != 0 && body[3] == libc::RT_SCOPE_UNIVERSE
}

fn give(socket: &mut Netlink, index: u32, address: &[u8]) -> io::Result<()> {
    let mut body = [address[0], address[1], 0, address[3], 0, 0, 0, 0];
    body[4..].copy_from_slice(&index.to_ne_bytes());
    let kept = [libc::IFA_ADDRESS, libc::IFA_LOCAL, libc::IFA_BROADCAST];
    let request = attributes(&address[ADDRESS..])
        .filter(|(kind, _)| kept.contains(kind))
        .fold(Request::new(libc::RTM_NEWADDR, NEW, &body), |request, (kind, value)| {
            request.with(kind, value)
        });
    socket.change(request)
}
