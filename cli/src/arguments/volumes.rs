//! Options of `volume`.

use crate::format::Format;
use clap::{Args, Subcommand};

/// `skerry volume`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry volume create pages\n  skerry run -v pages:/usr/share/nginx/html nginx\n  skerry volume ls\n\n\
    A volume is made at its first use, too. What the image has at that place is in it then, unless something was put there before."
)]
pub struct VolumeVerbs {
    /// What is to be done
    #[command(subcommand)]
    pub verb: VolumeVerb,
}

/// A verb for volumes.
#[derive(Debug, Subcommand)]
pub enum VolumeVerb {
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(VolumeList),
    /// Make a volume
    Create(VolumeCreate),
    /// Remove volumes that no container uses
    #[command(visible_alias = "remove")]
    Rm(VolumeRemove),
    /// Show all that is known of volumes
    Inspect(VolumeInspect),
    /// Remove volumes that nobody named and no container uses
    Prune(VolumePrune),
}

/// `skerry volume ls`
#[derive(Debug, Args)]
pub struct VolumeList {
    /// Only names, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Only these: name=, label=, driver=, dangling=true (which no container uses)
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// table, json, or a template such as '{{.Name}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry volume create`
#[derive(Debug, Args)]
pub struct VolumeCreate {
    /// Its name; one is made up without
    pub name: Option<String>,
    /// NAME=VALUE
    #[arg(long)]
    pub label: Vec<String>,
    /// There is one kind
    #[arg(short, long, default_value = "local", value_parser = ["local"])]
    pub driver: String,
}

/// `skerry volume rm`
#[derive(Debug, Args)]
pub struct VolumeRemove {
    /// Which
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// One that is not there is no error
    #[arg(short, long)]
    pub force: bool,
}

/// `skerry volume inspect`
#[derive(Debug, Args)]
pub struct VolumeInspect {
    /// Which
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// json, or a template such as '{{.Mountpoint}}'
    #[arg(short, long)]
    pub format: Option<Format>,
}

/// `skerry volume prune`
#[derive(Debug, Args)]
pub struct VolumePrune {
    /// Those with a name, too
    #[arg(short, long)]
    pub all: bool,
    /// Only these: label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Without asking first
    #[arg(short, long)]
    pub force: bool,
}
