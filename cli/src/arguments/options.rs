//! What `run` and `create` say of a container, in Docker's words, and what `node.toml`
//! would say.

use crate::error::{Error, Result};
use clap::Args;
use spec::node::{Container, Mount, Name, Restart};
use spec::quantity::{Bytes, Span};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The options and the image.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
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
    /// SOURCE:TARGET[:ro]; SOURCE is a folder or file of this machine
    #[arg(short, long)]
    pub volume: Vec<String>,
    /// TARGET[:size=SIZE]: in memory
    #[arg(long)]
    pub tmpfs: Vec<String>,
    /// The root cannot be written
    #[arg(long)]
    pub read_only: bool,
    /// Most memory: 64m, 1g
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Most processor time, in processors: 0.5
    #[arg(long)]
    pub cpus: Option<f64>,
    /// Most processes and threads
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<u32>,
    /// A capability more than usual
    #[arg(long, value_name = "NAME")]
    pub cap_add: Vec<String>,
    /// A capability less; ALL takes every one
    #[arg(long, value_name = "NAME")]
    pub cap_drop: Vec<String>,
    /// no, always, on-failure[:TIMES]
    #[arg(long, default_value = "no")]
    pub restart: String,
    /// USER[:GROUP]
    #[arg(short, long)]
    pub user: Option<String>,
    /// Folder in which the program starts
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// In place of the image's program
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Signal that asks it to end
    #[arg(long)]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and KILL
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u64>,
    /// missing, always, never: when the image is fetched
    #[arg(long, default_value = "missing", value_parser = ["missing", "always", "never"])]
    pub pull: String,
    /// OS/ARCHITECTURE[/VARIANT] of the image, if there are several
    #[arg(long)]
    pub platform: Option<String>,
    /// The image
    pub image: String,
    /// In place of the image's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

impl Options {
    /// What `node.toml` would say; `here` is the caller's environment.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn container(&self, here: impl Fn(&str) -> Option<String>) -> Result<Container> {
        let text = |file: &PathBuf| {
            std::fs::read_to_string(file)
                .map_err(|error| Error::new(format!("--env-file: read {}: {error}", file.display())))
        };
        let files = self.env_file.iter().map(text).collect::<Result<Vec<_>>>()?;
        let mut env = BTreeMap::new();
        for line in files.iter().flat_map(|text| text.lines()).filter(|line| !is_comment(line)) {
            env.extend(variable(line.trim_start(), &here));
        }
        env.extend(self.env.iter().filter_map(|word| variable(word, &here)));
        let volumes = self.volume.iter().map(|text| volume(text));
        let tmpfs = self.tmpfs.iter().map(|text| in_memory(text));
        Ok(Container {
            tty: self.tty,
            stdin: self.interactive,
            entrypoint: self.entrypoint.as_ref().map(|word| vec![word.clone()]),
            args: (!self.command.is_empty()).then(|| self.command.clone()),
            env,
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            mounts: volumes.chain(tmpfs).collect::<Result<_>>()?,
            read_only: self.read_only,
            memory: self.memory.as_deref().map(|text| amount("--memory", text)).transpose()?,
            cpus: self.cpus,
            pids: self.pids_limit,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            restart: self
                .restart
                .parse::<Restart>()
                .map_err(|why| Error::new(format!("--restart: {why}")))?,
            stop_signal: self.stop_signal.clone(),
            stop_grace: Span::seconds(self.stop_timeout.unwrap_or(10)),
            ..Container::of(&self.image)
        })
    }

    /// The name that was given.
    ///
    /// # Errors
    /// It is none.
    pub fn name(&self) -> Result<Option<Name>> {
        self.name.as_deref().map(str::parse).transpose().map_err(|why| Error::new(format!("--name: {why}")))
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// `NAME=VALUE`, or `NAME` for what it is here; nothing when it is not here either.
pub fn variable(text: &str, here: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => here(text).map(|value| (text.to_owned(), value)),
    }
}

fn amount(option: &str, text: &str) -> Result<Bytes> {
    // Docker takes `b` for bytes.
    let text = text.strip_suffix('b').filter(|rest| rest.bytes().all(|c| c.is_ascii_digit())).unwrap_or(text);
    text.parse().map_err(|why| Error::new(format!("{option}: {why}")))
}

/// `SOURCE:TARGET[:OPTION,…]`
fn volume(text: &str) -> Result<Mount> {
    let wrong = |why: &str| Error::new(format!("--volume {text:?}: {why}"));
    let mut parts = text.split(':');
    let (Some(source), Some(target), options, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong("not SOURCE:TARGET[:ro]"));
    };
    if !target.starts_with('/') {
        return Err(wrong(&format!("{target:?} is not an absolute path")));
    }
    let mut read_only = false;
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            "rw" | "z" | "Z" | "rprivate" => {}
            other => return Err(wrong(&format!("{other:?} is none of ro, rw"))),
        }
    }
    let source = std::path::absolute(Path::new(source)).map_err(|error| wrong(&error.to_string()))?;
    Ok(Mount::Bind { source: source.display().to_string(), target: target.to_owned(), read_only })
}

/// `TARGET[:size=SIZE]`
fn in_memory(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.strip_prefix("size=") {
            Some(value) => size = Some(amount("--tmpfs", value)?),
            None => return Err(Error::new(format!("--tmpfs {text:?}: {option:?} is not size=SIZE"))),
        }
    }
    Ok(Mount::Tmpfs { target: target.to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn run(words: &str) -> Options {
        let words = ["skerry", "run"].into_iter().chain(words.split(' '));
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Run(run) => run.options,
            other => panic!("{other:?}"),
        }
    }

    fn container(words: &str) -> Result<Container> {
        run(words).container(|name| (name == "HERE").then(|| "yes".into()))
    }

    #[test]
    fn what_follows_the_image_is_the_programs() {
        let options = run("-it --rm -e A=1 busybox ls -l --rm");
        assert!(options.interactive && options.tty && options.rm);
        assert_eq!((options.image.as_str(), options.command.join(" ")), ("busybox", "ls -l --rm".into()));
    }

    #[test]
    fn options_become_what_node_toml_would_say() {
        let container = container(
            "-e A=1 -e HERE -e NOT_HERE -v /a:/b:ro --tmpfs /t:size=1m -m 64m --cpus 0.5 --restart on-failure:3 x",
        )
        .unwrap();
        assert_eq!(container.env, BTreeMap::from([("A".into(), "1".into()), ("HERE".into(), "yes".into())]));
        assert_eq!(
            container.mounts,
            [
                Mount::Bind { source: "/a".into(), target: "/b".into(), read_only: true },
                Mount::Tmpfs { target: "/t".into(), size: Some(Bytes(1 << 20)) }
            ]
        );
        assert_eq!((container.memory, container.cpus), (Some(Bytes(64 << 20)), Some(0.5)));
        assert_eq!(container.restart, Restart::OnFailure(Some(3)));
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (words, told) in [
            ("-v /a x", "--volume \"/a\": not SOURCE:TARGET[:ro]"),
            ("-v /a:b x", "--volume \"/a:b\": \"b\" is not an absolute path"),
            ("-v /a:/b:rx x", "--volume \"/a:/b:rx\": \"rx\" is none of ro, rw"),
            ("--memory lots x", "--memory: \"lots\" is not a size"),
            ("--restart maybe x", "--restart: \"maybe\" is none of always"),
        ] {
            let error = container(words).unwrap_err().message;
            assert!(error.starts_with(told), "{error}");
        }
        assert!(run("--name a/b x").name().unwrap_err().message.starts_with("--name: \"a/b\" is not a name"));
    }
}
