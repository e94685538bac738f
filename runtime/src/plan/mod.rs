//! What is to be done for a container, as a list, before any of it is done.
//!
//! A [`Plan`] is a function of config.json and the command line. It opens nothing
//! and asks the kernel nothing; what it cannot promise it refuses by JSON path.
//! `perform` does what it says, in its order:
//!
//! ```text
//! parent (create)                     container's first process
//! ─────────────────────────────────   ─────────────────────────────────────
//! record, cgroup, namespaces          joins and makes namespaces
//! writes the ID mappings              mounts, devices, terminal
//! hooks: prestart, createRuntime   ⇆  hooks: createContainer
//!                                     sysctls, masks, root, rlimits, user, program found
//! record "created", PID file       ⇆  waits for `start`
//!                                     seccomp, capabilities
//!                                     hooks: startContainer
//!                                     exec
//! ```

mod devices;
mod idmap;
mod memory_policy;
mod mounts;
mod namespaces;
mod net_devices;
mod options;
mod personality;
mod process;
mod rdt;
mod refuse;
mod scheduling;
mod selinux;
mod steps;
#[cfg(test)]
mod tests;

pub use devices::Node;
pub use idmap::{IdMap, Users};
pub use memory_policy::{flags as memory_policy_flags, modes as memory_policy_modes};
pub use mounts::{Covers, INSIDE_PROC, Mount, NOT_PROC, Source, resolved};
pub use namespaces::{Birth, Namespaces, flag, flags};
pub use net_devices::NetDevice;
pub use options::{Options, PROPAGATIONS, names as mount_option_names};
pub use process::{Program, Rlimit, exec, warnings, withheld};
pub use rdt::{Rdt, is_in_force};
pub use scheduling::affinity;
pub use selinux::needed as needs_selinux;
pub use steps::{Moment, Step};

use crate::cgroup::scope::{self, NewScope};
use crate::cgroup::{Write, annotation, devices::program, resources};
use crate::error::{Error, Result};
use spec::bundle::{Config, Hooks, IdMapping, Linux, NamespaceKind, Resources};
use std::path::Path;

/// Longest path of a cgroup, which leaves room in `PATH_MAX` for what is in it: one that
/// could be made and not be named again would stay.
const LONGEST_PATH: usize = 3072;
/// `NAME_MAX`
const LONGEST_NAME: usize = 255;

/// All that makes a container of a bundle.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Made or joined before the first process does anything.
    pub namespaces: Namespaces,
    /// The container's cgroup.
    pub cgroup: Cgroup,
    /// The container's class of service.
    pub rdt: Option<Rdt>,
    /// JSON path of a label that needs SELinux.
    pub selinux: Option<&'static str>,
    /// `oom_score_adj` of proc(5).
    pub oom_score_adj: Option<i32>,
    /// Interfaces that the parent moves when the first process asks for it.
    pub net_devices: Vec<NetDevice>,
    /// What the container's first process does, in order.
    pub steps: Vec<Step>,
    /// Hooks of the caller's namespaces and of the container's.
    pub hooks: Hooks,
    /// What config.json asks for and is left out.
    pub warnings: Vec<Error>,
}

/// A cgroup v2 folder, its limits and what devices it may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Below the hierarchy's mount point, without a slash in front; empty when systemd
    /// chooses it.
    pub path: String,
    /// config.json names it; who may not make it does not do without.
    pub is_named: bool,
    /// What systemd makes.
    pub scope: Option<NewScope>,
    /// Files and what is written to them.
    pub writes: Vec<Write>,
    /// eBPF instructions.
    pub devices: Option<Vec<u64>>,
    /// Who may make cgroups below, as the caller numbers users; root alone when none.
    pub owner: Option<u32>,
}

/// What the command line adds to config.json.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The container's name.
    pub id: &'a str,
    /// Absolute path of the bundle.
    pub bundle: &'a str,
    /// Do without `pivot_root`.
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Descriptors from 3 on that the program keeps.
    pub preserve_fds: u32,
    /// How many of them are sockets that the caller listens on for the program (sd_listen_fds(3)).
    pub listen_fds: u32,
    /// Have systemd make the cgroup.
    pub systemd_cgroup: bool,
    /// Whether the caller lacks the host root's rights; asked only where that makes a difference.
    pub is_rootless: fn() -> bool,
}

impl Plan {
    /// Plans a container.
    ///
    /// # Errors
    /// What config.json asks for and cannot have, by its JSON path.
    pub fn new(config: &Config, given: &Given<'_>) -> Result<Self> {
        refuse::check(config)?;
        let none = Linux::default();
        let linux = config.linux.as_ref().unwrap_or(&none);
        let namespaces = Namespaces::new(linux)?;
        Ok(Self {
            cgroup: cgroup(config, linux, &namespaces, given)?,
            selinux: selinux::needed(config.process.as_ref(), linux),
            rdt: rdt::group(linux, given.id)?,
            oom_score_adj: config.process.as_ref().and_then(|process| process.oom_score_adj),
            net_devices: net_devices::devices(linux)?,
            steps: steps::steps(config, linux, &namespaces, given)?,
            warnings: all_warnings(config, linux),
            hooks: config.hooks.clone().unwrap_or_default(),
            namespaces,
        })
    }
}

fn all_warnings(config: &Config, linux: &Linux) -> Vec<Error> {
    let of_process = config.process.iter().flat_map(warnings);
    of_process.chain(linux.resources.iter().flat_map(resources::warnings)).collect()
}

/// Where the container's root lies.
pub fn rootfs(config: &Config, bundle: &str) -> String {
    let path = config.root.as_ref().map_or("rootfs", |root| root.path.as_str());
    Path::new(bundle).join(path).display().to_string()
}

fn cgroup(config: &Config, linux: &Linux, namespaces: &Namespaces, given: &Given<'_>) -> Result<Cgroup> {
    let none = Resources::default();
    let resources = linux.resources.as_ref().unwrap_or(&none);
    let writes = resources::writes(resources)?;
    let devices = program(&devices::rules(&resources.devices))?;
    let owner = owner(config, linux, namespaces);
    if !given.systemd_cgroup {
        let path = cgroup_path(linux, given.id)?;
        let is_named = !linux.cgroups_path.is_empty();
        return Ok(Cgroup { path, is_named, scope: None, writes, devices, owner });
    }
    let mut new = scope::plan(&linux.cgroups_path, given.id, (given.is_rootless)())?;
    new.properties.extend(scope::properties(&writes));
    new.properties.extend(annotation::properties(&config.annotations)?);
    Ok(Cgroup { path: String::new(), is_named: true, scope: Some(new), writes, devices, owner })
}

/// The user of a container that is to see its cgroup alone, and to write to it (config-linux.md, Cgroup ownership).
fn owner(config: &Config, linux: &Linux, namespaces: &Namespaces) -> Option<u32> {
    let is_writable = config.mounts.iter().any(|mount| {
        matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"))
            && !Options::new(&mount.options).is_read_only()
    });
    if !is_writable || !namespaces.new.contains(&NamespaceKind::Cgroup) {
        return None;
    }
    let uid = config.process.as_ref().map_or(0, |process| process.user.uid);
    let mapped = |map: &IdMapping| {
        let offset = uid.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
        map.host_id.checked_add(offset)
    };
    // Of a namespace that is joined, too, as runc: what it maps is the caller's to say.
    let owner = match namespaces.has_users() {
        true => linux.uid_mappings.iter().find_map(mapped),
        false => Some(uid),
    };
    owner.filter(|uid| *uid != 0)
}

/// Path in the hierarchy of the cgroup of a container, where systemd does not make it.
///
/// # Errors
/// It leads out of the hierarchy, or cannot be.
pub fn cgroup_path(linux: &Linux, id: &str) -> Result<String> {
    let path = match linux.cgroups_path.trim_matches('/') {
        "" => id.to_owned(),
        path => path.to_owned(),
    };
    if Path::new(&path).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(refuse::at("linux.cgroupsPath", &format!("{path:?} leads out of the hierarchy")));
    }
    if path.len() > LONGEST_PATH
        || path.contains('\0')
        || path.split('/').any(|name| name.len() > LONGEST_NAME)
    {
        return Err(refuse::at("linux.cgroupsPath", "is too long, or has a zero byte"));
    }
    Ok(path)
}

/// Whether the container has this namespace to itself or with others, but not
/// with the runtime.
fn has(linux: &Linux, kind: NamespaceKind) -> bool {
    linux.namespaces.iter().any(|namespace| namespace.kind == kind)
}
