//! Images as an independent reader, `fsck.erofs`, sees them, where it is installed.

use super::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own per test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("skerry-erofs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn meta(mode: u16) -> Meta {
    Meta { mode, mtime: Time { seconds: 1_700_000_000, nanoseconds: 250_000_000 }, ..Meta::default() }
}

fn image(path: &Path, build: impl FnOnce(&mut Writer<File>)) -> Summary {
    let file = File::create(path).unwrap();
    let options = Options { label: "skerry-test".into(), uuid: [7; 16], time: None };
    let mut writer = Writer::new(file, options).unwrap();
    build(&mut writer);
    writer.finish().unwrap().1
}

/// Extracts `image` with erofs-utils. None: they are not installed.
fn extract(image: &Path, to: &Path) -> Option<()> {
    let argument = format!("--extract={}", to.display());
    let output = match Command::new("fsck.erofs").args([&argument, "--no-preserve-owner"]).arg(image).output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: fsck.erofs is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

const SIZES: [usize; 11] = [0, 1, 31, 4031, 4032, 4033, 4095, 4096, 4097, 65_536, 300_001];

#[test]
fn files_of_every_size_read_back() {
    let scratch = Scratch::new("sizes");
    let path = scratch.0.join("image");
    image(&path, |writer| {
        for size in SIZES {
            writer.add_file(format!("d/{size}").as_bytes(), &meta(0o644), &bytes(size)[..]).unwrap();
        }
    });
    let out = scratch.0.join("out");
    if extract(&path, &out).is_none() {
        return;
    }
    for size in SIZES {
        assert_eq!(fs::read(out.join(format!("d/{size}"))).unwrap(), bytes(size), "{size}");
    }
}

/// What compresses, with what does not in between, in runs of many lengths.
fn mixed(length: usize) -> Vec<u8> {
    let noise = bytes(length);
    let words = b"a page of a program that says the same thing again ".iter().cycle();
    let mixed = noise.iter().zip(words).enumerate();
    mixed.map(|(at, (&noise, &word))| if at / 7001 % 3 == 1 { noise } else { word }).collect()
}

#[test]
fn compressed_files_read_back_and_are_smaller() {
    let scratch = Scratch::new("compressed");
    let path = scratch.0.join("image");
    let sizes = SIZES.into_iter().chain([8191, 8192, 8193, 100_000, 3_000_000]);
    let of = |kind, size| match kind {
        "mixed" => mixed(size),
        "noise" => bytes(size),
        _ => vec![0; size],
    };
    let of_size = |size| ["mixed", "noise", "zero"].map(|kind| (format!("d/{kind}-{size}"), of(kind, size)));
    let all = || sizes.clone().flat_map(of_size);
    let attributed = Meta { xattrs: vec![(b"user.x".to_vec(), b"value".to_vec())], ..meta(0o755) };
    let summary = image(&path, |writer| {
        for (name, bytes) in all() {
            writer.add_compressed_file(name.as_bytes(), &meta(0o644), &bytes).unwrap();
        }
        writer.add_compressed_file(b"attributed", &attributed, &mixed(50_000)).unwrap();
    });
    let plain: usize = all().map(|(_, bytes)| bytes.len()).sum();
    assert!((summary.blocks as usize) < plain / BLOCK * 2 / 3, "{} of {}", summary.blocks, plain / BLOCK);
    let out = scratch.0.join("out");
    if extract(&path, &out).is_none() {
        return;
    }
    for (name, bytes) in all() {
        assert!(fs::read(out.join(&name)).unwrap() == bytes, "{name}");
    }
    assert!(fs::read(out.join("attributed")).unwrap() == mixed(50_000));
}

#[test]
fn every_kind_of_inode_reads_back() {
    let scratch = Scratch::new("kinds");
    let path = scratch.0.join("image");
    let long_target = [b"x".repeat(200), b"/".repeat(3800)].concat();
    image(&path, |writer| {
        writer.add_dir(b"/", &meta(0o755)).unwrap();
        writer.add_dir(b"bin", &meta(0o1777)).unwrap();
        writer.add_file(b"bin/a", &meta(0o4755), &b"hello"[..]).unwrap();
        writer.add_hard_link(b"bin/b", b"bin/a").unwrap();
        writer.add_symlink(b"sh", &meta(0o777), b"/bin/a").unwrap();
        let mut attributed = meta(0o777);
        attributed.xattrs = vec![(b"user.x".to_vec(), vec![1; 300])];
        writer.add_symlink(b"long", &attributed, &long_target).unwrap();
        writer.add_device(b"fifo", &meta(0o600), Device::Fifo).unwrap();
    });
    let out = scratch.0.join("out");
    if extract(&path, &out).is_none() {
        return;
    }
    assert_eq!(fs::read(out.join("bin/b")).unwrap(), b"hello");
    assert_eq!(fs::metadata(out.join("bin/a")).unwrap().permissions().mode(), 0o104_755);
    assert_eq!(fs::metadata(out.join("bin/a")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::read_link(out.join("sh")).unwrap(), Path::new("/bin/a"));
    let long = fs::read_link(out.join("long")).unwrap();
    assert_eq!(long.as_os_str().as_encoded_bytes(), long_target);
    assert!(fs::metadata(out.join("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn a_directory_of_many_blocks_lists_every_name() {
    let scratch = Scratch::new("names");
    let path = scratch.0.join("image");
    let name = |n: u32| format!("!{n}{}", "n".repeat(n as usize % 200));
    image(&path, |writer| {
        for n in 0..3000 {
            writer.add_file(format!("d/{}", name(n)).as_bytes(), &meta(0o644), &b""[..]).unwrap();
        }
    });
    let out = scratch.0.join("out");
    if extract(&path, &out).is_none() {
        return;
    }
    assert_eq!(fs::read_dir(out.join("d")).unwrap().count(), 3000);
    assert!((0..3000).all(|n| out.join("d").join(name(n)).exists()));
}
