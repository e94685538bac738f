//! Who pulls, as command lines of bash in the Debian machine.

/// What the others are measured against.
pub const OURS: &str = "skerry";
/// The one that the bar is about.
pub const CONTAINERD: &str = "containerd 2";

/// Where the registry is, and what all of them fetch.
pub const IMAGE: &str = "127.0.0.1:5000/big:1";

/// A program that fetches images.
#[derive(Clone, Copy, Debug)]
pub struct Puller {
    /// What the table calls it.
    pub name: &'static str,
    /// Makes it ready: its service, if it has one.
    pub ready: &'static str,
    /// Fetches and unpacks [`IMAGE`].
    pub pull: &'static [&'static str],
    /// Removes it, with its layers.
    pub remove: &'static str,
    /// A file with the ID of the service's process, where a service does the work.
    pub service: Option<&'static str>,
}

/// All of them, ours first.
pub const ALL: [Puller; 4] = [
    Puller {
        name: OURS,
        ready: "mkdir -p /etc/skerry && \
                echo '[registries.\"127.0.0.1:5000\"]\nplain-http = true' >/etc/skerry/node.toml && skerry ps",
        pull: &["/usr/local/bin/skerry", "pull", "--quiet", IMAGE],
        remove: "skerry rmi 127.0.0.1:5000/big:1 && skerry prune -af",
        service: None,
    },
    Puller {
        name: CONTAINERD,
        ready: "mkdir -p /run/two && PATH=/given/more/containerd:$PATH && \
                systemd-run -q -u two /given/more/containerd/containerd \
                    --root /var/lib/two --state /run/two --address /run/two/socket && \
                until ctr -a /run/two/socket version; do :; done && \
                systemctl show -P MainPID two >/run/two.pid",
        pull: &[
            "/given/more/containerd/ctr",
            "-a",
            "/run/two/socket",
            "images",
            "pull",
            "--plain-http",
            IMAGE,
        ],
        remove: "/given/more/containerd/ctr -a /run/two/socket images rm --sync 127.0.0.1:5000/big:1",
        service: Some("/run/two.pid"),
    },
    Puller {
        name: "containerd",
        ready: "systemctl start containerd && systemctl show -P MainPID containerd >/run/one.pid",
        pull: &["/usr/bin/ctr", "images", "pull", "--plain-http", IMAGE],
        remove: "ctr images rm --sync 127.0.0.1:5000/big:1",
        service: Some("/run/one.pid"),
    },
    Puller {
        name: "podman",
        ready: "podman version",
        pull: &["/usr/bin/podman", "pull", "-q", "--tls-verify=false", IMAGE],
        remove: "podman rmi 127.0.0.1:5000/big:1",
        service: None,
    },
];
