//! A container's root: overlayfs over its image's layers.
//!
//! ```text
//! LAYERS/DIFFID-DEVICE-INODE/  a layer, mounted once for all its containers; the diff ID's first 12 digits
//! DIR/upper, DIR/work          what the container writes
//! TARGET                       the overlay
//! ```
//!
//! An image that is only looked at, a volume of a pod, has no upper folder: [`view`].
//!
//! Nothing is remembered: what is mounted is read from `/proc/self/mountinfo`, so a caller
//! that died half way calls again. A layer is shared, so that its pages are in
//! memory once; it is unmounted with the last overlay that lists it. Callers
//! exclude each other by a lock on `LAYERS`.
//!
//! A layer's file is mounted directly, which Linux
//! takes since 6.12 where the file's own file system can do it, and else through a
//! read-only loop device that goes with its mount.
//!
//! For a container with a user namespace the overlay is made over ID-mapped copies of its layers (`mapped`):
//! overlayfs itself cannot be mapped. What it writes belongs to its own users on the disk, too.

mod classic;
mod layer;
mod mapped;
mod mountinfo;

use crate::error::{Error, Result, io_error};
use crate::store::Layer;
#[cfg(test)]
pub(crate) use layer::mount as mount_layer;
use mapped::Mapped;
use mountinfo::Mount;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::MntFlags;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use sys::fs_context::{FsContext, READ_ONLY};

/// Where a container's root comes from and goes to. All paths are absolute and
/// at most 255 bytes long.
#[derive(Clone, Copy, Debug)]
pub struct Rootfs<'a> {
    /// The image's layers, the lowest first; one at least.
    pub layers: &'a [Layer],
    /// Folder of the mounted layers, the same for all containers of a node.
    pub mounts: &'a Path,
    /// The container's own folder, on a file system that can be an upper layer.
    pub dir: &'a Path,
    /// Where the root is mounted.
    pub target: &'a Path,
    /// The user namespace by which the files' owners are seen, if it is not the node's.
    pub users: Option<BorrowedFd<'a>>,
}

/// An image's files as they are, for who only reads them. All paths are absolute and at most 255 bytes long.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The image's layers, the lowest first; one at least.
    pub layers: &'a [Layer],
    /// Folder of the mounted layers, the same for all containers of a node.
    pub mounts: &'a Path,
    /// An empty folder of the view's own: the kernel wants two layers at least, and the uppermost root is what shows.
    pub top: &'a Path,
    /// Where they are seen.
    pub target: &'a Path,
    /// The user namespace by which the files' owners are seen, if it is not the node's.
    pub users: Option<BorrowedFd<'a>>,
}

/// Options of every overlay: lower layers come from strangers, so nothing in
/// them may lead elsewhere, and files are copied up whole.
const OPTIONS: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")];

/// Mounts a root; one that is mounted already is left as it is. Folders are made where they are missing.
///
/// # Errors
/// The kernel refuses a mount: the message names the layer or the target. Layers
/// that were mounted stay for the next try or for [`unmount`].
pub fn mount(rootfs: &Rootfs<'_>) -> Result<()> {
    let Rootfs { layers, mounts, dir, target, users } = *rootfs;
    let (upper, work) = (dir.join("upper"), dir.join("work"));
    for folder in [mounts, &upper, &work, target] {
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
    }
    let _lock = lock(mounts)?;
    let Some(lower) = lower(layers, mounts, target)? else { return Ok(()) };
    // Until the overlay has made copies of them for itself. What is written has the container's own owners.
    let _mapped = mapped(&lower, users)?;
    take_over_root(&lower, &upper)?;
    overlay(&Overlay { lower: &lower, mounts, written: Some((&upper, &work)), target })
}

/// Mounts an image read-only, so that no program of it can be executed there; one that is mounted already is left as it
/// is. Folders are made where they are missing. It is taken away with umount(2), and its layers by [`release`].
///
/// # Errors
/// As [`mount`].
pub fn view(view: &View<'_>) -> Result<()> {
    let View { layers, mounts, top, target, users } = *view;
    for folder in [mounts, top, target] {
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
    }
    let _lock = lock(mounts)?;
    let Some(mut lower) = lower(layers, mounts, target)? else { return Ok(()) };
    let _mapped = mapped(&lower, users)?;
    take_over_root(&lower, top)?;
    lower.insert(0, top.to_owned());
    overlay(&Overlay { lower: &lower, mounts, written: None, target })
}

/// Mounts what is not mounted yet of an overlay's layers; gives those that can be seen, the uppermost first, or nothing
/// when the overlay itself is there.
fn lower(layers: &[Layer], mounts: &Path, target: &Path) -> Result<Option<Vec<PathBuf>>> {
    let mounted = mountinfo::read()?;
    if mounted.iter().any(|mount| mount.point == target && mount.kind == "overlay") {
        return Ok(None);
    }
    mapped::clear(&mounted, mounts)?;
    let mut points = Vec::new();
    for layer in each_once(layers) {
        let point = mounts.join(mount_name(layer)?);
        if mounted.iter().all(|mount| mount.point != point) {
            layer::mount(&layer.path, &point)?;
        }
        points.push(point);
    }
    visible(points).map(Some)
}

/// Each layer once, where it stands uppermost: what a copy further down has and hides, that one has and hides. The kernel
/// refuses an overlay that lists a layer twice (ELOOP).
fn each_once(layers: &[Layer]) -> Vec<&Layer> {
    let is_last = |(place, layer): &(usize, &Layer)| !layers[place + 1..].contains(layer);
    layers.iter().enumerate().filter(is_last).map(|(_, layer)| layer).collect()
}

fn mapped(lower: &[PathBuf], users: Option<BorrowedFd<'_>>) -> Result<Vec<Mapped>> {
    match users {
        Some(users) => lower.iter().map(|at| Mapped::over(at, users)).collect(),
        None => Ok(Vec::new()),
    }
}

/// What a layer's mount point is called, short so that many have room in an overlay's options. No other file is this
/// inode of its device as long as it is mounted: a damaged file that was replaced may be as long as somebody has it, and
/// nobody new may get it. The digits are for people.
fn mount_name(layer: &Layer) -> Result<String> {
    let file = fs::metadata(&layer.path).map_err(io_error("read", &layer.path))?;
    Ok(format!("{}-{:x}-{}", &layer.diff_id.hex()[..12], file.dev(), file.ino()))
}

/// Unmounts a root and the layers that no other root lists; a layer in which somebody has a file open stays for whoever
/// comes next. What is not mounted is passed over.
///
/// # Errors
/// `EBUSY` while a process is in the root.
pub fn unmount(target: &Path, mounts: &Path) -> Result<()> {
    let _lock = match lock(mounts) {
        Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    for _ in mountinfo::read()?.iter().filter(|mount| mount.point == target && mount.kind == "overlay") {
        unmount_one(target)?;
    }
    match unmount_unlisted(mounts) {
        Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        unmounted => unmounted,
    }
}

/// Unmounts the layers that no overlay lists any more.
///
/// # Errors
/// `EBUSY` while a process is in one of them.
pub fn release(mounts: &Path) -> Result<()> {
    let _lock = match lock(mounts) {
        Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    unmount_unlisted(mounts)
}

/// One that stays keeps no other.
fn unmount_unlisted(mounts: &Path) -> Result<()> {
    let away = |point: &PathBuf| {
        unmount_one(point)?;
        fs::remove_dir(point).map_err(io_error("remove", point))
    };
    let unmounted: Vec<Result<()>> = unlisted(&mountinfo::read()?, mounts).iter().map(away).collect();
    unmounted.into_iter().collect()
}

/// The mounted layers in `mounts` that no overlay lists.
fn unlisted(mounted: &[Mount], mounts: &Path) -> Vec<PathBuf> {
    let listed = |point: &Path| {
        let is_in = |mount: &Mount| mount.kind == "overlay" && mount.lists(point);
        mounted.iter().any(is_in)
    };
    let layers = mounted.iter().filter(|mount| mount.point.parent() == Some(mounts) && !listed(&mount.point));
    layers.map(|mount| mount.point.clone()).collect()
}

fn lock(mounts: &Path) -> Result<Flock<File>> {
    let folder = File::open(mounts).map_err(io_error("open", mounts))?;
    Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| io_error("lock", mounts)(errno.into()))
}

fn unmount_one(point: &Path) -> Result<()> {
    nix::mount::umount2(point, MntFlags::UMOUNT_NOFOLLOW)
        .map_err(|errno| io_error("unmount", point)(errno.into()))
}

/// The layers that can be seen, the uppermost first: overlayfs does not heed an
/// opaque root itself, so what lies below one is left out here.
fn visible(points: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut lower = Vec::new();
    for point in points.into_iter().rev() {
        let opaque = sys::xattr::get(&point, "trusted.overlay.opaque").map_err(io_error("read", &point))?;
        lower.push(point);
        if opaque.as_deref() == Some(b"y") {
            break;
        }
    }
    Ok(lower)
}

/// Gives a new upper folder owner and mode of the image's root, because the
/// uppermost of an overlay's roots is the one that shows. A layer whose archive
/// had no root has one of 1970.
fn take_over_root(lower: &[PathBuf], upper: &Path) -> Result<()> {
    for point in lower {
        let root = fs::metadata(point).map_err(io_error("read", point))?;
        if root.mtime() != 0 {
            std::os::unix::fs::chown(upper, Some(root.uid()), Some(root.gid()))
                .map_err(io_error("change the owner of", upper))?;
            return set_mode(upper, root.mode());
        }
    }
    set_mode(upper, 0o755)
}

fn set_mode(upper: &Path, mode: u32) -> Result<()> {
    let permissions = Permissions::from_mode(mode & 0o7777);
    fs::set_permissions(upper, permissions).map_err(io_error("change the mode of", upper))
}

/// An overlay to be mounted.
struct Overlay<'a> {
    /// The uppermost first.
    lower: &'a [PathBuf],
    /// Where the image's layers are mounted.
    mounts: &'a Path,
    /// The folders of what is written and of work; without them nothing can be written, and nothing executed.
    written: Option<(&'a Path, &'a Path)>,
    target: &'a Path,
}

fn overlay(own: &Overlay<'_>) -> Result<()> {
    let target = own.target;
    let context = FsContext::open("overlay").map_err(io_error("mount an overlay on", target))?;
    let attributes = if own.written.is_some() { 0 } else { READ_ONLY };
    let configured = configure(&context, own);
    match configured.and_then(|()| context.mount_with(target, attributes)) {
        Ok(()) => Ok(()),
        // Linux before 6.8 has no `lowerdir+`.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let said = context.messages();
            classic::mount(own).map_err(|error| {
                let error =
                    if said.is_empty() { error } else { io::Error::other(format!("{error} ({said})")) };
                io_error("mount an overlay on", target)(error)
            })
        }
        Err(error) => Err(io_error("mount an overlay on", target)(error)),
    }
}

fn configure(context: &FsContext, own: &Overlay<'_>) -> io::Result<()> {
    context.set("source", b"overlay")?;
    for (key, value) in OPTIONS {
        context.set(key, value.as_bytes())?;
    }
    for path in own.lower {
        context.set("lowerdir+", path.as_os_str().as_bytes())?;
    }
    let Some((upper, work)) = own.written else { return Ok(()) };
    context.set("upperdir", upper.as_os_str().as_bytes())?;
    context.set("workdir", work.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::layer::{Limits, convert};
    use crate::tar::build::Archive;
    use nix::mount::MsFlags;
    use nix::sched::{CloneFlags, unshare};
    use std::io::Cursor;

    #[test]
    fn layers_go_with_the_last_overlay_that_lists_them() {
        let text = "30 1 7:0 / /run/layers/sha256-aa ro - erofs /dev/loop0 ro\n\
            31 1 0:5 / /run/layers/sha256-bb ro - erofs none ro\n\
            32 1 0:6 / /run/other ro - erofs none ro\n\
            33 1 0:7 / /run/c/root rw - overlay overlay rw,lowerdir+=/run/layers/sha256-aa,upperdir=/u\n";
        let mounted = mountinfo::parse(text);
        assert_eq!(unlisted(&mounted, Path::new("/run/layers")), [Path::new("/run/layers/sha256-bb")]);
    }

    #[test]
    fn a_layer_that_an_image_has_twice_is_mounted_where_it_stands_uppermost() {
        let layer =
            |content: &str| Layer { diff_id: Digest::sha256(content.as_bytes()), path: content.into() };
        let layers = ["a", "empty", "b", "empty", "empty"].map(layer);
        let names = each_once(&layers).into_iter().map(|layer| layer.path.display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "empty"]);
    }

    #[test]
    #[ignore = "needs root"]
    fn an_image_that_has_a_layer_twice_is_mounted() {
        // The namespace ends with the test's thread.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let folder = std::env::temp_dir().join(format!("skerry-twice-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let layer = |archive: Archive| {
            let image = convert(&archive.end()[..], Cursor::new(Vec::new()), [0; 16], &Limits::default());
            let bytes = image.unwrap().0.into_inner();
            let diff_id = Digest::sha256(&bytes);
            let path = folder.join(diff_id.hex());
            fs::write(&path, bytes).unwrap();
            Layer { diff_id, path }
        };
        let one = layer(Archive::new().file("a", b"1").file("b", b"1"));
        let other = layer(Archive::new().file(".wh.a", b"").file("c", b"2"));
        let empty = layer(Archive::new());
        let cases = [
            (vec![&one, &empty, &other, &empty], vec!["b", "c"]),
            (vec![&one, &other, &one], vec!["a", "b", "c"]),
        ];
        for (number, (layers, expected)) in cases.into_iter().enumerate() {
            let layers: Vec<Layer> = layers.into_iter().cloned().collect();
            let at = |name: &str| folder.join(format!("{name}{number}"));
            let (mounts, dir, target) = (at("mounts"), at("dir"), at("root"));
            mount(&Rootfs { layers: &layers, mounts: &mounts, dir: &dir, target: &target, users: None })
                .unwrap();
            let names = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            assert_eq!(names, expected);
        }
        nix::mount::umount2(&folder.join("root0"), MntFlags::MNT_DETACH).unwrap();
        nix::mount::umount2(&folder.join("root1"), MntFlags::MNT_DETACH).unwrap();
        for mounts in ["mounts0", "mounts1"] {
            for point in fs::read_dir(folder.join(mounts)).unwrap() {
                unmount_one(&point.unwrap().path()).unwrap();
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
