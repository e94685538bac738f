//! `exec`: one more program in a container.

use crate::agent::{self, Agent};
use crate::arguments;
use crate::between;
use crate::bundle;
use crate::cgroup::{folder, systemd};
use crate::channel::{Channel, Message};
use crate::create::{Asked, withheld};
use crate::error::{Context, Error, Result};
use crate::log::Log;
use crate::perform::{self, Console, Performer};
use crate::plan::{self, Step};
use crate::record::{Place, Record};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use spec::bundle::{Capabilities, Config, Linux, Process, Status};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Runs a program in a container and returns its process ID; a terminal is sent to
/// `console`.
///
/// # Errors
/// The container does not run; what the process asks for and cannot have; the program is not
/// there.
pub fn exec(
    root: &Path,
    arguments: &arguments::Exec,
    given: Option<Process>,
    console: Option<Console>,
    log: &Log,
) -> Result<i32> {
    let id = &arguments.id;
    let place = Place::of(root, id);
    let record = place.read(id)?;
    match record.status(&place) {
        Status::Running | Status::Created => {}
        Status::Paused if arguments.ignore_paused => {}
        Status::Paused => return Err(Error(format!("container {id:?}: cannot exec in a paused container"))),
        status => {
            return Err(Error(format!("container {id:?}: cannot exec in a container that is {status}")));
        }
    }
    let config = place.config()?;
    let process = given.map_or_else(|| process(arguments, &config), |given| Ok(filled(given, &config)))?;
    if process.terminal && console.is_none() {
        return Err(Error::new("process.terminal: use --console-socket to say where the terminal is sent"));
    }
    let warnings = plan::warnings(&process).into_iter().chain(withheld(&config, &process));
    warnings.for_each(|warning| log.warn(&warning));
    let none = Linux::default();
    let linux = config.linux.as_ref().unwrap_or(&none);
    plan::needs_selinux(Some(&process), &none).map_or(Ok(()), perform::check_selinux)?;
    let keyring = (!record.no_new_keyring).then_some(id.as_str());
    let steps = plan::exec(&process, linux, arguments.preserve_fds, keyring)?;
    perform::set_affinity("initial", &plan::affinity(&process)?.initial)?;
    let asked = Asked::new(arguments.pid_file.as_deref(), arguments.pidfd_socket.as_deref())?;
    let cgroup = cgroup(&record, arguments.cgroup.as_deref())?;
    let pid = join_and_fork(&record, &config, &process, &steps, console, cgroup)?;
    asked.tell(pid, "setns").inspect_err(|_| end(pid))?;
    Ok(pid)
}

/// What the file that `--process` names says.
///
/// # Errors
/// It cannot be read, or is no process.
pub fn given(arguments: &arguments::Exec) -> Result<Option<Process>> {
    let Some(path) = &arguments.process else { return Ok(None) };
    let text = fs::read(path).context(|| format!("--process: read {}", path.display()))?;
    bundle::parse(&text, path).map(Some)
}

/// What a file says; where it is silent about what keeps the program in bounds the container's holds, as with runc.
fn filled(mut process: Process, config: &Config) -> Process {
    let Some(own) = config.process.clone() else { return process };
    if process.rlimits.is_empty() {
        process.rlimits = own.rlimits;
    }
    let labels = [
        (&mut process.apparmor_profile, own.apparmor_profile),
        (&mut process.selinux_label, own.selinux_label),
    ];
    labels.into_iter().filter(|(label, _)| label.is_empty()).for_each(|(label, own)| *label = own);
    process.capabilities = process.capabilities.or(own.capabilities);
    process.oom_score_adj = process.oom_score_adj.or(own.oom_score_adj);
    process.user.umask = process.user.umask.or(own.user.umask);
    process.scheduler = process.scheduler.or(own.scheduler);
    process.io_priority = process.io_priority.or(own.io_priority);
    process.exec_cpu_affinity = process.exec_cpu_affinity.or(own.exec_cpu_affinity);
    process
}

/// What the command line says; the rest is the container's.
fn process(arguments: &arguments::Exec, config: &Config) -> Result<Process> {
    let mut process = config.process.clone().unwrap_or_default();
    process.args.clone_from(&arguments.args);
    process.terminal = arguments.tty;
    process.no_new_privileges |= arguments.no_new_privs;
    process.env.extend(arguments.env.iter().cloned());
    if let Some(label) = &arguments.process_label {
        process.selinux_label.clone_from(label);
    }
    if let Some(cwd) = &arguments.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(profile) = &arguments.apparmor {
        process.apparmor_profile.clone_from(profile);
    }
    if let Some(user) = &arguments.user {
        let (uid, gid) = user_of(user)?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&arguments.additional_gids);
    add_capabilities(&mut process, &arguments.cap);
    Ok(process)
}

/// `UID` or `UID:GID`.
fn user_of(text: &str) -> Result<(u32, Option<u32>)> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    match (uid.parse(), gid.map(str::parse).transpose()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err(Error(format!("--user {text:?}: neither UID nor UID:GID"))),
    }
}

/// Not to the inheritable set, and to the ambient one only where config.json fills that, as with runc: what the program
/// starts would get them (CVE-2022-29162).
fn add_capabilities(process: &mut Process, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let sets = process.capabilities.get_or_insert_with(Capabilities::default);
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.extend(names.iter().cloned());
    }
    if !sets.inheritable.is_empty() {
        sets.ambient.extend(names.iter().cloned());
    }
}

fn join_and_fork(
    record: &Record,
    config: &Config,
    process: &Process,
    steps: &[Step],
    console: Option<Console>,
    cgroup: Option<Cgroup>,
) -> Result<i32> {
    let kinds = kinds(config);
    // Before the process is known to be the container's still.
    let root = root_of(record, kinds)?;
    let held = record.process.and_then(|process| process.open());
    let held = held.ok_or_else(|| Error(format!("container {:?}: it has stopped", record.id)))?;
    // The new process is seen in the container from its first moment on.
    prctl::set_dumpable(false).context(|| "close this process".into())?;
    if kinds.contains(CloneFlags::CLONE_NEWUSER) {
        perform::raise_limits(steps);
    }
    let agent = Agent::connect(config)?;
    let (parent, child) = Channel::pair()?;
    let (here, there) = Channel::pair()?;
    let mut performer = Performer::new(child, record.state(Status::Running));
    performer.console = console;
    performer.root = root;
    let mut forked = fork(record, cgroup.as_ref());
    // A user may not move a process there from another session; systemd may.
    let denied = matches!(&forked, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
    let scope = record.scope.as_ref().filter(|_| denied);
    if scope.is_some() {
        forked = sys::fork::fork(0, None);
    }
    // Callers of runc look for these words.
    match forked
        .context(|| "error adding pid of a new process to cgroups: make it in the container's".into())?
    {
        Some(between) => {
            drop((performer, there));
            if let Some(scope) = scope {
                systemd::attach(scope, between).inspect_err(|_| end(between))?;
                parent.go()?;
            }
            let pid = between::born(&here, between)?;
            record.rdt.as_ref().map_or(Ok(()), |rdt| rdt.enter(pid)).inspect_err(|_| end(pid))?;
            let agent = agent.map(|agent| (agent, pid, record.state(Status::Running)));
            follow(pid, || agent::hear(&parent, agent, process.args.first()))
        }
        None => {
            drop((parent, here, cgroup, agent));
            if scope.is_some() && performer.channel.wait_for_go().is_err() {
                sys::fork::exit_now(1);
            }
            between::make(there, || {
                process.oom_score_adj.map_or(Ok(()), take_oom_score)?;
                enter(&mut performer, held, kinds)
            });
            performer.perform(steps)
        }
    }
}

/// The cgroup of the new process.
struct Cgroup {
    folder: File,
    /// It is that one or none.
    named: bool,
}

/// The container's, or one below it that `--cgroup` names.
fn cgroup(record: &Record, below: Option<&str>) -> Result<Option<Cgroup>> {
    let Some(path) = &record.cgroup else {
        return below.map_or(Ok(None), |_| Err(Error::new("--cgroup: the container has no cgroup")));
    };
    let name = below.unwrap_or_default().trim_matches('/');
    if name.contains(':') {
        return Err(Error(format!("--cgroup {name:?}: controllers have no hierarchies of their own here")));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(Error(format!(
            "--cgroup {name:?}: bad sub cgroup path, it leads out of the container's"
        )));
    }
    let words = || format!("open the cgroup {path}/{name}");
    let folder = match File::open(folder::of(path).join(name)) {
        // Its processes have moved to another, and that one is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && below.is_none() => {
            File::open(first_processes(record).context(words)?)
        }
        opened => opened,
    };
    let folder = folder.context(words)?;
    Ok(Some(Cgroup { folder, named: below.is_some() }))
}

/// Forks the process between into the container's cgroup, or into its first process's: one that has given its
/// controllers on to others below it takes no process itself.
fn fork(record: &Record, cgroup: Option<&Cgroup>) -> io::Result<Option<i32>> {
    let named = cgroup.is_some_and(|own| own.named);
    match sys::fork::fork(0, cgroup.map(|own| own.folder.as_fd())) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) && !named => {
            sys::fork::fork(0, Some(File::open(first_processes(record)?)?.as_fd()))
        }
        forked => forked,
    }
}

/// The folder of the cgroup that its first process is in.
fn first_processes(record: &Record) -> io::Result<PathBuf> {
    folder::of_process(record.process.map_or(0, |process| process.pid))
}

/// The container's root, which its mount namespace leads to if there is one.
fn root_of(record: &Record, kinds: CloneFlags) -> Result<Option<OwnedFd>> {
    if kinds.contains(CloneFlags::CLONE_NEWNS) {
        return Ok(None);
    }
    let path = format!("/proc/{}/root", record.process.map_or(0, |process| process.pid));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(&*path, flags, Mode::empty()).map(Some).context(|| "open the container's root".into())
}

fn end(pid: i32) {
    let _ = sys::process::kill(pid, libc::SIGKILL);
    sys::process::reap(pid);
}

/// Every namespace that the container does not have in common with the runtime.
fn kinds(config: &Config) -> CloneFlags {
    let namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    plan::flags(namespaces.map(|namespace| namespace.kind))
}

/// The process between takes the value that the one that it makes inherits. Its files are its user's while it is open, and
/// nobody of the container sees it yet.
fn take_oom_score(value: i32) -> Result<()> {
    let words = || "open this process".into();
    prctl::set_dumpable(true).context(words)?;
    crate::create::set_oom_score(std::process::id() as i32, value)?;
    prctl::set_dumpable(false).context(words)
}

/// The process between: joins all namespaces at once, and makes the new process, which is the container's from its birth
/// on.
fn enter(performer: &mut Performer, container: OwnedFd, kinds: CloneFlags) -> Result<Option<i32>> {
    if !kinds.is_empty() {
        setns(&container, kinds).context(|| "join the container's namespaces".into())?;
    }
    drop(container);
    performer.root.as_ref().map_or(Ok(()), |root| perform::change_root(root.as_fd()))?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    performer.root = Some(open("/", flags, Mode::empty()).context(|| "open the container's root".into())?);
    sys::fork::fork_sibling(0, None).context(|| "make a process in the container".into())
}

/// Waits until the program runs or could not be run.
fn follow(pid: i32, hear: impl FnOnce() -> Result<Message>) -> Result<i32> {
    let ran = match hear() {
        Ok(Message::Gone) => Ok(pid),
        Ok(Message::Failed(error)) | Err(error) => Err(error),
        Ok(other) => Err(Error(format!("the new process said {other:?}"))),
    };
    ran.inspect_err(|_| end(pid))
}
