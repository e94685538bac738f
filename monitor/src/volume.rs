//! Named volumes: folders that stay when containers go, as [`spec::volume`] has them.
//!
//! A volume is made at its first use, or by a person before, and filled then, if it is empty, with what the image has at that place,
//! as Docker does; so it is whole or not there whenever the monitor is killed. Files keep
//! owner, mode, times, holes and extended attributes; a hard link becomes a file of its own. Owners are those of the root as
//! it is mounted: of a container with users of its own, these.
//!
//! That may take long, so a process of its own does it. It holds a lock on the volume's folder: another that wants
//! the same volume, or one that a killed monitor has left, is waited for there.

use crate::{place, verb};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Whence, lseek};
use spec::node::{Mount, Name};
use spec::volume::UNUSED;
use std::ffi::CString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use sys::cause::cause;
use sys::process::{Spawn, spawn};

/// No container has had it.
fn is_new(data: &Path) -> bool {
    !data.exists() || data.with_file_name(UNUSED).exists()
}

/// How long a volume is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Whoever powers the machine off finds it: what it was filled with is on the disk before it counts as filled.
    Removed,
    /// As an instance of a pod's container, which never runs again after this boot: the disk is not waited for, with all that
    /// others are writing.
    Reboot,
}

impl Until {
    const WORDS: [(Self, &str); 2] = [(Self::Removed, "removed"), (Self::Reboot, "reboot")];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(own, _)| *own == self).map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, own)| *own == word).map(|(own, _)| *own)
    }
}

/// Starts a process that makes the volumes of a container that are not there; gives its ID, if there are any. The
/// container's root is mounted.
///
/// # Errors
/// Those of starting a program, in words.
pub fn begin(key: &Name, mounts: &[Mount], until: Until) -> Result<Option<i32>, String> {
    let missing = mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { name, target, no_copy, .. } if is_new(&place::volume(name)) => {
            Some([&**name, if *no_copy { "" } else { &**target }])
        }
        _ => None,
    });
    let words: Vec<&str> = missing.flatten().collect();
    if words.is_empty() {
        return Ok(None);
    }
    let begun = || -> io::Result<i32> {
        let (null, log) = (File::open("/dev/null")?, File::create(log(key))?);
        let program = std::env::current_exe()?;
        let mut argv = vec![CString::new(program.as_os_str().as_bytes())?, c"--fill".to_owned()];
        for word in [&**key, until.word()].into_iter().chain(words) {
            argv.push(CString::new(word)?);
        }
        let descriptors = [null.as_fd(), log.as_fd(), log.as_fd()];
        // Rather it dies than a container when memory runs out.
        let oom_score_adj = Some(c"500");
        spawn(&Spawn { argv: &argv, env: &[], descriptors: &descriptors, cgroup: None, oom_score_adj })
    };
    begun().map(Some).map_err(|error| format!("start the making of volumes: {}", cause(&error)))
}

/// Why that process did not work.
pub fn reason(key: &Name, status: i32) -> String {
    verb::last_words(&log(key), "skerry-monitor", status)
}

fn log(key: &Name) -> PathBuf {
    place::folder(key).join("fill.log")
}

/// Makes volumes: the key of a container, how long they are looked for, then the name of each volume and its place in the
/// container, or nothing when the volume is to begin empty.
///
/// # Errors
/// Which volume, and why, in words.
pub fn fill(words: &[String]) -> Result<(), String> {
    let usage = "--fill: KEY UNTIL NAME TARGET…";
    let [key, until, pairs @ ..] = words else { return Err(usage.to_owned()) };
    let until = Until::of(until).ok_or(usage)?;
    let root = place::root(&key.parse()?);
    for pair in pairs.chunks_exact(2) {
        let data = place::volume(&pair[0].parse()?);
        make(&data, &root, &pair[1], until)
            .map_err(|error| format!("make the volume {:?}: {}", pair[0], cause(&error)))?;
    }
    Ok(())
}

fn make(data: &Path, root: &Path, target: &str, until: Until) -> io::Result<()> {
    let new = data.with_file_name("new");
    let folder = data.parent().unwrap_or(data);
    fs::create_dir_all(folder)?;
    let _lock = Flock::lock(File::open(folder)?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if !is_new(data) {
        return Ok(());
    }
    remove(&new)?;
    fs::create_dir_all(&new)?;
    let filled = Some(target).filter(|target| !target.is_empty());
    if let Some(folder) = filled.and_then(|target| inside(root, target)) {
        copy(&folder, &new)?;
        if until == Until::Removed {
            // Its files are on the disk before their folder has the name by which it counts as filled.
            nix::unistd::syncfs(File::open(&new)?)?;
        }
    } else {
        // It belongs to whom the root does, who is not the node's root where the container has users of its own.
        let root = fs::metadata(root)?;
        lchown(&new, Some(root.uid()), Some(root.gid()))?;
    }
    match fs::rename(&new, data) {
        // Who made it has put something there.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => remove(&new)?,
        renamed => renamed?,
    }
    if until == Until::Reboot {
        return Ok(());
    }
    sys::file::sync_folder_of(data)?;
    sys::file::remove_durably(&data.with_file_name(UNUSED))
}

fn remove(folder: &Path) -> io::Result<()> {
    match sys::tree::remove(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The image's folder of this path, with every link on the way within the root.
fn inside(root: &Path, target: &str) -> Option<PathBuf> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let folder = openat2(File::open(root).ok()?, target.trim_start_matches('/'), how).ok()?;
    fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let old = fs::symlink_metadata(&from)?;
        let kind = old.file_type();
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy(&from, &to)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            copy_bytes(&File::open(&from)?, &File::create_new(&to)?, old.len())?;
        } else if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
            let bits = SFlag::from_bits_truncate(old.mode());
            mknod(&to, bits, Mode::empty(), old.rdev())?;
        } else {
            continue;
        }
        dress(&from, &to, &old)?;
    }
    dress(from, to, &fs::symlink_metadata(from)?)
}

/// Copies a file's bytes; what is a hole stays one.
fn copy_bytes(from: &File, to: &File, length: u64) -> io::Result<()> {
    let mut at = 0;
    loop {
        let start = match lseek(from, at, Whence::SeekData) {
            // Nothing but a hole is left.
            Err(Errno::ENXIO) => return to.set_len(length),
            start => start?,
        };
        at = lseek(from, start, Whence::SeekHole)?;
        lseek(from, start, Whence::SeekSet)?;
        lseek(to, start, Whence::SeekSet)?;
        io::copy(&mut from.take((at - start).cast_unsigned()), &mut &*to)?;
    }
}

/// Gives a file what the other one has beside its bytes.
fn dress(from: &Path, to: &Path, old: &Metadata) -> io::Result<()> {
    lchown(to, Some(old.uid()), Some(old.gid()))?;
    if !old.is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(old.mode() & 0o7777))?;
    }
    if old.is_file() || old.is_dir() {
        let (from, to) = (File::open(from)?, File::open(to)?);
        for name in sys::xattr::names(from.as_fd())? {
            sys::xattr::set(to.as_fd(), &name, &sys::xattr::value(from.as_fd(), &name)?)?;
        }
    }
    let time = |seconds: i64, rest: i64| TimeSpec::new(seconds, rest);
    let (accessed, changed) = (time(old.atime(), old.atime_nsec()), time(old.mtime(), old.mtime_nsec()));
    utimensat(AT_FDCWD, to, &accessed, &changed, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_volume_begins_as_the_images_folder() {
        let folder = std::env::temp_dir().join(format!("skerry-volume-{}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("srv/data/deep")).unwrap();
        fs::write(root.join("srv/data/deep/file"), "text").unwrap();
        let sparse = File::create(root.join("srv/data/sparse")).unwrap();
        sparse.write_all_at(b"begins", 0).unwrap();
        sparse.write_all_at(b"ends", 1 << 30).unwrap();
        sparse.set_len(2 << 30).unwrap();
        fs::set_permissions(root.join("srv/data"), Permissions::from_mode(0o1777)).unwrap();
        symlink("deep/file", root.join("srv/data/link")).unwrap();
        // An absolute link leads to the root's own folder.
        symlink("/srv", root.join("var")).unwrap();
        let data = folder.join("volumes/v/data");
        make(&data, &root, "/var/data", Until::Removed).unwrap();
        assert_eq!(fs::read_to_string(data.join("link")).unwrap(), "text");
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o1777);
        assert!(!folder.join("volumes/v/new").exists());
        let (whole, copied) = (sparse.metadata().unwrap(), File::open(data.join("sparse")).unwrap());
        let mut words = [[0; 6]; 2];
        copied.read_exact_at(&mut words[0], 0).unwrap();
        copied.read_exact_at(&mut words[1], 1 << 30).unwrap();
        assert_eq!(words, [*b"begins", *b"ends\0\0"]);
        let copied = copied.metadata().unwrap();
        assert!(copied.len() == whole.len() && copied.blocks() < 1 << 10, "{} blocks", copied.blocks());
        let empty = folder.join("volumes/w/data");
        make(&empty, &root, "/nothing/there", Until::Removed).unwrap();
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        let own = folder.join("volumes/z/data");
        make(&own, &root, "", Until::Removed).unwrap();
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
        // A container has it by now.
        make(&empty, &root, "/var/data", Until::Removed).unwrap();
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        // A person has made these.
        for (name, own, has) in [("x", None, "sparse"), ("y", Some("own"), "own")] {
            let data = folder.join("volumes").join(name).join("data");
            fs::create_dir_all(&data).unwrap();
            fs::write(data.with_file_name("unused"), "").unwrap();
            own.iter().for_each(|own| fs::write(data.join(own), "").unwrap());
            make(&data, &root, "/var/data", Until::Removed).unwrap();
            assert!(data.join(has).exists() && !is_new(&data), "{name}");
            assert_eq!(
                (data.join("sparse").exists(), data.with_file_name("new").exists()),
                (own.is_none(), false)
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_volume_belongs_to_whom_the_root_does() {
        let folder = std::env::temp_dir().join(format!("skerry-volume-owners-{}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("data")).unwrap();
        fs::write(root.join("data/file"), "").unwrap();
        // As the root of a container with users of its own looks from the node.
        for (path, owner) in [("", 65_536), ("data", 65_569), ("data/file", 65_570)] {
            if lchown(root.join(path), Some(owner), Some(owner + 1)).is_err() {
                println!("left out: only root gives files to others");
                return fs::remove_dir_all(&folder).unwrap();
            }
        }
        let owner = |path: &Path| fs::metadata(path).map(|own| (own.uid(), own.gid())).unwrap();
        for until in [Until::Removed, Until::Reboot] {
            let volumes = folder.join(until.word());
            let (filled, empty) = (volumes.join("v/data"), volumes.join("w/data"));
            make(&filled, &root, "/data", until).unwrap();
            make(&empty, &root, "/nothing/there", until).unwrap();
            assert_eq!(owner(&filled), (65_569, 65_570));
            assert_eq!(owner(&filled.join("file")), (65_570, 65_571));
            assert_eq!(owner(&empty), (65_536, 65_537));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_filling_process_hears_how_long_a_volume_is_looked_for() {
        for until in [Until::Removed, Until::Reboot] {
            assert_eq!(Until::of(until.word()), Some(until));
        }
        let words = ["c", "for-ever", "v", "/data"].map(str::to_owned);
        for words in [&words[..], &words[..1]] {
            assert_eq!(fill(words), Err("--fill: KEY UNTIL NAME TARGET…".to_owned()));
        }
    }
}
