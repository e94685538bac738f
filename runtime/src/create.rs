//! `create`: the parent's side. Whatever fails, nothing of the container is left.

use crate::agent::Agent;
use crate::arguments::{self, CgroupManager, Globals};
use crate::between;
use crate::bundle::Bundle;
use crate::caller;
use crate::cgroup::{folder, systemd};
use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::id_map;
use crate::log::Log;
use crate::net_devices;
use crate::perform::{self, Around, Console, Performer};
use crate::plan::{self, Birth, Given, Plan, Step};
use crate::rdt;
use crate::record::{self, Place, Record};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use spec::bundle::{Config, NamespaceKind, Process, Status};
use spec::timestamp::rfc3339;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;
use sys::descriptors;
use sys::file::replace;

/// A container that was made. Its first process waits.
#[derive(Debug)]
pub struct Created {
    /// Where it lies.
    pub place: Place,
    /// What is known of it.
    pub record: Record,
    /// To the first process, unless it waits for `start`.
    pub channel: Channel,
}

/// What hooks are told while `state` still says creating: theirs comes after the environment was made, step 2 of the
/// lifecycle, which is where the specification's "created" begins.
const TOLD: Status = Status::Created;

/// Who lets the program of a container run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// `start`, which connects to a socket.
    Other,
    /// Who creates it, by [`Created::channel`].
    Creator,
}

/// Makes a container; its program waits. A terminal is sent to `console`.
///
/// # Errors
/// What is wrong with the bundle, and what could not be done.
pub fn create(
    globals: &Globals,
    arguments: &arguments::Create,
    bundle: &Bundle,
    console: Option<Console>,
    starter: Starter,
    log: &Log,
) -> Result<Created> {
    let path = bundle.path.display().to_string();
    let plan = Plan::new(
        &bundle.config,
        &Given {
            id: &arguments.id,
            bundle: &path,
            no_pivot: arguments.no_pivot,
            no_new_keyring: arguments.no_new_keyring,
            preserve_fds: arguments.preserve_fds,
            listen_fds: listen_fds(),
            systemd_cgroup: globals.cgroup_manager == CgroupManager::Systemd,
            is_rootless: match globals.rootless {
                None => caller::is_rootless,
                Some(true) => || true,
                Some(false) => || false,
            },
        },
    )?;
    let withheld = bundle.config.process.iter().flat_map(|process| withheld(&bundle.config, process));
    plan.warnings.iter().cloned().chain(withheld).for_each(|warning| log.warn(&warning));
    plan.selinux.map_or(Ok(()), perform::check_selinux)?;
    let console = check_console(bundle, console)?;
    let has_cgroups = globals.cgroup_manager == CgroupManager::Cgroupfs && folder::is_there();
    if plan.cgroup.scope.is_none() && !has_cgroups {
        folder::lacking(&plan.cgroup, || match globals.cgroup_manager {
            CgroupManager::Disabled => "--cgroup-manager is disabled".to_owned(),
            _ => folder::is_missing(),
        })?;
        if has_device_rules(&bundle.config) {
            log.warn(&Error::new("linux.resources.devices: they do not hold without a cgroup of version 2"));
        }
    }
    let asked = Asked::new(arguments.pid_file.as_deref(), arguments.pidfd_socket.as_deref())?;
    let place = Place::claim(&globals.root, &arguments.id)?;
    let mut record = Record {
        id: arguments.id.clone(),
        process: None,
        complete: false,
        mount_before: None,
        no_new_keyring: arguments.no_new_keyring,
        rdt: None,
        rootfs: plan::rootfs(&bundle.config, &path),
        bundle: path,
        cgroup: has_cgroups.then(|| plan.cgroup.path.clone()),
        made: None,
        scope: plan.cgroup.scope.as_ref().map(|new| new.scope.clone()),
        created: rfc3339(SystemTime::now()),
        owner: nix::unistd::getuid().as_raw(),
        annotations: bundle.config.annotations.clone(),
    };
    match build(&place, &mut record, &plan, bundle, console, starter, &asked) {
        Ok(channel) => Ok(Created { place, record, channel }),
        Err(error) => {
            undo(&place, &record);
            let state = record.state(Status::Stopped);
            perform::run_all_hooks(&plan.hooks.poststop, "hooks.poststop", &state)
                .iter()
                .for_each(|error| log.warn(error));
            Err(error)
        }
    }
}

/// Capabilities that the caller has not got itself. With users of its own a container has them all, over itself.
pub fn withheld(config: &Config, process: &Process) -> Vec<Error> {
    let mut namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    match sys::capability::permitted() {
        Ok(held) if !namespaces.any(|own| own.kind == NamespaceKind::User) => plan::withheld(process, held),
        _ => Vec::new(),
    }
}

/// Docker gives rules to every container: where they cannot hold, none is refused for them.
fn has_device_rules(config: &Config) -> bool {
    let mut resources = config.linux.iter().flat_map(|linux| &linux.resources);
    resources.any(|resources| !resources.devices.is_empty())
}

/// What a service manager hands over for the program, if it is meant for this process and not for one that it comes from
/// (sd_listen_fds(3)).
fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(std::process::id()));
    count.unwrap_or(0)
}

/// A terminal needs somebody who takes it, and the reverse is a mistake too.
fn check_console(bundle: &Bundle, console: Option<Console>) -> Result<Option<Console>> {
    let terminal = bundle.config.process.as_ref().is_some_and(|process| process.terminal);
    match (terminal, console) {
        (true, None) => {
            Err(Error::new("process.terminal: use --console-socket to say where the terminal is sent"))
        }
        (false, Some(_)) => Err(Error::new("--console-socket: process.terminal is not set")),
        (_, console) => Ok(console),
    }
}

/// The socket that an option names.
///
/// # Errors
/// Nobody listens there.
pub fn connect(option: &str, path: Option<&Path>) -> Result<Option<OwnedFd>> {
    let connect = |path: &Path| {
        UnixStream::connect(path)
            .map(OwnedFd::from)
            .context(|| format!("{option}: connect to {}", path.display()))
    };
    path.map(connect).transpose()
}

/// Who wants to know the new process.
#[derive(Debug)]
pub struct Asked<'a> {
    /// `--pid-file`
    file: Option<&'a Path>,
    /// `--pidfd-socket`
    socket: Option<OwnedFd>,
}

impl<'a> Asked<'a> {
    /// Connects to the socket.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn new(file: Option<&'a Path>, socket: Option<&Path>) -> Result<Self> {
        connect("--pidfd-socket", socket).map(|socket| Self { file, socket })
    }

    /// Sends a descriptor of the process, with the word that runc has for its kind, and writes its ID.
    ///
    /// # Errors
    /// Those of sending a message and of writing a file.
    pub fn tell(&self, pid: i32, kind: &str) -> Result<()> {
        if let Some(socket) = &self.socket {
            sys::pidfd::open(pid)
                .and_then(|held| descriptors::send(socket.as_fd(), kind.as_bytes(), &[held.as_fd()]))
                .context(|| "--pidfd-socket: send a descriptor of the process".into())?;
        }
        let Some(path) = self.file else { return Ok(()) };
        let words = || format!("--pid-file: write {}", path.display());
        replace(path, pid.to_string().as_bytes()).context(words)
    }
}

fn build(
    place: &Place,
    record: &mut Record,
    plan: &Plan,
    bundle: &Bundle,
    console: Option<Console>,
    starter: Starter,
    asked: &Asked<'_>,
) -> Result<Channel> {
    if plan.steps.iter().any(|step| matches!(step, Step::SharedRoot(_))) {
        record.mount_before = Some(perform::mount_number(&record.rootfs)?);
    }
    let process = bundle.config.process.as_ref();
    let agent = process.map_or(Ok(None), |_| Agent::connect(&bundle.config))?;
    record.rdt = plan.rdt.as_ref().map(rdt::claim).transpose()?;
    place.write(record)?;
    replace(&place.file("config.json"), &bundle.text).context(|| "keep config.json".into())?;
    let cgroup = if record.cgroup.is_some() { folder::make(&plan.cgroup, &mut record.made)? } else { None };
    if cgroup.is_none() {
        record.cgroup = None;
    }
    if let (Some(held), Some(rdt)) = (&record.rdt, &plan.rdt) {
        held.make(rdt)?;
    }
    let lock = File::create(place.file("created")).context(|| "make a lock".into())?;
    lock.lock().context(|| "lock the container".into())?;
    let (parent, child) = Channel::pair()?;
    let mut performer = Performer::new(child, record.state(TOLD));
    performer.joined = between::open(plan.namespaces.joined_by_child(), &plan.steps)?;
    performer.console = console;
    performer.listener = (starter == Starter::Other).then(|| place.listen()).transpose()?;
    performer.hooks = plan.hooks.clone();
    performer.lock = Some(lock);
    let (pid, parent) = fork(plan, cgroup, performer, parent)?;
    record.process = record::Process::of(pid);
    let done = lead(place, record, plan, &parent, agent, asked).and_then(|()| match starter {
        Starter::Other => parent.go(),
        Starter::Creator => Ok(()),
    });
    if done.is_err() {
        let _ = sys::process::kill(pid, libc::SIGKILL);
        sys::process::reap(pid);
    }
    done.map(|()| parent)
}

/// Makes the first process, which performs the plan and does not return.
fn fork(plan: &Plan, cgroup: Option<File>, performer: Performer, parent: Channel) -> Result<(i32, Channel)> {
    // Hooks and the container's end are not in the namespaces that the first process is born into.
    let mut own = Vec::new();
    let mut keep = |file: &str, kind| {
        own.push((File::open(file).context(|| format!("open {file}"))?, kind));
        Ok(())
    };
    if let Some(path) = plan.namespaces.joined_pid() {
        let words = || format!("linux.namespaces: join {path}");
        keep("/proc/self/ns/pid", CloneFlags::CLONE_NEWPID)?;
        let namespace = File::open(path).context(words)?;
        setns(namespace, CloneFlags::CLONE_NEWPID).context(words)?;
    }
    if plan.namespaces.has_own_time() {
        keep("/proc/self/ns/time", plan::flag(NamespaceKind::Time))?;
        make_time_namespace(plan)?;
    }
    if plan.namespaces.has_users() {
        perform::raise_limits(&plan.steps);
    }
    let flags = plan.namespaces.at_clone().bits() as u32;
    if plan.namespaces.is_born_in_sight() {
        prctl::set_dumpable(false).context(|| "close this process".into())?;
    }
    let folder = cgroup.as_ref().map(AsFd::as_fd);
    let forked = match plan.namespaces.birth() {
        Birth::Cloned => sys::fork::fork(u64::from(flags), folder)
            .context(|| format!("make the first process in new namespaces {:?}", plan.namespaces.at_clone())),
        Birth::Between => between::fork(&plan.namespaces, &plan.steps, folder),
    };
    match forked? {
        Some(pid) => {
            for (namespace, kind) in own {
                setns(namespace, kind).context(|| format!("return from a namespace {kind:?}"))?;
            }
            Ok((pid, parent))
        }
        None => {
            drop((parent, cgroup));
            performer.perform(&plan.steps)
        }
    }
}

fn make_time_namespace(plan: &Plan) -> Result<()> {
    unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).context(|| "make a time namespace".into())?;
    if plan.namespaces.time_offsets.is_empty() {
        return Ok(());
    }
    fs::write("/proc/self/timens_offsets", &plan.namespaces.time_offsets)
        .context(|| "linux.timeOffsets: write".into())
}

/// Does for the first process what only the parent can, until the container is created.
fn lead(
    place: &Place,
    record: &mut Record,
    plan: &Plan,
    channel: &Channel,
    mut agent: Option<Agent>,
    asked: &Asked<'_>,
) -> Result<()> {
    let Some(record::Process { pid, .. }) = record.process else { return Err(gone()) };
    place.write(record)?;
    if let Some(new) = &plan.cgroup.scope {
        // Its path is not on record before it is ours: another container may have one of this name.
        let path = systemd::start(new, pid)?;
        record.cgroup = Some(path.clone());
        place.write(record)?;
        folder::check_thawed(&path)?;
        folder::limit(&path, &folder::open(&path)?, &plan.cgroup)?;
    }
    record.rdt.as_ref().map_or(Ok(()), |rdt| rdt.enter(pid))?;
    if let Some(value) = plan.oom_score_adj {
        set_oom_score(pid, value)?;
    }
    if plan.namespaces.maps_users() {
        id_map::write(pid, &plan.namespaces.uid_map, &plan.namespaces.gid_map)?;
    }
    if plan.steps.contains(&Step::AwaitParent) {
        channel.go()?;
    }
    loop {
        let (message, descriptor) = channel.next_with_descriptor()?;
        let mut made = None;
        match message {
            Message::Mount(name) => {
                let namespace = descriptor.ok_or_else(gone)?;
                made = perform::parents_mount(plan, &name, &namespace)?;
            }
            Message::Hooks => run_hooks(record, plan)?,
            Message::NetDevices => net_devices::move_to(pid, &plan.net_devices)?,
            Message::Ready => break,
            Message::Failed(error) => return Err(error),
            Message::Listener => {
                let (Some(agent), Some(listener)) = (agent.take(), descriptor) else { return Err(gone()) };
                agent.tell(&listener, pid, record.state(Status::Creating))?;
            }
            Message::Gone | Message::NotRun(_) | Message::Born(_) | Message::Tree => return Err(gone()),
        }
        channel.go_with(made)?;
    }
    record.complete = true;
    place.write(record)?;
    asked.tell(pid, "standard")
}

/// Without `CAP_SYS_RESOURCE` the value can only be raised: the container runs all the
/// same, as with runc.
pub fn set_oom_score(pid: i32, value: i32) -> Result<()> {
    match fs::write(format!("/proc/{pid}/oom_score_adj"), value.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        written => written.context(|| format!("process.oomScoreAdj: set {value}")),
    }
}

/// `prestart` is `createRuntime`'s old name.
fn run_hooks(record: &Record, plan: &Plan) -> Result<()> {
    let state = record.state(TOLD);
    perform::run_hooks(&plan.hooks.prestart, "hooks.prestart", &state, Around::Host)?;
    perform::run_hooks(&plan.hooks.create_runtime, "hooks.createRuntime", &state, Around::Host)
}

fn gone() -> Error {
    Error::new(
        "the container's first process ended before it was set up: it was killed, or the memory limit is too low",
    )
}

fn undo(place: &Place, record: &Record) {
    match &record.cgroup {
        // It was there before, and stays.
        Some(path) if record.made.is_none() && record.scope.is_none() => {
            let _ = record.has_own_cgroup(place).then(|| folder::kill(path));
        }
        _ => drop(record.clear_cgroup(place)),
    }
    if let (Some(path), Some(made)) = (&record.cgroup, &record.made) {
        folder::remove_above(path, made);
    }
    let _ = record.stop_scope();
    let _ = record.unmount();
    let _ = record.rdt.as_ref().map(rdt::Held::remove);
    let _ = place.remove();
}
