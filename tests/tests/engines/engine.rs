//! An engine, as the tests speak of it.

use serde_json::{Value, json};
use tests::{Debian, Failure, Output, Result};

/// Who makes the cgroups of an engine's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// The runtime, in folders; engines call that cgroupfs.
    Folders,
    /// systemd, as scopes: what Debian's podman and docker ask for.
    Systemd,
}

/// crun is tested in our place, and does not do what the test asks for, for this reason: the test is left out.
pub fn crun_fails(why: &str) -> bool {
    let fails = Debian::runtime().ends_with("/crun");
    if fails {
        eprintln!("left out: crun {why}");
    }
    fails
}

/// An engine's command line with the runtime under test behind it, in the tests' machine.
pub struct Engine {
    pub debian: Debian,
    command: String,
    /// Where the engine puts a container's cgroup: before and after its full ID.
    cgroup: (&'static str, &'static str),
}

impl Engine {
    /// podman, as root, as Debian has it.
    pub fn podman() -> Result<Self> {
        Self::podman_with(Cgroups::Systemd)
    }

    /// podman, as root.
    pub fn podman_with(cgroups: Cgroups) -> Result<Self> {
        let debian = Debian::lent()?;
        for name in ["busybox", "python"] {
            let image = format!("/given/images/{name}.tar");
            debian.run(&format!("podman image exists {name} 2>/dev/null || podman load -q -i {image}"))?;
        }
        let (manager, cgroup) = match cgroups {
            Cgroups::Folders => ("cgroupfs", ("/sys/fs/cgroup/libpod_parent/libpod-", "")),
            Cgroups::Systemd => ("systemd", ("/sys/fs/cgroup/machine.slice/libpod-", ".scope")),
        };
        let command = format!("podman --runtime {} --cgroup-manager {manager}", Debian::runtime());
        Ok(Self { debian, command, cgroup })
    }

    /// docker, its daemon told of the runtime as the default one.
    pub fn docker(cgroups: Cgroups) -> Result<Self> {
        Self::docker_with(Debian::lent()?, cgroups, json!({}))
    }

    /// The same, and its containers' root is the first of 65536 users that nobody else is.
    pub fn docker_remapped(cgroups: Cgroups) -> Result<Self> {
        let debian = Debian::lent()?;
        debian.run(
            "grep -q ^remapped: /etc/passwd || { echo remapped:x:900:900::/:/bin/false >>/etc/passwd; \
             echo remapped:x:900: >>/etc/group; echo remapped:200000:65536 >>/etc/subuid; \
             echo remapped:200000:65536 >>/etc/subgid; }",
        )?;
        Self::docker_with(debian, cgroups, json!({ "userns-remap": "remapped" }))
    }

    fn docker_with(debian: Debian, cgroups: Cgroups, mut settings: Value) -> Result<Self> {
        let (driver, cgroup) = match cgroups {
            Cgroups::Folders => ("cgroupfs", ("/sys/fs/cgroup/docker/", "")),
            Cgroups::Systemd => ("systemd", ("/sys/fs/cgroup/system.slice/docker-", ".scope")),
        };
        settings["runtimes"] = json!({ "tested": { "path": Debian::runtime() } });
        settings["default-runtime"] = json!("tested");
        settings["exec-opts"] = json!([format!("native.cgroupdriver={driver}")]);
        debian.run(&format!(
            "echo '{settings}' >/tmp/daemon.json; \
             cmp -s /tmp/daemon.json /etc/docker/daemon.json && systemctl -q is-active docker || {{ \
             cp /tmp/daemon.json /etc/docker/daemon.json; systemctl reset-failed docker; systemctl restart docker; \
             docker image inspect busybox >/dev/null 2>&1 || docker load -q -i /given/images/busybox.tar; }}"
        ))?;
        Ok(Self { debian, command: "docker".to_owned(), cgroup })
    }

    /// containerd's own command line.
    pub fn containerd() -> Result<Self> {
        let debian = Debian::lent()?;
        debian.run(
            "systemctl start containerd; ctr images ls -q | grep -q busybox || \
             ctr images import /given/images/busybox.tar",
        )?;
        Ok(Self { debian, command: "ctr".to_owned(), cgroup: ("/sys/fs/cgroup/default/", "") })
    }

    /// Runs `ENGINE WORDS`, which succeeds, and returns what it said.
    pub fn says(&self, words: &str) -> Result<String> {
        let Output { status, text } = self.tries(words)?;
        match status {
            0 => Ok(text),
            _ => Err(Failure::new(format!("{} {words}: exit status {status}: {text}", self.command))),
        }
    }

    /// Runs `ENGINE WORDS`, whatever comes of it.
    pub fn tries(&self, words: &str) -> Result<Output> {
        self.debian.try_run(&format!("{} {words}", self.command))
    }

    /// Runs `ENGINE WORDS` until a filter is content with what it says.
    pub fn until(&self, words: &str, filter: &str) -> Result {
        self.debian
            .run(&format!("until {} {words} 2>&1 | {filter}; do sleep 0.2; done", self.command))
            .map(drop)
    }

    /// Runs `ENGINE WORDS` at a terminal of its own, whose line ends it keeps for itself.
    pub fn at_a_terminal(&self, words: &str) -> Result<Output> {
        let command = format!("script -qec {:?} /dev/null", format!("{} {words}", self.command));
        let Output { status, text } = self.debian.try_run(&command)?;
        Ok(Output { status, text: text.replace(['\r', '\u{4}', '\u{8}', '\0'], "").replace("^@", "") })
    }

    /// A file of a running container's cgroup, without the newline.
    pub fn limit(&self, id: &str, file: &str) -> Result<String> {
        let (before, after) = self.cgroup;
        Ok(self.debian.run(&format!("cat {before}{}{after}/{file}", id.trim()))?.trim().to_owned())
    }

    /// Whether a container's cgroup is there.
    pub fn has_cgroup(&self, id: &str) -> Result<bool> {
        let (before, after) = self.cgroup;
        Ok(self.debian.try_run(&format!("test -e {before}{}{after}", id.trim()))?.status == 0)
    }
}

/// A line of shell that lives until SIGTERM and then exits with status 7.
pub const LONG: &str = "sh -c 'trap \"exit 7\" TERM; echo started; while :; do sleep 0.2; done'";
