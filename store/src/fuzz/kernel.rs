//! Images as the kernel reads them: mounted, and everything in them compared with what the reader that
//! shares nothing with the writer says, which [`super::layer()`] compares with the archive.
//!
//! `make test` does so with the corpus and with random trees, `make fuzz TARGET=layer` also with all that a run has
//! found: `SKERRY_FUZZ_INPUTS` is their folder.

use super::layer::{image_of, read};
use super::model::Node;
use crate::erofs::check;
use base64::prelude::*;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{FileStat, Mode, fstatat, major, minor};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const HERE: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;

/// A folder for images and their mounts, in a mount namespace of the test's thread.
pub(crate) struct Kernel(PathBuf);

impl Kernel {
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let folder = std::env::temp_dir().join(format!("skerry-kernel-{}-{thread}", std::process::id()));
        fs::create_dir_all(folder.join("root")).unwrap();
        Self(folder)
    }

    /// The kernel mounts the image and finds in it what the other reader finds, no more and no less.
    pub(crate) fn agrees(&self, image: &[u8], words: &str) {
        let (file, root) = (self.0.join("image"), self.0.join("root"));
        fs::write(&file, image).unwrap();
        crate::rootfs::mount_layer(&file, &root).unwrap_or_else(|error| panic!("{words}: {error}"));
        let mut seen = Seen::default();
        seen.walk(&root);
        umount(&root).unwrap();
        let expected = read(image);
        for (path, node) in &expected {
            assert_eq!(seen.nodes.get(path), Some(node), "{words}: {}", path.escape_ascii());
        }
        assert_eq!(seen.nodes.len(), expected.len(), "{words}: the kernel sees more");
        for (said, counted) in seen.links.values() {
            assert_eq!(said, counted, "{words}: links of an inode");
        }
        assert_eq!(seen.xattrs, xattrs(image), "{words}");
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = umount(&self.0.join("root"));
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is in a mounted image, its root left out.
#[derive(Default)]
struct Seen {
    nodes: BTreeMap<Vec<u8>, Node>,
    /// By an inode's number: the links that it is said to have, and those that were met.
    links: BTreeMap<u64, (u64, u64)>,
    xattrs: Xattrs,
}

/// Attributes of folders and files: their names, and the values of those that the kernel hands over
/// as they are.
type Xattrs = BTreeMap<Vec<u8>, Vec<(String, Option<Vec<u8>>)>>;

impl Seen {
    /// Goes by descriptors: paths may be longer than the kernel takes.
    fn walk(&mut self, root: &Path) {
        let mode = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
        let mut folders = vec![(Vec::new(), Dir::open(root, mode, Mode::empty()).unwrap())];
        while let Some((folder, mut dir)) = folders.pop() {
            let names: Vec<_> = dir.iter().map(|entry| entry.unwrap().file_name().to_owned()).collect();
            for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
                let parts = [&folder[..], if folder.is_empty() { b"" } else { b"/" }, name.to_bytes()];
                let path = parts.concat();
                if let Some(below) = self.look(&dir, name, &path) {
                    folders.push((path, Dir::from_fd(below).unwrap()));
                }
            }
        }
    }

    /// Takes down what one path has; opens it when it is a folder.
    fn look(&mut self, dir: &Dir, name: &CStr, path: &[u8]) -> Option<OwnedFd> {
        let about = fstatat(dir, name, HERE).unwrap();
        let kind = about.st_mode >> 12;
        let open =
            |flags| openat(dir, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let opened = match kind {
            4 => Some(open(OFlag::O_RDONLY | OFlag::O_DIRECTORY)),
            8 => Some(open(OFlag::O_RDONLY)),
            _ => None,
        };
        let held = open(OFlag::O_PATH);
        let content = match (kind, &opened) {
            (8, Some(file)) => whole(file),
            (10, _) => readlinkat(dir, name).unwrap().into_vec(),
            _ => Vec::new(),
        };
        if let Some(file) = &opened {
            let found = attributes(file);
            self.xattrs.extend((!found.is_empty()).then(|| (path.to_vec(), found)));
        }
        if kind != 4 {
            self.links.entry(about.st_ino).or_insert((about.st_nlink, 0)).1 += 1;
        }
        let node = node(&about, content, is_opaque(&held));
        assert!(self.nodes.insert(path.to_vec(), node).is_none(), "a name twice");
        opened.filter(|_| kind == 4)
    }
}

fn node(about: &FileStat, content: Vec<u8>, opaque: bool) -> Node {
    let kind = about.st_mode >> 12;
    let (major, minor) = (major(about.st_rdev), minor(about.st_rdev));
    Node {
        mode: u16::try_from(about.st_mode).unwrap(),
        owner: (about.st_uid, about.st_gid),
        mtime: about.st_mtime,
        content,
        // new_encode_dev() of the kernel.
        device: if kind == 2 || kind == 6 { minor & 0xff | major << 8 | (minor & !0xff) << 12 } else { 0 },
        opaque,
    }
}

fn whole(file: &OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    fs::File::from(file.try_clone().unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Of anything: a link in `/proc/self/fd` leads to a symbolic link itself.
fn is_opaque(held: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    sys::xattr::get(Path::new(&path), "trusted.overlay.opaque").unwrap().is_some()
}

fn attributes(file: &OwnedFd) -> Vec<(String, Option<Vec<u8>>)> {
    let names = sys::xattr::names(file.as_fd()).unwrap();
    let value = |name: &CStr| sys::xattr::value(file.as_fd(), name).unwrap();
    let pair = |name: &CStr| {
        let text = name.to_string_lossy().into_owned();
        let value = is_plain(&text).then(|| value(name));
        (text, value)
    };
    let mut found: Vec<_> = names.iter().map(|name| pair(name)).collect();
    found.sort();
    found
}

/// The values of access lists and capabilities are read by the kernel, not only handed over.
fn is_plain(name: &str) -> bool {
    name.starts_with("user.") || name.starts_with("trusted.")
}

/// The same of an image, by the reader that shares nothing with the writer.
fn xattrs(image: &[u8]) -> Xattrs {
    let mut all = Xattrs::new();
    let mut folders = vec![(Vec::new(), check::root(image))];
    while let Some((folder, nid)) = folders.pop() {
        for (name, nid) in check::entries(&check::inode(image, nid)) {
            let path = [&folder[..], if folder.is_empty() { b"" } else { b"/" }, &name].concat();
            let inode = check::inode(image, nid);
            if inode.mode >> 12 == 4 {
                folders.push((path.clone(), nid));
            }
            let pair = |(name, value): (String, Vec<u8>)| {
                let value = is_plain(&name).then_some(value);
                (name, value)
            };
            let found: Vec<_> = inode.xattrs.into_iter().map(pair).collect();
            if matches!(inode.mode >> 12, 4 | 8) && !found.is_empty() {
                all.insert(path, found);
            }
        }
    }
    all
}

/// The corpus, or the files of a folder.
fn inputs() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = std::env::var_os("SKERRY_FUZZ_INPUTS") else {
        let lines = super::tests::inputs("layer").into_iter().enumerate();
        return lines
            .map(|(line, text)| (format!("line {}", line + 1), BASE64_STANDARD.decode(text).unwrap()))
            .collect();
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

#[test]
#[ignore = "needs root"]
fn the_kernel_reads_of_every_input_what_the_other_reader_reads() {
    let kernel = Kernel::new();
    let inputs = inputs();
    let mut images = 0;
    for (words, input) in &inputs {
        if let Some(image) = image_of(input) {
            kernel.agrees(&image, words);
            images += 1;
        }
    }
    println!("{images} images of {} inputs", inputs.len());
    assert!(images > 10, "{images} images of {} inputs", inputs.len());
}
