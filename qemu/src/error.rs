//! What goes wrong with a virtual machine.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a machine could not be started, or did not do what was awaited.
#[derive(Debug)]
pub enum Error {
    /// The description cannot be built, such as hot-plug on a board without PCI.
    Impossible(String),
    /// A program is not installed.
    NotInstalled {
        /// The program's name.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// A file that the machine needs cannot be opened.
    File(PathBuf, io::Error),
    /// A system call on this side of the machine.
    Io(&'static str, io::Error),
    /// QEMU ended before the machine ran; its own words.
    NotStarted(String),
    /// QEMU refused a command of its monitor.
    Refused {
        /// The QMP command.
        command: String,
        /// QEMU's own words.
        words: String,
    },
    /// What was awaited did not come in time.
    Late {
        /// What was awaited.
        what: String,
        /// The limit that passed.
        limit: Duration,
    },
    /// The machine ended while something was awaited.
    Ended {
        /// What was awaited.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(why) => out.write_str(why),
            Self::NotInstalled { program, package } => {
                write!(out, "{program} is not installed; it is in the Debian package {package}")
            }
            Self::File(path, cause) => write!(out, "open {}: {}", path.display(), words(cause)),
            Self::Io(action, cause) => write!(out, "{action}: {}", words(cause)),
            Self::NotStarted(words) => write!(out, "start qemu: {words}"),
            Self::Refused { command, words } => write!(out, "qemu {command}: {words}"),
            Self::Late { what, limit } => write!(out, "{what} did not come within {} s", limit.as_secs()),
            Self::Ended { what } => write!(out, "the machine ended before {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_, cause) | Self::Io(_, cause) => Some(cause),
            _ => None,
        }
    }
}

/// A cause as our messages tell it: in lower case and without `(os error 2)`.
pub fn words(cause: &io::Error) -> String {
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
