//! The engines that are compared, as command lines of bash in the Debian machine. Their containers
//! have no network: that is the one thing which not all of them do alike.

/// What the others are measured against.
pub const OURS: &str = "skerry";
/// The one that the bars are about.
pub const DOCKER: &str = "docker";

/// An engine.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// What the table calls it.
    pub name: &'static str,
    /// Makes it ready: its service, if it has one, and the image.
    pub ready: &'static str,
    /// Runs a container that ends at once, and removes it.
    pub once: &'static str,
    /// How it keeps containers, where that is compared.
    pub keeping: Option<Keeping>,
}

/// How an engine keeps containers that live.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Starts one by the name of `$1`.
    pub begin: &'static str,
    /// Removes those whose names it is given.
    pub remove: &'static str,
    /// A regular expression of the names of the engine's processes, as pgrep(1) takes it.
    pub processes: &'static str,
    /// The folders in memory where it keeps records.
    pub records: &'static str,
    /// Kills its parent of containers by SIGKILL and, where nobody does, starts it again.
    pub kill: &'static str,
    /// Succeeds once everything is as before: the list has `$1` containers, and one can be entered.
    pub serves: &'static str,
}

/// All of them, ours first.
pub const ALL: [Engine; 4] = [
    Engine {
        name: OURS,
        ready: "skerry import /given/images/busybox.tar && skerry ps",
        once: "skerry run --rm --network none busybox true",
        keeping: Some(Keeping {
            begin: "skerry run -d --network none --name $1 busybox sleep 1000000",
            remove: "skerry rm -f",
            processes: "^skerry",
            records: "/run/skerry",
            kill: "pkill -KILL -x skerry-monitor",
            serves: "[ $(skerry ps -q | wc -l) = $1 ] && skerry exec idle1 true",
        }),
    },
    Engine {
        name: DOCKER,
        ready: "echo '{\"live-restore\": true}' >/etc/docker/daemon.json && systemctl start docker && \
                docker load -q -i /given/images/busybox.tar",
        once: "docker run --rm --network none busybox true",
        keeping: Some(Keeping {
            begin: "docker run -d --network none --name $1 busybox sleep 1000000",
            remove: "docker rm -f",
            processes: "^(dockerd|containerd)",
            records: "/run/docker /run/containerd",
            kill: "systemctl kill -s KILL docker; systemctl reset-failed docker; systemctl restart docker",
            serves: "[ $(docker ps -q | wc -l) = $1 ] && docker exec idle1 true",
        }),
    },
    Engine {
        name: "podman",
        ready: "podman load -q -i /given/images/busybox.tar",
        once: "podman run --rm --network none busybox true",
        keeping: None,
    },
    Engine {
        name: "containerd",
        ready: "systemctl start containerd && ctr images import /given/images/busybox.tar",
        once: "ctr run --rm docker.io/library/busybox:latest once true",
        keeping: None,
    },
];
