//! What config.json may ask for and does not get, by JSON path.

use crate::error::{Error, Result};
use spec::bundle::{Config, Hooks, IdMapping, Linux, NamespaceKind, Process};
use std::collections::BTreeSet;

/// An error about a place in config.json.
pub fn at(path: &str, words: &str) -> Error {
    Error(format!("{path}: {words}"))
}

/// Refuses what is not supported yet, and what makes no sense.
///
/// # Errors
/// The first such thing by its JSON path.
pub fn check(config: &Config) -> Result<()> {
    version(&config.oci_version)?;
    if config.root.as_ref().is_none_or(|root| root.path.is_empty()) {
        return Err(at("root.path", "is missing"));
    }
    if let Some(process) = &config.process {
        check_process(process)?;
    }
    if let Some(linux) = &config.linux {
        check_linux(linux)?;
    }
    config.hooks.as_ref().map_or(Ok(()), check_hooks)?;
    names(config)
}

/// A path that is not absolute would be looked for in `PATH`, or from wherever the hook begins.
fn check_hooks(hooks: &Hooks) -> Result<()> {
    let kinds = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hooks) in kinds {
        if let Some(place) = hooks.iter().position(|hook| !hook.path.starts_with('/')) {
            let path = format!("hooks.{kind}[{place}].path");
            return Err(at(&path, &format!("{:?} is not an absolute path", hooks[place].path)));
        }
    }
    Ok(())
}

fn version(text: &str) -> Result<()> {
    match text.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(at("ociVersion", &format!("{text:?} is not a version 1"))),
    }
}

/// What a `process` may not have, of a container and of `exec` alike.
///
/// # Errors
/// As [`check`].
pub fn check_process(process: &Process) -> Result<()> {
    if process.args.first().is_none_or(String::is_empty) {
        return Err(at("process.args", "is empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(at("process.cwd", &format!("{:?} is not an absolute path", process.cwd)));
    }
    // To setresuid(2) and its kin this number says "no change": the program would stay root.
    let numbers = [("process.user.uid", process.user.uid), ("process.user.gid", process.user.gid)];
    if let Some((path, number)) = numbers.into_iter().find(|(_, number)| *number == u32::MAX) {
        return Err(at(path, &format!("{number} is nobody's number")));
    }
    // As capset(2) has it; the program would start to fail.
    let sets = process.capabilities.clone().unwrap_or_default();
    if let Some(name) = sets.inheritable.iter().find(|name| !sets.bounding.contains(name)) {
        let words = format!("{name} is not in the bounding set");
        return Err(at("process.capabilities.inheritable", &words));
    }
    // What only `exec` uses is wrong already in the container's config.json.
    super::affinity(process).map(drop)
}

fn check_linux(linux: &Linux) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut joins_users = false;
    for (place, namespace) in linux.namespaces.iter().enumerate() {
        if !seen.insert(namespace.kind) {
            let path = format!("linux.namespaces[{place}]");
            return Err(at(&path, &format!("{} is there twice", namespace.kind)));
        }
        let is_joined = namespace.path.as_ref().is_some_and(|path| !path.is_empty());
        joins_users |= is_joined && namespace.kind == NamespaceKind::User;
    }
    if seen.contains(&NamespaceKind::User) && !seen.contains(&NamespaceKind::Mount) {
        return Err(at(
            "linux.namespaces",
            "a user namespace has no right to mount without a mount namespace",
        ));
    }
    if joins_users {
        return Ok(());
    }
    let is_new = seen.contains(&NamespaceKind::User);
    mappings("linux.uidMappings", &linux.uid_mappings, is_new)?;
    mappings("linux.gidMappings", &linux.gid_mappings, is_new)
}

/// The first process becomes root of a new user namespace.
fn mappings(path: &str, mappings: &[IdMapping], is_new: bool) -> Result<()> {
    let has_root = mappings.iter().any(|one| one.container_id == 0 && one.size > 0);
    match (is_new, mappings.is_empty()) {
        (false, false) => Err(at(path, "there is no user namespace")),
        (true, true) => Err(at(path, "a user namespace has none")),
        (true, false) if !has_root => Err(at(path, "0, root of the user namespace, is in none")),
        _ => Ok(()),
    }
}

/// A name can only be set in a namespace of the container's own.
fn names(config: &Config) -> Result<()> {
    let uts = config.linux.as_ref().is_some_and(|linux| super::has(linux, NamespaceKind::Uts));
    let named = [("hostname", &config.hostname), ("domainname", &config.domainname)];
    match named.into_iter().find(|(_, name)| !name.is_empty() && (!uts || name.contains('\0'))) {
        Some((path, _)) if uts => Err(at(path, "has a zero byte")),
        Some((path, _)) => Err(at(path, "there is no uts namespace")),
        None => Ok(()),
    }
}
