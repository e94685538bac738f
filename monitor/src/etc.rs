//! The files that every container finds in its `/etc`.
//!
//! A container may start long before the node has an address, and a file that
//! is bound into it must stay the same file to be seen. So all containers share
//! one `resolv.conf` of the monitor's, which is rewritten in place whenever the
//! network service puts a new one at [`paths::RESOLV_CONF`].

use crate::bundle::EtcFiles;
use crate::place;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use spec::node::{Container, Name};
use spec::paths;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Writes the container's own files and says where all of them are.
pub fn write(key: &Name, hostname: &str, container: &Container) -> io::Result<EtcFiles> {
    let folder = place::folder(key);
    let text = |path: std::path::PathBuf| path.display().to_string();
    fs::write(folder.join("hosts"), hosts(hostname, &container.add_hosts))?;
    fs::write(folder.join("hostname"), format!("{hostname}\n"))?;
    let mut resolv_conf = place::resolv_conf();
    if !container.dns.is_empty() {
        resolv_conf = folder.join("resolv.conf");
        let lines: String = container.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
        fs::write(&resolv_conf, lines)?;
    }
    Ok(EtcFiles {
        resolv_conf: text(resolv_conf),
        hosts: text(folder.join("hosts")),
        hostname: text(folder.join("hostname")),
    })
}

fn hosts(hostname: &str, more: &[String]) -> String {
    let mut hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n127.0.1.1\t{hostname}\n"
    );
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

fn copy() -> io::Result<()> {
    fs::write(place::resolv_conf(), fs::read(paths::RESOLV_CONF).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_has_its_own_name_and_what_was_added() {
        let hosts = hosts("web", &["db:10.0.0.7".into(), "six:2001:db8::1".into()]);
        assert!(hosts.contains("127.0.1.1\tweb\n") && hosts.ends_with("10.0.0.7\tdb\n2001:db8::1\tsix\n"));
    }
}
