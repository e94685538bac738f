//! The command line, as runc has it.
//!
//! Options stand before and after the container's ID alike; what follows the ID
//! of `exec` is the program and its own arguments.

mod inspect;
mod lifecycle;

use crate::error::{Context, Error, Result};
use lexopt::{Arg, Parser, ValueExt};
use spec::bundle::Resources;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What stands before the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globals {
    /// Where containers' states lie.
    pub root: PathBuf,
    /// Where errors are written beside standard error.
    pub log: Option<PathBuf>,
    /// JSON lines instead of text.
    pub log_json: bool,
    /// Errors are written nowhere else: standard error is the container's.
    pub log_only: bool,
    /// Who makes cgroups.
    pub cgroup_manager: CgroupManager,
    /// Whether the caller lacks the host root's rights; to be found out when `None`.
    pub rootless: Option<bool>,
}

/// Who makes the containers' cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupManager {
    /// The runtime itself.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: a container is in its caller's.
    Disabled,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Makes a container, whose program waits for `Start`.
    Create(Create),
    /// `Create`, `Start`, waits for the end, `Delete`.
    Run {
        /// What `create` takes.
        create: Create,
        /// Return once the program runs.
        detach: bool,
        /// Leave the stopped container.
        keep: bool,
    },
    /// Lets a created container's program run.
    Start(String),
    /// Prints a container's state.
    State(String),
    /// Sends a signal.
    Kill {
        /// Which container.
        id: String,
        /// Number, or name with or without `SIG`.
        signal: String,
        /// To every process of the container.
        all: bool,
    },
    /// Removes a stopped container.
    Delete {
        /// Which container.
        id: String,
        /// Kill it first; do nothing when there is none.
        force: bool,
    },
    /// Runs one more program in a container.
    Exec(Box<Exec>),
    /// Prints all containers.
    List {
        /// JSON instead of a table.
        json: bool,
        /// IDs alone.
        quiet: bool,
    },
    /// Freezes every process of the container.
    Pause(String),
    /// Lets them go on.
    Resume(String),
    /// Prints the container's processes.
    Ps {
        /// Which container.
        id: String,
        /// Their numbers as JSON, instead of what ps(1) says of them.
        json: bool,
        /// For ps(1).
        options: Vec<String>,
    },
    /// Prints what the container uses.
    Events {
        /// Which container.
        id: String,
        /// Again and again, with so much time between; once when `None`.
        every: Option<Duration>,
    },
    /// Changes the container's limits.
    Update {
        /// Which container.
        id: String,
        /// A file of `linux.resources`; `-` is standard input.
        file: Option<PathBuf>,
        /// What the other options say.
        resources: Box<Resources>,
        /// Lines of resctrl's `schemata`.
        schemata: Vec<String>,
    },
    /// Prints what the runtime can do.
    Features,
    /// Writes a `config.json` to begin with.
    Spec {
        /// Where.
        bundle: PathBuf,
        /// For a caller who is not root.
        rootless: bool,
    },
    /// Prints the usage.
    Help,
    /// Prints the version.
    Version,
}

/// What `create` and `run` take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// The new container's name.
    pub id: String,
    /// The folder with `config.json`.
    pub bundle: PathBuf,
    /// Another file than that, from the working folder.
    pub config: Option<PathBuf>,
    /// Where the process ID is written.
    pub pid_file: Option<PathBuf>,
    /// The socket that is sent a descriptor of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// The socket that is sent the terminal.
    pub console_socket: Option<PathBuf>,
    /// Do without `pivot_root`.
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Descriptors from 3 on that the program keeps.
    pub preserve_fds: u32,
}

/// What `exec` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// Which container.
    pub id: String,
    /// A file with a whole `process` of config.json.
    pub process: Option<PathBuf>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// A new terminal; as `process` or the container says when `None`.
    pub tty: bool,
    /// `UID` or `UID:GID`.
    pub user: Option<String>,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// Folder in the container.
    pub cwd: Option<String>,
    /// More of the environment, `NAME=value`.
    pub env: Vec<String>,
    /// More capabilities, `CAP_…`.
    pub cap: Vec<String>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// Another AppArmor profile.
    pub apparmor: Option<String>,
    /// Another SELinux label.
    pub process_label: Option<String>,
    /// Below the container's cgroup.
    pub cgroup: Option<String>,
    /// Return once the program runs.
    pub detach: bool,
    /// Also in a paused container.
    pub ignore_paused: bool,
    /// Where the process ID is written.
    pub pid_file: Option<PathBuf>,
    /// The socket that is sent a descriptor of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// The socket that is sent the terminal.
    pub console_socket: Option<PathBuf>,
    /// Descriptors from 3 on that the program keeps.
    pub preserve_fds: u32,
}

/// What is printed for who asks.
pub const USAGE: &str = include_str!("../usage.txt");

/// Commands of runc that do not exist here: they take CRIU.
const MISSING: [&str; 2] = ["checkpoint", "restore"];

impl Globals {
    /// Nothing is said yet.
    pub fn of(root: PathBuf) -> Self {
        let cgroup_manager = CgroupManager::Cgroupfs;
        Self { root, log: None, log_json: false, log_only: false, cgroup_manager, rootless: None }
    }
}

/// Reads the arguments behind the program's own name. What stands before a mistake is in `globals`: it is to be told in the log.
///
/// # Errors
/// An unknown or incomplete option, a wrong value, a missing ID.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, globals: &mut Globals) -> Result<Command> {
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = next(&mut parser)? {
        match argument {
            Arg::Long("root") => globals.root = path(&mut parser)?,
            Arg::Long("log") => globals.log = Some(path(&mut parser)?),
            Arg::Long("log-format") => globals.log_json = log_format(&mut parser)?,
            Arg::Long("log-only") => globals.log_only = flag(&mut parser)?,
            // Nothing more is told with it; callers give it all the same.
            Arg::Long("debug") => drop(flag(&mut parser)?),
            Arg::Long("rootless") => globals.rootless = rootless(&mut parser)?,
            Arg::Long("systemd-cgroup") => {
                globals.cgroup_manager = match flag(&mut parser)? {
                    true => CgroupManager::Systemd,
                    false => CgroupManager::Cgroupfs,
                }
            }
            Arg::Long("cgroup-manager") => globals.cgroup_manager = cgroup_manager(&mut parser)?,
            Arg::Short('v') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Value(name) => {
                let rest = parser.raw_args().context(|| "arguments".to_owned())?;
                let name = name.to_string_lossy();
                return match rest.as_slice().first().and_then(|first| first.to_str()) {
                    Some("-h" | "--help") if USAGE.contains(&format!("\n  {name} ")) => Ok(Command::Help),
                    _ => command(&name, &mut parser),
                };
            }
            other => return Err(unexpected(&other)),
        }
    }
    Err(Error::new("no command is given; --help lists them"))
}

fn command(name: &str, parser: &mut Parser) -> Result<Command> {
    match name {
        "create" => lifecycle::create(parser, false),
        "run" => lifecycle::create(parser, true),
        "start" => only_id(parser).map(Command::Start),
        "state" => only_id(parser).map(Command::State),
        "kill" => lifecycle::kill(parser),
        "delete" => lifecycle::delete(parser),
        "exec" => lifecycle::exec(parser),
        "list" => inspect::list(parser),
        "features" => nothing(parser).map(|()| Command::Features),
        "spec" => inspect::spec(parser),
        "pause" => only_id(parser).map(Command::Pause),
        "resume" => only_id(parser).map(Command::Resume),
        "ps" => inspect::ps(parser),
        "events" => inspect::events(parser),
        "update" => inspect::update(parser),
        "help" => Ok(Command::Help),
        name if MISSING.contains(&name) => Err(Error(format!("{name}: not supported: it takes CRIU"))),
        name => Err(Error(format!("No help topic for '{name}': it is not a command; --help lists them"))),
    }
}

fn only_id(parser: &mut Parser) -> Result<String> {
    let mut id = None;
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    needed(id)
}

fn nothing(parser: &mut Parser) -> Result<()> {
    next(parser)?.map_or(Ok(()), |argument| Err(unexpected(&argument)))
}

/// A container's name becomes the name of a folder and of a cgroup.
fn identity(value: OsString) -> Result<String> {
    let id = word(value)?;
    let known = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
    if id.is_empty() || id == "." || id == ".." || id.len() > 255 || !id.chars().all(known) {
        return Err(Error(format!("container ID {id:?}: letters, digits and _+-. can be in one")));
    }
    Ok(id)
}

fn needed(id: Option<String>) -> Result<String> {
    id.ok_or_else(|| Error::new("no container ID is given"))
}

fn next<'a>(parser: &'a mut Parser) -> Result<Option<Arg<'a>>> {
    parser.next().context(|| "arguments".to_owned())
}

fn unexpected(argument: &Arg<'_>) -> Error {
    Error(match argument {
        Arg::Short(letter) => format!("option -{letter} is not known here"),
        Arg::Long(name) => format!("option --{name} is not known here"),
        Arg::Value(value) => format!("argument {value:?} is one too many"),
    })
}

fn path(parser: &mut Parser) -> Result<PathBuf> {
    parser.value().map(PathBuf::from).context(|| "arguments".to_owned())
}

fn text(parser: &mut Parser) -> Result<String> {
    word(parser.value().context(|| "arguments".to_owned())?)
}

fn word(value: OsString) -> Result<String> {
    value.into_string().map_err(|value| Error(format!("argument {value:?} is not UTF-8")))
}

fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    parser: &mut Parser,
    option: &str,
) -> Result<T> {
    let value = parser.value().context(|| "arguments".to_owned())?;
    value.parse().context(|| option.to_owned())
}

/// A flag, which may be switched off again: `--flag=false`, in Go's words (`strconv.ParseBool`), but for its letters:
/// `-dt` is a mistake, and not `-d=t`.
fn flag(parser: &mut Parser) -> Result<bool> {
    let Some(value) = parser.optional_value() else { return Ok(true) };
    match value.to_str() {
        Some("1" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "false" | "FALSE" | "False") => Ok(false),
        _ => Err(Error(format!("a flag cannot be {value:?}"))),
    }
}

fn rootless(parser: &mut Parser) -> Result<Option<bool>> {
    match text(parser)?.as_str() {
        "auto" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        other => Err(Error(format!("--rootless {other:?}: none of true, false and auto"))),
    }
}

/// As crun has it, which Podman calls so.
fn cgroup_manager(parser: &mut Parser) -> Result<CgroupManager> {
    match text(parser)?.as_str() {
        "cgroupfs" => Ok(CgroupManager::Cgroupfs),
        "systemd" => Ok(CgroupManager::Systemd),
        "disabled" => Ok(CgroupManager::Disabled),
        other => Err(Error(format!("--cgroup-manager {other:?}: none of cgroupfs, systemd and disabled"))),
    }
}

fn log_format(parser: &mut Parser) -> Result<bool> {
    match text(parser)?.as_str() {
        "json" => Ok(true),
        "text" => Ok(false),
        other => Err(Error(format!("--log-format {other:?}: neither text nor json"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Globals, Command)> {
        let mut globals = Globals::of("/run/x".into());
        let command = parse(line.split_whitespace().map(OsString::from), &mut globals)?;
        Ok((globals, command))
    }

    fn command_of(line: &str) -> Command {
        read(line).unwrap().1
    }

    #[test]
    fn conmons_call_is_understood() {
        let line =
            "--log-format=json --log /l create --bundle /b --pid-file /p --no-pivot --preserve-fds 2 abc";
        let (globals, command) = read(line).unwrap();
        let expected = Globals {
            root: "/run/x".into(),
            log: Some("/l".into()),
            log_json: true,
            log_only: false,
            cgroup_manager: CgroupManager::Cgroupfs,
            rootless: None,
        };
        assert_eq!(globals, expected);
        let create = Create {
            id: "abc".into(),
            bundle: "/b".into(),
            pid_file: Some("/p".into()),
            no_pivot: true,
            preserve_fds: 2,
            ..Create::default()
        };
        assert_eq!(command, Command::Create(create));
    }

    #[test]
    fn options_stand_before_and_after_the_id() {
        assert_eq!(command_of("create -b /b abc"), command_of("create abc --bundle=/b"));
        assert_eq!(command_of("delete --force abc"), command_of("delete abc -f"));
        assert_eq!(command_of("kill --all abc KILL"), command_of("kill abc KILL --all"));
        assert_eq!(
            command_of("exec --process /p --detach abc"),
            command_of("exec abc --process /p --detach")
        );
    }

    #[test]
    fn what_follows_the_id_of_exec_is_the_programs() {
        let Command::Exec(exec) = command_of("exec -e A=b abc ls -l --all") else { panic!("not exec") };
        assert_eq!(
            (exec.env, exec.args),
            (vec!["A=b".into()], vec!["ls".into(), "-l".into(), "--all".into()])
        );
        assert_eq!(command_of("exec abc -- ls"), command_of("exec abc ls"));
        assert_eq!(command_of("exec --help"), Command::Help);
    }

    #[test]
    fn a_flag_is_switched_in_gos_words() {
        for (word, detach) in
            [("", true), ("=1", true), ("=True", true), ("=TRUE", true), ("=false", false), ("=0", false)]
        {
            let Command::Run { detach: is, .. } = command_of(&format!("run --detach{word} abc")) else {
                panic!("not run")
            };
            assert_eq!(is, detach, "{word}");
        }
        assert_eq!(command_of("delete --force=false abc"), command_of("delete abc"));
        assert!(read("run --detach=yes abc").is_err());
        assert!(read("exec -dt abc sh").is_err() && read("delete -ff abc").is_err());
    }

    #[test]
    fn the_last_word_about_cgroups_counts() {
        let manager =
            |line: &str| read(&format!("{line} state abc")).map(|(globals, _)| globals.cgroup_manager);
        assert_eq!(manager("--cgroup-manager=disabled"), Ok(CgroupManager::Disabled));
        assert_eq!(manager("--systemd-cgroup"), Ok(CgroupManager::Systemd));
        assert_eq!(manager("--systemd-cgroup --cgroup-manager cgroupfs"), Ok(CgroupManager::Cgroupfs));
        assert!(manager("--cgroup-manager v1").unwrap_err().0.contains("\"v1\""));
    }

    #[test]
    fn times_are_as_go_writes_them() {
        for (text, milliseconds) in [("100ms", 100), ("5", 5000), ("2m", 120_000)] {
            let every = Some(Duration::from_millis(milliseconds));
            let events = Command::Events { id: "abc".into(), every };
            assert_eq!(command_of(&format!("events --interval {text} abc")), events);
        }
        assert!(read("events --interval 0ms abc").is_err() && read("events --interval 1us abc").is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, words) in [
            ("", "no command is given"),
            ("fly abc", "No help topic for 'fly'"),
            ("fly -h", "No help topic for 'fly'"),
            ("checkpoint abc", "checkpoint: not supported: it takes CRIU"),
            ("create", "no container ID is given"),
            ("create ../abc", "container ID \"../abc\""),
            ("create ..", "container ID \"..\""),
            ("start abc def", "argument \"def\" is one too many"),
            ("state --fly abc", "option --fly is not known here"),
            ("create --preserve-fds many abc", "--preserve-fds"),
            ("--log-format xml state abc", "\"xml\""),
            ("exec abc", "no program is given"),
        ] {
            let error = read(line).unwrap_err().0;
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
