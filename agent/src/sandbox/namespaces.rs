//! The namespaces of a pod that need no process: of its network, its name and its shared memory. Mounts keep them.

use super::words;
use crate::volume::make;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::cause::cause;
use tokio::task::spawn_blocking;

/// Namespaces to be made and held.
pub struct Namespaces {
    /// To which they belong.
    pub user: Option<PathBuf>,
    /// Where it is kept; none of its own without.
    pub ipc: Option<PathBuf>,
    /// The same.
    pub uts: Option<PathBuf>,
    /// The host name in it.
    pub hostname: String,
    /// The network, which is there already.
    pub network: Option<String>,
    /// Names and values of what is set in them.
    pub sysctls: Vec<(String, String)>,
}

impl Namespaces {
    /// Makes them and sets what is to be set in them.
    ///
    /// # Errors
    /// What cannot be done, in words.
    pub async fn make(self) -> Result<(), String> {
        in_thread(move || self.enter()).await
    }

    fn enter(&self) -> Result<(), String> {
        let mut flags = CloneFlags::empty();
        flags.set(CloneFlags::CLONE_NEWIPC, self.ipc.is_some());
        flags.set(CloneFlags::CLONE_NEWUTS, self.uts.is_some());
        unshare_for(self.user.as_deref(), flags)?;
        if self.uts.is_some() {
            nix::unistd::sethostname(&self.hostname)
                .map_err(|error| format!("set the host name: {}", cause(&error.into())))?;
        }
        if let Some(path) = self.network.as_ref().filter(|_| !self.sysctls.is_empty()) {
            let path = Path::new(path);
            setns(open(path)?, CloneFlags::CLONE_NEWNET)
                .map_err(|error| words("enter", path, &error.into()))?;
        }
        for (name, value) in &self.sysctls {
            let path = Path::new("/proc/sys").join(name.replace('.', "/"));
            fs::write(&path, value).map_err(|error| words("write", &path, &error))?;
        }
        for (path, kind) in [(&self.ipc, "ipc"), (&self.uts, "uts")] {
            path.as_ref().map_or(Ok(()), |path| hold(path, kind))?;
        }
        Ok(())
    }
}

/// Makes the network namespace of a pod with a user namespace of its own, to which it belongs, at `path`, or finds it there;
/// none for another pod, whose network makes one.
///
/// # Errors
/// What cannot be done, in words.
pub async fn own_network(user: Option<&Path>, path: PathBuf) -> Result<Option<PathBuf>, String> {
    let Some(user) = user.map(Path::to_owned) else { return Ok(None) };
    if !make::is_mounted(&path) {
        let held = path.clone();
        in_thread(move || {
            unshare_for(Some(&user), CloneFlags::CLONE_NEWNET)?;
            hold(&held, "net")
        })
        .await?;
    }
    Ok(Some(path))
}

/// Runs what changes its thread's namespaces in one of its own, which ends with it.
async fn in_thread(action: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let joined = spawn_blocking(|| std::thread::spawn(action).join()).await;
    joined.map_err(|error| error.to_string())?.unwrap_or_else(|_| Err("make namespaces".to_owned()))
}

/// New namespaces for this thread, which belong to the user namespace at `user`, or to the node's.
fn unshare_for(user: Option<&Path>, flags: CloneFlags) -> Result<(), String> {
    let made = match user {
        Some(path) => sys::user_namespace::unshare(open(path)?.as_fd(), flags.bits()),
        None => unshare(flags).map_err(io::Error::from),
    };
    made.map_err(|error| format!("make namespaces: {}", cause(&error)))
}

/// Opens a namespace that is kept.
///
/// # Errors
/// The path, and why, in words.
pub fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| words("open", path, &error))
}

/// Keeps a namespace of this thread by a mount, in place of any that was kept there.
fn hold(path: &Path, kind: &str) -> Result<(), String> {
    let _ = umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    keep(&format!("/proc/thread-self/ns/{kind}"), path)
}

/// Keeps a namespace by a mount.
///
/// # Errors
/// The path, and why, in words.
pub fn keep(namespace: &str, path: &Path) -> Result<(), String> {
    let kept = File::create(path)
        .and_then(|_| Ok(mount(Some(namespace), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?));
    kept.map_err(|error| words("keep a namespace at", path, &error))
}
