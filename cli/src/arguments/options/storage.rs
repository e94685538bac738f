//! `--volume`, `--mount`, `--tmpfs`, `--read-only`, `--shm-size`.

use super::{parse, size};
use crate::error::{Error, Result};
use clap::Args;
use spec::node::{Container, Mount, Name, Propagation};
use std::path::Path;

#[derive(Clone, Debug, Default, Args)]
pub struct Storage {
    /// TARGET or SOURCE:TARGET[:ro,…]; SOURCE is a path of this machine, for which rslave, rshared and the like count, or the name of
    /// a volume, which begins empty with nocopy; without one the volume has no name and goes with rm -v
    #[arg(short, long, value_name = "MOUNT")]
    volume: Vec<String>,
    /// type=bind|volume|tmpfs,[source=SOURCE,]target=TARGET[,readonly][,tmpfs-size=SIZE][,tmpfs-mode=MODE][,volume-nocopy][,bind-propagation=HOW]
    #[arg(long)]
    mount: Vec<String>,
    /// TARGET[:size=SIZE,mode=MODE,uid=USER,gid=GROUP,exec,ro]: in memory
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
        let tmpfs = self.tmpfs.iter().map(|text| in_memory(text));
        let named = self.asked().filter_map(|asked| match asked {
            Ok(Asked::Nameless(_)) => None,
            Ok(Asked::Mount(mount)) => Some(Ok(mount)),
            Err(error) => Some(Err(error)),
        });
        Ok(Container {
            mounts: named.chain(tmpfs).collect::<Result<_>>()?,
            read_only: self.read_only,
            shm_size: self.shm_size.as_deref().map(|text| size("--shm-size", text)).transpose()?,
            ..container
        })
    }

    /// What of this machine `--volume` says; that of `--mount` is to be there.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn sources(&self) -> Result<Vec<String>> {
        let source = |text: &String| match volume(text)? {
            Asked::Mount(Mount::Bind { source, .. }) => Ok(Some(source)),
            _ => Ok(None),
        };
        self.volume.iter().filter_map(|text| source(text).transpose()).collect()
    }

    /// The volumes that have no name as yet.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn nameless(&self) -> Result<Vec<Nameless>> {
        let nameless = |asked| match asked {
            Ok(Asked::Nameless(one)) => Some(Ok(one)),
            Ok(Asked::Mount(_)) => None,
            Err(error) => Some(Err(error)),
        };
        self.asked().filter_map(nameless).collect()
    }

    fn asked(&self) -> impl Iterator<Item = Result<Asked>> {
        self.volume.iter().map(|text| volume(text)).chain(self.mount.iter().map(|text| mount(text)))
    }
}

/// What `--volume` or `--mount` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Mount(Mount),
    Nameless(Nameless),
}

/// A volume that nobody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// Its place in the container.
    pub target: String,
    /// It cannot be written.
    pub read_only: bool,
    /// It begins empty.
    pub no_copy: bool,
}

impl Nameless {
    /// One that begins as the image's folder.
    pub fn at(target: &str) -> Self {
        Self { target: target.to_owned(), read_only: false, no_copy: false }
    }

    /// The mount of the volume of this name.
    pub fn of(self, name: Name) -> Mount {
        let Self { target, read_only, no_copy } = self;
        Mount::Volume { name, target, read_only, no_copy }
    }
}

/// `TARGET` or `SOURCE:TARGET[:OPTION,…]`
fn volume(text: &str) -> Result<Asked> {
    let wrong = |why: &str| Error::new(format!("--volume {text:?}: {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, None),
        [source, target] => (Some(source), target, None),
        [source, target, options] => (Some(source), target, Some(options)),
        _ => return Err(wrong("not TARGET or SOURCE:TARGET[:ro]")),
    };
    let mut said = Said::default();
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        match (option, Propagation::of_name(option)) {
            ("ro", _) => said.read_only = true,
            ("nocopy", _) => said.no_copy = true,
            (_, Some(propagation)) => said.propagation = Some(propagation),
            // Labels of SELinux, words for other systems, and what is so anyway.
            ("rw" | "z" | "Z" | "cached" | "delegated" | "consistent", _) => {}
            (other, _) => {
                return Err(wrong(&format!("{other:?} is none of ro, rw, nocopy and propagations")));
            }
        }
    }
    let asked = match source {
        Some(source) => made(source, target, said).map(Asked::Mount),
        None => absolute(target).map(|()| Asked::Nameless(Nameless::at(target))),
    };
    asked.map_err(|why| wrong(&why))
}

/// What is said of a mount beside its two ends.
#[derive(Clone, Copy, Default)]
struct Said {
    read_only: bool,
    no_copy: bool,
    propagation: Option<Propagation>,
}

fn absolute(target: &str) -> std::result::Result<(), String> {
    match target.starts_with('/') {
        true => Ok(()),
        false => Err(format!("{target:?} is not an absolute path")),
    }
}

/// A path, which begins with `/` or `.`, is a bind mount; anything else is a volume's name.
fn made(source: &str, target: &str, said: Said) -> std::result::Result<Mount, String> {
    absolute(target)?;
    let (target, Said { read_only, no_copy, propagation }) = (target.to_owned(), said);
    if !source.starts_with(['/', '.']) {
        let path = |why| match source.contains('/') {
            true => format!("{source:?} is no name of a volume; of a folder that is meant write ./{source}"),
            false => why,
        };
        let name: Name = source.parse().map_err(path)?;
        return match propagation {
            None => Ok(Mount::Volume { name, target, read_only, no_copy }),
            Some(other) => Err(format!("{:?} is for folders of this machine", other.name())),
        };
    }
    if no_copy {
        return Err("\"nocopy\" is for volumes".to_owned());
    }
    bound(source, &target, said)
}

/// A folder or file of this machine; one that is not absolute begins where we are.
fn bound(source: &str, target: &str, said: Said) -> std::result::Result<Mount, String> {
    absolute(target)?;
    let source = std::path::absolute(Path::new(source)).map_err(|error| error.to_string())?;
    let (source, propagation) = (source.display().to_string(), said.propagation.unwrap_or_default());
    Ok(Mount::Bind { source, target: target.to_owned(), read_only: said.read_only, propagation })
}

/// `KEY=VALUE,…`
fn mount(text: &str) -> Result<Asked> {
    let wrong = |why: &str| Error::new(format!("--mount {text:?}: {why}"));
    let (mut kind, mut source, mut target) = ("volume", None, None);
    let (mut most, mut mode, mut said) = (None, None, Said::default());
    let is = |value: &str| value != "false" && value != "0";
    for pair in text.split(',') {
        match pair.split_once('=').unwrap_or((pair, "true")) {
            ("type", value) => kind = value,
            ("source" | "src", value) => source = Some(value),
            ("target" | "dst" | "destination", value) => target = Some(value),
            ("readonly" | "ro", value) => said.read_only = is(value),
            ("volume-nocopy", value) => said.no_copy = is(value),
            ("bind-propagation", value) => {
                let known = Propagation::of_name(value);
                said.propagation =
                    Some(known.ok_or_else(|| wrong(&format!("{value:?} is not a propagation")))?);
            }
            // There is one driver.
            ("consistency", _) | ("volume-driver", "local") => {}
            ("tmpfs-size", value) => most = Some(size("--mount", value)?),
            ("tmpfs-mode", value) => mode = Some(octal(value).map_err(|why| wrong(&why))?),
            (other, _) => return Err(wrong(&format!("{other:?} is not a key that is known here"))),
        }
    }
    let target = target.ok_or_else(|| wrong("target is missing"))?;
    if kind != "tmpfs" && (most.is_some() || mode.is_some()) {
        return Err(wrong("tmpfs-size and tmpfs-mode are for type=tmpfs"));
    }
    if (kind != "volume" && said.no_copy) || (kind != "bind" && said.propagation.is_some()) {
        return Err(wrong("volume-nocopy is for type=volume, bind-propagation for type=bind"));
    }
    let read_only = said.read_only;
    match (kind, source) {
        ("tmpfs", None) => {
            let target = target.to_owned();
            Ok(Asked::Mount(Mount::Tmpfs {
                target,
                size: most,
                mode,
                uid: None,
                gid: None,
                exec: false,
                read_only,
            }))
        }
        ("bind", None) => Err(wrong("source is missing")),
        ("volume", None) => {
            absolute(target).map_err(|why| wrong(&why))?;
            let target = target.to_owned();
            Ok(Asked::Nameless(Nameless { target, read_only, no_copy: said.no_copy }))
        }
        ("volume", Some(name)) => {
            let (name, target) = (parse("--mount: source", name)?, target.to_owned());
            Ok(Asked::Mount(Mount::Volume { name, target, read_only, no_copy: said.no_copy }))
        }
        ("bind", Some("")) => Err(wrong("source is missing")),
        ("bind", Some(source)) => bound(source, target, said).map(Asked::Mount).map_err(|why| wrong(&why)),
        (other, _) => Err(wrong(&format!("{other:?} is none of bind, volume and tmpfs, or has no source"))),
    }
}

/// `TARGET[:OPTION,…]`
fn in_memory(text: &str) -> Result<Mount> {
    let wrong = |why: &str| Error::new(format!("--tmpfs {text:?}: {why}"));
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let (mut most, mut mode, mut exec, mut read_only) = (None, None, false, false);
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", value) => most = Some(size("--tmpfs", value)?),
            ("mode", value) => mode = Some(octal(value).map_err(|why| wrong(&why))?),
            ("uid", value) => uid = Some(parse("--tmpfs uid", value)?),
            ("gid", value) => gid = Some(parse("--tmpfs gid", value)?),
            ("exec", "") => exec = true,
            ("noexec", "") => exec = false,
            ("ro", "") => read_only = true,
            ("rw", "") => read_only = false,
            // It is so anyway.
            ("nosuid" | "nodev", "") => {}
            _ => {
                return Err(wrong(&format!(
                    "{option:?} is none of size=SIZE, mode=MODE, uid=USER, gid=GROUP, exec, ro"
                )));
            }
        }
    }
    Ok(Mount::Tmpfs { target: target.to_owned(), size: most, mode, uid, gid, exec, read_only })
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
        let volume = Mount::Volume {
            name: "data".parse().unwrap(),
            target: "/d".into(),
            read_only: true,
            no_copy: false,
        };
        let named = |text: &str| match super::volume(text).unwrap() {
            Asked::Mount(mount) => mount,
            Asked::Nameless(other) => panic!("{other:?}"),
        };
        let mount = |text: &str| match mount(text).unwrap() {
            Asked::Mount(mount) => mount,
            Asked::Nameless(other) => panic!("{other:?}"),
        };
        assert_eq!(named("data:/d:ro"), volume);
        assert_eq!(mount("source=data,target=/d,readonly"), volume);
        let bind = |propagation| Mount::Bind {
            source: "/a".into(),
            target: "/b".into(),
            read_only: false,
            propagation,
        };
        let slave = bind(Propagation::Rslave);
        assert_eq!(named("/a:/b:rslave"), slave);
        assert_eq!(mount("type=bind,src=/a,dst=/b,bind-propagation=rslave"), slave);
        assert!(matches!(named("data:/d:nocopy"), Mount::Volume { no_copy: true, .. }));
        assert!(matches!(mount("src=data,dst=/d,volume-nocopy"), Mount::Volume { no_copy: true, .. }));
        let bind = bind(Propagation::default());
        assert_eq!(named("/a:/b"), bind);
        assert_eq!(mount("type=bind,src=/a,dst=/b"), bind);
        // Without a slash it is a path, too.
        let here = std::env::current_dir().unwrap();
        for source in ["a", "./a"] {
            let mounted = mount(&format!("type=bind,src={source},dst=/b"));
            assert!(matches!(mounted, Mount::Bind { source, .. } if Path::new(&source) == here.join("a")));
        }
        let tmpfs = Mount::Tmpfs {
            target: "/t".into(),
            size: Some(Bytes(1 << 20)),
            mode: None,
            uid: None,
            gid: None,
            exec: false,
            read_only: false,
        };
        assert_eq!(in_memory("/t:size=1m").unwrap(), tmpfs);
        assert_eq!(in_memory("/t:rw,noexec,nosuid,size=1m").unwrap(), tmpfs);
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-size=1m"), tmpfs);
        let fixed = |uid, gid| Mount::Tmpfs {
            target: "/t".into(),
            size: None,
            mode: Some(0o750),
            uid,
            gid,
            exec: false,
            read_only: true,
        };
        let owned = in_memory("/t:mode=0750,uid=1000,gid=50,ro").unwrap();
        assert_eq!(owned, fixed(Some(1000), Some(50)));
        let fixed = fixed(None, None);
        assert_eq!(in_memory("/t:mode=0750,exec,noexec,ro").unwrap(), fixed);
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-mode=750,readonly"), fixed);
        assert!(matches!(in_memory("/t:exec").unwrap(), Mount::Tmpfs { exec: true, .. }));
    }

    #[test]
    fn a_volume_may_have_no_name() {
        let nameless = |target: &str, read_only, no_copy| {
            Asked::Nameless(Nameless { target: target.into(), read_only, no_copy })
        };
        assert_eq!(super::volume("/d").unwrap(), nameless("/d", false, false));
        assert_eq!(mount("type=volume,target=/d,readonly").unwrap(), nameless("/d", true, false));
        assert_eq!(mount("dst=/d,volume-nocopy").unwrap(), nameless("/d", false, true));
        for (text, why) in [
            ("d", "\"d\" is not an absolute path"),
            ("/d:ro", "\"ro\" is not an absolute path"),
            ("a:/b:ro:c", "not TARGET or SOURCE:TARGET[:ro]"),
        ] {
            let error = super::volume(text).unwrap_err().message;
            assert!(error.starts_with(&format!("--volume {text:?}: {why}")), "{error}");
        }
    }

    #[test]
    fn a_wrong_mount_is_told() {
        for (text, why) in [
            ("type=bind,target=/b", "source is missing"),
            ("type=bind,source=,target=/b", "source is missing"),
            ("type=bind,source=/a,target=b", "\"b\" is not an absolute path"),
            ("type=nfs,source=a,target=/b", "\"nfs\" is none of bind"),
            ("source=a", "target is missing"),
            ("colour=red", "\"colour\" is not a key"),
            ("type=bind,source=/a,target=/b,tmpfs-size=1m", "tmpfs-size and tmpfs-mode are for"),
            ("type=tmpfs,target=/b,tmpfs-mode=9", "\"9\" is not a mode"),
            ("type=bind,source=/a,target=/b,volume-nocopy", "volume-nocopy is for type=volume"),
            ("type=bind,source=/a,target=/b,bind-propagation=open", "\"open\" is not a propagation"),
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
