//! Options of the verbs for images.

use crate::format::Format;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use store::registry::Settings;

/// `skerry images`
#[derive(Debug, Args)]
pub struct Images {
    /// Only images of this REPOSITORY[:TAG], which may have * and ?
    pub repository: Option<String>,
    /// All of them: they are shown anyway
    #[arg(short, long = "all", hide = true)]
    _all: bool,
    /// Only these: dangling=true (that have lost their names) or false, reference=PATTERN, label=, before=IMAGE, since=IMAGE
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Only digests, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Digests in full
    #[arg(long)]
    pub no_trunc: bool,
    /// A column of digests, which are in full there
    #[arg(long)]
    pub digests: bool,
    /// table, json, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry history`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry history nginx\n  skerry history --no-trunc --format '{{.CreatedBy}}' nginx"
)]
pub struct History {
    /// An image that is here
    pub image: String,
    /// Only digests, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Digests and commands in full
    #[arg(long)]
    pub no_trunc: bool,
    /// Sizes and times for people; --human=false: bytes and dates
    #[arg(short = 'H', long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true", hide_possible_values = true)]
    pub human: bool,
    /// table, json, or a template such as '{{.CreatedBy}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry pull`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry pull nginx\n  skerry pull ghcr.io/org/app:1.2\n  skerry pull app@sha256:…"
)]
pub struct Pull {
    /// NAME[:TAG][@DIGEST]
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Only the digest is printed, no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// OS/ARCHITECTURE[/VARIANT] of the image, if there are several
    #[arg(long)]
    pub platform: Option<String>,
    /// How often in a row a request that fails is made again, later each time
    #[arg(long, value_name = "TIMES", default_value_t = Settings::RETRIES)]
    pub retry: u32,
    /// The registry is asked for NAME@DIGEST, too, that is here already: whether it gives it to us
    #[arg(long)]
    pub confirm: bool,
}

/// `skerry push`
#[derive(Debug, Args)]
pub struct Push {
    /// NAME[:TAG]
    pub image: String,
    /// Only the digest is printed, no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `skerry tag`
#[derive(Debug, Args)]
pub struct Tag {
    /// An image that is here
    pub image: String,
    /// One more name of it
    pub name: String,
}

/// `skerry save`, `skerry export`
#[derive(Debug, Args)]
pub struct Export {
    /// Images that are here; of export also one container
    #[arg(required = true, value_name = "IMAGE")]
    pub names: Vec<String>,
    /// Where to; standard output without
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// How images are written; oci-archive without
    #[arg(long)]
    pub format: Option<Written>,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
    /// As the group of verbs says it: a container's files, not an image
    #[arg(skip)]
    pub container: bool,
}

/// How images are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// A folder in OCI's layout
    Oci,
    /// The same as a tar archive, which `docker load` reads, too
    OciArchive,
    /// What `docker save` wrote before version 25
    DockerArchive,
}

/// `skerry login`
#[derive(Debug, Args)]
pub struct Login {
    /// The registry, or a URL of it; docker.io without
    pub registry: Option<String>,
    /// Who
    #[arg(short, long)]
    pub username: Option<String>,
    /// The password, which whoever lists processes can see; --password-stdin hides it
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// The password is read from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

/// `skerry logout`
#[derive(Debug, Args)]
pub struct Logout {
    /// The registry, or a URL of it; docker.io without
    pub registry: Option<String>,
}

/// `skerry prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Without asking first
    #[arg(short, long)]
    pub force: bool,
    /// Images that no container is made of as well
    #[arg(short, long)]
    pub all: bool,
    /// Volumes that nobody named and no container uses as well
    #[arg(long)]
    pub volumes: bool,
    /// Only these: until=TIME (made before), label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// As the group of verbs says it
    #[arg(skip)]
    pub what: Pruned,
}

/// What `prune` removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruned {
    /// Containers that do not run, and images.
    #[default]
    Everything,
    /// Containers alone.
    Containers,
    /// Images alone.
    Images,
}

/// `skerry rmi`
#[derive(Debug, Args)]
pub struct RemoveImage {
    /// Names or digests
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Also when a container needs it; one that there is none of is no failure
    #[arg(short, long)]
    pub force: bool,
    /// Keep images that it was built on: none are kept for it
    #[arg(long, hide = true)]
    pub no_prune: bool,
}

/// `skerry import`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry import app.tar\n  docker save app | skerry import\n  skerry import layout/ --name app:1\n  skerry export web | skerry import -c 'CMD [\"httpd\", \"-f\"]' - web:flat"
)]
pub struct Import {
    /// An archive or OCI layout folder; standard input without, or with -
    pub source: Option<PathBuf>,
    /// As `docker import` has it: the archive holds a root's files, and this names the image that is made of them
    #[arg(value_name = "IMAGE", conflicts_with = "name")]
    pub files: Option<String>,
    /// What an image of files says of itself: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION", requires = "files")]
    pub change: Vec<String>,
    /// What its history says
    #[arg(short, long, value_name = "TEXT", requires = "files")]
    pub message: Option<String>,
    /// As `docker load` has it: the archive
    #[arg(short, long, value_name = "FILE", conflicts_with = "source")]
    pub input: Option<PathBuf>,
    /// The one image's name; all images with their own names without
    #[arg(long)]
    pub name: Option<String>,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `skerry info`, `skerry version`
#[derive(Debug, Args)]
pub struct Info {
    /// json, or a template
    #[arg(short, long)]
    pub format: Option<Format>,
}

/// `skerry system df`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry system df\n  skerry system df --format '{{.Type}}: {{.Reclaimable}}'"
)]
pub struct DiskUsage {
    /// table, json, or a template such as '{{.Type}} {{.Size}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry completion`
#[derive(Debug, Args)]
pub struct Completion {
    /// For which shell
    pub shell: clap_complete::Shell,
}

/// `skerry manual`
#[derive(Debug, Args)]
pub struct Manual {
    /// Where to
    pub folder: PathBuf,
}

/// `skerry console`
#[derive(Debug, Args)]
pub struct Console {
    /// The terminal, such as /dev/console; the one that there is without
    pub device: Option<PathBuf>,
}

/// `skerry store`
#[derive(Debug, Args)]
pub struct StoreVerbs {
    /// What is to be done
    #[command(subcommand)]
    pub verb: StoreVerb,
}

/// A verb for the store itself.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Compare everything with its digest, and bring back what is damaged
    Check(Check),
}

/// `skerry store check`
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 1 when something is bad and was not brought back.\n\nExamples:\n  skerry store check\n  skerry store check --no-repair --format json"
)]
pub struct Check {
    /// Only look: nothing is removed or fetched
    #[arg(long)]
    pub no_repair: bool,
    /// table, json, or a template such as '{{.Kind}} {{.Name}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}
