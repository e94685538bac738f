//! Layers as a reader that shares nothing with the writer sees them.

use super::*;
use crate::erofs::check;
use crate::tar::build::Archive;
use std::io::Cursor;

fn converted(archive: Archive) -> Result<(Vec<u8>, Report), Error> {
    let (image, report) = convert(&archive.end()[..], Cursor::new(Vec::new()), [0; 16], &Limits::default())?;
    Ok((image.into_inner(), report))
}

/// The paths of a layer's image, each with what it is; see [`check::list`].
fn listing(archive: Archive) -> Vec<String> {
    check::list(&converted(archive).unwrap().0)
}

fn refusal(archive: Archive) -> String {
    converted(archive).unwrap_err().to_string()
}

#[test]
fn whiteouts_hide_lower_layers_wherever_they_stand() {
    let before = Archive::new().file("d/.wh.gone", b"").file("d/.wh.kept", b"").file("d/kept", b"x");
    let after = Archive::new().file("d/kept", b"x").file("d/.wh.kept", b"").file("d/.wh.gone", b"");
    for archive in [before, after] {
        assert_eq!(listing(archive), ["/ dir", "/d dir", "/d/gone char 0:0", "/d/kept file x"]);
    }
}

#[test]
fn a_whiteout_beside_a_directory_makes_it_opaque() {
    let archive = Archive::new().file(".wh.d", b"").dir("d").file("d/f", b"x");
    assert_eq!(listing(archive), ["/ dir", "/d dir trusted.overlay.opaque=y", "/d/f file x"]);
}

#[test]
fn below_an_opaque_folder_nothing_is_hidden_once_more() {
    let marked =
        Archive::new().dir("d").file("d/.wh..wh..opq", b"").file("d/.wh.a", b"").file("d/e/.wh.b", b"");
    let marked = marked.file("d/e/f", b"x");
    let expected = ["/ dir", "/d dir trusted.overlay.opaque=y", "/d/e dir ", "/d/e/f file x"];
    assert_eq!(
        listing(marked).iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
        expected.map(str::trim_end)
    );
    let itself = Archive::new().dir("d").file(".wh.d", b"").file("d/.wh.a", b"");
    assert_eq!(listing(itself), ["/ dir", "/d dir trusted.overlay.opaque=y"]);
}

#[test]
fn an_opaque_marker_may_come_before_and_after_its_folder() {
    let before = Archive::new().file("d/.wh..wh..opq", b"").dir("d").file("d/f", b"");
    let after = Archive::new().dir("d").file("d/f", b"").file("d/.wh..wh..opq", b"");
    for archive in [before, after] {
        assert_eq!(listing(archive), ["/ dir", "/d dir trusted.overlay.opaque=y", "/d/f file "]);
    }
}

#[test]
fn a_file_in_place_of_a_folder_needs_no_whiteouts_below() {
    let beside = Archive::new().file("a/.wh.b", b"").file("a", b"x");
    let opaque = Archive::new().file("a/.wh..wh..opq", b"").file("a", b"x");
    let deep = Archive::new().file("a/b/.wh..wh..opq", b"").file("a/b/.wh.c", b"").file("a", b"x");
    for archive in [beside, opaque, deep] {
        assert_eq!(listing(archive), ["/ dir", "/a file x"]);
    }
    // The other way round the folder has the file's place.
    let after = Archive::new().file("a", b"x").file("a/.wh.b", b"");
    assert_eq!(listing(after), ["/ dir", "/a dir", "/a/b char 0:0"]);
    let twice = Archive::new().file(".wh.a", b"").file("a/.wh.b", b"");
    assert_eq!(listing(twice), ["/ dir", "/a char 0:0"]);
}

#[test]
fn what_aufs_left_behind_vanishes_but_its_hard_links_stay() {
    let archive = Archive::new()
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", b"x")
        .hard_link("a", ".wh..wh.plnk/1.2")
        .file(".wh..wh.aufs", b"");
    assert_eq!(listing(archive), ["/ dir", "/a file x"]);
}

#[test]
fn the_last_of_two_entries_wins() {
    let archive = Archive::new()
        .file("a", b"old")
        .file("a", b"new")
        .dir("d")
        .file("d/f", b"")
        .file("d", b"now a file")
        .file("e", b"")
        .file("e/f", b"now in a folder")
        .symlink("l", "a")
        .dir("l")
        .file("l/x", b"");
    let expected = [
        "/ dir",
        "/a file new",
        "/d file now a file",
        "/e dir",
        "/e/f file now in a folder",
        "/l dir",
        "/l/x file ",
    ];
    assert_eq!(listing(archive), expected);
}

#[test]
fn folders_that_are_links_are_followed_within_the_layer() {
    let archive = Archive::new()
        .symlink("lib", "usr/lib")
        .file("lib/x", b"1")
        .symlink("up", "../../../../etc")
        .file("up/passwd", b"2");
    let expected = [
        "/ dir",
        "/etc dir",
        "/etc/passwd file 2",
        "/lib link usr/lib",
        "/up link ../../../../etc",
        "/usr dir",
        "/usr/lib dir",
        "/usr/lib/x file 1",
    ];
    assert_eq!(listing(archive), expected);
    assert!(refusal(Archive::new().symlink("l", "l").file("l/x", b"")).contains("too many symbolic links"));
}

#[test]
fn hard_links_lead_to_earlier_and_later_entries() {
    let archive = Archive::new()
        .hard_link("z", "y")
        .hard_link("a", "z")
        .file("y", b"x")
        .hard_link("b", "/y")
        .hard_link("gone", "y")
        .file("gone", b"own");
    let expected = ["/ dir", "/a file x", "/b file x", "/gone file own", "/y file x", "/z file x"];
    assert_eq!(listing(archive), expected);
}

#[test]
fn hard_links_to_nothing_or_to_themselves_are_refused_by_name() {
    let error = refusal(Archive::new().hard_link("usr/bin/a", "usr/bin/b"));
    assert_eq!(error, "entry \"usr/bin/a\": hard link to \"usr/bin/b\", which the layer does not hold");
    assert!(refusal(Archive::new().hard_link("a", "a")).contains("does not hold"));
    assert!(refusal(Archive::new().hard_link("a", "b").hard_link("b", "a")).contains("does not hold"));
    assert!(refusal(Archive::new().dir("d").hard_link("a", "d")).contains("directory"));
}

#[test]
fn paths_are_confined_or_refused() {
    let archive = Archive::new().file("/etc/x", b"").file("./a/../b", b"").dir("./");
    assert_eq!(listing(archive), ["/ dir", "/b file ", "/etc dir", "/etc/x file "]);
    for path in ["../x", "a/../../x", "/../etc/passwd"] {
        assert_eq!(
            refusal(Archive::new().file(path, b"")),
            format!("entry \"{path}\": the path climbs out of the layer")
        );
        assert!(refusal(Archive::new().hard_link("a", path)).contains("climbs out"), "{path}");
    }
    assert!(refusal(Archive::new().file(".wh...", b"")).contains("a whiteout of no name"));
    assert!(refusal(Archive::new().file(".wh.", b"")).contains("a whiteout of no name"));
}

#[test]
fn attributes_that_would_steer_the_node_are_left_out_and_noted() {
    let records = [
        ("SCHILY.xattr.trusted.overlay.redirect", &b"/"[..]),
        ("SCHILY.xattr.com.apple.x", b"1"),
        ("SCHILY.xattr.security.capability", b"cap"),
        ("SCHILY.xattr.user.x", b"1"),
    ];
    let (image, report) = converted(Archive::new().pax(&records).file("f", b"")).unwrap();
    assert_eq!(check::list(&image), ["/ dir", "/f file  security.capability=cap user.x=1"]);
    assert_eq!(report.notes.len(), 2);
    assert!(report.notes[0].contains("com.apple.x"), "{:?}", report.notes);
}

#[test]
fn what_is_beyond_a_limit_is_refused() {
    let limits = Limits { bytes: 100, entries: 3, names: 50 };
    let refusal = |archive: Archive| {
        convert(&archive.end()[..], Cursor::new(Vec::new()), [0; 16], &limits).unwrap_err().to_string()
    };
    assert_eq!(refusal(Archive::new().file("f", &[0; 101])), "more than 100 bytes of files");
    assert_eq!(refusal(Archive::new().dir("a").dir("b").dir("c").dir("d")), "more than 3 entries");
    assert!(refusal(Archive::new().dir(&"x".repeat(60))).contains("bytes of names"));
    assert_eq!(refusal(Archive::new().file("a/b/c/d", b"")), "erofs image: more than 4 inodes");
    assert_eq!(refusal(Archive::new().file("a/b/c/.wh.d", b"")), "erofs image: more than 4 inodes");
    let sparse = [("GNU.sparse.size", &b"9000000000000000"[..]), ("GNU.sparse.map", b"0,0")];
    assert_eq!(refusal(Archive::new().pax(&sparse).file("bomb", b"")), "more than 100 bytes of files");
}

#[test]
fn a_path_is_no_longer_than_linux_could_name_and_is_told_in_short() {
    let path = "d/".repeat(500_000);
    let error = refusal(Archive::new().pax(&[("path", path.as_bytes())]).file("x", b""));
    assert_eq!(error, format!("entry \"{}d…\": 1000000 bytes long, more than 4095", "d/".repeat(127)));
    let error = refusal(Archive::new().pax(&[("linkpath", path.as_bytes())]).hard_link("x", ""));
    assert!(error.ends_with("d…\", 1000000 bytes long, more than 4095"), "{error}");
    let error = refusal(Archive::new().pax(&[("path", &[b'n'; 300])]).file("x", b""));
    assert!(error.ends_with("a name of 300 bytes, more than 255"), "{error}");
    // Each link leads deeper into the folder that the one before led to.
    let deep = |name: &str| "d/".repeat(1500) + name;
    let archive = Archive::new()
        .pax(&[("linkpath", deep("b").as_bytes())])
        .symlink("a", "")
        .pax(&[("path", deep("b").as_bytes()), ("linkpath", deep("c").as_bytes())])
        .symlink("", "")
        .file("a/f", b"");
    assert!(refusal(archive).contains("more than 4095 bytes with the symbolic links on the way"));
}

/// An archive and then the same byte for ever.
struct Endless(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Ok(buffer.len()),
            count => Ok(count),
        }
    }
}

#[test]
fn what_follows_an_archive_has_an_end() {
    let limits = Limits { bytes: 1 << 20, entries: 100, names: 1 << 10 };
    let archive = Endless(Cursor::new(Archive::new().file("f", b"x").end()));
    let error = convert(archive, Cursor::new(Vec::new()), [0; 16], &limits).unwrap_err();
    assert_eq!(error.to_string(), format!("more than {} bytes of archive", (1 << 20) + 100 * 1024));
}

#[test]
fn the_same_archive_gives_the_same_image() {
    let archive = || Archive::new().dir("d").file("d/b", b"1").file("d/a", b"2").file(".wh.x", b"");
    assert_eq!(converted(archive()).unwrap().0, converted(archive()).unwrap().0);
}

/// An archive of a million small files that is never in memory.
struct Million {
    next: u32,
    block: Vec<u8>,
}

impl std::io::Read for Million {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.block.is_empty() && self.next < 1_000_000 {
            let name = format!("d{}/file-{}", self.next / 1000, self.next);
            self.block = Archive::new().header(&name, b'0', "", 0).0;
            self.next += 1;
        }
        let count = self.block.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.block[..count]);
        self.block.drain(..count);
        Ok(count)
    }
}

/// Peak of this process's memory in bytes (proc(5), `VmHWM`).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
#[ignore = "takes half a minute without optimisation: cargo test --release -p store -- --ignored million"]
fn a_million_entries_fit_into_400_mib() {
    let before = peak_memory();
    let archive = Million { next: 0, block: Vec::new() };
    let path = std::env::temp_dir().join(format!("skerry-million-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    let report = convert(archive, file, [0; 16], &Limits::default()).unwrap().1;
    std::fs::remove_file(&path).unwrap();
    let grown = peak_memory() - before;
    eprintln!("{} MiB for {} inodes in {} blocks", grown >> 20, report.image.inodes, report.image.blocks);
    assert_eq!(report.image.inodes, 1_001_001);
    assert!(grown < 400 << 20, "{grown} bytes");
}
