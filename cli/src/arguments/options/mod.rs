//! What `run` and `create` say of a container, in Docker's words, and what `node.toml`
//! would say.

mod health;
mod networking;
mod resources;
mod rights;
mod seccomp;
mod storage;
#[cfg(test)]
mod tests;

use crate::error::{Context, Error, Result};
use clap::{ArgAction, Args};
use health::Health;
use networking::Networking;
use resources::Limits;
pub use resources::{Resources, swap_that_follows};
use rights::Rights;
use spec::node::{Container, Name, Restart};
use spec::quantity::{Bytes, Span};
use spec::seccomp::Profile;
use std::collections::BTreeMap;
use std::path::PathBuf;
pub use storage::Nameless;
use storage::Storage;

/// The options and the image.
#[derive(Clone, Debug, Default, Args)]
#[command(disable_help_flag = true)]
pub struct Options {
    /// Print help
    #[arg(long = "help", action = ArgAction::Help)]
    _help: Option<bool>,
    /// The container's name; one is made up without
    #[arg(long)]
    pub name: Option<String>,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// On a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Remove it once it has ended
    #[arg(long)]
    pub rm: bool,
    /// NAME=VALUE, or NAME with the value that it has here
    #[arg(short, long)]
    pub env: Vec<String>,
    /// A file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// NAME=VALUE
    #[arg(short, long)]
    pub label: Vec<String>,
    /// A file of NAME=VALUE lines
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
    /// A file that is made, and has the container's ID
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<PathBuf>,
    /// no, always, unless-stopped, on-failure[:TIMES]
    #[arg(long, default_value = "no")]
    pub restart: String,
    /// USER[:GROUP]
    #[arg(short, long)]
    pub user: Option<String>,
    /// A group beside the user's own
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Folder in which the program starts
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// In place of the image's program
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Its host name
    #[arg(short = 'h', short_alias = 'H', long)]
    pub hostname: Option<String>,
    /// Its domain name, also in its /etc/hosts
    #[arg(long, value_name = "DOMAIN")]
    pub domainname: Option<String>,
    /// NAME=VALUE, for the runtime
    #[arg(long, value_name = "NAME=VALUE")]
    pub annotation: Vec<String>,
    /// NAME:ADDRESS or NAME=ADDRESS, a line of /etc/hosts; the address host-gateway is this machine's
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// A name server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// A domain in which names are looked for; . alone is none
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// An option of its resolver, as resolv.conf(5) has it
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Signal that asks it to end
    #[arg(long)]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and KILL; -1: there is none
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stop_timeout: Option<i64>,
    #[command(flatten)]
    networking: Networking,
    #[command(flatten)]
    storage: Storage,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    rights: Rights,
    #[command(flatten)]
    health: Health,
    /// missing, always, never: when the image is fetched
    #[arg(long, default_value = "missing", value_parser = ["missing", "always", "never"])]
    pub pull: String,
    /// No progress when the image is fetched
    #[arg(short, long)]
    pub quiet: bool,
    /// OS/ARCHITECTURE[/VARIANT] of the image, if there are several
    #[arg(long)]
    pub platform: Option<String>,
    /// CONTAINER[:ro], whose volumes and folders of this machine it has, too
    #[arg(long, value_name = "CONTAINER")]
    pub volumes_from: Vec<String>,
    /// max-size=SIZE of its log; the log before it is kept as well, whatever max-file says. Other options of Docker's drivers
    /// change nothing
    #[arg(long, value_name = "NAME=VALUE")]
    pub log_opt: Vec<String>,
    /// Docker's drivers that keep logs on this machine are all one here
    #[arg(long = "log-driver", value_name = "NAME", value_parser = ["json-file", "local", "k8s-file"])]
    _log_driver: Option<String>,
    /// The image, and what is in place of its arguments: none of it is an option of this verb
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

impl Options {
    /// The image.
    pub fn image(&self) -> &str {
        &self.words[0]
    }

    /// In place of the image's arguments.
    pub fn command(&self) -> &[String] {
        &self.words[1..]
    }

    /// What `node.toml` would say; `here` is the caller's environment.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn container(&self, here: impl Fn(&str) -> Option<String>) -> Result<Container> {
        let container = Container {
            // An empty one takes the image's away.
            entrypoint: self.entrypoint.iter().map(|word| program(word)).next(),
            args: (!self.command().is_empty()).then(|| self.command().to_vec()),
            env: environment(&self.env_file, &self.env, here)?,
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            group_add: self.group_add.clone(),
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone().filter(|name| !name.is_empty()),
            annotations: self.annotation.iter().map(|word| label(word)).collect(),
            labels: labels(&self.label_file, &self.label)?,
            tty: self.tty,
            stdin: self.interactive,
            add_hosts: self.add_host.iter().map(|text| networking::host(text)).collect::<Result<_>>()?,
            dns: self.dns.iter().map(|text| parse("--dns", text)).collect::<Result<_>>()?,
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_option.clone(),
            restart: parse::<Restart>("--restart", &self.restart)?,
            stop_signal: self.stop_signal.clone(),
            stop_grace: Span::seconds(grace(self.stop_timeout.unwrap_or(10))),
            ..Container::of(self.image())
        };
        let container =
            self.log_opt.iter().try_fold(container, |container, text| log_option(container, text))?;
        let container = self.storage.add(self.networking.add(container)?)?;
        let container = self.limits.add(self.resources.add(container)?)?;
        self.health.add(self.rights.add(container)?)
    }

    /// Folders of this machine that are made if they are not there.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn sources(&self) -> Result<Vec<String>> {
        self.storage.sources()
    }

    /// Volumes that are to be made for it, without a name.
    ///
    /// # Errors
    /// As [`Self::sources`].
    pub fn nameless(&self) -> Result<Vec<Nameless>> {
        self.storage.nameless()
    }

    /// The filter of system calls that was given in place of the usual one.
    ///
    /// # Errors
    /// Its file cannot be read, or is none.
    pub fn seccomp(&self) -> Result<Option<Profile>> {
        self.rights.profile()
    }

    /// The name that was given.
    ///
    /// # Errors
    /// It is none.
    pub fn name(&self) -> Result<Option<Name>> {
        self.name.as_deref().map(|text| parse("--name", text.strip_prefix('/').unwrap_or(text))).transpose()
    }
}

/// What files of variables say, and then single ones; `here` is the caller's environment.
///
/// # Errors
/// Which file cannot be read.
pub fn environment(
    files: &[PathBuf],
    words: &[String],
    here: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>> {
    let lines = lines("--env-file", files)?;
    Ok(lines.iter().chain(words).filter_map(|word| variable(word, &here)).collect())
}

fn labels(files: &[PathBuf], words: &[String]) -> Result<BTreeMap<String, String>> {
    Ok(lines("--label-file", files)?.iter().chain(words).map(|word| label(word)).collect())
}

/// What files say, without comments.
fn lines(option: &str, files: &[PathBuf]) -> Result<Vec<String>> {
    let text = |file: &PathBuf| {
        std::fs::read_to_string(file).context(|| format!("{option}: read {}", file.display()))
    };
    let files = files.iter().map(text).collect::<Result<Vec<_>>>()?;
    let lines = files.iter().flat_map(|text| text.lines()).filter(|line| !is_comment(line));
    Ok(lines.map(|line| line.trim_start().to_owned()).collect())
}

/// Options of Docker's drivers which are of no consequence here: how a rotated log is packed, that nobody waits for it, and what else
/// stands in each line of a log of Docker's.
const LOG_OPTIONS: [&str; 8] =
    ["compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "mode", "tag"];

fn log_option(container: Container, text: &str) -> Result<Container> {
    match text.split_once('=') {
        Some(("max-size", value)) => {
            let log_size = size("--log-opt max-size", value)?;
            if log_size.0 == 0 {
                return Err(Error::new("--log-opt max-size: 0 is no size of a log"));
            }
            Ok(Container { log_size, ..container })
        }
        Some(("max-file", value)) => parse::<u32>("--log-opt max-file", value).map(|_| container),
        Some((key, _)) if LOG_OPTIONS.contains(&key) => Ok(container),
        _ => Err(Error::new(format!("--log-opt {text:?}: neither max-size=SIZE nor max-file=NUMBER"))),
    }
}

fn program(word: &str) -> Vec<String> {
    if word.is_empty() { Vec::new() } else { vec![word.to_owned()] }
}

/// `NAME=VALUE`, or a name alone.
pub fn label(word: &str) -> (String, String) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    (key.to_owned(), value.to_owned())
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// `NAME=VALUE`, or `NAME` for what it is here; nothing when it is not here either.
fn variable(text: &str, here: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => here(text).map(|value| (text.to_owned(), value)),
    }
}

/// Reads an option's value; the option is named when it is wrong.
pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(option: &str, text: &str) -> Result<T> {
    text.parse().map_err(|why| Error::new(format!("{option}: {why}")))
}

/// A size; in Docker's words too, as `512b`, `64mb` and `1.5g`.
fn size(option: &str, text: &str) -> Result<Bytes> {
    parse(option, text).or_else(|wrong| dockers(text).ok_or(wrong))
}

fn dockers(text: &str) -> Option<Bytes> {
    let lower = text.to_ascii_lowercase();
    let (number, unit) = lower.split_at(lower.find(|c: char| c.is_ascii_alphabetic())?);
    let number: f64 = number.parse().ok().filter(|number| (0.0..1e15).contains(number))?;
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let bytes = number * (1_u64 << shift) as f64;
    (bytes < i64::MAX as f64).then_some(Bytes(bytes as u64))
}

/// Seconds before something is killed; less than none is for ever.
pub fn grace(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(u64::from(u32::MAX))
}

/// A word that `node.toml` has for a value.
struct Words<T>(T);

impl<T: serde::de::DeserializeOwned> std::str::FromStr for Words<T> {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        serde_json::from_value(serde_json::Value::from(text)).map(Self)
    }
}
