//! Docker's groups of verbs, each of which is another verb's other name: `skerry image ls` is `skerry images`.

use super::{
    Attach, Command, Cp, Diff, DiskUsage, Events, Exec, Export, History, Images, Import, Info, Inspect, Kill,
    List, Logs, Names, Options, Port, Prune, Pruned, Pull, Push, Remove, RemoveImage, Rename, Run, Start,
    Stats, Stop, Tag, Top, Update, Wait,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `skerry image`
#[derive(Debug, Args)]
pub struct ImageVerbs {
    /// What is to be done
    #[command(subcommand)]
    pub verb: ImageVerb,
}

/// A verb for images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// List images
    #[command(visible_alias = "list")]
    Ls(Images),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Give an image one more name
    Tag(Tag),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RemoveImage),
    /// Show all that is known of images
    #[command(mut_arg("names", |names| names.value_name("IMAGE")))]
    Inspect(Inspect),
    /// Show how an image was made
    History(History),
    /// Take images from an archive or a folder
    Load(Import),
    /// Write images to an archive or a folder
    Save(Export),
    /// Remove images without a name, and layers that no image has
    Prune(ImagePrune),
}

/// `skerry image prune`
#[derive(Debug, Args)]
pub struct ImagePrune {
    /// Without asking first
    #[arg(short, long)]
    force: bool,
    /// Images that no container is made of as well
    #[arg(short, long)]
    all: bool,
    /// Only these: until=TIME (made before), label=, label!=, dangling=true|false
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// `skerry container`
#[derive(Debug, Args)]
pub struct ContainerVerbs {
    /// What is to be done
    #[command(subcommand)]
    pub verb: ContainerVerb,
}

/// A verb for containers.
#[derive(Debug, Subcommand)]
pub enum ContainerVerb {
    /// Run a program in a new container
    Run(Box<Run>),
    /// Make a container without starting it
    Create(Box<Options>),
    /// Start stopped containers
    Start(Start),
    /// Stop running containers
    Stop(Stop),
    /// Stop containers and start them again
    Restart(Stop),
    /// Send a signal to running containers
    Kill(Kill),
    /// Freeze every process of containers
    Pause(Names),
    /// Let frozen containers go on
    Unpause(Names),
    /// Give a container another name
    Rename(Rename),
    /// Change what containers may use, and when they are restarted
    Update(Box<Update>),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(Remove),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(List),
    /// Show all that is known of containers
    #[command(mut_arg("names", |names| names.value_name("CONTAINER")))]
    Inspect(Inspect),
    /// List a container's published ports
    Port(Port),
    /// Show what a container wrote
    Logs(Logs),
    /// Show what containers use
    Stats(Stats),
    /// List the processes of a container
    Top(Top),
    /// Wait until containers end, and print their exit statuses
    Wait(Wait),
    /// Run another program in a running container
    Exec(Exec),
    /// Join the terminal or the streams of a running container
    Attach(Attach),
    /// Copy files between a container and this machine
    Cp(Cp),
    /// List the files that a container has changed
    Diff(Diff),
    /// Write a container's files to a tar archive
    Export(ContainerExport),
    /// Remove containers that do not run
    Prune(ContainerPrune),
}

/// `skerry container export`
#[derive(Debug, Args)]
pub struct ContainerExport {
    /// Name, ID or the beginning of an ID
    pub container: String,
    /// Where to; standard output without
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
}

/// `skerry container prune`
#[derive(Debug, Args)]
pub struct ContainerPrune {
    /// Without asking first
    #[arg(short, long)]
    force: bool,
    /// Only these: until=TIME (made before), label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// `skerry system`
#[derive(Debug, Args)]
pub struct SystemVerbs {
    /// What is to be done
    #[command(subcommand)]
    pub verb: SystemVerb,
}

/// A verb for all that there is.
#[derive(Debug, Subcommand)]
pub enum SystemVerb {
    /// Remove what nothing needs
    Prune(Prune),
    /// Show what there is of this machine and of Skerry
    Info(Info),
    /// Show what happens
    Events(Events),
    /// Show what takes how much of the disk
    Df(DiskUsage),
}

impl From<ImageVerb> for Command {
    fn from(verb: ImageVerb) -> Self {
        match verb {
            ImageVerb::Ls(asked) => Self::Images(asked),
            ImageVerb::Pull(asked) => Self::Pull(asked),
            ImageVerb::Push(asked) => Self::Push(asked),
            ImageVerb::Tag(asked) => Self::Tag(asked),
            ImageVerb::Rm(asked) => Self::Rmi(asked),
            ImageVerb::Inspect(asked) => Self::Inspect(asked.of("image")),
            ImageVerb::Load(asked) => Self::Import(asked),
            ImageVerb::Save(asked) => Self::Save(asked),
            ImageVerb::History(asked) => Self::History(asked),
            ImageVerb::Prune(ImagePrune { force, all, filter }) => {
                Self::Prune(Prune { force, all, filter, volumes: false, what: Pruned::Images })
            }
        }
    }
}

impl From<ContainerVerb> for Command {
    fn from(verb: ContainerVerb) -> Self {
        match verb {
            ContainerVerb::Run(asked) => Self::Run(asked),
            ContainerVerb::Create(asked) => Self::Create(asked),
            ContainerVerb::Start(asked) => Self::Start(asked),
            ContainerVerb::Stop(asked) => Self::Stop(asked),
            ContainerVerb::Restart(asked) => Self::Restart(asked),
            ContainerVerb::Kill(asked) => Self::Kill(asked),
            ContainerVerb::Pause(asked) => Self::Pause(asked),
            ContainerVerb::Unpause(asked) => Self::Unpause(asked),
            ContainerVerb::Rename(asked) => Self::Rename(asked),
            ContainerVerb::Update(asked) => Self::Update(asked),
            ContainerVerb::Rm(asked) => Self::Rm(asked),
            ContainerVerb::Ls(asked) => Self::Ps(asked),
            ContainerVerb::Inspect(asked) => Self::Inspect(asked.of("container")),
            ContainerVerb::Port(asked) => Self::Port(asked),
            ContainerVerb::Logs(asked) => Self::Logs(asked),
            ContainerVerb::Stats(asked) => Self::Stats(asked),
            ContainerVerb::Top(asked) => Self::Top(asked),
            ContainerVerb::Wait(asked) => Self::Wait(asked),
            ContainerVerb::Exec(asked) => Self::Exec(asked),
            ContainerVerb::Attach(asked) => Self::Attach(asked),
            ContainerVerb::Cp(asked) => Self::Cp(asked),
            ContainerVerb::Diff(asked) => Self::Diff(asked),
            ContainerVerb::Export(asked) => Self::Export(asked.into()),
            ContainerVerb::Prune(ContainerPrune { force, filter }) => {
                Self::Prune(Prune { force, all: false, filter, volumes: false, what: Pruned::Containers })
            }
        }
    }
}

impl From<SystemVerb> for Command {
    fn from(verb: SystemVerb) -> Self {
        match verb {
            SystemVerb::Prune(asked) => Self::Prune(asked),
            SystemVerb::Info(asked) => Self::Info(asked),
            SystemVerb::Events(asked) => Self::Events(asked),
            SystemVerb::Df(asked) => Self::Df(asked),
        }
    }
}

impl From<ContainerExport> for Export {
    fn from(ContainerExport { container, output }: ContainerExport) -> Self {
        Self { names: vec![container], output, format: None, quiet: true, container: true }
    }
}

impl Inspect {
    /// The same, of this kind alone.
    fn of(self, kind: &str) -> Self {
        Self { r#type: self.r#type.or(Some(kind.to_owned())), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use clap::Parser;

    fn plain(line: &str) -> String {
        let words = ["skerry"].into_iter().chain(line.split(' '));
        let command = match Arguments::try_parse_from(words).unwrap().command {
            Command::Image(group) => group.verb.into(),
            Command::Container(group) => group.verb.into(),
            Command::System(group) => group.verb.into(),
            command => command,
        };
        format!("{command:?}")
    }

    #[test]
    fn a_verb_of_a_group_is_the_verb_itself() {
        for (grouped, own) in [
            ("image ls -q", "images -q"),
            ("image rm -f app", "rmi -f app"),
            ("image inspect app", "inspect --type image app"),
            ("image load -i x", "load -i x"),
            ("container run --rm x y", "run --rm x y"),
            ("container ls -a", "ps -a"),
            ("container inspect web", "inspect --type container web"),
            ("system prune -af", "prune -af"),
            ("system info", "info"),
            ("container diff web", "diff web"),
            ("image save -o x app", "save -o x app"),
            ("image history -q app", "history -q app"),
        ] {
            assert_eq!(plain(grouped), plain(own), "{grouped}");
        }
        assert!(plain("container export web").ends_with("container: true })"));
        assert!(plain("image prune -a").ends_with("what: Images })"));
        assert!(plain("container prune -f").ends_with("what: Containers })"));
        assert!(
            plain("image prune -a --filter until=1h")
                .contains(r#"all: true, volumes: false, filter: ["until=1h"]"#)
        );
    }
}
