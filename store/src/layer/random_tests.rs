//! Random trees through tar and erofs and back: what a reader that shares
//! nothing with the writer finds is what was put in.

use super::*;
use crate::erofs::check;
use crate::tar::build::Archive;
use std::collections::BTreeMap;
use std::io::Cursor;

/// A small generator of pseudo-random numbers; the same seed, the same tree.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    fn size(&mut self) -> usize {
        let edge = [0, 1, 31, 4000, 4032, 4096, 8192, 12_289][self.below(8)];
        if self.below(2) == 0 { edge } else { self.below(9000) }
    }
}

/// What a path should read back as.
#[derive(Debug, PartialEq)]
struct Expected {
    mode: u16,
    owner: (u32, u32),
    mtime: (i64, u32),
    content: Vec<u8>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// Adds one random entry to the archive and to what is expected.
fn grow(random: &mut Random, archive: Archive, tree: &mut BTreeMap<String, Expected>) -> Archive {
    let folders: Vec<String> =
        tree.iter().filter(|(_, inode)| inode.mode >> 12 == 4).map(|(path, _)| path.clone()).collect();
    let folder = &folders[random.below(folders.len())];
    let name = format!("{}{}", random.below(100_000), "n".repeat(random.below(120)));
    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    let owner = (random.below(3) as u32 * 40_000, random.below(3) as u32 * 40_000);
    let mtime = (random.below(3) as i64 * 1000, random.below(2) as u32 * 500_000_000);
    let mode = random.below(0o7777) as u16;
    let (kind, bits, content) = match random.below(4) {
        0 => (b'5', 4, Vec::new()),
        1 => (b'2', 10, vec![b't'; 1 + random.below(3000)]),
        _ => {
            let size = random.size();
            (b'0', 8, random.bytes(size))
        }
    };
    let xattrs: Vec<_> =
        (0..random.below(3)).map(|n| (format!("user.{n}"), random.bytes([0, 7, 3000][n]))).collect();
    let numbers = [owner.0.to_string(), owner.1.to_string(), format!("{}.{:09}", mtime.0, mtime.1)];
    let keys: Vec<_> = xattrs.iter().map(|(name, _)| format!("SCHILY.xattr.{name}")).collect();
    let mut records = vec![
        ("path", path.as_bytes()),
        ("uid", numbers[0].as_bytes()),
        ("gid", numbers[1].as_bytes()),
        ("mtime", numbers[2].as_bytes()),
    ];
    records.extend(keys.iter().zip(&xattrs).map(|(key, (_, value))| (key.as_str(), value.as_slice())));
    if kind == b'2' {
        records.push(("linkpath", &content));
    }
    let size = if kind == b'0' { content.len() } else { 0 };
    let archive = archive
        .pax(&records)
        .header("x", kind, "", size as u64)
        .patch(100, format!("{mode:07o}\0").as_bytes())
        .data(if kind == b'0' { &content } else { b"" });
    tree.insert(path, Expected { mode: bits << 12 | mode, owner, mtime, content, xattrs });
    archive
}

/// Reads an image's whole tree but its root.
fn found(image: &[u8]) -> BTreeMap<String, Expected> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![(String::new(), check::root(image))];
    while let Some((folder, nid)) = folders.pop() {
        for (name, nid) in check::entries(&check::inode(image, nid)) {
            let name = String::from_utf8(name).unwrap();
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let mut inode = check::inode(image, nid);
            if inode.mode >> 12 == 4 {
                folders.push((path.clone(), nid));
                inode.content.clear();
            } else {
                assert_eq!(inode.links, 1);
            }
            let check::Inode { mode, uid, gid, mtime, content, xattrs, .. } = inode;
            tree.insert(path, Expected { mode, owner: (uid, gid), mtime, content, xattrs });
        }
    }
    tree
}

/// A random tree and its image.
fn made(seed: u64) -> (BTreeMap<String, Expected>, Vec<u8>) {
    let mut random = Random(seed);
    let mut tree = BTreeMap::new();
    let root = Expected { mode: 0o040_755, owner: (0, 0), mtime: (0, 0), content: vec![], xattrs: vec![] };
    tree.insert(String::new(), root);
    let mut archive = Archive::new();
    for _ in 0..random.below(150) {
        archive = grow(&mut random, archive, &mut tree);
    }
    tree.remove("");
    let (image, _) =
        convert(&archive.end()[..], Cursor::new(Vec::new()), [0; 16], &Limits::default()).unwrap();
    (tree, image.into_inner())
}

#[test]
fn random_trees_read_back_as_they_were() {
    for seed in 0..25 {
        let (tree, image) = made(seed);
        assert!(found(&image) == tree, "seed {seed}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_kernel_reads_random_trees_as_they_were() {
    let kernel = crate::fuzz::kernel::Kernel::new();
    for seed in 0..100 {
        let (tree, image) = made(seed);
        assert!(found(&image) == tree, "seed {seed}");
        kernel.agrees(&image, &format!("seed {seed}"));
    }
}
