//! What the container's first process does, in order.

use super::devices::{self, Node};
use super::mounts::{self, Mount};
use super::process::{self, Program, Rlimit};
use super::{Given, Namespaces, PROPAGATIONS, has, memory_policy, personality, refuse, rootfs, selinux};
use crate::error::Result;
use crate::seccomp;
use nix::sched::CloneFlags;
use spec::bundle::{Config, Linux, NamespaceKind, User};
use std::collections::BTreeSet;
use std::fmt;
use sys::scheduling::Attributes;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the caller ignores is at its default.
    Signals,
    /// A session of its own, so that no terminal of the caller is its.
    Session,
    /// A session keyring of its own.
    Keyring(String),
    /// SELinux's label of keyrings from here on.
    KeyLabel(String),
    /// Waits until the parent has put this process into its scope, and mapped the IDs of
    /// the new user namespace.
    AwaitParent,
    /// Root of the container's user namespace.
    BecomeRoot,
    /// setns(2) of these, opened by the parent.
    Join(Vec<NamespaceKind>),
    /// unshare(2)
    Unshare(CloneFlags),
    /// Of every mount that the new mount namespace has from the caller's.
    Propagation(u64, bool),
    /// Makes the mount that has the root private, where mounts stay shared.
    PrivateParent(String),
    /// Binds the root over itself: what follows is resolved in it.
    Root(String),
    /// The same where the caller and others see it, until `delete` takes it away.
    SharedRoot(String),
    /// A mount.
    Mount(Mount),
    /// A device node; the host's own, bound, where a node cannot be made.
    Device {
        /// The node.
        node: Node,
        /// Bind the host's.
        bound: bool,
    },
    /// A symbolic link.
    Link {
        /// Path in the container.
        path: String,
        /// Its text.
        target: String,
    },
    /// A new terminal in the container's `devpts`, sent to the console socket.
    Terminal {
        /// Rows and columns.
        size: Option<(u16, u16)>,
        /// It is the container's `/dev/console`.
        is_console: bool,
    },
    /// The new network namespace's loopback interface is switched on.
    Loopback,
    /// Has the parent move interfaces into the network namespace.
    NetDevices,
    /// sethostname(2)
    Hostname(String),
    /// setdomainname(2)
    Domainname(String),
    /// A parameter below `/proc/sys`.
    Sysctl(String, String),
    /// Hooks, wherever they are run.
    Hooks(Moment),
    /// Makes a path unreadable.
    Mask(String),
    /// Makes a path unwritable.
    ReadOnly(String),
    /// Makes the root the only one there is.
    Pivot {
        /// By chroot(2), for a host whose root is an initramfs.
        by_chroot: bool,
        /// Mounts are still shared with the host.
        shared: bool,
    },
    /// Makes the root this process's alone (chroot(2)), in the caller's mount namespace.
    Chroot,
    /// Makes a folder in the container, with those above it, if there is none.
    MakeFolder(String),
    /// Of the root itself, once it is the root.
    RootPropagation(u64, bool),
    /// Nothing in the root can be written.
    ReadOnlyRoot,
    /// personality(2)
    Personality(i32),
    /// set_mempolicy(2)
    MemoryPolicy {
        /// `MPOL_*` and its flags.
        mode: u32,
        /// Nodes.
        nodes: Vec<usize>,
    },
    /// sched_setattr(2)
    Scheduler(Attributes),
    /// ioprio_set(2)
    IoPriority {
        /// `IOPRIO_CLASS_*`
        class: u32,
        /// 0, the best, to 7.
        priority: u32,
    },
    /// All that the cpuset has: the caller's own are not the container's.
    EveryProcessor,
    /// sched_setaffinity(2), of what `exec` adds.
    Affinity(Vec<usize>),
    /// Makes what the last step goes by (`sys::trampoline`).
    Trampoline,
    /// setrlimit(2)
    Rlimit(Rlimit),
    /// umask(2)
    Umask(u32),
    /// SELinux's label that the next exec enters.
    Selinux(String),
    /// The profile that the next exec enters.
    AppArmor(String),
    /// Nobody without special rights looks into this process (`PR_SET_DUMPABLE`):
    /// `/proc/PID/exe` would be the host's runtime (CVE-2019-5736).
    Undumpable,
    /// Standard input, output and error belong to the user.
    OwnOutputs(u32),
    /// `PR_CAPBSET_DROP` of what is not in these bits.
    Bound(u64),
    /// IDs, with all capabilities kept for now.
    User(User),
    /// chdir(2), and the folder must be in the container.
    Folder(String),
    /// Finds the program, so that `create` can say that there is none.
    Find(Program),
    /// `PR_SET_NO_NEW_PRIVS`
    NoNewPrivileges,
    /// Closes every descriptor from this one on but those that later steps take: none of the host's is open when a
    /// path is followed that may lead to it by `/proc/self/fd` (CVE-2024-21626).
    CloseFrom(u32),
    /// Tells the parent that all is set up, and waits for `start`.
    Wait,
    /// `SECCOMP_SET_MODE_FILTER`
    Seccomp(seccomp::Program),
    /// capset(2) and the ambient set, as bits.
    Capabilities {
        /// In force.
        effective: u64,
        /// May be put in force.
        permitted: u64,
        /// Handed on to programs with file capabilities.
        inheritable: u64,
        /// Handed on to every program.
        ambient: u64,
    },
    /// There is none to start.
    NoProgram,
    /// execve(2) of what was found.
    Exec,
}

/// A moment of the container's life that has hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `prestart` and `createRuntime`, run by the parent in its own namespaces.
    CreateRuntime,
    /// `createContainer`, run in the container's namespaces with the host's files.
    CreateContainer,
    /// `startContainer`, run in the container.
    StartContainer,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seccomp(program) => {
                write!(out, "Seccomp({} instructions, flags {})", program.program.len(), program.flags)
            }
            other => write!(out, "{other:?}"),
        }
    }
}

/// The steps of a container.
pub fn steps(
    config: &Config,
    linux: &Linux,
    namespaces: &Namespaces,
    given: &Given<'_>,
) -> Result<Vec<Step>> {
    let mut steps = vec![Step::Signals, Step::Session, Step::EveryProcessor];
    if !given.no_new_keyring {
        let label = config.process.as_ref().map_or("", |process| process.selinux_label.as_str());
        steps.extend(selinux::keyring(given.id, label));
    }
    steps.extend((given.systemd_cgroup || namespaces.maps_users()).then_some(Step::AwaitParent));
    steps.extend(enter(namespaces));
    steps.extend((!linux.net_devices.is_empty()).then_some(Step::NetDevices));
    steps.extend(root(config, linux, namespaces, given)?);
    steps.extend(names(config));
    let hooks = config.hooks.clone().unwrap_or_default();
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        steps.push(Step::Hooks(Moment::CreateRuntime));
    }
    if !hooks.create_container.is_empty() {
        steps.push(Step::Hooks(Moment::CreateContainer));
    }
    // As with runc: Docker's `prestart` hook brings the interfaces, and writes parameters itself.
    steps.extend(sysctls(config, linux)?);
    steps.extend(once(&linux.masked_paths).cloned().map(Step::Mask));
    steps.extend(linux.readonly_paths.iter().cloned().map(Step::ReadOnly));
    steps.extend(closing(config, linux, given)?);
    steps.extend(personality::step(linux)?);
    steps.extend(memory_policy::step(linux)?);
    match &config.process {
        Some(process) => {
            steps.extend(process::before(process, linux.seccomp.as_ref(), given.listen_fds)?);
            let mut after = process::after(process, linux.seccomp.as_ref())?;
            let asks = |step: &Step| matches!(step, Step::Seccomp(filter) if filter.has_listener());
            // The agent hears of a container that is being created (`config-linux.md`, The Container Process State).
            let told = after.iter().position(asks).map_or(0, |at| at + 1);
            steps.extend(after.drain(..told));
            steps.push(Step::Wait);
            steps.extend(after);
            steps.extend((!hooks.start_container.is_empty()).then_some(Step::Hooks(Moment::StartContainer)));
            steps.push(Step::Exec);
        }
        // It is needed by `start` alone (config.md, Process).
        None => steps.extend([Step::Undumpable, Step::Wait, Step::NoProgram]),
    }
    Ok(steps)
}

/// Those of the caller are joined by the caller's rights, before the container's own are there.
fn enter(namespaces: &Namespaces) -> Vec<Step> {
    let mut steps = Vec::new();
    steps.extend(namespaces.has_users().then_some(Step::BecomeRoot));
    let joined: Vec<NamespaceKind> = namespaces.joined_by_child().map(|(kind, _)| *kind).collect();
    steps.extend((!joined.is_empty()).then_some(Step::Join(joined)));
    let after = namespaces.after_clone();
    steps.extend((!after.is_empty()).then_some(Step::Unshare(after)));
    steps.extend(namespaces.new.contains(&NamespaceKind::Network).then_some(Step::Loopback));
    steps
}

/// The root and all that is mounted on it.
fn root(config: &Config, linux: &Linux, namespaces: &Namespaces, given: &Given<'_>) -> Result<Vec<Step>> {
    let path = rootfs(config, given.bundle);
    let mut steps = Vec::new();
    if has(linux, NamespaceKind::Mount) {
        let (flag, recursive) = first_propagation(linux)?;
        steps.push(Step::Propagation(flag, recursive));
        steps.extend(stays_shared(flag, recursive).then(|| Step::PrivateParent(path.clone())));
        steps.push(Step::Root(path));
    } else {
        steps.push(Step::SharedRoot(path));
    }
    let mounts = mounts::mounts(&config.mounts, linux, namespaces, given)?;
    steps.extend(mounts.into_iter().map(Step::Mount));
    steps.extend(devices::steps(config, linux, namespaces.has_users())?);
    if let Some(process) = config.process.as_ref().filter(|process| process.terminal) {
        steps.push(Step::Terminal { size: process::size(process), is_console: true });
    }
    Ok(steps)
}

fn propagation(linux: &Linux) -> Result<Option<(u64, bool)>> {
    let name = linux.rootfs_propagation.as_str();
    if name.is_empty() {
        return Ok(None);
    }
    match PROPAGATIONS.into_iter().find(|(known, ..)| *known == name) {
        Some((_, flag, recursive)) => Ok(Some((flag, recursive))),
        None => Err(refuse::at("linux.rootfsPropagation", &format!("{name:?} is not a propagation"))),
    }
}

/// While the root is made. What cannot be bound could not be made the root either, so that comes last.
fn first_propagation(linux: &Linux) -> Result<(u64, bool)> {
    Ok(match propagation(linux)? {
        None => (libc::MS_SLAVE, true),
        Some((libc::MS_UNBINDABLE, recursive)) => (libc::MS_PRIVATE, recursive),
        Some(named) => named,
    })
}

/// Mounts of the host are: all of them, or those below `/`.
fn stays_shared(flag: u64, recursive: bool) -> bool {
    flag == libc::MS_SHARED || !recursive
}

/// Each path once, where it is first.
fn once(paths: &[String]) -> impl Iterator<Item = &String> {
    let mut seen = BTreeSet::new();
    paths.iter().filter(move |path| seen.insert(*path))
}

fn names(config: &Config) -> Vec<Step> {
    let hostname = (!config.hostname.is_empty()).then(|| Step::Hostname(config.hostname.clone()));
    let domainname = (!config.domainname.is_empty()).then(|| Step::Domainname(config.domainname.clone()));
    hostname.into_iter().chain(domainname).collect()
}

/// Only parameters of the container's own namespaces: any other is the host's. Names have fields of their own in
/// config.json, which nothing here may contradict, as with runc and crun.
fn sysctls(config: &Config, linux: &Linux) -> Result<Vec<Step>> {
    let one = |(key, value): (&String, &String)| {
        let path = format!("linux.sysctl[{key:?}]");
        let dotted = key.replace('/', ".");
        let Some(owner) = NamespaceKind::of_parameter(&dotted) else {
            return Err(refuse::at(&path, "is not a parameter of a namespace"));
        };
        match dotted.as_str() {
            "kernel.hostname" => return Err(refuse::at(&path, "conflicts with hostname, which is for that")),
            "kernel.domainname" if !["", value].contains(&config.domainname.as_str()) => {
                return Err(refuse::at(&path, "conflicts with domainname, which is another"));
            }
            _ => {}
        }
        match has(linux, owner) && !dotted.split('.').any(str::is_empty) {
            true => Ok(Step::Sysctl(key.clone(), value.clone())),
            false => Err(refuse::at(&path, &format!("the container has no {owner} namespace of its own"))),
        }
    };
    linux.sysctl.iter().map(one).collect()
}

/// The root becomes the only one, and is closed to writers last.
fn closing(config: &Config, linux: &Linux, given: &Given<'_>) -> Result<Vec<Step>> {
    let given_fds = given.preserve_fds.saturating_add(given.listen_fds);
    let mut steps = vec![Step::CloseFrom(given_fds.saturating_add(3))];
    steps.push(match has(linux, NamespaceKind::Mount) {
        true => {
            let (flag, recursive) = first_propagation(linux)?;
            Step::Pivot { by_chroot: given.no_pivot, shared: stays_shared(flag, recursive) }
        }
        false => Step::Chroot,
    });
    steps.extend(config.process.as_ref().map(|process| Step::MakeFolder(process.cwd.clone())));
    steps.extend(propagation(linux)?.map(|(flag, recursive)| Step::RootPropagation(flag, recursive)));
    steps.extend(config.root.as_ref().is_some_and(|root| root.readonly).then_some(Step::ReadOnlyRoot));
    Ok(steps)
}
