//! The command line: words in, values out. What each command does is in `commands`.

mod containers;
mod examples;
mod groups;
mod images;
pub mod networks;
mod options;
mod volumes;

pub use containers::{
    Attach, Cp, Diff, Events, Exec, Inspect, Kill, List, Logs, Names, Port, Remove, Rename, Run, Start,
    Stats, Stop, Stream, Top, Transfer, Update, Wait,
};
pub use examples::{command, command_with_values};
pub use images::{
    Check, Completion, Console, DiskUsage, Export, History, Images, Import, Info, Login, Logout, Manual,
    Prune, Pruned, Pull, Push, RemoveImage, StoreVerb, StoreVerbs, Tag, Written,
};
pub use options::{Nameless, Options, environment, grace, label, parse, swap_that_follows};

pub use volumes::{
    VolumeCreate, VolumeInspect, VolumeList, VolumePrune, VolumeRemove, VolumeVerb, VolumeVerbs,
};

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Images and containers of this machine.
#[derive(Debug, Parser)]
#[command(
    name = "skerry",
    version,
    disable_version_flag = true,
    // As with Docker the last one counts: an alias or a script says an option, and who calls it another.
    args_override_self = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long = "version", action = clap::ArgAction::Version)]
    _version: Option<bool>,
    /// The monitor's socket
    #[arg(long, global = true, value_name = "PATH", default_value = spec::paths::MONITOR_SOCKET, hide = true)]
    pub socket: PathBuf,
    /// The image store that is written
    #[arg(long, global = true, value_name = "FOLDER", default_value = spec::paths::DATA_STORE, hide = true)]
    pub store: PathBuf,
    /// What is to be done
    #[command(subcommand)]
    pub command: Command,
}

/// A verb.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    /// Remove containers
    Rm(Remove),
    /// List containers
    Ps(List),
    /// Show what a container wrote
    Logs(Logs),
    /// Run another program in a running container
    Exec(Exec),
    /// Join the terminal or the streams of a running container
    Attach(Attach),
    /// Copy files between a container and this machine
    Cp(Cp),
    /// List the files that a container has changed
    Diff(Diff),
    /// The container's side of a copy
    #[command(hide = true)]
    Transfer(Transfer),
    /// Show all that is known of containers or images
    Inspect(Inspect),
    /// Show what containers use
    Stats(Stats),
    /// List the processes of a container
    Top(Top),
    /// Wait until containers end, and print their exit statuses
    Wait(Wait),
    /// Show what happens
    Events(Events),
    /// List a container's published ports
    Port(Port),
    /// Networks of containers
    Network(networks::Network),
    /// Change what containers may use, and when they are restarted
    Update(Box<Update>),
    /// Volumes: folders that stay when containers go
    Volume(VolumeVerbs),
    /// List images
    Images(Images),
    /// Show how an image was made
    History(History),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Give an image one more name
    Tag(Tag),
    /// Remove images
    Rmi(RemoveImage),
    /// Take images from an archive or a folder
    #[command(visible_alias = "load")]
    Import(Import),
    /// Write images to an archive or a folder
    Save(Export),
    /// Write a container's files to a tar archive, or images as save does
    #[command(mut_arg("names", |names| names.value_name("CONTAINER|IMAGE")))]
    Export(Export),
    /// Remember how to log in to a registry
    Login(Login),
    /// Forget it
    Logout(Logout),
    /// Remove what nothing needs
    Prune(Prune),
    /// Verbs for images, as Docker groups them
    Image(groups::ImageVerbs),
    /// Verbs for containers, as Docker groups them
    Container(groups::ContainerVerbs),
    /// Verbs for all that there is, as Docker groups them
    System(groups::SystemVerbs),
    /// Show what takes how much of the disk
    #[command(hide = true)]
    Df(DiskUsage),
    /// Look after the image store itself
    Store(StoreVerbs),
    /// Show what there is of this machine and of Skerry
    Info(Info),
    /// Show versions
    Version(Info),
    /// Type these verbs at a prompt
    Console(Console),
    /// Print a completion for a shell
    Completion(Completion),
    /// Write the manual pages
    #[command(hide = true)]
    Manual(Manual),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_version_is_asked_for_as_dockers_is() {
        for word in ["-v", "-V", "--version"] {
            let told = Arguments::try_parse_from(["skerry", word]).unwrap_err();
            assert_eq!(told.kind(), clap::error::ErrorKind::DisplayVersion, "{word}");
        }
    }

    #[test]
    fn of_an_option_that_is_said_twice_the_last_one_counts() {
        let read = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command);
        let Ok(Command::Run(run)) =
            read("skerry run --rm -it --restart no -e A=1 -it --restart always -e B=2 x")
        else {
            panic!()
        };
        assert_eq!((run.options.restart.as_str(), run.options.env.len()), ("always", 2));
        let Ok(Command::Stop(stop)) = read("skerry stop -t 5 -t 1 x") else { panic!() };
        assert_eq!(stop.time, Some(1));
        assert!(read("skerry network create --driver bridge --driver bridge x").is_ok());
    }

    #[test]
    fn help_is_asked_for_by_a_word_too() {
        for line in ["skerry help", "skerry help run", "skerry help network create", "skerry help image"] {
            let told = command().try_get_matches_from(line.split(' ')).unwrap_err();
            assert_eq!(told.kind(), clap::error::ErrorKind::DisplayHelp, "{line}");
        }
    }

    #[test]
    fn every_verb_says_what_it_does() {
        for verb in Arguments::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }
}
