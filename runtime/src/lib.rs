//! Runs OCI bundles, with runc's command line (`docs/runtime.md`).
//!
//! A short-lived program per command, of one thread, since it forks. Nothing of it stays
//! behind a container. It is a library with one function, so that the fuzz targets reach
//! what they try as well.

mod agent;
mod arguments;
mod between;
mod bundle;
mod bus;
mod caller;
mod cgroup;
mod channel;
mod create;
mod delete;
mod error;
mod exec;
mod features;
mod foreground;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod id_map;
mod image_file;
mod json_path;
mod kernel_file;
mod kill;
mod list;
mod log;
mod net_devices;
mod output;
mod passwd;
mod perform;
mod plan;
mod rdt;
mod reaper;
mod record;
mod seccomp;
mod spec;
mod start;
mod usage;

use arguments::{Command, Globals};
use bundle::Bundle;
use create::Starter;
use error::Result;
use foreground::Foreground;
use log::Log;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use perform::Console;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Exit status when `exec` could not run its program: a program's own is smaller.
const EXEC_FAILED: u8 = 255;

/// The whole program: it ends here.
pub fn run() {
    // A caller that ignores it would have its children reaped unseen: nobody could wait for them.
    sys::process::default_signal(libc::SIGCHLD);
    if let Some(status) = reaper::run_if_called() {
        std::process::exit(status.into());
    }
    open_standard_descriptors();
    let arguments = std::env::args_os().skip(1);
    let mut globals = Globals::of(default_root());
    let command = arguments::parse(arguments, &mut globals);
    let log = Log::new(&globals);
    let code = match command {
        Ok(command) => {
            let failed = if matches!(command, Command::Exec(_)) { EXEC_FAILED } else { 1 };
            perform(&globals, command, &log).unwrap_or_else(|error| {
                log.error(&error);
                failed
            })
        }
        Err(error) => {
            log.error(&error);
            1
        }
    };
    std::process::exit(code.into());
}

/// A file that is opened must not become the container's output: what the caller has
/// closed is `/dev/null`.
fn open_standard_descriptors() {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut all =
        [input.as_fd(), output.as_fd(), error.as_fd()].map(|one| PollFd::new(one, PollFlags::empty()));
    let _ = poll(&mut all, PollTimeout::ZERO);
    let is_closed = |one: &&PollFd<'_>| one.revents().is_some_and(|seen| seen.contains(PollFlags::POLLNVAL));
    for _ in all.iter().filter(is_closed) {
        // It takes the lowest number that is free.
        let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") else { return };
        // It is the program's, too.
        let _ = fcntl(&null, FcntlArg::F_SETFD(FdFlag::empty()));
        std::mem::forget(null);
    }
}

/// Root's; a user's own below the folder of the session, also for root of a user namespace.
fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if caller::is_rootless() => PathBuf::from(folder).join("skerry-runtime"),
        _ => ::spec::paths::RUNTIME_ROOT.into(),
    }
}

fn perform(globals: &Globals, command: Command, log: &Log) -> Result<u8> {
    let root = &globals.root;
    let warn = |failed: Vec<error::Error>| failed.iter().for_each(|error| log.warn(error));
    let print = |text: String| output::print(&(text + "\n"));
    match command {
        Command::Create(arguments) => {
            let bundle = Bundle::open(&arguments.bundle, arguments.config.as_deref())?;
            let console = create::connect("--console-socket", arguments.console_socket.as_deref())?;
            let console = console.map(|socket| Console { socket, is_relayed: false });
            create::create(globals, &arguments, &bundle, console, Starter::Other, log)?;
        }
        Command::Run { create, detach, keep } => return run_container(globals, &create, detach, keep, log),
        Command::Start(id) => start::start(root, &id, log)?,
        Command::State(id) => print(list::state(root, &id)?)?,
        Command::Kill { id, signal, all } => kill::kill(root, &id, &signal, all)?,
        Command::Delete { id, force } => warn(delete::delete(root, &id, force)?),
        Command::Exec(arguments) => return run_exec(globals, &arguments, log),
        Command::List { json, quiet } => output::print(&list::list(root, json, quiet)?)?,
        Command::Pause(id) => usage::pause(root, &id)?,
        Command::Resume(id) => usage::resume(root, &id)?,
        Command::Ps { id, json, options } => print(usage::ps(root, &id, json, &options)?)?,
        Command::Events { id, every } => usage::events(root, &id, every)?,
        Command::Update { id, file, resources, schemata } => {
            usage::update_classes(root, &id, &schemata)?;
            warn(usage::update(root, &id, file.as_deref(), &resources)?);
        }
        Command::Features => print(features::features()?)?,
        Command::Spec { bundle, rootless } => spec::spec(&bundle, rootless)?,
        Command::Help => output::print(arguments::USAGE)?,
        Command::Version => print(version())?,
    }
    Ok(0)
}

/// As runc words it. dockerd looks for `version` and `commit:`; containerd's library wants
/// three lines, and nothing in them twice that it splits them at. The builder may tell the commit.
fn version() -> String {
    let commit = option_env!("SKERRY_COMMIT").unwrap_or("unknown");
    let (own, spec) = (env!("CARGO_PKG_VERSION"), ::spec::bundle::OCI_VERSION);
    format!("skerry-runtime version {own}\ncommit: {commit}\nspec: {spec}")
}

fn run_container(
    globals: &Globals,
    arguments: &arguments::Create,
    detach: bool,
    keep: bool,
    log: &Log,
) -> Result<u8> {
    let warn = |failed: Vec<error::Error>| failed.iter().for_each(|error| log.warn(error));
    let bundle = Bundle::open(&arguments.bundle, arguments.config.as_deref())?;
    let terminal = bundle.config.process.as_ref().is_some_and(|process| process.terminal);
    let (foreground, console) = console(detach, arguments.console_socket.as_deref(), terminal)?;
    let created = create::create(globals, arguments, &bundle, console, Starter::Creator, log)?;
    let started = start::start_created(&created, &bundle.config);
    let status = match (started, foreground, created.record.process) {
        (Ok(()), None, _) => return Ok(0),
        (Ok(()), Some(foreground), Some(process)) => foreground.wait(process.pid),
        (Ok(()), _, None) => Ok(0),
        (Err(error), ..) => Err(error),
    };
    if !keep || status.is_err() {
        let hooks = bundle.config.hooks.clone().unwrap_or_default();
        if status.is_err() {
            delete::end_process(&created.record)?;
        }
        warn(delete::remove_ended(&created.place, &created.record, &hooks)?);
    }
    status
}

fn run_exec(globals: &Globals, arguments: &arguments::Exec, log: &Log) -> Result<u8> {
    let given = exec::given(arguments)?;
    // As with runc, a file that says nothing of a terminal has none.
    let terminal = given.as_ref().map_or(arguments.tty, |process| process.terminal);
    let (foreground, console) = console(arguments.detach, arguments.console_socket.as_deref(), terminal)?;
    let pid = exec::exec(&globals.root, arguments, given, console, log)?;
    foreground.map_or(Ok(0), |foreground| foreground.wait(pid))
}

/// Who follows the program, and where its terminal is sent.
fn console(
    detach: bool,
    socket: Option<&std::path::Path>,
    terminal: bool,
) -> Result<(Option<Foreground>, Option<Console>)> {
    let given =
        create::connect("--console-socket", socket)?.map(|socket| Console { socket, is_relayed: false });
    if detach {
        return Ok((None, given));
    }
    let (foreground, own) = Foreground::new(given.is_none() && terminal)?;
    Ok((Some(foreground), given.or(own.map(|socket| Console { socket, is_relayed: true }))))
}
