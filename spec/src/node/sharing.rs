//! `containers.NAME.cgroup`, `uts`, `pid` and `ipc`: whose namespaces a container has.

use super::Name;
use super::attachment::another;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Whose namespace it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// The container's own.
    #[default]
    Private,
    /// The node's.
    Host,
}

impl Sharing {
    /// It is the container's own.
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::Private
    }
}

/// Whose processes it sees: `"private"`, `"host"` or `"container:NAME"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pid {
    /// Its own.
    #[default]
    Private,
    /// The node's.
    Host,
    /// Another container's, which must run: its name, or the first digits of its ID. Who ends there first takes all
    /// others along (pid_namespaces(7)).
    Container(Name),
}

/// Whose System V IPC, message queues and `/dev/shm` it has: `"private"`, `"shareable"`, `"none"`, `"host"` or
/// `"container:NAME"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ipc {
    /// Its own.
    #[default]
    Private,
    /// Its own, which others may have as theirs.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// The node's.
    Host,
    /// Those of another container, which must run and be [`Self::Shareable`]: its name, or the first digits of its ID.
    Container(Name),
}

impl FromStr for Pid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, another(text)) {
            (_, Some(other)) => other.map(Self::Container),
            ("private", _) => Ok(Self::Private),
            ("host", _) => Ok(Self::Host),
            _ => Err(format!("{text:?} is none of private, host and container:NAME")),
        }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => out.write_str("private"),
            Self::Host => out.write_str("host"),
            Self::Container(other) => write!(out, "container:{other}"),
        }
    }
}

impl FromStr for Ipc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, another(text)) {
            (_, Some(other)) => other.map(Self::Container),
            ("private", _) => Ok(Self::Private),
            ("shareable", _) => Ok(Self::Shareable),
            ("none", _) => Ok(Self::None),
            ("host", _) => Ok(Self::Host),
            _ => Err(format!("{text:?} is none of private, shareable, none, host and container:NAME")),
        }
    }
}

impl fmt::Display for Ipc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => out.write_str("private"),
            Self::Shareable => out.write_str("shareable"),
            Self::None => out.write_str("none"),
            Self::Host => out.write_str("host"),
            Self::Container(other) => write!(out, "container:{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_it_is_reads_back_as_it_was_written() {
        for text in ["private", "host", "container:db"] {
            assert_eq!(text.parse::<Pid>().unwrap().to_string(), text);
        }
        for text in ["private", "shareable", "none", "host", "container:db"] {
            assert_eq!(text.parse::<Ipc>().unwrap().to_string(), text);
        }
        let id = format!("container:{}", "0123456789abcdef".repeat(4));
        assert_eq!(id.parse(), Ok(Pid::Container("0123456789ab".parse().unwrap())));
        assert_eq!(
            "shareable".parse::<Pid>().unwrap_err(),
            "\"shareable\" is none of private, host and container:NAME"
        );
        assert!("container:".parse::<Ipc>().unwrap_err().contains("is not a name"));
    }
}
