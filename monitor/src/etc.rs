//! The files that every container finds in its `/etc`.
//!
//! A container may start long before the node has an address, and a file that
//! is bound into it must stay the same file to be seen. So all containers share
//! one `resolv.conf` of the monitor's, which is rewritten in place whenever the
//! network service puts a new one at [`paths::RESOLV_CONF`].

use crate::bundle::EtcFiles;
use crate::place;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use spec::node::Name;
use spec::paths;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Writes the container's own files and says where all of them are.
pub fn write(name: &Name) -> io::Result<EtcFiles> {
    let folder = place::folder(name);
    let hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n127.0.1.1\t{name}\n"
    );
    fs::write(folder.join("hosts"), hosts)?;
    fs::write(folder.join("hostname"), format!("{name}\n"))?;
    let text = |path: std::path::PathBuf| path.display().to_string();
    Ok(EtcFiles {
        resolv_conf: text(place::resolv_conf()),
        hosts: text(folder.join("hosts")),
        hostname: text(folder.join("hostname")),
    })
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
