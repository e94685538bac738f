//! The files that every container finds in its `/etc`.
//!
//! A container may start long before the node has an address, and a file that
//! is bound into it must stay the same file to be seen. So all containers share
//! one `resolv.conf` of the monitor's, which is rewritten in place whenever the
//! network service puts a new one at [`paths::RESOLV_CONF`].

use crate::bundle::EtcFiles;
use crate::network;
use crate::place;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use spec::network::Attached;
use spec::node::{Container, Name};
use spec::paths;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// How a container reaches others.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over the node's own interfaces, or not at all.
    None,
    /// Over interfaces of its own.
    Own(Box<Attached>),
    /// Over another container's, which has this key, by the path of their namespace; its host name.
    Other { key: Name, netns: String, hostname: String },
}

impl Connection {
    /// The namespace that it joins.
    pub fn netns(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Own(attached) => Some(attached.netns.clone()),
            Self::Other { netns, .. } => Some(netns.clone()),
        }
    }
}

/// Writes the container's own files and says where all of them are.
pub fn write(
    key: &Name,
    hostname: &str,
    container: &Container,
    connection: &Connection,
) -> io::Result<EtcFiles> {
    let folder = place::folder(key);
    let text = |path: std::path::PathBuf| path.display().to_string();
    let mut hosts_file = folder.join("hosts");
    fs::write(&hosts_file, hosts(hostname, connection, &container.add_hosts))?;
    fs::write(folder.join("hostname"), format!("{hostname}\n"))?;
    let mut resolv_conf = place::resolv_conf();
    // All of one network read the same files (docker-run(1), `--network container:`).
    if let Connection::Other { key, .. } = connection {
        let files = place::folder(key);
        let own = files.join("resolv.conf");
        (hosts_file, resolv_conf) = (files.join("hosts"), if own.exists() { own } else { resolv_conf });
    }
    match resolver(&container.dns, connection) {
        Some(lines) => {
            resolv_conf = folder.join("resolv.conf");
            fs::write(&resolv_conf, lines)?;
        }
        // Whoever shares its network takes it for what this container reads.
        None => drop(fs::remove_file(folder.join("resolv.conf"))),
    }
    Ok(EtcFiles {
        resolv_conf: text(resolv_conf),
        hosts: text(hosts_file),
        hostname: text(folder.join("hostname")),
    })
}

/// The text of a `resolv.conf` of its own, if it has one: names of containers have no dots, and are
/// asked for as they are.
fn resolver(dns: &[IpAddr], connection: &Connection) -> Option<String> {
    let (servers, options) = match connection {
        // Its network's resolver knows of `dns`, and asks there for what is no container's name.
        Connection::Own(attached) if !attached.dns.is_empty() => (&*attached.dns, "options ndots:0\n"),
        _ if !dns.is_empty() => (dns, ""),
        _ => return None,
    };
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    Some(lines + options)
}

fn hosts(hostname: &str, connection: &Connection, more: &[String]) -> String {
    let mut hosts =
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n"
            .to_owned();
    match connection {
        Connection::Own(attached) => {
            network::addresses(attached).for_each(|own| hosts.push_str(&format!("{own}\t{hostname}\n")));
        }
        _ => hosts.push_str(&format!("127.0.1.1\t{hostname}\n")),
    }
    for (name, address) in more.iter().filter_map(|line| line.split_once(':')) {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    hosts
}

/// Tells when the network service has written the resolver's configuration.
#[derive(Debug)]
pub struct Resolver(Inotify);

impl Resolver {
    /// Copies what is there and watches for more.
    pub fn watch() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(paths::RUN, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE)?;
        copy()?;
        Ok(Self(inotify))
    }

    /// Copies again, if it was that file that changed.
    pub fn changed(&self) -> io::Result<()> {
        let name = paths::RESOLV_CONF.rsplit('/').next();
        let events = self.0.read_events().unwrap_or_default();
        if events.iter().any(|event| event.name.as_deref().and_then(|file| file.to_str()) == name) {
            copy()?;
        }
        Ok(())
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where no network service of ours looks after the machine, the machine's own file is what there is.
fn copy() -> io::Result<()> {
    let text = fs::read(paths::RESOLV_CONF).or_else(|_| fs::read("/etc/resolv.conf"));
    fs::write(place::resolv_conf(), text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_has_its_own_name_and_what_was_added() {
        let more = ["db:10.0.0.7".into(), "six:2001:db8::1".into()];
        let hosts = hosts("web", &Connection::None, &more);
        assert!(hosts.contains("127.0.1.1\tweb\n") && hosts.ends_with("10.0.0.7\tdb\n2001:db8::1\tsix\n"));
    }
}
