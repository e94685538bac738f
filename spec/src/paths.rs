//! Where things are on a node. What two programs share is named here, and nowhere else.
//!
//! ```text
//! /                      the root: erofs, read-only
//! ├── etc/skerry/node.toml      the image's own configuration
//! ├── sbin/                     skerry-network, skerry-monitor, skerry-runtime
//! ├── usr/share/skerry/         images (a read-only store), manifest.toml, ext4 template
//! ├── run/skerry/               tmpfs: sockets and state of this boot
//! └── var/                      the data disk, or a tmpfs when there is none
//!     ├── lib/skerry/               store, last good configuration, clock floor
//!     └── log/skerry/               one file per service and per container
//! ```

/// The image's own configuration, the lowest layer.
pub const IMAGE_CONFIG: &str = "/etc/skerry/node.toml";

/// What the image was built from: names, versions, hashes, least memory.
pub const IMAGE_MANIFEST: &str = "/usr/share/skerry/manifest.toml";

/// The read-only store of the images that the root carries.
pub const IMAGE_STORE: &str = "/usr/share/skerry/store";

/// The non-zero blocks of an empty ext4 file system (see `docs/boot.md`).
pub const EXT4_TEMPLATE: &str = "/usr/share/skerry/ext4.template";

/// The root file system inside the initramfs of a boot from memory.
pub const MEMORY_ROOT: &str = "/root.erofs";

/// Volume label of a disk that holds the node's root.
pub const ROOT_LABEL: &str = "skerry-root";

/// Volume label of a file system that holds the node's data, unless
/// `data.label` says otherwise.
pub const DATA_LABEL: &str = "skerry-data";

/// Volume labels of a drive that carries a `node.toml`.
pub const CONFIG_LABELS: [&str; 3] = ["SKERRY", "CIDATA", "cidata"];

/// State of this boot; a tmpfs.
pub const RUN: &str = "/run/skerry";

/// The configuration in force, a file per layer, lowest first by name
/// (`00-image.toml`, `10-drive.toml`, …).
pub const CONFIG_LAYERS: &str = "/run/skerry/config";

/// PID 1's control socket; [`crate::control`] is its language.
pub const INIT_SOCKET: &str = "/run/skerry/init.sock";

/// The runtime's `--root`: one folder per container.
pub const RUNTIME_ROOT: &str = "/run/skerry/runtime";

/// The monitor's state of this boot: `status`, a line per container, and
/// `containers/NAME/`.
pub const MONITOR_ROOT: &str = "/run/skerry/monitor";

/// Where the layers of images are mounted that containers are made of, and pods' volumes.
pub const LAYERS: &str = "/run/skerry/layers";

/// The monitor's socket; [`crate::monitor`] is its language.
pub const MONITOR_SOCKET: &str = "/run/skerry/monitor.sock";

/// The network service's state of this boot: a lease and name servers per interface.
pub const NETWORK_ROOT: &str = "/run/skerry/network";

/// A file per container on a network: what it asked for and was given.
pub const CONTAINER_NETWORKS: &str = "/run/skerry/network/containers";

/// Held by whoever changes containers' networks.
pub const NETWORK_LOCK: &str = "/run/skerry/network/lock";

/// Where the network service is told that containers' networks have changed.
pub const NETWORK_SOCKET: &str = "/run/skerry/network/service.sock";

/// A file per network namespace, mounted on itself.
pub const NETNS: &str = "/run/skerry/netns";

/// A file per network of containers.
pub const NETWORKS: &str = "/var/lib/skerry/networks";

/// Resolver configuration written by the network service; `/etc/resolv.conf`
/// of the root is a link to it.
pub const RESOLV_CONF: &str = "/run/skerry/resolv.conf";

/// Where the data disk, or the tmpfs in its place, is mounted.
pub const DATA: &str = "/var";

/// Named volumes: `NAME/data` is what a volume holds, once it was used.
pub const VOLUMES: &str = "/var/lib/skerry/volumes";

/// The writable image store.
pub const DATA_STORE: &str = "/var/lib/skerry/store";

/// Who this node is to its cluster: keys and certificates, for root alone.
pub const AGENT: &str = "/var/lib/skerry/agent";

/// 32 hexadecimal digits that a worker chose once; `/etc/machine-id` of the root is a link to it.
pub const MACHINE_ID: &str = "/var/lib/skerry/agent/machine-id";

/// Folders that programs of a cluster write into on any node, and what they are links to in a root that nobody can write.
pub const WRITABLE: [(&str, &str); 3] = [
    ("/etc/cni", "/var/etc/cni"),
    ("/opt", "/var/opt"),
    ("/usr/libexec/kubernetes", "/var/libexec/kubernetes"),
];

/// Where CNI plugins' networks are described, which programs of a cluster write.
pub const CNI_NETWORKS: &str = "/etc/cni/net.d";

/// Where CNI plugins are, which programs of a cluster bring.
pub const CNI_PROGRAMS: &str = "/opt/cni/bin";

/// The last configuration that parsed, same shape as [`CONFIG_LAYERS`].
pub const LAST_GOOD_CONFIG: &str = "/var/lib/skerry/config";

/// The node's log files: `services/NAME.log`, `containers/NAME.log`.
pub const LOG: &str = "/var/log/skerry";

/// Mount point of the cgroup v2 hierarchy.
pub const CGROUP: &str = "/sys/fs/cgroup";

/// Parent of the cgroups of PID 1's services, `system/NAME`.
pub const SYSTEM_CGROUP: &str = "system";

/// Parent of the cgroups of the node's own containers, `containers/NAME`.
pub const CONTAINER_CGROUP: &str = "containers";
