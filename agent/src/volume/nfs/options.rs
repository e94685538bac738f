//! `mountOptions` of a volume on an NFS server, as the kernel takes them.

use nix::mount::MsFlags;
use std::net::IpAddr;

/// Tried in turn where no option names one.
const VERSIONS: [&str; 3] = ["4.2", "4.1", "4.0"];

/// Options of mount(8) and nfs(5), as the kernel takes them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Those of mount(2).
    pub(super) flags: MsFlags,
    version: Option<String>,
    others: Vec<String>,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// One that this node refuses, by name.
    pub(super) fn of(texts: &[String]) -> Result<Self, String> {
        let mut all = Self { flags: MsFlags::empty(), version: None, others: Vec::new() };
        for option in texts.iter().flat_map(|text| text.split(',')).map(str::trim) {
            let (flag, is_on) = match option {
                // What mount(8) and mount.nfs(8) keep for themselves.
                "" | "defaults" | "auto" | "noauto" | "_netdev" | "nofail" | "bg" | "fg" | "user"
                | "nouser" | "users" | "nousers" | "owner" | "group" => continue,
                own if ["x-", "X-", "comment="].iter().any(|begin| own.starts_with(begin)) => continue,
                "ro" => (MsFlags::MS_RDONLY, true),
                "rw" => (MsFlags::MS_RDONLY, false),
                "sync" => (MsFlags::MS_SYNCHRONOUS, true),
                "async" => (MsFlags::MS_SYNCHRONOUS, false),
                "dirsync" => (MsFlags::MS_DIRSYNC, true),
                "nosuid" => (MsFlags::MS_NOSUID, true),
                "suid" => (MsFlags::MS_NOSUID, false),
                "nodev" => (MsFlags::MS_NODEV, true),
                "dev" => (MsFlags::MS_NODEV, false),
                "noexec" => (MsFlags::MS_NOEXEC, true),
                "exec" => (MsFlags::MS_NOEXEC, false),
                "noatime" => (MsFlags::MS_NOATIME, true),
                "atime" => (MsFlags::MS_NOATIME, false),
                "nodiratime" => (MsFlags::MS_NODIRATIME, true),
                "diratime" => (MsFlags::MS_NODIRATIME, false),
                "relatime" => (MsFlags::MS_RELATIME, true),
                "norelatime" => (MsFlags::MS_RELATIME, false),
                "strictatime" => (MsFlags::MS_STRICTATIME, true),
                other => {
                    all.other(other)?;
                    continue;
                }
            };
            all.flags.set(flag, is_on);
        }
        Ok(all)
    }

    fn other(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("vers" | "nfsvers", "4")) => self.version = None,
            Some(("vers" | "nfsvers", version)) if VERSIONS.contains(&version) => {
                self.version = Some(version.to_owned());
            }
            Some(("vers" | "nfsvers", version)) => {
                return Err(format!("mount option {option:?}: NFS {version} is not supported on this node"));
            }
            // How long mount.nfs tries; here the pod's back-off does.
            Some(("retry", _)) => {}
            Some(("addr" | "clientaddr", _)) => {
                return Err(format!("mount option {option:?}: addresses are found by the node"));
            }
            _ => self.others.push(option.to_owned()),
        }
        Ok(())
    }

    /// Those to be tried.
    pub(super) fn versions(&self) -> Vec<&str> {
        self.version.as_deref().map_or_else(|| VERSIONS.to_vec(), |own| vec![own])
    }

    /// Whether `proto` leads to such an address; without one, any does.
    pub(super) fn takes(&self, address: IpAddr) -> bool {
        let proto = self.others.iter().find_map(|own| own.strip_prefix("proto="));
        match proto {
            Some("tcp" | "udp" | "rdma") => address.is_ipv4(),
            Some("tcp6" | "udp6" | "rdma6") => address.is_ipv6(),
            _ => true,
        }
    }

    /// What mount(2) is given beside the flags, for one version.
    pub(super) fn data(&self, version: &str, server: IpAddr, client: IpAddr) -> String {
        let mut data = format!("vers={version},addr={server},clientaddr={client}");
        let says = |name: &str| self.others.iter().any(|own| own.starts_with(name));
        if server.is_ipv6() && !says("proto=") {
            data.push_str(",proto=tcp6");
        }
        for own in &self.others {
            data.push(',');
            data.push_str(own);
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        Options::of(&[text.to_owned()])
    }

    #[test]
    fn options_are_flags_a_version_and_the_servers() {
        let (server, client) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let own = options("_netdev, ro,hard,noatime,vers=4.1,timeo=600,rw,nosuid").unwrap();
        assert_eq!(own.flags, MsFlags::MS_NOATIME | MsFlags::MS_NOSUID);
        assert_eq!(own.versions(), ["4.1"]);
        assert_eq!(
            own.data("4.1", server, client),
            "vers=4.1,addr=10.0.0.1,clientaddr=10.0.0.2,hard,timeo=600"
        );
        assert_eq!(options("nfsvers=4").unwrap().versions(), VERSIONS);
        let six = [0, 0, 0, 0, 0, 0, 0, 1];
        assert!(
            options("")
                .unwrap()
                .data("4.2", six.into(), six.into())
                .ends_with("addr=::1,clientaddr=::1,proto=tcp6")
        );
        let tcp = options("x-systemd.automount,proto=tcp,comment=a").unwrap();
        assert_eq!(tcp.others, ["proto=tcp"]);
        assert!(tcp.takes(server) && !tcp.takes(six.into()) && own.takes(six.into()));
        for (text, word) in [("vers=3", "NFS 3"), ("nfsvers=5", "NFS 5"), ("addr=1.2.3.4", "addr=1.2.3.4")] {
            assert!(options(text).unwrap_err().contains(word), "{text}");
        }
    }
}
