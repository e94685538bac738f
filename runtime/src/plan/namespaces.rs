//! `linux.namespaces`: which are made, which are joined, and when.
//!
//! The container's first process is born into most new ones. Not into a cgroup
//! namespace, whose root would be the parent's cgroup; and when there is a user
//! namespace, into that and the PID namespace alone: the others are made once the IDs
//! are mapped and it is root, so that what the kernel makes in them belongs to the container's
//! root (user_namespaces(7)). What is joined is joined before: the new user namespace has no
//! rights over it. A time namespace takes its offsets before anything
//! lives in it, so the parent makes it.

use super::refuse;
use crate::error::Result;
use nix::sched::CloneFlags;
use spec::bundle::{IdMapping, Linux, NamespaceKind};

/// How a container's first process comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// By one clone3(2) of the parent.
    Cloned,
    /// By one of a process between, which has joined all that is joined: a user namespace
    /// among it, or what a new one would have no rights over.
    Between,
}

/// Namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Made.
    pub new: Vec<NamespaceKind>,
    /// Joined, by path.
    pub joined: Vec<(NamespaceKind, String)>,
    /// `uid_map` of the new user namespace.
    pub uid_map: String,
    /// `gid_map` of the new user namespace.
    pub gid_map: String,
    /// `timens_offsets` of the new time namespace.
    pub time_offsets: String,
}

impl Namespaces {
    pub(super) fn new(linux: &Linux) -> Result<Self> {
        let mut namespaces = Self {
            uid_map: map(&linux.uid_mappings),
            gid_map: map(&linux.gid_mappings),
            time_offsets: offsets(linux)?,
            ..Self::default()
        };
        for namespace in &linux.namespaces {
            match namespace.path.as_deref().filter(|path| !path.is_empty()) {
                None => namespaces.new.push(namespace.kind),
                Some(path) => namespaces.joined.push((namespace.kind, path.to_owned())),
            }
        }
        if !namespaces.maps_users() {
            // One that is joined has its own; Podman gives some that mean nothing, as runc 1.1 wants.
            (namespaces.uid_map, namespaces.gid_map) = Default::default();
        }
        Ok(namespaces)
    }

    /// How the first process comes into being.
    pub fn birth(&self) -> Birth {
        match self.joins_users() || (self.maps_users() && !self.joined.is_empty()) {
            true => Birth::Between,
            false => Birth::Cloned,
        }
    }

    fn joins_users(&self) -> bool {
        self.joined.iter().any(|(kind, _)| *kind == NamespaceKind::User)
    }

    /// Whether processes of other containers may see the first process from its first moment on.
    pub fn is_born_in_sight(&self) -> bool {
        self.joined.iter().any(|(kind, _)| matches!(kind, NamespaceKind::Pid | NamespaceKind::User))
    }

    /// Whether the container's user namespace is not the caller's.
    pub fn has_users(&self) -> bool {
        self.maps_users() || self.joins_users()
    }

    /// Whether the container has a new user namespace, whose IDs the parent maps.
    pub fn maps_users(&self) -> bool {
        self.new.contains(&NamespaceKind::User)
    }

    /// What clone3(2) makes.
    pub fn at_clone(&self) -> CloneFlags {
        let born_in = |kind: &NamespaceKind| match kind {
            NamespaceKind::Cgroup | NamespaceKind::Time => false,
            NamespaceKind::User | NamespaceKind::Pid => true,
            _ => !self.has_users(),
        };
        flags(self.new.iter().copied().filter(born_in))
    }

    /// What unshare(2) makes then.
    pub fn after_clone(&self) -> CloneFlags {
        flags(self.new.iter().copied().filter(|kind| *kind != NamespaceKind::Time)) - self.at_clone()
    }

    /// Those that the first process joins: none when the process between has. A PID namespace
    /// is not among them: it takes in only who is born afterwards, so the parent joins it.
    pub fn joined_by_child(&self) -> impl Iterator<Item = &(NamespaceKind, String)> {
        let is_left = self.birth() == Birth::Cloned;
        self.joined.iter().filter(move |(kind, _)| is_left && *kind != NamespaceKind::Pid)
    }

    /// The PID namespace that the parent joins.
    pub fn joined_pid(&self) -> Option<&str> {
        let is_left = self.birth() == Birth::Cloned;
        self.joined
            .iter()
            .find(|(kind, _)| is_left && *kind == NamespaceKind::Pid)
            .map(|(_, path)| path.as_str())
    }

    /// Whether the parent makes a time namespace.
    pub fn has_own_time(&self) -> bool {
        self.new.contains(&NamespaceKind::Time)
    }
}

/// `CLONE_NEW*` of several kinds.
pub fn flags(kinds: impl IntoIterator<Item = NamespaceKind>) -> CloneFlags {
    kinds.into_iter().map(flag).collect()
}

/// `CLONE_NEW*` of one kind.
pub fn flag(kind: NamespaceKind) -> CloneFlags {
    match kind {
        NamespaceKind::User => CloneFlags::CLONE_NEWUSER,
        NamespaceKind::Pid => CloneFlags::CLONE_NEWPID,
        NamespaceKind::Network => CloneFlags::CLONE_NEWNET,
        NamespaceKind::Mount => CloneFlags::CLONE_NEWNS,
        NamespaceKind::Ipc => CloneFlags::CLONE_NEWIPC,
        NamespaceKind::Uts => CloneFlags::CLONE_NEWUTS,
        NamespaceKind::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        NamespaceKind::Time => CloneFlags::from_bits_retain(libc::CLONE_NEWTIME),
    }
}

/// `uid_map` or `gid_map` of user_namespaces(7).
pub(super) fn map(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|one| format!("{} {} {}\n", one.container_id, one.host_id, one.size)).collect()
}

fn offsets(linux: &Linux) -> Result<String> {
    if linux.time_offsets.is_empty() {
        return Ok(String::new());
    }
    let is_new = |path: &Option<String>| path.as_deref().is_none_or(str::is_empty);
    if !linux.namespaces.iter().any(|one| one.kind == NamespaceKind::Time && is_new(&one.path)) {
        return Err(refuse::at("linux.timeOffsets", "there is no new time namespace"));
    }
    let line = |(clock, offset): (&String, &spec::bundle::TimeOffset)| match clock.as_str() {
        "monotonic" | "boottime" => Ok(format!("{clock} {} {}\n", offset.secs, offset.nanosecs)),
        _ => Err(refuse::at(&format!("linux.timeOffsets.{clock}"), "is neither monotonic nor boottime")),
    };
    linux.time_offsets.iter().map(line).collect()
}
