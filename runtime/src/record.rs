//! What is known of a container between two calls.
//!
//! ```text
//! ROOT/ID/                one folder per container; making it claims the name
//! ├── state.json          this record, replaced as a whole
//! ├── config.json         as it was when the container was created
//! ├── start.sock          `start` connects here; not there for `run`
//! └── created             locked by the first process until it becomes the program
//! ```
//!
//! Nothing says "running": a lock that its exec releases cannot be wrong, whoever was
//! killed in between.

use crate::cgroup::scope::Scope;
use crate::cgroup::{folder, systemd};
use crate::channel::Channel;
use crate::error::{Cause, Context, Error, Result};
use crate::kernel_file;
use crate::perform;
use crate::rdt;
use serde::{Deserialize, Serialize};
use spec::bundle::{Config, OCI_VERSION, State, Status};
use spec::proc_stat::Stat;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use sys::file;

/// What a container's folder holds, beside the socket for `start`.
const FILES: [&str; 3] = ["state.json", "config.json", "created"];
const SOCKET: &str = "start.sock";

/// A container's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

/// `state.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The container's name.
    pub id: String,
    /// Its first process; none yet when `create` was cut short.
    pub process: Option<Process>,
    /// `create` has come to its end.
    pub complete: bool,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root.
    pub rootfs: String,
    /// Path of the cgroup in the hierarchy; none on a host without cgroup v2.
    pub cgroup: Option<String>,
    /// The topmost folder of that path that was made for it; who makes it alone knows.
    #[serde(skip)]
    pub made: Option<PathBuf>,
    /// Number of the mount that the root lay on before, when what is mounted for the container is in
    /// the caller's mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_before: Option<u64>,
    /// Its processes stay in the session keyring of who calls for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_keyring: bool,
    /// What systemd has made as the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Its class of service, if it asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<rdt::Held>,
    /// When it was created, RFC 3339.
    pub created: String,
    /// User who created it.
    pub owner: u32,
    /// From config.json.
    pub annotations: BTreeMap<String, String>,
}

/// A process, never by its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Process ID in the runtime's PID namespace.
    pub pid: i32,
    /// Field 22 of its `stat`.
    pub start_time: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, start_time: stat.start_time })
    }

    /// It has not ended.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.is_zombie())
    }

    /// Holds the number, if it still means this process.
    pub fn open(self) -> Option<OwnedFd> {
        let held = sys::pidfd::open(self.pid).ok()?;
        self.is_alive().then_some(held)
    }
}

fn stat(pid: i32) -> Option<Stat> {
    Stat::parse(&kernel_file::read(format!("/proc/{pid}/stat")).ok()?)
}

impl Place {
    /// Where the container of this name lies.
    pub fn of(root: &Path, id: &str) -> Self {
        Self(root.join(id))
    }

    /// Claims the name.
    ///
    /// # Errors
    /// It is taken; those of mkdir(2).
    pub fn claim(root: &Path, id: &str) -> Result<Self> {
        let place = Self::of(root, id);
        let words = || format!("make {}", place.0.display());
        let make = || fs::DirBuilder::new().mode(0o711).create(&place.0);
        let made = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(root).context(words)?;
                make()
            }
            made => made,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error(format!("container {id:?}: there is one of this name already")))
            }
            made => made.context(words).map(|()| place),
        }
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads the record.
    ///
    /// # Errors
    /// There is no such container, or its `create` was cut short.
    pub fn read(&self, id: &str) -> Result<Record> {
        let text = match fs::read(self.file("state.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error(format!("container {id:?} does not exist")));
            }
            text => text.context(|| format!("read {}", self.file("state.json").display()))?,
        };
        serde_json::from_slice(&text).context(|| format!("read {}", self.file("state.json").display()))
    }

    /// Whether no record was ever written whole: then nothing runs. After a power cut it may be empty.
    pub fn is_unwritten(&self) -> bool {
        match fs::metadata(self.file("state.json")) {
            Ok(about) => about.len() == 0,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn write(&self, record: &Record) -> Result<()> {
        let words = || format!("write {}", self.file("state.json").display());
        let text = serde_json::to_vec(record).context(words)?;
        file::replace(&self.file("state.json"), &text).context(words)
    }

    /// The configuration that the container was created with.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn config(&self) -> Result<Config> {
        let path = self.file("config.json");
        let text = fs::read(&path).context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).context(|| format!("read {}", path.display()))
    }

    /// Lets go of the name.
    ///
    /// # Errors
    /// Those of removing files.
    pub fn remove(&self) -> Result<()> {
        for name in FILES {
            let _ = fs::remove_file(self.file(name));
        }
        let with_socket = || {
            let _ = fs::remove_file(self.file(SOCKET));
            fs::remove_dir(&self.0)
        };
        // That of `run` has none. Where a command was killed there may be more.
        match fs::remove_dir(&self.0).or_else(|_| with_socket()).or_else(|_| fs::remove_dir_all(&self.0)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.context(|| format!("remove {}", self.0.display())),
        }
    }

    /// Makes the socket for `start`.
    ///
    /// # Errors
    /// Those of making a file.
    pub fn listen(&self) -> Result<UnixListener> {
        self.at_socket(|path| UnixListener::bind(path)).context(|| "make the socket for start".into())
    }

    /// Connects to the socket for `start`.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(&self) -> Result<Channel> {
        let connection = self.at_socket(|path| UnixStream::connect(path));
        Ok(Channel::from(OwnedFd::from(connection.map_err(|error| Error(error.cause()))?)))
    }

    /// By a path that fits into an address, whatever `--root` is.
    fn at_socket<T>(&self, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let folder = File::open(&self.0)?;
        act(Path::new(&format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())))
    }

    fn waits_for_start(&self) -> bool {
        let Ok(file) = File::open(self.file("created")) else { return false };
        // Shared, or two who ask at once would take each other for the first process.
        matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// Waits until the first process has let go of the lock. Of what its exec closes, the
    /// connection of `start` may go a moment before.
    pub fn await_program(&self) {
        let _ = File::open(self.file("created")).and_then(|file| file.lock_shared());
    }
}

impl Record {
    /// Where the container is in its life.
    pub fn status(&self, place: &Place) -> Status {
        match self.process {
            None => Status::Creating,
            Some(process) if !process.is_alive() => Status::Stopped,
            Some(_) if !self.complete => Status::Creating,
            // Also before its start, which it could not hear.
            Some(_) if self.cgroup.as_deref().is_some_and(folder::is_frozen) => Status::Paused,
            Some(_) if place.waits_for_start() => Status::Created,
            Some(_) => Status::Running,
        }
    }

    /// Takes away what is mounted in the caller's mount namespace.
    ///
    /// # Errors
    /// Those of umount2(2).
    pub fn unmount(&self) -> Result<()> {
        self.mount_before.map_or(Ok(()), |before| perform::let_go_of_root(&self.rootfs, before))
    }

    /// Whether the cgroup on record is this container's: before the lock is made, it may be another's that is there.
    pub fn has_own_cgroup(&self, place: &Place) -> bool {
        self.process.is_some() || place.file("created").exists()
    }

    /// Removes the cgroup, with what is in it if that is this container's.
    ///
    /// # Errors
    /// Something does not end.
    pub fn clear_cgroup(&self, place: &Place) -> Result<()> {
        match &self.cgroup {
            Some(path) if self.has_own_cgroup(place) => folder::clear(path),
            Some(path) => {
                folder::clear_empty(path);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Stops the scope; one that nobody knows to be this container's only if it is empty.
    ///
    /// # Errors
    /// Those of systemd.
    pub fn stop_scope(&self) -> Result<()> {
        match (&self.scope, &self.cgroup) {
            (None, _) => Ok(()),
            (Some(scope), Some(_)) => systemd::stop(scope),
            (Some(scope), None) => systemd::stop_empty(scope),
        }
    }

    /// What `state` prints and hooks are told.
    pub fn state(&self, status: Status) -> State {
        State {
            oci_version: OCI_VERSION.to_owned(),
            id: self.id.clone(),
            status,
            pid: self.process.map(|process| process.pid).filter(|_| status != Status::Stopped),
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }
}
