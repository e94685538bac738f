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

/// An interface of a namespace.
struct Link {
    index: u32,
    name: String,
    is_up: bool,
}

/// Moves them to the namespace that a process is in, and switches them on.
///
/// # Errors
/// One that is not there or cannot move, a name that is taken.
pub fn move_to(pid: i32, devices: &[NetDevice]) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let words = || "linux.netDevices: enter the container's network".to_owned();
    let namespace = File::open(format!("/proc/{pid}/ns/net")).context(words)?;
    let mut here = Netlink::route().context(words)?;
    let mut there = opened_in(&namespace).context(words)?;
    devices.iter().try_for_each(|device| {
        let words =
            || format!("linux.netDevices[{:?}]: move it to the container as {}", device.name, device.inside);
        move_one(device, &mut here, &mut there, &namespace).context(words)
    })
}

/// A socket belongs to the namespace in which it was opened.
fn opened_in(namespace: &File) -> io::Result<Netlink> {
    let own = File::open("/proc/self/ns/net")?;
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let socket = Netlink::route();
    setns(own, CloneFlags::CLONE_NEWNET)?;
    socket
}

fn move_one(device: &NetDevice, here: &mut Netlink, there: &mut Netlink, namespace: &File) -> Result<()> {
    let link = links(here)?.into_iter().find(|link| link.name == device.name);
    let link = link.ok_or_else(|| Error::new("there is no such interface"))?;
    // Before it is switched off, which takes IPv6 addresses away.
    let addresses = addresses(here, link.index).context(|| "read its addresses".into())?;
    let before = links(there)?;
    // The kernel would move it first and then fail to name it.
    if before.iter().any(|link| link.name == device.inside) {
        return Err(Error::new("there is one of this name already"));
    }
    switch(here, link.index, false).context(|| "switch it off".into())?;
    let request = Request::new(libc::RTM_NEWLINK, 0, &link_body(link.index, 0, 0))
        .with(libc::IFLA_IFNAME, format!("{}\0", device.inside).as_bytes())
        .with(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    if let Err(error) = here.change(request) {
        // As it was found.
        let _ = switch(here, link.index, link.is_up);
        return Err(error).context(|| "hand it over".into());
    }
    let arrived =
        links(there)?.into_iter().find(|link| !before.iter().any(|known| known.index == link.index));
    let index = arrived.ok_or_else(|| Error::new("it did not arrive"))?.index;
    for address in addresses {
        give(there, index, &address).context(|| "give it its addresses".into())?;
    }
    switch(there, index, true).context(|| "switch it on".into())
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
    Some(Link { index, name, is_up: flags & UP != 0 })
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
