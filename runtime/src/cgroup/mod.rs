//! `linux.resources` as cgroup v2: which files of the cgroup's folder get which
//! text, and which program decides about devices. Nothing is written here.
//!
//! ```text
//! pids memory io cpu cpuset hugetlb rdma   worded for cgroup v1, converted
//! unified                                  taken as it is, last: it prevails
//! devices                                  an eBPF program, no file
//! ```
//!
//! The specification allows a conversion from cgroup v1 (`config-linux.md`,
//! "Unified") and gives no formula: those here are what runc and crun do. As
//! with them, 0 stands for "unset" where cgroup v1 knows no such limit: Docker's
//! updates are full of it.
//!
//! Left to the caller: `memory.checkBeforeUpdate`, which needs `memory.current`,
//! and the devices that every container may use.

pub mod annotation;
pub mod before;
mod block_io;
mod cpu;
pub mod devices;
mod events;
pub mod folder;
pub mod freezer;
mod memory;
pub mod resources;
pub mod scope;
pub mod stats;
pub mod systemd;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A file of the cgroup's folder and what is written to it, in one write(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its name, such as `memory.max`.
    pub file: String,
    /// The text, without a line feed at its end.
    pub value: String,
    /// What is done when there is no such file.
    pub absent: Absent,
}

/// What is done when the kernel was built without a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The limit cannot be had: an error.
    Refuse,
    /// Nothing: it would change nothing.
    Skip,
    /// Another file is written, which must be there.
    Instead {
        /// Its name.
        file: String,
        /// The text.
        value: String,
    },
}

impl Write {
    fn new(file: impl Into<String>, value: impl ToString) -> Self {
        Self { file: file.into(), value: value.to_string(), absent: Absent::Refuse }
    }

    fn if_absent(self, absent: Absent) -> Self {
        Self { absent, ..self }
    }
}

/// An error about a value of `linux.resources`.
fn refused(path: &str, value: impl Display, why: impl Display) -> Error {
    Error(format!("linux.resources.{path}: {value}: {why}"))
}

/// The value, if it lies in the range.
fn within<T: PartialOrd + Display + Copy>(path: &str, value: T, range: RangeInclusive<T>) -> Result<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(refused(path, value, format!("not from {} to {}", range.start(), range.end())))
}

/// A limit in words: −1 is none.
fn limit(path: &str, value: i64) -> Result<String> {
    match value {
        -1 => Ok("max".to_owned()),
        0.. => Ok(value.to_string()),
        _ => Err(refused(path, value, "below -1, which is no limit")),
    }
}

/// The value, unless it is 0, which is none.
fn set<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}
