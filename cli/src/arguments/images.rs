//! Options of the verbs for images.

use crate::format::Format;
use clap::Args;
use std::path::PathBuf;

/// `skerry images`
#[derive(Debug, Args)]
pub struct Images {
    /// Only images whose repository is this
    pub repository: Option<String>,
    /// Only digests, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Digests in full
    #[arg(long)]
    pub no_trunc: bool,
    /// table, json, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry rmi`
#[derive(Debug, Args)]
pub struct RemoveImage {
    /// Names or digests
    #[arg(required = true)]
    pub images: Vec<String>,
    /// Also when a container needs it
    #[arg(short, long)]
    pub force: bool,
}

/// `skerry import`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry import app.tar\n  docker save app | skerry import\n  skerry import layout/ --name app:1"
)]
pub struct Import {
    /// An archive or OCI layout folder; standard input without, or with -
    pub source: Option<PathBuf>,
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

/// `skerry completion`
#[derive(Debug, Args)]
pub struct Completion {
    /// For which shell
    pub shell: clap_complete::Shell,
}

/// `skerry console`
#[derive(Debug, Args)]
pub struct Console {
    /// The terminal, such as /dev/console; the one that there is without
    pub device: Option<PathBuf>,
}
