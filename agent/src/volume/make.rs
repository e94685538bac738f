//! One volume of each kind, on the node's disk.

use super::group;
use super::nfs;
use super::payload::{self, Payload};
use super::place;
use super::writer::{self, Owner};
use crate::pod::{huge, qos};
use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolume, Pod, PodSpec, Volume,
};
use nix::mount::{MsFlags, mount};
use spec::mountinfo::unescape;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use sys::cause::cause;

/// A volume as it lies on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// Nothing of it may be written.
    pub read_only: bool,
    /// It is an image: nothing of it may be executed, and its owners are those that its pod sees.
    pub is_image: bool,
}

/// What else a volume is made of.
#[derive(Debug, Default)]
pub struct Given {
    /// Files of volumes that have their content from the API server, by the volume's name.
    pub payloads: BTreeMap<String, Payload>,
    /// What claims lead to, by the volume's name.
    pub claimed: BTreeMap<String, PersistentVolume>,
    /// Memory that pods of the node may have together, in bytes.
    pub memory: u64,
    /// Nobody waits for it any more: what takes long ends.
    pub given_up: AtomicBool,
}

/// Why a volume is given up.
pub const ENDED: &str = "its pod ended meanwhile";

fn words(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what} {}: {}", path.display(), cause(error))
}

/// Makes a volume, or finds it made. That may take long.
///
/// # Errors
/// What of it cannot be done, in words (`FailedMount`).
pub fn volume(pod: &Pod, volume: &Volume, given: &Given) -> Result<Made, String> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let group = fs_group(pod);
    let made = |path| Ok(Made { path, read_only: false, is_image: false });
    if let Some(payload) = given.payloads.get(&volume.name) {
        return files(pod, uid, volume, payload, group).map(|path| Made {
            path,
            read_only: true,
            is_image: false,
        });
    }
    if let Some(own) = &volume.empty_dir {
        return made(empty(pod, &volume.name, own, size(pod, own, given.memory), group)?);
    }
    if let Some(own) = &volume.host_path {
        return made(host_path(own)?);
    }
    let claimed = given.claimed.get(&volume.name);
    if let Some(own) = nfs::share(volume, claimed) {
        // It was mounted before.
        let path = place::volume(uid, "nfs", &volume.name);
        return Ok(Made { path, read_only: own.read_only, is_image: false });
    }
    if let Some(own) = claimed {
        let read_only = volume.persistent_volume_claim.as_ref().and_then(|claim| claim.read_only);
        let (path, read_only) = (persistent(own)?, read_only == Some(true));
        let is_local = own.spec.as_ref().is_some_and(|spec| spec.local.is_some());
        if let Some(group) = group.filter(|_| is_local && !read_only) {
            give_once(pod, volume, &path, group, &given.given_up)?;
        }
        if is_local {
            link(&place::pod(uid), &volume.name, &path)?;
        }
        return Ok(Made { path, read_only, is_image: false });
    }
    Err(format!("volumes of this kind are not supported on this node: {}", kind(volume)))
}

/// The name of the claim that a volume of a pod is, or that is made for it.
pub fn claim(pod: &Pod, volume: &Volume) -> Option<String> {
    let made = || format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
    let own = volume.persistent_volume_claim.as_ref().map(|own| own.claim_name.clone());
    own.or_else(|| volume.ephemeral.as_ref().map(|_| made()))
}

/// Leaves a link to a volume of the node's, for who measures it: the API server is not asked again where it is.
fn link(pod: &Path, name: &str, path: &Path) -> Result<(), String> {
    let link = pod.join(place::LOCAL).join(name);
    if link.is_symlink() {
        return Ok(());
    }
    folder_in(pod, Path::new(place::LOCAL))?;
    symlink(path, &link).map_err(|error| words("link", &link, &error))
}

/// The name of a volume's kind.
fn kind(volume: &Volume) -> String {
    let object = serde_json::to_value(volume).unwrap_or_default();
    let keys = object.as_object().into_iter().flat_map(|object| object.keys());
    keys.filter(|key| *key != "name").cloned().collect::<Vec<_>>().join(", ")
}

/// `fsGroup`
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    context.fs_group.and_then(|group| u32::try_from(group).ok())
}

fn folder(path: &Path, mode: u32) -> Result<(), String> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| words("make", path, &error))
}

/// Makes a folder in a pod's, which itself is not made: nobody waits for this once the pod ends, and then its folder goes.
fn folder_in(pod: &Path, path: &Path) -> Result<(), String> {
    let mut at = pod.to_owned();
    for part in path {
        at.push(part);
        match fs::DirBuilder::new().mode(0o750).create(&at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(words("make", &at, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Files in memory: secrets never reach a disk.
fn files(
    pod: &Pod,
    uid: &str,
    volume: &Volume,
    payload: &Payload,
    group: Option<u32>,
) -> Result<PathBuf, String> {
    let kind = if volume.config_map.is_some() {
        "configmap"
    } else if volume.secret.is_some() {
        "secret"
    } else if volume.downward_api.is_some() {
        "downward-api"
    } else {
        "projected"
    };
    let path = place::volume(uid, kind, &volume.name);
    folder(&path, 0o755)?;
    if kind != "configmap" && !is_mounted(&path) {
        in_memory(&path, Some(16 << 20), 0o755, None)?;
    }
    let user = Some(kind).filter(|kind| *kind == "projected").and_then(|_| payload::owner(pod));
    writer::write(&path, payload, Owner { user, group }).map_err(|error| words("write", &path, &error))?;
    Ok(path)
}

/// Something is mounted on a folder.
pub fn is_mounted(path: &Path) -> bool {
    mounts_below(path).iter().any(|own| own == path)
}

/// Mount points at and below a folder, the innermost first.
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    mounts_of(path, |_| true)
}

/// The same, of file systems of some kinds (`/proc/self/mountinfo`).
pub fn mounts_of(path: &Path, is_of: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_of = |line: &&str| {
        line.split_once(" - ").is_some_and(|(_, after)| is_of(after.split(' ').next().unwrap_or_default()))
    };
    let points = table.lines().filter(is_of).filter_map(|line| line.split(' ').nth(4));
    let points = points.map(|point| PathBuf::from(OsString::from_vec(unescape(point.as_bytes()))));
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(path)).collect();
    below.reverse();
    below
}

/// A tmpfs on a folder, of a group's if need be.
///
/// # Errors
/// It cannot be mounted; the message names it.
pub fn in_memory(path: &Path, size: Option<u64>, mode: u32, group: Option<u32>) -> Result<(), String> {
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let group = group.map(|group| format!(",gid={group}")).unwrap_or_default();
    let options = format!("mode={mode:o}{size}{group}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(|error| words("mount a tmpfs on", path, &error.into()))
}

/// Bytes that an `emptyDir` in memory holds: no more than was asked for, than its pod may have, and than all pods may.
fn size(pod: &Pod, own: &EmptyDirVolumeSource, most: u64) -> u64 {
    let asked = own.size_limit.as_ref().and_then(|size| crate::pod::container::bytes(&size.0));
    let of_pod = pod.spec.as_ref().and_then(|spec| qos::pod_limit(spec, "memory"));
    let of_pod = of_pod.and_then(|millis| u64::try_from(millis / 1000).ok());
    [asked, of_pod].into_iter().flatten().filter(|size| *size > 0).fold(most, u64::min)
}

fn empty(
    pod: &Pod,
    name: &str,
    own: &EmptyDirVolumeSource,
    size: u64,
    group: Option<u32>,
) -> Result<PathBuf, String> {
    let path = place::volume(pod.metadata.uid.as_deref().unwrap_or_default(), "empty-dir", name);
    match own.medium.as_deref() {
        None | Some("") => on_disk(&path, group)?,
        Some("Memory") if is_mounted(&path) => {}
        Some("Memory") => {
            folder(&path, 0o777)?;
            in_memory(&path, Some(size), 0o1777 | group.map_or(0, |_| SHARED), group)?;
        }
        Some(other) => {
            let page = huge::of_medium(pod.spec.as_ref().unwrap_or(&PodSpec::default()), other)?.page;
            if !is_mounted(&path) {
                folder(&path, 0o777)?;
                in_huge_pages(&path, page)?;
                share(&path, group)?;
            }
        }
    }
    Ok(path)
}

/// A file system of huge pages, of so many bytes each, on a folder.
fn in_huge_pages(path: &Path, page: u64) -> Result<(), String> {
    let options = format!("pagesize={page},mode=1777");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("hugetlbfs"), path, Some("hugetlbfs"), flags, Some(options.as_str()))
        .map_err(|error| words("mount huge pages on", path, &error.into()))
}

/// A folder that is there is all made: what becomes of it then is the pod's.
fn on_disk(path: &Path, group: Option<u32>) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let new = path.with_added_extension("new");
    folder(&new, 0o777)?;
    share(&new, group)?;
    fs::rename(&new, path).map_err(|error| words("make", path, &error))
}

/// Whoever is of the group may write, and what is made there is the group's.
const SHARED: u32 = 0o2770;

/// Gives a folder to a group ([`SHARED`]).
fn share(path: &Path, group: Option<u32>) -> Result<(), String> {
    let Some(group) = group else { return Ok(()) };
    let give = || -> io::Result<()> {
        chown(path, None, Some(group))?;
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | SHARED))
    };
    give().map_err(|error| words("give to its group", path, &error))
}

fn host_path(own: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&own.path);
    let kind = own.type_.as_deref().unwrap_or_default();
    match kind {
        "DirectoryOrCreate" if !path.exists() => new_folder(&path)?,
        "FileOrCreate" if !path.exists() => new_file(&path)?,
        _ => {}
    }
    let is = fs::metadata(&path).map(|own| own.file_type());
    let fits = match (kind, &is) {
        ("", _) => true,
        (_, Err(_)) => false,
        ("Directory" | "DirectoryOrCreate", Ok(is)) => is.is_dir(),
        ("File" | "FileOrCreate", Ok(is)) => is.is_file(),
        ("Socket", Ok(is)) => is.is_socket(),
        ("CharDevice", Ok(is)) => is.is_char_device(),
        ("BlockDevice", Ok(is)) => is.is_block_device(),
        _ => return Err(format!("hostPath type check failed: there is no type {kind:?}")),
    };
    if !fits {
        return Err(format!(
            "hostPath type check failed: {} is not a {}",
            own.path,
            kind.trim_end_matches("OrCreate").to_lowercase()
        ));
    }
    if is.is_err() {
        // Docker's and the kubelet's way: who mounts a path that is not there means a folder.
        new_folder(&path)?;
    }
    Ok(path)
}

/// Makes a folder of the node's. Another pod may write where it lies: what is there by now, if only as a link, stays as it is.
fn new_folder(path: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| words("make", path, &error))
}

/// The same of an empty file.
fn new_file(path: &Path) -> Result<(), String> {
    match File::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(words("make", path, &error)),
        _ => Ok(()),
    }
}

/// Gives a volume of the node's to a pod's group when the pod has it for the first time.
fn give_once(pod: &Pod, volume: &Volume, path: &Path, to: u32, given_up: &AtomicBool) -> Result<(), String> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let own = place::pod(uid);
    let given = place::volume(uid, "local-volume", &volume.name);
    if given.exists() {
        return Ok(());
    }
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let policy = context.and_then(|own| own.fs_group_change_policy.as_deref());
    if !group::give(path, to, policy, given_up)? {
        return Err(ENDED.to_owned());
    }
    folder_in(&own, given.strip_prefix(&own).unwrap_or(&given))
}

fn persistent(own: &PersistentVolume) -> Result<PathBuf, String> {
    let spec = own.spec.clone().unwrap_or_default();
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err("volumeMode: block volumes are not supported on this node".to_owned());
    }
    if let Some(own) = &spec.host_path {
        return host_path(own);
    }
    if let Some(own) = &spec.local {
        let path = PathBuf::from(&own.path);
        let is = fs::metadata(&path).map_err(|error| words("find the local volume", &path, &error))?;
        if is.file_type().is_block_device() {
            let path = path.display();
            return Err(format!(
                "local volume {path}: it is a block device, which this node does not mount: mount it and name the folder"
            ));
        }
        return Ok(path);
    }
    let name = own.metadata.name.as_deref().unwrap_or_default();
    Err(format!(
        "persistent volume \"{name}\" is neither hostPath, local nor NFS: its kind is not supported on this node"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(path: &Path, kind: &str) -> Result<PathBuf, String> {
        host_path(&serde_json::from_value(json!({ "path": path, "type": kind })).unwrap())
    }

    #[test]
    fn a_path_of_the_node_is_what_was_asked_for() {
        let folder = std::env::temp_dir().join(format!("skerry-host-path-{}", std::process::id()));
        let file = folder.join("f");
        assert!(host(&folder, "Directory").unwrap_err().contains("is not a directory"));
        assert_eq!(host(&folder, "DirectoryOrCreate"), Ok(folder.clone()));
        assert!(host(&file, "File").is_err());
        assert_eq!(host(&file, "FileOrCreate"), Ok(file.clone()));
        assert_eq!(
            (host(&file, "File").is_ok(), host(&file, "Socket").is_ok(), host(&file, "Odd").is_ok()),
            (true, false, false)
        );
        // A neighbour puts something there meanwhile.
        fs::write(&file, "bytes").unwrap();
        new_file(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"bytes");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        new_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let (link, other) = (folder.join("link"), folder.join("other"));
        symlink(&other, &link).unwrap();
        for kind in ["FileOrCreate", "DirectoryOrCreate", ""] {
            assert!(host(&link, kind).is_err() && !other.exists(), "{kind}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_disk_that_nobody_has_mounted_is_refused_by_name() {
        use nix::sys::stat::{Mode, SFlag, mknod};
        let disk = std::env::temp_dir().join(format!("skerry-disk-{}", std::process::id()));
        if mknod(&disk, SFlag::S_IFBLK, Mode::S_IRWXU, nix::libc::makedev(7, 0)).is_err() {
            // Only root makes one.
            return;
        }
        let local = json!({ "spec": { "local": { "path": disk }, "volumeMode": "Filesystem" } });
        let refused = persistent(&serde_json::from_value(local).unwrap()).unwrap_err();
        assert!(refused.contains(&format!("{}: it is a block device", disk.display())), "{refused}");
        fs::remove_file(disk).unwrap();
    }

    #[test]
    fn an_empty_folder_is_made_whole_and_then_the_pods() {
        let base = std::env::temp_dir().join(format!("skerry-empty-{}", std::process::id()));
        let path = base.join("v");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        // Whoever began it was killed.
        folder(&base.join("v.new"), 0o755).unwrap();
        on_disk(&path, None).unwrap();
        assert_eq!((mode(), base.join("v.new").exists()), (0o777, false));
        folder(&path, 0o700).unwrap();
        on_disk(&path, None).unwrap();
        assert_eq!(mode(), 0o700, "the pod has changed it");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_volume_in_memory_is_as_large_as_its_pod_may_be() {
        let of = |asked: serde_json::Value, limit: serde_json::Value| {
            let limits = json!({ "limits": { "memory": limit } });
            let limits = if limit.is_null() { json!({}) } else { limits };
            let spec = json!({ "containers": [{ "name": "m", "resources": limits }] });
            let pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
            let own = json!({ "medium": "Memory", "sizeLimit": asked });
            size(&pod, &serde_json::from_value(own).unwrap(), 800 << 20) >> 20
        };
        assert_eq!(of(json!(null), json!(null)), 800);
        assert_eq!(of(json!("0"), json!("600Mi")), 600);
        assert_eq!(of(json!("1Gi"), json!("600Mi")), 600);
        assert_eq!(of(json!("16Mi"), json!("600Mi")), 16);
        assert_eq!(of(json!("2Gi"), json!("1Gi")), 800);
    }

    #[test]
    fn a_volume_of_the_node_is_linked_once() {
        let base = std::env::temp_dir().join(format!("skerry-linked-{}", std::process::id()));
        assert!(link(&base, "v", &base).is_err() && !base.exists(), "a pod that is gone gets no folder");
        fs::create_dir(&base).unwrap();
        link(&base, "v", &base).unwrap();
        link(&base, "v", &base).unwrap();
        assert_eq!(fs::read_link(base.join(place::LOCAL).join("v")).unwrap(), base);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let pod = Pod::default();
        let own: Volume = serde_json::from_value(json!({ "name": "v", "csi": { "driver": "x" } })).unwrap();
        let given = Given::default();
        assert_eq!(
            volume(&pod, &own, &given).unwrap_err(),
            "volumes of this kind are not supported on this node: csi"
        );
    }

    #[test]
    fn mount_points_below_a_folder_are_found() {
        assert!(mounts_below(Path::new("/")).contains(&PathBuf::from("/proc")));
        assert!(mounts_of(Path::new("/"), |kind| kind == "proc").contains(&PathBuf::from("/proc")));
        assert!(mounts_of(Path::new("/"), |kind| kind == "none such").is_empty());
    }
}
