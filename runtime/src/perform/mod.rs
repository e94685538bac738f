//! Does what a [`plan`](crate::plan) says, step by step, in the process that the
//! steps are about. One function a step; nothing is decided here.

mod console;
mod copy_up;
mod credentials;
mod files;
mod guard;
mod hooks;
mod mount;
mod over_proc;
mod parents_mounts;
mod place;
mod program;
mod scheduling;
mod selinux;

pub use console::Console;
pub use hooks::{Around, run as run_hooks, run_all as run_all_hooks};
pub use mount::{change_root, let_go as let_go_of_root, number as mount_number};
pub use parents_mounts::parents_mount;
pub use program::cannot_run;
pub use scheduling::affinity as set_affinity;
pub use selinux::check as check_selinux;

use crate::channel::Channel;
use crate::error::{Cause, Context, Error, Result};
use crate::plan::{Moment, Step};
use mount::Mounts;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::personality::{self, Persona};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, sethostname, setresgid, setresuid, setsid};
use place::Parent;
use program::Found;
use spec::bundle::{Hooks, State};
use std::ffi::CString;
use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use sys::trampoline::Trampoline;

/// What the steps need beside what they say, and what they leave for each other.
#[derive(Debug)]
pub struct Performer {
    /// To the parent.
    pub channel: Channel,
    /// Namespaces to join, by kind and path.
    pub joined: Vec<(CloneFlags, String, File)>,
    /// The container's root; paths are resolved in it.
    pub root: Option<OwnedFd>,
    /// Where the terminal is sent.
    pub console: Option<Console>,
    /// `start` connects here; without it the parent's next word starts the program.
    pub listener: Option<UnixListener>,
    /// Held until the exec.
    pub lock: Option<File>,
    /// What hooks are told.
    pub state: State,
    /// Hooks of the container's own moments.
    pub hooks: Hooks,
    /// The runtime's own file, which no container may run.
    pub own_program: Option<guard::Identity>,
    found: Option<Found>,
    trampoline: Option<Trampoline>,
    /// The folder of device nodes and links.
    parent: Parent,
    mounts: Mounts,
}

impl Performer {
    /// Performs steps for a container or for one more program in it.
    pub fn new(channel: Channel, state: State) -> Self {
        Self {
            channel,
            joined: Vec::new(),
            root: None,
            console: None,
            listener: None,
            lock: None,
            state,
            hooks: Hooks::default(),
            own_program: guard::Identity::of_this_program(),
            found: None,
            trampoline: None,
            parent: Parent::default(),
            mounts: Mounts::default(),
        }
    }

    /// Performs all steps, the last of which does not return. When one fails, whoever waits
    /// for the outcome is told.
    pub fn perform(mut self, steps: &[Step]) -> ! {
        let error = steps.iter().find_map(|step| self.step(step).err());
        let error = error.unwrap_or_else(|| Error::new("the plan does not end in exec"));
        self.channel.fail(&error);
        sys::fork::exit_now(1)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Signals => credentials::default_signals(),
            Step::Session => setsid().map(drop).or_else(already).context(|| "make a session".into()),
            Step::Keyring(name) => keyring(name),
            Step::KeyLabel(label) => selinux::keys(label),
            Step::AwaitParent => self.channel.wait_for_go(),
            Step::BecomeRoot => become_root(),
            Step::Join(_) => join(&self.joined),
            Step::Unshare(flags) => unshare(*flags).context(|| format!("make namespaces {flags:?}")),
            Step::Propagation(flag, recursive) => mount::propagation(*flag, *recursive),
            Step::PrivateParent(path) => mount::private_parent(path),
            Step::Root(path) => mount::root(path, false).map(|root| self.root = Some(root)),
            Step::SharedRoot(path) => mount::root(path, true).map(|root| self.root = Some(root)),
            Step::Mount(mount) => {
                mount::mount(&mut self.mounts, root(self.root.as_ref())?, mount, &self.channel)
            }
            Step::Device { node, bound } => {
                files::device(root(self.root.as_ref())?, &mut self.parent, node, *bound)
            }
            Step::Link { path, target } => {
                files::link(root(self.root.as_ref())?, &mut self.parent, path, target)
            }
            Step::Terminal { size, is_console } => self.terminal(*size, *is_console),
            Step::Loopback => files::loopback(),
            Step::NetDevices => self.channel.ask_for_devices(),
            Step::Hostname(name) => sethostname(name).context(|| format!("hostname: set {name:?}")),
            Step::Domainname(name) => {
                sys::domain_name::set(name).context(|| format!("domainname: set {name:?}"))
            }
            Step::Sysctl(key, value) => files::sysctl(key, value),
            Step::Hooks(moment) => self.run_hooks(*moment),
            Step::Mask(path) => mount::mask(&mut self.mounts, root(self.root.as_ref())?, path),
            Step::ReadOnly(path) => mount::read_only(&mut self.mounts, root(self.root.as_ref())?, path),
            Step::Pivot { by_chroot, shared } => mount::pivot(self.root()?, *by_chroot, *shared),
            Step::Chroot => mount::change_root(self.root()?),
            Step::MakeFolder(path) => {
                std::fs::create_dir_all(path).or_else(files::if_read_only).context(|| format!("make {path}"))
            }
            Step::RootPropagation(flag, recursive) => mount::propagation(*flag, *recursive),
            Step::ReadOnlyRoot => mount::read_only_root(self.root()?),
            Step::Personality(domain) => take_personality(*domain),
            Step::MemoryPolicy { mode, nodes } => scheduling::memory(*mode, nodes),
            Step::Scheduler(attributes) => scheduling::scheduler(attributes),
            Step::IoPriority { class, priority } => scheduling::io_priority(*class, *priority),
            Step::EveryProcessor => {
                // Who is not let is where its caller is.
                let _ = sys::scheduling::run_anywhere();
                Ok(())
            }
            Step::Affinity(processors) => scheduling::affinity("final", processors),
            Step::Trampoline => {
                // Where a machine wants no programs in memory the guard is all there is.
                self.trampoline = Trampoline::new(self.channel.as_fd()).ok();
                Ok(())
            }
            Step::Rlimit(limit) => rlimit(limit),
            Step::Umask(mask) => {
                umask(Mode::from_bits_truncate(*mask));
                Ok(())
            }
            Step::Selinux(label) => selinux::exec(label),
            Step::AppArmor(profile) => credentials::apparmor(profile),
            Step::Undumpable => prctl::set_dumpable(false).context(|| "close this process".into()),
            Step::OwnOutputs(uid) => credentials::own_outputs(*uid),
            Step::Bound(keep) => {
                sys::capability::bound(*keep).context(|| "process.capabilities.bounding: set".into())
            }
            Step::User(user) => credentials::user(user),
            Step::Folder(path) => program::folder(path),
            Step::Find(program) => {
                self.found = Some(program::find(program, self.own_program)?);
                Ok(())
            }
            Step::NoNewPrivileges => {
                prctl::set_no_new_privs().context(|| "process.noNewPrivileges: set".into())
            }
            Step::CloseFrom(first) => self.close_from(*first),
            Step::Wait => self.wait(),
            Step::Seccomp(filter) if filter.has_listener() => self.channel.load(filter),
            Step::Seccomp(filter) => {
                sys::seccomp::load(&filter.program, filter.flags).context(|| "linux.seccomp: load".into())
            }
            Step::Capabilities { effective, permitted, inheritable, ambient } => {
                credentials::capabilities(*effective, *permitted, *inheritable, *ambient)
            }
            Step::NoProgram => Err(Error::new("process: is missing, so there is nothing to start")),
            Step::Exec => self.found.as_ref().map_or(Ok(()), |found| found.exec(self.trampoline.as_ref())),
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>> {
        root(self.root.as_ref())
    }

    /// Closes what is needed no more, which the caller has left open, or which lies where it said that it gives some.
    fn close_from(&mut self, first: u32) -> Result<()> {
        let mut own = self.mounts.end()?;
        own.extend(mem::take(&mut self.parent).end());
        own.extend(self.joined.drain(..).map(|(.., namespace)| namespace.into()));
        let (above, below) = own.into_iter().partition(|one| one.as_raw_fd().cast_unsigned() >= first);
        sys::descriptors::close_all(below);
        Vec::<OwnedFd>::into_iter(above).for_each(mem::forget);
        let mut kept = vec![self.channel.as_fd()];
        kept.extend(self.root.as_ref().map(AsFd::as_fd));
        kept.extend(self.console.as_ref().map(|console| console.socket.as_fd()));
        kept.extend(self.listener.as_ref().map(AsFd::as_fd));
        kept.extend(self.lock.as_ref().map(AsFd::as_fd));
        sys::descriptors::close_from(first, &kept).context(|| "close descriptors".into())
    }

    fn terminal(&mut self, size: Option<(u16, u16)>, is_console: bool) -> Result<()> {
        let Some(console) = self.console.take() else {
            return Err(Error::new("process.terminal: there is no --console-socket"));
        };
        console::make(self.root()?, &console, size, is_console)
    }

    fn run_hooks(&mut self, moment: Moment) -> Result<()> {
        // As it is known where the hook is run.
        self.state.pid = Some(std::process::id().cast_signed());
        match moment {
            Moment::CreateRuntime => self.channel.ask_for_hooks(),
            Moment::CreateContainer => {
                let around = Around::Root(self.root()?);
                hooks::run(&self.hooks.create_container, "hooks.createContainer", &self.state, around)
            }
            Moment::StartContainer => {
                let env = self.found.as_ref().map(Found::environment).unwrap_or_default();
                let around = Around::Container(&env, self.own_program);
                hooks::run(&self.hooks.start_container, "hooks.startContainer", &self.state, around)
            }
        }
    }

    /// All is set up. From here on it is `start` that waits for the outcome, or still the parent.
    fn wait(&mut self) -> Result<()> {
        self.channel.ready()?;
        let Some(listener) = self.listener.take() else { return Ok(()) };
        // As the first of a PID namespace it would be deaf to what ends its program.
        sys::process::end_by(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT]);
        let (connection, _) = listener.accept().context(|| "wait for start".into())?;
        let connection = Channel::from(OwnedFd::from(connection));
        self.channel.become_other(&connection).inspect_err(|error| connection.fail(error))
    }
}

fn root(root: Option<&OwnedFd>) -> Result<BorrowedFd<'_>> {
    root.map(AsFd::as_fd).ok_or_else(|| Error::new("the plan uses the root before it is there"))
}

fn join(namespaces: &[(CloneFlags, String, File)]) -> Result<()> {
    namespaces.iter().try_for_each(|(kind, path, namespace)| {
        setns(namespace, *kind).context(|| format!("linux.namespaces: join {path}"))
    })
}

fn already(error: nix::errno::Errno) -> nix::Result<()> {
    // A process that leads its group already has a session of its own.
    if error == nix::errno::Errno::EPERM { Ok(()) } else { Err(error) }
}

fn keyring(name: &str) -> Result<()> {
    let name = CString::new(name).unwrap_or_default();
    match sys::keyring::join_session(&name) {
        // A kernel without keys, or a filter above us that hides them.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES)) => {
            Ok(())
        }
        result => result.context(|| "make a session keyring".into()),
    }
}

fn become_root() -> Result<()> {
    let words = || "become root of the user namespace".to_owned();
    let root = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(root.1, root.1, root.1).context(words)?;
    // Denied where setgroups is (user_namespaces(7)); the caller's groups stay then.
    let _ = setgroups(&[]);
    setresuid(root.0, root.0, root.0).context(words)
}

fn take_personality(domain: i32) -> Result<()> {
    let domain = Persona::from_bits_retain(domain);
    personality::set(domain).map(drop).context(|| format!("linux.personality: take on {domain:?}"))
}

fn rlimit(limit: &crate::plan::Rlimit) -> Result<()> {
    let words =
        || format!("process.rlimits: set limit {} to {} and {}", limit.resource, limit.soft, limit.hard);
    let resource = RESOURCES.get(limit.resource as usize).ok_or_else(|| Error(words()))?;
    setrlimit(*resource, limit.soft, limit.hard)
        .map_err(|error| Error(format!("{}: {}", words(), error.cause())))
}

/// Raises this process's own hard limits to those of the steps: who is born of it has them, and in a user namespace
/// none can be raised (setrlimit(2)). One that cannot be raised here either is told of by its step.
pub fn raise_limits(steps: &[Step]) {
    for step in steps {
        let Step::Rlimit(limit) = step else { continue };
        let Some(resource) = RESOURCES.get(limit.resource as usize) else { continue };
        if let Ok((soft, hard)) = getrlimit(*resource)
            && hard < limit.hard
        {
            let _ = setrlimit(*resource, soft, limit.hard);
        }
    }
}

/// By their number.
const RESOURCES: [Resource; 16] = [
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_STACK,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_RSS,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_AS,
    Resource::RLIMIT_LOCKS,
    Resource::RLIMIT_SIGPENDING,
    Resource::RLIMIT_MSGQUEUE,
    Resource::RLIMIT_NICE,
    Resource::RLIMIT_RTPRIO,
    Resource::RLIMIT_RTTIME,
];
