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
    if config.annotations.contains_key("") {
        return Err(at("annotations", "one has no name"));
    }
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
        for (place, hook) in hooks.iter().enumerate() {
            let path = format!("hooks.{kind}[{place}]");
            absolute(&format!("{path}.path"), &hook.path)?;
            if let Some(seconds) = hook.timeout.filter(|seconds| *seconds <= 0) {
                return Err(at(&format!("{path}.timeout"), &format!("{seconds} is not above 0")));
            }
        }
    }
    Ok(())
}

fn absolute(path: &str, text: &str) -> Result<()> {
    match text.starts_with('/') {
        true => Ok(()),
        false => Err(at(path, &format!("{text:?} is not an absolute path"))),
    }
}

/// Three numbers, and words behind `-` and `+` (SemVer 2.0.0).
fn version(text: &str) -> Result<()> {
    let (numbers, words) = match text.split_once(['-', '+']) {
        Some((numbers, words)) => (numbers, Some(words)),
        None => (text, None),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|letter| letter.is_ascii_digit());
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(is_letter);
    let is_1 = numbers.starts_with("1.") && numbers.split('.').count() == 3;
    match is_1
        && numbers.split('.').all(is_number)
        && words.is_none_or(|all| all.split(['.', '+']).all(is_word))
    {
        true => Ok(()),
        false => Err(at("ociVersion", &format!("{text:?} is not a version 1, such as 1.2.0"))),
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
    absolute("process.cwd", &process.cwd)?;
    // To setresuid(2) and its kin this number says "no change": the program would stay root.
    let numbers = [("process.user.uid", process.user.uid), ("process.user.gid", process.user.gid)];
    if let Some((path, number)) = numbers.into_iter().find(|(_, number)| *number == u32::MAX) {
        return Err(at(path, &format!("{number} is nobody's number")));
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
        let joined = namespace.path.as_ref().filter(|path| !path.is_empty());
        joins_users |= joined.is_some() && namespace.kind == NamespaceKind::User;
        joined.map_or(Ok(()), |path| absolute(&format!("linux.namespaces[{place}].path"), path))?;
    }
    for (name, paths) in [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)] {
        let mut paths = paths.iter().enumerate();
        paths.try_for_each(|(place, path)| absolute(&format!("linux.{name}[{place}]"), path))?;
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
