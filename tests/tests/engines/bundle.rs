//! A bundle in the tests' machine, for the runtime without any engine.

use serde_json::{Value, json};
use tests::{Debian, Output, Result};

/// busybox as a root that all bundles share; it is read-only in each.
const ROOTFS: &str = "test -e /rootfs/bin/sh || { mkdir -p /rootfs/{bin,dev,proc,sys,tmp} && cp /bin/busybox /rootfs/bin \
    && chroot /rootfs /bin/busybox --install -s /bin; }";

/// The runtime under test on a bundle with limits. Its state is not that of another bundle's.
pub struct Bundle {
    pub debian: Debian,
    /// The container's name, and the bundle's.
    pub id: String,
}

impl Bundle {
    /// A container of this program whose config.json has these `linux.resources`.
    pub fn new(debian: &Debian, id: &str, args: &[&str], resources: &Value) -> Result<Self> {
        let config = config(id, args, resources);
        debian
            .run(&format!("{ROOTFS}; mkdir -p /bundles/{id}; echo '{config}' >/bundles/{id}/config.json"))?;
        Ok(Self { debian: debian.clone(), id: id.to_owned() })
    }

    /// Runs a verb of the runtime, with options and the container's name.
    pub fn tries(&self, verb: &str) -> Result<Output> {
        let Self { debian, id } = self;
        let bundle = if verb.starts_with("create") || verb.starts_with("run") {
            format!("--bundle /bundles/{id}")
        } else {
            String::new()
        };
        debian.try_run(&format!("{} --root /run/{id} {verb} {bundle} {id}", Debian::runtime()))
    }

    /// The same, which succeeds.
    pub fn says(&self, verb: &str) -> Result<String> {
        let ran = self.tries(verb)?;
        assert_eq!(ran.status, 0, "{verb} {}: {}", self.id, ran.text);
        Ok(ran.text)
    }

    /// A file of the container's cgroup.
    pub fn limit(&self, file: &str) -> Result<String> {
        Ok(self.debian.run(&format!("cat /sys/fs/cgroup/bundles/{}/{file}", self.id))?.trim().to_owned())
    }
}

fn config(id: &str, args: &[&str], resources: &Value) -> Value {
    let mount =
        |destination: &str, kind: &str| json!({ "destination": destination, "type": kind, "source": kind });
    let capabilities = json!(["CAP_MKNOD"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        },
        "root": { "path": "/rootfs", "readonly": true },
        "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs"), mount("/tmp", "tmpfs")],
        "linux": {
            "cgroupsPath": format!("/bundles/{id}"),
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "cgroup" }],
            "resources": resources,
        },
    })
}
