//! Containers' roots: an image from one of the node's stores, and over it what
//! the container writes.
//!
//! Each instance of a container of `node.toml` begins with its image as it is: what the one before it wrote
//! is put aside when the next one is made, and removed by a process of its own,
//! because that may take long. So a restart heals what a program has spoiled,
//! and the last instance's files can be looked at until then. What must stay
//! belongs on a mount. A container that a person asked for keeps what it wrote until it
//! is removed, as Docker's do.

use crate::bundle::{self, Defaults};
use crate::kernel;
use crate::place;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use spec::monitor::IDS;
use spec::node::{Container, Name};
use spec::paths;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use store::rootfs::{self, Rootfs};
use store::{Digest, Error, Layer, Store, Stores};
use sys::cause::cause;
use sys::fs_context::FsContext;
use sys::process::{Spawn, spawn};

/// An image that is on the node.
#[derive(Debug)]
pub struct Image {
    /// What it says of its containers.
    pub defaults: Defaults,
    layers: Vec<Layer>,
}

impl Image {
    /// True when it has a layer of this diff ID.
    pub fn has(&self, diff_id: &str) -> bool {
        self.layers.iter().any(|layer| layer.diff_id.to_string() == diff_id)
    }
}

/// The node's image stores.
#[derive(Debug)]
pub struct Images(Stores);

impl Images {
    /// The data disk's store, then the one in the root.
    pub fn open() -> Self {
        let store = |path| Store::open_read_only(Path::new(path));
        Self(Stores::new(vec![store(paths::DATA_STORE), store(paths::IMAGE_STORE)]))
    }

    /// Finds an image by name.
    ///
    /// # Errors
    /// What is wrong with it, or that it is not there and what is, in words.
    pub fn find(&self, name: &str) -> Result<Image, String> {
        match self.0.resolve(name) {
            Ok(image) => Ok(of(image)),
            Err(Error::NoImage(_)) => Err(missing(name, &self.names())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Finds the image of a manifest of this digest, whatever its name leads to by now.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_digest(&self, name: &str, digest: &str) -> Result<Image, String> {
        let digest: Digest = digest.parse()?;
        match self.0.resolve_digest(name, &digest) {
            Ok(image) => Ok(of(image)),
            Err(Error::NoImage(_)) => {
                Err(format!("image {name:?} of the digest {digest} is not on this node"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The layer of the data disk's store whose file has this inode number.
    pub fn layer_of(&self, inode: u64) -> Option<String> {
        let store = Store::open_read_only(Path::new(paths::DATA_STORE));
        store.layer_of_inode(inode).map(|layer| layer.to_string())
    }

    fn names(&self) -> Vec<String> {
        let listed = self.0.list().unwrap_or_default();
        listed.iter().map(|image| short(&image.name.to_string()).to_owned()).collect()
    }

    /// Mounts a new instance's root at [`place::root`], over what the one before it wrote if that is to be
    /// `kept`. On a data disk that takes nothing, what it writes lies in a little memory: true then. `users` is the first
    /// of the node's IDs that are those of its user namespace, if it has one.
    ///
    /// # Errors
    /// Which folder or mount, and why, in words.
    pub fn mount(&self, name: &Name, image: &Image, kept: bool, users: Option<u32>) -> Result<bool, String> {
        self.unmount(name)?;
        let words = |error: io::Error| format!("make a folder for what it writes: {}", cause(&error));
        let folder = if kept { folders(name) } else { fresh(name) };
        let (dir, in_memory) = match folder {
            Err(error) if takes_nothing(&error) && !kept => (in_memory(name).map_err(words)?, true),
            made => (made.map_err(words)?, false),
        };
        let (mounts, target) = (place::layers(), place::root(name));
        let users = users.map(|first| {
            let map = format!("0 {first} {IDS}");
            sys::user_namespace::with_maps(&map, &map)
                .map_err(|error| format!("make a user namespace: {}", cause(&error)))
        });
        let users = users.transpose()?;
        let users = users.as_ref().map(AsFd::as_fd);
        let root = Rootfs { layers: &image.layers, mounts: &mounts, dir: &dir, target: &target, users };
        rootfs::mount(&root).map(|()| in_memory).map_err(|error| error.to_string())
    }

    /// Unmounts an instance's root, if it is mounted.
    ///
    /// # Errors
    /// Which mount, and why, in words.
    pub fn unmount(&self, name: &Name) -> Result<(), String> {
        rootfs::unmount(&place::root(name), &place::layers()).map_err(|error| error.to_string())?;
        // Usually there is none.
        for memory in [place::in_memory(name), place::shm(name)] {
            let _ = umount2(&memory, MntFlags::MNT_DETACH);
        }
        Ok(())
    }
}

/// Mounts the `/dev/shm` of a container that others may have, until [`Images::unmount`].
///
/// # Errors
/// The folder, and why, in words.
pub fn mount_shm(name: &Name, container: &Container) -> Result<(), String> {
    let folder = place::shm(name);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = bundle::shm_options(container);
    let mounted = fs::create_dir_all(&folder).and_then(|()| {
        mount(Some("shm"), &folder, Some("tmpfs"), flags, Some(&*options)).map_err(io::Error::from)
    });
    mounted.map_err(|error| format!("mount {}: {}", folder.display(), cause(&error)))
}

fn of(image: store::Image) -> Image {
    let store::Image { config, layers, .. } = image;
    let store::Config {
        entrypoint,
        cmd,
        env,
        working_dir,
        user,
        stop_signal,
        healthcheck,
        exposed_ports,
        labels,
        ..
    } = config;
    // What is no port is nothing that could be published.
    let exposed = exposed_ports.iter().filter_map(|port| port.parse().ok()).collect();
    let defaults = Defaults {
        entrypoint,
        cmd,
        env,
        working_dir,
        user,
        stop_signal,
        health: healthcheck,
        exposed,
        labels,
    };
    Image { defaults, layers }
}

/// A name as people write it: `docker.io/library/nginx:latest` is `nginx`.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

fn missing(name: &str, present: &[String]) -> String {
    match spec::nearest::nearest(short(name), present.iter().map(String::as_str)) {
        Some(near) => format!("image {name:?} is not on this node (did you mean {near:?}, which is?)"),
        None if present.is_empty() => format!("image {name:?} is not on this node, which has no images"),
        None => format!("image {name:?} is not on this node, which has {}", present.join(", ")),
    }
}

/// Puts aside what an earlier instance wrote and makes an empty folder, with room for
/// the folders that an overlay needs in it.
fn fresh(name: &Name) -> io::Result<PathBuf> {
    put_aside(&place::writable().join(&**name))?;
    folders(name)
}

/// The data disk is full, can only be read, or is broken.
fn takes_nothing(error: &io::Error) -> bool {
    use Errno::{EDQUOT, EIO, ENOSPC, EROFS, EUCLEAN};
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(ENOSPC | EDQUOT | EROFS | EIO | EUCLEAN))
}

/// The folder of what a container writes, with what an overlay needs in it.
fn folders(name: &Name) -> io::Result<PathBuf> {
    let folder = place::writable().join(&**name);
    for needed in ["upper", "work/work"] {
        fs::create_dir_all(folder.join(needed))?;
    }
    Ok(folder)
}

/// A folder in memory, with a limit of its own: a container that fills it harms itself alone.
fn in_memory(name: &Name) -> io::Result<PathBuf> {
    let folder = place::in_memory(name);
    fs::create_dir_all(&folder)?;
    let context = FsContext::open("tmpfs")?;
    context.set("size", b"10%")?;
    context.set("mode", b"0755")?;
    context.mount(&folder)?;
    Ok(folder)
}

/// Puts what a container wrote where it is removed from; that there is nothing is no error.
///
/// # Errors
/// As mkdir(2) and rename(2) have them.
pub fn put_aside(folder: &Path) -> io::Result<()> {
    let Some(name) = folder.file_name().filter(|_| folder.exists()) else {
        return Ok(());
    };
    fs::create_dir_all(place::old())?;
    let unique = format!("{}.{}", name.to_string_lossy(), kernel::now().as_nanos());
    fs::rename(folder, place::old().join(unique))
}

/// Starts a process that removes what was put aside, if there is anything; what
/// containers wrote that are no longer known is put aside first.
///
/// Gives that process, and a line about each folder that could not be put aside, or about the process; one keeps
/// nothing else.
pub fn begin_removal<'a>(known: impl Iterator<Item = &'a str>) -> (Option<i32>, Vec<String>) {
    let known: BTreeSet<&str> = known.chain([".old"]).collect();
    let mut faults = Vec::new();
    for entry in fs::read_dir(place::writable()).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| known.contains(name))
            && let Err(error) = put_aside(&entry.path())
        {
            faults.push(format!("put aside {}: {}", entry.path().display(), cause(&error)));
        }
    }
    if put_aside_before().is_empty() {
        return (None, faults);
    }
    let started = std::env::current_exe().and_then(|program| remover(&program));
    let named =
        |error: &io::Error| format!("start the removal of {}: {}", place::old().display(), cause(error));
    faults.extend(started.as_ref().err().map(named));
    (started.ok(), faults)
}

fn remover(program: &Path) -> io::Result<i32> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let out = io::stdout();
    let argv = [CString::new(program.as_os_str().as_bytes())?, c"--remove".to_owned()];
    let descriptors = [null.as_fd(), out.as_fd(), out.as_fd()];
    spawn(&Spawn { argv: &argv, env: &[], descriptors: &descriptors, cgroup: None, oom_score_adj: None })
}

/// What was put aside and is still there.
fn put_aside_before() -> Vec<PathBuf> {
    fs::read_dir(place::old()).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Removes what was put aside. What cannot be removed keeps nothing else.
///
/// # Errors
/// What that is, in words.
pub fn remove_old() -> Result<(), String> {
    let remove = |path: PathBuf| match sys::tree::remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Some(format!("remove {}: {}", path.display(), cause(&error)))
        }
        _ => None,
    };
    let faults: Vec<String> = put_aside_before().into_iter().filter_map(remove).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_image_is_named_with_the_nearest_one_that_is_there() {
        let present = ["nginx".to_owned(), "example.com/tools:1".to_owned()];
        assert_eq!(
            missing("ngnix", &present),
            "image \"ngnix\" is not on this node (did you mean \"nginx\", which is?)"
        );
        assert_eq!(
            missing("docker.io/library/postgres:latest", &present),
            "image \"docker.io/library/postgres:latest\" is not on this node, \
             which has nginx, example.com/tools:1"
        );
        assert_eq!(missing("x", &[]), "image \"x\" is not on this node, which has no images");
    }
}
