//! What a container may do, and what of the machine it sees.

use super::{Words, parse, seccomp};
use crate::error::{Context, Error, Result};
use clap::Args;
use spec::node::{Container, Security, Sharing};
use spec::seccomp::Profile;

#[derive(Clone, Debug, Default, Args)]
pub struct Rights {
    /// A capability more than usual
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// A capability less; ALL takes every one
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Every capability and device, no filter of system calls
    #[arg(long)]
    privileged: bool,
    /// seccomp=FILE (a profile of Docker's), seccomp=unconfined, no-new-privileges, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// PATH[:TARGET[:rwm]], a device of this machine
    #[arg(long, value_name = "PATH")]
    device: Vec<String>,
    /// NAME=VALUE, a kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// private or host: whose cgroups it sees
    #[arg(long, default_value = "private")]
    cgroupns: String,
    /// host: this machine's host name; its own without it
    #[arg(long, value_name = "WHOSE", value_parser = ["host", ""])]
    uts: Option<String>,
    /// private, host or container:NAME: whose processes it sees
    #[arg(long, default_value = "private")]
    pid: String,
    /// private, shareable, none, host or container:NAME: whose System V IPC and /dev/shm it has
    #[arg(long, default_value = "private")]
    ipc: String,
    /// host: there are no others
    #[arg(long = "userns", value_name = "WHOSE", value_parser = ["host"])]
    _userns: Option<String>,
}

impl Rights {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        Ok(Container {
            cap_add: self.cap_add.iter().map(|name| name.to_ascii_uppercase()).collect(),
            cap_drop: self.cap_drop.iter().map(|name| name.to_ascii_uppercase()).collect(),
            privileged: self.privileged,
            security: self.security()?,
            devices: self.device.clone(),
            sysctls: self.sysctl.iter().map(|text| sysctl(text)).collect::<Result<_>>()?,
            cgroup: parse::<Words<Sharing>>("--cgroupns", &self.cgroupns)?.0,
            uts: if self.uts.as_deref() == Some("host") { Sharing::Host } else { Sharing::Private },
            pid: parse("--pid", &self.pid)?,
            ipc: parse("--ipc", &self.ipc)?,
            ..container
        })
    }
}

impl Rights {
    /// Of several filters of system calls the last one counts, as with Docker.
    fn security(&self) -> Result<Vec<Security>> {
        let unfiltered = self.filter() == Some(UNCONFINED);
        let said = self.security_opt.iter().filter_map(|text| security(text).transpose());
        let said = said.collect::<Result<Vec<_>>>()?;
        Ok(said.into_iter().filter(|one| *one != Security::SeccompUnconfined || unfiltered).collect())
    }

    fn filter(&self) -> Option<&str> {
        let mut said = self.security_opt.iter().rev().map(|text| pair(text));
        said.find(|(key, _)| *key == "seccomp").map(|(_, value)| value)
    }

    /// The filter of system calls that a file has.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub fn profile(&self) -> Result<Option<Profile>> {
        let Some(file) = self.filter().filter(|file| !WORDS.contains(file)) else { return Ok(None) };
        let text =
            std::fs::read_to_string(file).context(|| format!("--security-opt seccomp: read {file}"))?;
        let profile = seccomp::read(&text);
        profile.map(Some).map_err(|why| Error::new(format!("--security-opt seccomp: {file}: {why}")))
    }
}

/// No filter.
const UNCONFINED: &str = "unconfined";

/// What names no file.
const WORDS: [&str; 3] = [UNCONFINED, "builtin", ""];

fn pair(text: &str) -> (&str, &str) {
    text.split_once(['=', ':']).unwrap_or((text, ""))
}

/// In Docker's ways, with a colon as of old, too; nothing of what is so anyway, and of a file.
fn security(text: &str) -> Result<Option<Security>> {
    match pair(text) {
        ("no-new-privileges", "true") => Ok(Some(Security::NoNewPrivileges)),
        ("no-new-privileges", "false")
        | ("apparmor", "unconfined")
        | ("label", "disable")
        | ("seccomp", "builtin") => Ok(None),
        ("seccomp", file) if !WORDS.contains(&file) => Ok(None),
        (_, "") => parse("--security-opt", text).map(Some),
        (key, value) => parse("--security-opt", &format!("{key}={value}")).map(Some),
    }
}

fn sysctl(text: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| Error::new(format!("--sysctl {text:?}: not NAME=VALUE")))
}
