//! Options of the verbs for containers.

use super::Options;
use super::options::Resources;
use crate::detach;
use crate::format::Format;
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// `skerry run`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry run -it --rm busybox\n  skerry run -d --name web -p 8080:80 nginx\n  \
    skerry run --rm -v /data:/data:ro -e KEY=value app program --its-option\n\n\
    Exit status: the program's own; 125 when Skerry could not, 126 when the program cannot be run, 127 when there is none."
)]
pub struct Run {
    /// In the background; the container's ID is printed
    #[arg(short, long)]
    pub detach: bool,
    /// stdin, stdout or stderr: join these streams alone
    #[arg(short, long, value_name = "STREAM", ignore_case = true, conflicts_with = "detach")]
    pub attach: Vec<Stream>,
    /// Keys that leave the terminal
    #[arg(long, value_name = "KEYS", default_value = detach::USUAL)]
    pub detach_keys: String,
    /// Do not send signals on to the program
    #[arg(long = "no-sig-proxy")]
    pub keep_signals: bool,
    /// The same as Docker says it: --sig-proxy=false
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true")]
    pub sig_proxy: bool,
    /// What the container is
    #[command(flatten)]
    pub options: Options,
}

/// A stream of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Standard input
    Stdin,
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl Run {
    /// Whether a stream is joined: input when it is kept open, and output, unless it is said which.
    pub fn joins(&self, stream: Stream) -> bool {
        let said = self.attach.is_empty() || self.attach.contains(&stream);
        said && (stream != Stream::Stdin || self.options.interactive)
    }
}

/// Verbs with nothing but names.
#[derive(Debug, Args)]
pub struct Names {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// `skerry start`
#[derive(Debug, Args)]
pub struct Start {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Join its output, and end with its exit status
    #[arg(short, long)]
    pub attach: bool,
    /// Join its input
    #[arg(short, long)]
    pub interactive: bool,
    /// Keys that leave the terminal
    #[arg(long, value_name = "KEYS", default_value = detach::USUAL)]
    pub detach_keys: String,
}

/// `skerry stop`, `skerry restart`
#[derive(Debug, Args)]
pub struct Stop {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Seconds before it is killed; -1: it is not
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    pub time: Option<i64>,
    /// The signal that asks it to end, by its name or number, in place of its own
    #[arg(short, long)]
    pub signal: Option<String>,
}

/// `skerry kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Its name or number
    #[arg(short, long, default_value = "KILL")]
    pub signal: String,
}

/// `skerry rename`
#[derive(Debug, Args)]
pub struct Rename {
    /// Which
    pub container: String,
    /// The new name
    pub name: String,
}

/// `skerry update`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry update --memory 128m --cpus 0.5 web\n  skerry update --restart unless-stopped web db"
)]
pub struct Update {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// What it may use
    #[command(flatten)]
    pub resources: Resources,
    /// no, always, unless-stopped, on-failure[:TIMES]
    #[arg(long)]
    pub restart: Option<String>,
}

/// `skerry rm`
#[derive(Debug, Args)]
pub struct Remove {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Running ones too, which are killed; one that there is none of is no failure
    #[arg(short, long)]
    pub force: bool,
    /// With them go their volumes that nobody named and no other container has
    #[arg(short, long)]
    pub volumes: bool,
}

/// `skerry ps`
#[derive(Debug, Args)]
pub struct List {
    /// Those that do not run as well
    #[arg(short, long)]
    pub all: bool,
    /// Only IDs, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// IDs and commands in full
    #[arg(long)]
    pub no_trunc: bool,
    /// The newest
    #[arg(short, long)]
    pub latest: bool,
    /// So many of the newest
    #[arg(short = 'n', long, value_name = "NUMBER", conflicts_with = "latest")]
    pub last: Option<usize>,
    /// How much each has written, and that with its image
    #[arg(short, long)]
    pub size: bool,
    /// Only these: name=, id=, status=, exited=, label=, network=, volume=, ancestor=, before=, since=, publish=, expose=,
    /// health=, origin=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// table, json, or a template such as '{{.Names}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Name, ID or the beginning of an ID
    pub container: String,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// So many of the last lines; all, as -1, is every one
    #[arg(short = 'n', long, default_value = "all", allow_negative_numbers = true)]
    pub tail: String,
    /// Not before: 10m, 2026-01-02T03:04:05Z, or the local time without Z
    #[arg(long)]
    pub since: Option<String>,
    /// Not after
    #[arg(long)]
    pub until: Option<String>,
    /// Each line with its time
    #[arg(short, long)]
    pub timestamps: bool,
    /// What the log's driver adds to lines: nothing here
    #[arg(long = "details", hide = true)]
    _details: bool,
}

/// `skerry exec`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  skerry exec web ls /etc\n  skerry exec -it web sh")]
pub struct Exec {
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// On a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Nobody waits for it
    #[arg(short, long)]
    pub detach: bool,
    /// NAME=VALUE, or NAME with the value that it has here
    #[arg(short, long)]
    pub env: Vec<String>,
    /// A file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// USER[:GROUP]
    #[arg(short, long)]
    pub user: Option<String>,
    /// Folder in the container
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// With every capability
    #[arg(long)]
    pub privileged: bool,
    /// Keys that leave the terminal
    #[arg(long, value_name = "KEYS", default_value = detach::USUAL)]
    pub detach_keys: String,
    /// Name, ID or the beginning of an ID; then the program and its arguments, none of which is an option of this verb
    #[arg(num_args = 2.., required = true, trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    words: Vec<String>,
}

impl Exec {
    /// Name, ID or the beginning of an ID.
    pub fn container(&self) -> &str {
        &self.words[0]
    }

    /// The program and its arguments.
    pub fn command(&self) -> &[String] {
        &self.words[1..]
    }
}

/// `skerry attach`
#[derive(Debug, Args)]
pub struct Attach {
    /// Name, ID or the beginning of an ID
    pub container: String,
    /// Its output alone
    #[arg(long)]
    pub no_stdin: bool,
    /// Keys that leave the terminal
    #[arg(long, value_name = "KEYS", default_value = detach::USUAL)]
    pub detach_keys: String,
    /// Do not send signals on to the program
    #[arg(long = "no-sig-proxy")]
    pub keep_signals: bool,
    /// The same as Docker says it: --sig-proxy=false
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true")]
    pub sig_proxy: bool,
}

/// `skerry cp`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry cp web:/etc/nginx.conf .\n  skerry cp page.html web:/usr/share/nginx/html/\n  skerry cp web:/var/log - | tar t"
)]
pub struct Cp {
    /// CONTAINER:PATH, a path of this machine, or - for a tar archive on standard input
    pub source: String,
    /// CONTAINER:PATH, a path of this machine, or - for a tar archive on standard output
    pub target: String,
    /// Owners and groups as they are; from a container also devices and set-user-ID bits
    #[arg(short, long)]
    pub archive: bool,
    /// Follow a symbolic link in the source; what it leads to has the link's name
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// No progress: there is none
    #[arg(short = 'q', long = "quiet", hide = true)]
    _quiet: bool,
}

/// The container's side of `cp`.
#[derive(Debug, Args)]
pub struct Transfer {
    /// What is done
    #[arg(value_parser = ["pack", "unpack"])]
    pub verb: String,
    /// A process of the container
    #[arg(long, required_unless_present = "written")]
    pub pid: Option<i32>,
    /// Of a container that does not run: the folder of what it wrote
    #[arg(long, requires = "image")]
    pub written: Option<PathBuf>,
    /// Its image
    #[arg(long)]
    pub image: Option<String>,
    /// The digest of its image, if it is held to one
    #[arg(long)]
    pub digest: Option<String>,
    /// SOURCE TARGET rw|ro|new: what of this machine it has at a place of its own
    #[arg(long, num_args = 3, requires = "written", value_names = ["SOURCE", "TARGET", "MODE"])]
    pub lent: Vec<PathBuf>,
    /// Owners and groups as they are
    #[arg(long)]
    pub archive: bool,
    /// Follow a symbolic link
    #[arg(long)]
    pub follow_link: bool,
    /// Without what is mounted in it
    #[arg(long)]
    pub alone: bool,
    /// In the container
    pub path: PathBuf,
}

/// `skerry diff`
#[derive(Debug, Args)]
#[command(
    after_help = "A: a file that the image has not. C: changed, or a folder with something that is. D: deleted.\n\n\
    Examples:\n  skerry diff web"
)]
pub struct Diff {
    /// Name, ID or the beginning of an ID
    pub container: String,
}

/// `skerry inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER|IMAGE|VOLUME|NETWORK")]
    pub names: Vec<String>,
    /// json, or a template such as '{{.State.Status}}'
    #[arg(short, long)]
    pub format: Option<Format>,
    /// Only this kind
    #[arg(long, value_parser = ["container", "image", "volume", "network"])]
    pub r#type: Option<String>,
    /// Of containers also what they have written (SizeRw), and that and their images (SizeRootFs)
    #[arg(short, long)]
    pub size: bool,
}

/// `skerry stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// Which; all that run without
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// All that there are, those that do not run, too
    #[arg(short, long, conflicts_with = "containers")]
    pub all: bool,
    /// Once
    #[arg(long)]
    pub no_stream: bool,
    /// IDs in full
    #[arg(long)]
    pub no_trunc: bool,
    /// table, json, or a template
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry top`
#[derive(Debug, Args)]
pub struct Top {
    /// Name, ID or the beginning of an ID
    pub container: String,
}

/// `skerry wait`
#[derive(Debug, Args)]
pub struct Wait {
    /// Names, IDs or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// For what
    #[arg(long, default_value = "not-running", value_parser = ["not-running", "next-exit", "removed"])]
    pub condition: String,
}

/// `skerry events`
#[derive(Debug, Args)]
pub struct Events {
    /// From then on: 10m, 2026-01-02T03:04:05Z, or the local time without Z
    #[arg(long)]
    pub since: Option<String>,
    /// Until then
    #[arg(long)]
    pub until: Option<String>,
    /// Only these: type=container|image|volume|network, event=, container=, image=, label=, network=, volume=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// json, or a template
    #[arg(long)]
    pub format: Option<Format>,
}

/// `skerry port`
#[derive(Debug, Args)]
pub struct Port {
    /// Name, ID or the beginning of an ID
    pub container: String,
    /// PORT[/PROTOCOL] in the container
    pub port: Option<String>,
}
