//! What of a pod's volumes one of its containers sees.
//!
//! A part of a volume (`subPath`) is opened beneath the volume, so that no symlink of a container leads out of
//! it (CVE-2017-1002101), and mounted at a place of its own, which nobody else can swap.

use super::make::Made;
use super::place;
use crate::pod::env::expand_path;
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat2, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use spec::bundle::Mount;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::cause::cause;
use sys::mount_tree;

/// Why a container cannot have its volumes, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What the pod or the node has to see to (`CreateContainerConfigError`).
    Volume(String),
    /// An image has not what is asked of it, which with a kubelet its container runtime finds out (`CreateContainerError`).
    Image(String),
}

/// Mounts of a container's volumes, in order; `mapped` when its users are not the node's.
///
/// # Errors
/// What of it cannot be done.
pub fn of(
    uid: &str,
    container: &Container,
    volumes: &BTreeMap<String, Made>,
    env: &BTreeMap<String, String>,
    mapped: bool,
) -> Result<Vec<Mount>, Wrong> {
    let mut mounts = Vec::new();
    for (number, own) in container.volume_mounts.iter().flatten().enumerate() {
        let missing = || Wrong::Volume(format!("volume \"{}\" is not there", own.name));
        let made = volumes.get(&own.name).ok_or_else(missing)?;
        let wrong = if made.is_image { Wrong::Image } else { Wrong::Volume };
        let part = match (&own.sub_path, &own.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            (_, Some(path)) if !path.is_empty() => {
                let words = |reason| format!("subPathExpr of volume \"{}\": {reason}", own.name);
                Some(expand_path(path, env).map_err(|reason| Wrong::Volume(words(reason)))?)
            }
            _ => None,
        };
        let source = match part {
            None => made.path.clone(),
            Some(part) => sub_path(uid, &container.name, own, made, &part, number).map_err(wrong)?,
        };
        mounts.push(mount(own, &source, made, mapped).map_err(Wrong::Volume)?);
    }
    Ok(mounts)
}

fn mount(own: &VolumeMount, source: &Path, made: &Made, mapped: bool) -> Result<Mount, String> {
    let propagation = match own.mount_propagation.as_deref() {
        None | Some("None") => "rprivate",
        Some("HostToContainer") => "rslave",
        Some("Bidirectional") => "rshared",
        Some(other) => return Err(format!("mountPropagation: there is no {other:?}")),
    };
    let read_only = made.read_only || own.read_only == Some(true);
    let recursive = matches!(own.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    let mut options = vec!["rbind".to_owned(), propagation.to_owned()];
    options.extend(read_only.then(|| if recursive { "rro".to_owned() } else { "ro".to_owned() }));
    options.extend(made.is_image.then(|| "noexec".to_owned()));
    // An overlay cannot be mapped; an image's layers are, below it.
    options.extend((mapped && !made.is_image).then(|| "idmap".to_owned()));
    let target =
        if own.mount_path.starts_with('/') { own.mount_path.clone() } else { format!("/{}", own.mount_path) };
    Ok(bind(&target, source, options))
}

/// A bind mount.
pub fn bind(target: &str, source: &Path, options: Vec<String>) -> Mount {
    Mount {
        destination: target.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(source.display().to_string()),
        options,
        ..Mount::default()
    }
}

/// Mounts a part of a volume where only this container finds it.
fn sub_path(
    uid: &str,
    container: &str,
    own: &VolumeMount,
    made: &Made,
    part: &str,
    number: usize,
) -> Result<PathBuf, String> {
    let words = |error: io::Error| format!("subPath {part:?} of volume \"{}\": {}", own.name, cause(&error));
    let climbs = |one: Component<'_>| !matches!(one, Component::Normal(_) | Component::CurDir);
    if Path::new(part).components().any(climbs) {
        return Err(format!("subPath {part:?} of volume \"{}\": it leads out of the volume", own.name));
    }
    let place = place::subpath(uid, &own.name, container, number);
    let maker = (!made.is_image).then_some(uid);
    let opened = open(&made.path, Path::new(part), maker).map_err(words)?;
    let put = || -> io::Result<()> {
        let parent = place.parent().unwrap_or(&place);
        fs::create_dir_all(parent)?;
        let _ = nix::mount::umount2(
            &place,
            nix::mount::MntFlags::MNT_DETACH | nix::mount::MntFlags::UMOUNT_NOFOLLOW,
        );
        let is_folder = File::from(opened.try_clone()?).metadata()?.is_dir();
        if is_folder {
            fs::create_dir_all(&place)?;
        } else {
            File::create(&place)?;
        }
        let copy = mount_tree::copy(opened.as_fd(), c"", true)?;
        // What is mounted in the volume is to stay there when this is taken away.
        mount_tree::set_attributes(copy.as_fd(), true, 0, 0, nix::libc::MS_PRIVATE)?;
        let target = File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(&place)?;
        mount_tree::attach(copy.as_fd(), target.as_fd())
    };
    use std::os::unix::fs::OpenOptionsExt;
    put().map_err(words)?;
    Ok(place)
}

/// Opens what lies beneath a folder; a folder that is not there is made, if some pod is its `maker`.
fn open(folder: &Path, part: &Path, maker: Option<&str>) -> io::Result<OwnedFd> {
    let root = super::root(folder)?;
    let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(beneath);
    let uid = match (openat2(root.as_fd(), part, how), maker) {
        (Err(Errno::ENOENT), Some(uid)) => uid,
        (result, _) => return Ok(result?),
    };
    let mut current: OwnedFd = root.into();
    for one in part.components() {
        let Component::Normal(name) = one else { continue };
        let next = match openat2(current.as_fd(), name, how) {
            Err(Errno::ENOENT) => make(&current, name, uid, how)?,
            opened => opened?,
        };
        current = next;
    }
    Ok(current)
}

/// Makes a folder as the one that it lies in: whoever may write there may write here. It has its name once all is done,
/// and until then one of this pod's: others may make the same folder, on another node, too, and who is first has made it.
fn make(parent: &OwnedFd, name: &OsStr, uid: &str, how: OpenHow) -> io::Result<OwnedFd> {
    let new = format!(".{uid}.new");
    let new = new.as_str();
    // Of whoever was killed here.
    let remove = || match unlinkat(parent.as_fd(), new, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    };
    remove()?;
    let made = new_folder(parent, OsStr::new(new), how)?;
    match renameat2(parent.as_fd(), new, parent.as_fd(), name, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => return Ok(made),
        // Somebody was first; or the file system (NFS) cannot, and the folder has its name at once.
        Err(Errno::EEXIST | Errno::EINVAL) => remove()?,
        Err(error) => return Err(error.into()),
    }
    match new_folder(parent, name, how) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(openat2(parent.as_fd(), name, how)?),
        made => made,
    }
}

fn new_folder(parent: &OwnedFd, name: &OsStr, how: OpenHow) -> io::Result<OwnedFd> {
    use std::os::unix::fs::MetadataExt;
    mkdirat(parent.as_fd(), name, Mode::from_bits_truncate(0o750))?;
    let made =
        openat2(parent.as_fd(), name, how.flags(OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW))?;
    let like = File::from(parent.try_clone()?).metadata()?;
    let group = Some(nix::unistd::Gid::from_raw(like.gid()));
    let _ = nix::unistd::fchownat(made.as_fd(), "", None, group, AtFlags::AT_EMPTY_PATH);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&made));
    fs::set_permissions(path, like.permissions())?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn nothing_is_opened_outside_a_volume() {
        const UID: Option<&str> = Some("u");
        let volume = std::env::temp_dir().join(format!("skerry-subpath-{}", std::process::id()));
        fs::create_dir_all(&volume).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("a/b", volume.join("in")).unwrap();
        open(&volume, Path::new("a/b"), UID).unwrap();
        assert!(volume.join("a/b").is_dir(), "what is not there is made");
        // Whoever began this one was killed.
        let mode = |path: &str, mode| {
            fs::set_permissions(volume.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("", 0o1777);
        mode("a", 0o700);
        fs::create_dir(volume.join(".u.new")).unwrap();
        open(&volume, Path::new("c"), UID).unwrap();
        open(&volume, Path::new("a/d"), UID).unwrap();
        let of = |path: &str| fs::metadata(volume.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((of("c"), of("a/d")), (0o1777, 0o700), "each as what it lies in");
        assert_eq!(of("a"), 0o700, "what was there stays as it was");
        assert_eq!(fs::read_dir(&volume).unwrap().count(), 4, "a, c, in and out");
        assert!(open(&volume, Path::new("in"), UID).is_ok());
        assert!(open(&volume, Path::new("in"), None).is_ok());
        let missing = open(&volume, Path::new("e"), None).unwrap_err();
        assert!(missing.kind() == io::ErrorKind::NotFound && !volume.join("e").exists(), "nobody makes it");
        assert!(open(&volume, Path::new("out/passwd"), UID).is_err());
        assert!(open(&volume, Path::new("out/new/x"), UID).is_err());
        nix::unistd::mkfifo(&volume.join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(open(&volume.join("pipe"), Path::new("a"), UID).is_err(), "nobody waits for its other end");
        fs::remove_dir_all(&volume).unwrap();
    }

    #[test]
    fn pods_that_make_one_folder_at_once_all_have_it() {
        let volume = std::env::temp_dir().join(format!("skerry-subpaths-{}", std::process::id()));
        for round in 0..50 {
            fs::create_dir_all(&volume).unwrap();
            let part = PathBuf::from(format!("{round}/y"));
            let inode = |file: File| file.metadata().unwrap().ino();
            let made = |pod: u32| File::from(open(&volume, &part, Some(&format!("u{pod}"))).unwrap());
            let made: Vec<u64> = std::thread::scope(|scope| {
                let pods: Vec<_> = (0..4).map(|pod| scope.spawn(move || inode(made(pod)))).collect();
                pods.into_iter().map(|pod| pod.join().unwrap()).collect()
            });
            assert_eq!(made, [fs::metadata(volume.join(&part)).unwrap().ino(); 4]);
        }
        fs::remove_dir_all(&volume).unwrap();
    }

    #[test]
    fn a_mount_is_as_the_pod_says() {
        let made = |path: &str, is_image| Made { path: path.into(), read_only: is_image, is_image };
        let volumes =
            BTreeMap::from([("v".to_owned(), made("/data", false)), ("i".to_owned(), made("/image", true))]);
        let with = |own: serde_json::Value, mapped| {
            let container = serde_json::from_value(json!({ "name": "m", "volumeMounts": [own] })).unwrap();
            super::of("u", &container, &volumes, &BTreeMap::new(), mapped)
                .map(|mounts| mounts[0].options.join(","))
        };
        let of = |own| with(own, false);
        assert_eq!(with(json!({ "name": "v", "mountPath": "/d" }), true).unwrap(), "rbind,rprivate,idmap");
        assert_eq!(of(json!({ "name": "i", "mountPath": "/d" })).unwrap(), "rbind,rprivate,ro,noexec");
        assert_eq!(
            with(json!({ "name": "i", "mountPath": "/d" }), true).unwrap(),
            "rbind,rprivate,ro,noexec",
            "an image is mapped below"
        );
        assert_eq!(of(json!({ "name": "v", "mountPath": "/d" })).unwrap(), "rbind,rprivate");
        assert_eq!(
            of(json!({ "name": "v", "mountPath": "/d", "readOnly": true, "recursiveReadOnly": "Enabled" }))
                .unwrap(),
            "rbind,rprivate,rro"
        );
        assert_eq!(
            of(json!({ "name": "v", "mountPath": "/d", "mountPropagation": "Bidirectional" })).unwrap(),
            "rbind,rshared"
        );
        let part =
            |volume: &str, part: &str| of(json!({ "name": volume, "mountPath": "/d", "subPath": part }));
        let out =
            |volume: &str| format!("subPath \"../x\" of volume \"{volume}\": it leads out of the volume");
        assert_eq!(part("v", "../x"), Err(Wrong::Volume(out("v"))));
        assert_eq!(part("i", "../x"), Err(Wrong::Image(out("i"))), "as a container runtime says it");
        let missing = Wrong::Volume("volume \"w\" is not there".to_owned());
        assert_eq!(of(json!({ "name": "w", "mountPath": "/d" })), Err(missing));
    }
}
