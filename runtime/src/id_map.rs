//! The IDs of a new user namespace (user_namespaces(7)). Root writes them; a user may write
//! one line about itself, and has newuidmap(1) and newgidmap(1) write what /etc/subuid and
//! /etc/subgid give it.

use crate::error::{Context, Error, Result};
use std::fs;
use std::process::Command;

/// Maps users and groups of a process's user namespace.
///
/// # Errors
/// The map that is not allowed, and why.
pub fn write(pid: i32, users: &str, groups: &str) -> Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !uid.is_root() && !is_only(users, uid.as_raw()) {
        by_helper("linux.uidMappings", "newuidmap", pid, users)?;
    } else {
        by_file("linux.uidMappings", "uid_map", pid, users)?;
    }
    if uid.is_root() {
        return by_file("linux.gidMappings", "gid_map", pid, groups);
    }
    if !is_only(groups, gid.as_raw()) {
        return by_helper("linux.gidMappings", "newgidmap", pid, groups);
    }
    // Or it could leave a group that keeps it from a file.
    by_file("linux.gidMappings", "setgroups", pid, "deny")?;
    by_file("linux.gidMappings", "gid_map", pid, groups)
}

/// One ID, the caller's own.
fn is_only(map: &str, own: u32) -> bool {
    let mut words = map.split_whitespace().skip(1);
    words.next().is_some_and(|host| host == own.to_string()) && words.eq(["1"])
}

fn by_file(path: &str, file: &str, pid: i32, text: &str) -> Result<()> {
    fs::write(format!("/proc/{pid}/{file}"), text).context(|| format!("{path}: write {text:?} to {file}"))
}

fn by_helper(path: &str, program: &str, pid: i32, map: &str) -> Result<()> {
    let words = || format!("{path}: run {program}, which maps more than the caller's own ID");
    let output = Command::new(program).arg(pid.to_string()).args(map.split_whitespace()).output();
    let output = output.context(words)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error(format!("{}: {}", words(), String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::is_only;

    #[test]
    fn one_line_of_one_id_is_the_callers_to_write() {
        assert!(is_only("0 1000 1\n", 1000) && is_only("7 1000 1\n", 1000));
        for map in ["", "0 1000 2\n", "0 1001 1\n", "0 1000 1\n1 100000 65536\n"] {
            assert!(!is_only(map, 1000), "{map}");
        }
    }
}
