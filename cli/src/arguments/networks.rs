//! Options of the verbs for networks.

use crate::format::Format;
use clap::{Args, Subcommand};

/// `skerry network`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  skerry network create back --subnet 10.9.0.0/24\n  skerry run -d --name db --network back postgres\n  \
    skerry run -d --network back --network bridge -p 8080:80 web\n  skerry network connect back other"
)]
pub struct Network {
    /// What is to be done
    #[command(subcommand)]
    pub verb: Verb,
}

/// A verb for networks.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List networks
    #[command(visible_alias = "list")]
    Ls(List),
    /// Make a network
    Create(Create),
    /// Remove networks that no container is on
    #[command(visible_alias = "remove")]
    Rm(Names),
    /// Show all that is known of networks
    Inspect(Inspect),
    /// Put a container on one more network
    Connect(Connect),
    /// Take a container off a network
    Disconnect(Disconnect),
    /// Remove every network that no container is on
    Prune(Prune),
}

/// `skerry network ls`
#[derive(Debug, Args)]
pub struct List {
    /// Only names, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Only these: name=, id=, label=, driver=, scope=local, type=custom (not the machine's own) or builtin
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Names in full: they are shown so anyway
    #[arg(long = "no-trunc", hide = true)]
    _no_trunc: bool,
    /// table, json, or a template such as '{{.Name}}'
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// `skerry network create`
#[derive(Debug, Args)]
pub struct Create {
    /// Its name
    pub name: String,
    /// ADDRESS/LENGTH, at most one of each family; chosen without
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Vec<String>,
    /// The gateway's address in a subnet; its first one without
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<String>,
    /// With an IPv6 subnet, too, which is chosen unless it is given
    #[arg(long)]
    pub ipv6: bool,
    /// No way out and none in
    #[arg(long)]
    pub internal: bool,
    /// Greatest packet in bytes
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// KEY=VALUE, free words
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// There is one kind
    #[arg(short, long, default_value = "bridge", value_parser = ["bridge"])]
    pub driver: String,
    /// Containers can be put on any network
    #[arg(long = "attachable", hide = true)]
    _attachable: bool,
    /// There is one kind
    #[arg(long = "ipam-driver", hide = true, value_parser = ["default"])]
    _ipam_driver: Option<String>,
}

/// `skerry network rm`
#[derive(Debug, Args)]
pub struct Names {
    /// Which
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
    /// One that there is none of is no failure
    #[arg(short, long)]
    pub force: bool,
}

/// `skerry network inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Which
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
    /// json, or a template such as '{{.Internal}}'
    #[arg(short, long)]
    pub format: Option<Format>,
}

/// `skerry network connect`
#[derive(Debug, Args)]
pub struct Connect {
    /// Its IPv4 address there
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// Its IPv6 address there
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// One more name by which containers of the network find it
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// Which network
    pub network: String,
    /// Name, ID or the beginning of an ID
    pub container: String,
}

/// `skerry network disconnect`
#[derive(Debug, Args)]
pub struct Disconnect {
    /// Whatever state it is in: it is taken off anyway
    #[arg(short, long = "force", hide = true)]
    _force: bool,
    /// Which network
    pub network: String,
    /// Name, ID or the beginning of an ID
    pub container: String,
}

/// `skerry network prune`
#[derive(Debug, Args)]
pub struct Prune {
    /// Only these: label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Without asking first
    #[arg(short, long)]
    pub force: bool,
}
