//! `--volume`, `--mount`, `--tmpfs`, `--read-only`, `--shm-size`.

use super::{parse, size};
use crate::error::{Error, Result};
use clap::Args;
use spec::node::{Container, Mount, Name};
use std::path::Path;

#[derive(Clone, Debug, Default, Args)]
pub struct Storage {
    /// SOURCE:TARGET[:ro]; SOURCE is a path of this machine, or the name of a volume
    #[arg(short, long)]
    volume: Vec<String>,
    /// type=bind|volume|tmpfs,source=SOURCE,target=TARGET[,readonly][,tmpfs-size=SIZE][,tmpfs-mode=MODE]
    #[arg(long)]
    mount: Vec<String>,
    /// TARGET[:size=SIZE,mode=MODE,exec,ro]: in memory
    #[arg(long)]
    tmpfs: Vec<String>,
    /// The root cannot be written
    #[arg(long)]
    read_only: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
}

impl Storage {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        let volumes = self.volume.iter().map(|text| volume(text));
        let mounts = self.mount.iter().map(|text| mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| in_memory(text));
        Ok(Container {
            mounts: volumes.chain(mounts).chain(tmpfs).collect::<Result<_>>()?,
            read_only: self.read_only,
            shm_size: self.shm_size.as_deref().map(|text| size("--shm-size", text)).transpose()?,
            ..container
        })
    }
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
    let mut read_only = false;
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            // Labels of SELinux, words for other systems, and what is so anyway.
            "rw" | "z" | "Z" | "rprivate" | "cached" | "delegated" | "consistent" => {}
            other => return Err(wrong(&format!("{other:?} is none of ro, rw"))),
        }
    }
    made(source, target, read_only).map_err(|why| wrong(&why))
}

/// A path is a bind mount, any other name a volume.
fn made(source: &str, target: &str, read_only: bool) -> std::result::Result<Mount, String> {
    if !target.starts_with('/') {
        return Err(format!("{target:?} is not an absolute path"));
    }
    let target = target.to_owned();
    if !source.contains('/') && !source.starts_with('.') {
        let name: Name = source.parse()?;
        return Ok(Mount::Volume { name, target, read_only });
    }
    let source = std::path::absolute(Path::new(source)).map_err(|error| error.to_string())?;
    Ok(Mount::Bind { source: source.display().to_string(), target, read_only })
}

/// `KEY=VALUE,…`
fn mount(text: &str) -> Result<Mount> {
    let wrong = |why: &str| Error::new(format!("--mount {text:?}: {why}"));
    let (mut kind, mut source, mut target, mut read_only) = ("volume", None, None, false);
    let (mut most, mut mode) = (None, None);
    for pair in text.split(',') {
        match pair.split_once('=').unwrap_or((pair, "true")) {
            ("type", value) => kind = value,
            ("source" | "src", value) => source = Some(value),
            ("target" | "dst" | "destination", value) => target = Some(value),
            ("readonly" | "ro", value) => read_only = value != "false" && value != "0",
            ("bind-propagation", "rprivate") | ("consistency", _) => {}
            ("tmpfs-size", value) => most = Some(size("--mount", value)?),
            ("tmpfs-mode", value) => mode = Some(octal(value).map_err(|why| wrong(&why))?),
            (other, _) => return Err(wrong(&format!("{other:?} is not a key that is known here"))),
        }
    }
    let target = target.ok_or_else(|| wrong("target is missing"))?;
    if kind != "tmpfs" && (most.is_some() || mode.is_some()) {
        return Err(wrong("tmpfs-size and tmpfs-mode are for type=tmpfs"));
    }
    match (kind, source) {
        ("tmpfs", None) => {
            Ok(Mount::Tmpfs { target: target.to_owned(), size: most, mode, exec: false, read_only })
        }
        ("bind" | "volume", None) => Err(wrong("source is missing")),
        ("bind", Some(source)) if !source.starts_with('/') => {
            Err(wrong(&format!("{source:?} is not an absolute path")))
        }
        ("volume", Some(name)) => {
            let name = parse("--mount: source", name)?;
            Ok(Mount::Volume { name, target: target.to_owned(), read_only })
        }
        ("bind", Some(source)) => made(source, target, read_only).map_err(|why| wrong(&why)),
        (other, _) => Err(wrong(&format!("{other:?} is none of bind, volume and tmpfs, or has no source"))),
    }
}

/// `TARGET[:OPTION,…]`
fn in_memory(text: &str) -> Result<Mount> {
    let wrong = |why: &str| Error::new(format!("--tmpfs {text:?}: {why}"));
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let (mut most, mut mode, mut exec, mut read_only) = (None, None, false, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", value) => most = Some(size("--tmpfs", value)?),
            ("mode", value) => mode = Some(octal(value).map_err(|why| wrong(&why))?),
            ("exec", "") => exec = true,
            ("noexec", "") => exec = false,
            ("ro", "") => read_only = true,
            ("rw", "") => read_only = false,
            // It is so anyway.
            ("nosuid" | "nodev", "") => {}
            _ => return Err(wrong(&format!("{option:?} is none of size=SIZE, mode=MODE, exec, ro"))),
        }
    }
    Ok(Mount::Tmpfs { target: target.to_owned(), size: most, mode, exec, read_only })
}

/// Permissions as chmod(1) has them in numbers.
fn octal(text: &str) -> std::result::Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("{text:?} is not a mode such as 1777"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::quantity::Bytes;

    #[test]
    fn a_mount_is_written_in_two_ways() {
        let volume = Mount::Volume { name: "data".parse().unwrap(), target: "/d".into(), read_only: true };
        assert_eq!(super::volume("data:/d:ro").unwrap(), volume);
        assert_eq!(mount("source=data,target=/d,readonly").unwrap(), volume);
        let bind = Mount::Bind { source: "/a".into(), target: "/b".into(), read_only: false };
        assert_eq!(super::volume("/a:/b").unwrap(), bind);
        assert_eq!(mount("type=bind,src=/a,dst=/b").unwrap(), bind);
        let tmpfs = Mount::Tmpfs {
            target: "/t".into(),
            size: Some(Bytes(1 << 20)),
            mode: None,
            exec: false,
            read_only: false,
        };
        assert_eq!(in_memory("/t:size=1m").unwrap(), tmpfs);
        assert_eq!(in_memory("/t:rw,noexec,nosuid,size=1m").unwrap(), tmpfs);
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-size=1m").unwrap(), tmpfs);
        let fixed =
            Mount::Tmpfs { target: "/t".into(), size: None, mode: Some(0o750), exec: false, read_only: true };
        assert_eq!(in_memory("/t:mode=0750,exec,noexec,ro").unwrap(), fixed);
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-mode=750,readonly").unwrap(), fixed);
        assert!(matches!(in_memory("/t:exec").unwrap(), Mount::Tmpfs { exec: true, .. }));
    }

    #[test]
    fn a_wrong_mount_is_told() {
        for (text, why) in [
            ("type=bind,target=/b", "source is missing"),
            ("type=bind,source=a,target=/b", "\"a\" is not an absolute path"),
            ("type=nfs,source=a,target=/b", "\"nfs\" is none of bind"),
            ("source=a", "target is missing"),
            ("colour=red", "\"colour\" is not a key"),
            ("type=bind,source=/a,target=/b,tmpfs-size=1m", "tmpfs-size and tmpfs-mode are for"),
            ("type=tmpfs,target=/b,tmpfs-mode=9", "\"9\" is not a mode"),
        ] {
            let error = mount(text).unwrap_err().message;
            assert!(error.starts_with(&format!("--mount {text:?}: {why}")), "{error}");
        }
        for (text, why) in [("/t:suid", "\"suid\" is none of"), ("/t:mode=10000", "\"10000\" is not a mode")]
        {
            let error = in_memory(text).unwrap_err().message;
            assert!(error.starts_with(&format!("--tmpfs {text:?}: {why}")), "{error}");
        }
    }
}
