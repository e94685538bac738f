//! Kernels out of Debian's archive: found by apt-cache, fetched by `apt-get download`
//! (which authenticates them and needs no root), unpacked and never installed.
//!
//! ```text
//! ${XDG_CACHE_HOME:-~/.cache}/skerry/kernel/
//! ├── NAME_VERSION/    an unpacked package: boot/, lib/modules/, package.sha256
//! └── found/NAME       what a name led to last: "NAME VERSION\n"
//! ```
//!
//! A folder is published by one rename: it is complete or it is not there. A name may be
//! that of a package which depends on the current kernel (`linux-image-cloud-amd64`). With a
//! warm cache nothing but apt's own lists is needed, and without those, or when the
//! current version cannot be fetched, the one that was found last is used.

use super::stanza::Stanza;
use crate::error::{Error, Result};
use crate::hash::sha256_file;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use sys::cause::cause;

/// A package and the hash of its `.deb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, that of a kernel.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hexadecimal digits.
    pub sha256: String,
}

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    version: String,
    /// As apt's lists have it; unknown when they are gone.
    sha256: Option<String>,
}

impl Wanted {
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}_{}", self.name, self.version.replace(':', "%3a")))
    }
}

/// Gets a kernel package and tells where it is unpacked.
pub fn get(name: &str, version: Option<&str>, say: &mut dyn FnMut(&str)) -> Result<(Package, PathBuf)> {
    let cache = cache()?;
    let record = cache.join("found").join(match version {
        Some(version) => format!("{name}={version}"),
        None => name.to_owned(),
    });
    let current = resolve(name, version, &cache).and_then(|wanted| {
        fetch(&wanted, &cache)?;
        write_record(&record, &wanted)?;
        Ok(wanted)
    });
    let used = match (current, recorded(&record, &cache)) {
        (Ok(wanted), _) => wanted,
        (Err(error), Some(last)) => {
            say(&format!("{error}; using the cached {} {}", last.name, last.version));
            last
        }
        (Err(error), None) => return Err(error),
    };
    let folder = used.folder(&cache);
    let sum = folder.join("package.sha256");
    let sha256 = fs::read_to_string(&sum).map_err(|error| Error::io("read", &sum, &error))?;
    Ok((Package { name: used.name, version: used.version, sha256: sha256.trim().to_owned() }, folder))
}

fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("skerry/kernel"))
        .ok_or_else(|| Error::new("find the cache: neither XDG_CACHE_HOME nor HOME is set"))
}

/// What a name means in apt's lists: the package itself, or the kernel that it
/// depends on. Each question to apt takes seconds: what the cache has is not asked for.
fn resolve(name: &str, version: Option<&str>, cache: &Path) -> Result<Wanted> {
    let stanza = show(name, version)?;
    let (kernel, kernel_version) = match stanza.kernel_dependency() {
        None => return Ok(Wanted { name: name.to_owned(), version: stanza.version, sha256: stanza.sha256 }),
        Some(dependency) => dependency,
    };
    if let Some(version) = &kernel_version {
        let wanted = Wanted { name: kernel.clone(), version: version.clone(), sha256: None };
        if wanted.folder(cache).is_dir() {
            return Ok(wanted);
        }
    }
    let stanza = show(&kernel, kernel_version.as_deref())?;
    Ok(Wanted { name: kernel, version: stanza.version, sha256: stanza.sha256 })
}

fn show(name: &str, version: Option<&str>) -> Result<Stanza> {
    let wanted = version.map_or(name.to_owned(), |version| format!("{name}={version}"));
    // apt-cache fails, or says nothing, when it knows no such package: the same to us.
    let text = run("apt-cache", &["show", "--no-all-versions", &wanted], Path::new("."));
    if let Some(stanza) = text.ok().as_deref().and_then(Stanza::parse) {
        return Ok(stanza);
    }
    let all = run("apt-cache", &["show", "--all-versions", name], Path::new(".")).unwrap_or_default();
    let versions: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("Version: ")).collect();
    Err(Error::new(match (version, versions.is_empty()) {
        (_, true) => format!("apt knows no package {name} (is apt-get update due?)"),
        (version, false) => {
            format!("the archive has no {name} {}, but {}", version.unwrap_or_default(), versions.join(", "))
        }
    }))
}

/// Fetches and unpacks a package, unless that was done before.
fn fetch(wanted: &Wanted, cache: &Path) -> Result<()> {
    let folder = wanted.folder(cache);
    if folder.is_dir() {
        return Ok(());
    }
    let work = cache.join(format!("tmp.{}", std::process::id()));
    let done = unpack(wanted, &work).and_then(|unpacked| publish(&unpacked, &folder));
    // What could not be removed is a folder of ours in a cache; the build's end matters more.
    let _ = fs::remove_dir_all(&work);
    done
}

fn unpack(wanted: &Wanted, work: &Path) -> Result<PathBuf> {
    let unpacked = work.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(|error| Error::io("create", &unpacked, &error))?;
    let package = format!("{}={}", wanted.name, wanted.version);
    let quick = ["-qq", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30"];
    run("apt-get", &[&["download", &package], &quick[..]].concat(), work)
        .map_err(|error| error.within(format!("download {package}")))?;
    let failed = |error| Error::io("read", work, &error);
    let mut files = fs::read_dir(work).map_err(failed)?.filter_map(|entry| Some(entry.ok()?.path()));
    let archive = files.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.ok_or_else(|| Error::new(format!("apt-get download {package} left no package")))?;
    let sum = sha256_file(&archive)?;
    if wanted.sha256.as_ref().is_some_and(|listed| *listed != sum) {
        return Err(Error::new(format!("{package}: its hash {sum} is not the one in apt's lists")));
    }
    run("dpkg-deb", &["-x", &archive.to_string_lossy(), &unpacked.to_string_lossy()], Path::new("."))
        .map_err(|error| error.within(format!("unpack {package}")))?;
    if modules_folder(&unpacked).is_none() {
        return Err(Error::new(format!("{package} is not a kernel: it has no lib/modules")));
    }
    let note = unpacked.join("package.sha256");
    fs::write(&note, format!("{sum}\n")).map_err(|error| Error::io("write", &note, &error))?;
    Ok(unpacked)
}

/// Where an unpacked package has its modules: below `usr` from Debian 13 on.
pub fn modules_folder(unpacked: &Path) -> Option<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .map(|folder| unpacked.join(folder))
        .into_iter()
        .find(|folder| folder.is_dir())
}

fn publish(unpacked: &Path, folder: &Path) -> Result<()> {
    match fs::rename(unpacked, folder) {
        // Another build was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.map_err(|error| Error::io("rename to", folder, &error)),
    }
}

/// What a name led to last, if that is still in the cache.
fn recorded(record: &Path, cache: &Path) -> Option<Wanted> {
    let text = fs::read_to_string(record).ok()?;
    let (name, version) = text.trim_end().split_once(' ')?;
    let wanted = Wanted { name: name.to_owned(), version: version.to_owned(), sha256: None };
    wanted.folder(cache).is_dir().then_some(wanted)
}

fn write_record(record: &Path, wanted: &Wanted) -> Result<()> {
    let folder = record.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
    let fresh = record.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::write(&fresh, format!("{} {}\n", wanted.name, wanted.version));
    written.and_then(|()| fs::rename(&fresh, record)).map_err(|error| Error::io("write", record, &error))
}

/// Runs a program in English and gives its output, or its own words and its name.
fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).env("LC_ALL", "C").output();
    let output = output.map_err(|error| Error::new(format!("run {program}: {}", cause(&error))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let fault = |line| ["E: ", "dpkg-deb: error: "].iter().find_map(|&begin| str::strip_prefix(line, begin));
    let errors: Vec<&str> = errors.lines().filter_map(fault).collect();
    let errors = if errors.is_empty() { output.status.to_string() } else { errors.join("; ") };
    Err(Error::new(format!("{program}: {errors}")))
}
