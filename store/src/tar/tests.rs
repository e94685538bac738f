//! Archives of every dialect, right and wrong.

use super::build::Archive;
use super::*;
use std::io::Read;

/// Every entry with its content.
fn entries(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let mut reader = Reader::new(archive);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).map_err(Error::Read)?;
        entries.push((entry, content));
    }
    Ok(entries)
}

fn one(archive: Archive) -> (Entry, Vec<u8>) {
    let mut entries = entries(&archive.end()).unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

fn refusal(archive: Archive) -> String {
    entries(&archive.end()).unwrap_err().to_string()
}

#[test]
fn plain_entries_are_read_and_garbage_behind_the_end_is_not() {
    let mut archive = Archive::new().dir("d").file("d/f", b"hello").symlink("l", "d/f").end();
    archive.extend(b"garbage");
    let entries = entries(&archive).unwrap();
    let kinds: Vec<_> = entries.iter().map(|(entry, _)| entry.kind.clone()).collect();
    assert_eq!(kinds, [Kind::Directory, Kind::File, Kind::Symlink]);
    assert_eq!(entries[1].1, b"hello");
    assert_eq!((entries[2].0.link.as_slice(), entries[0].0.mode), (&b"d/f"[..], 0o755));
}

#[test]
fn an_archive_may_end_without_its_blocks_of_zeros() {
    assert_eq!(entries(&Archive::new().file("f", b"x").0).unwrap().len(), 1);
    let mut lone = Archive::new().file("f", b"x").data(&[0; 512]);
    lone = lone.file("g", b"y");
    assert!(refusal(lone).contains("lone block of zeros"));
}

#[test]
fn an_archive_may_end_without_its_last_padding() {
    let whole = Archive::new().file("first", &[1; 700]).file("second", &[2; 10]).0;
    let found = entries(&whole[..whole.len() - 502]).unwrap();
    assert_eq!(found[1].1, [2; 10]);
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let whole = Archive::new().file("first", &[1; 700]).file("second", &[2; 10]).0;
    // But for between entries and in the padding.
    let ends = [512 + 700..=512 + 1024, whole.len() - 502..=whole.len()];
    for cut in (1..whole.len()).filter(|cut| !ends.iter().any(|end| end.contains(cut))) {
        assert!(entries(&whole[..cut]).is_err(), "{cut}");
    }
    let error = entries(&whole[..800]).unwrap_err().to_string();
    assert!(error.contains("cut within"), "{error}");
}

#[test]
fn pax_records_override_the_header() {
    let long = "n/".repeat(300);
    let (entry, content) = one(Archive::new()
        .pax(&[
            ("path", long.as_bytes()),
            ("size", b"5"),
            ("uid", b"3000000"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.user.a", b"with\nnewline="),
            ("comment", b"nothing"),
        ])
        .header("short", b'0', "", 0)
        .data(b"hello"));
    assert_eq!((entry.path, content), (long.into_bytes(), b"hello".to_vec()));
    assert_eq!((entry.uid, entry.mtime), (3_000_000, Time { seconds: -2, nanoseconds: 500_000_000 }));
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"with\nnewline=".to_vec())]);
}

#[test]
fn gnu_long_names_and_binary_numbers_are_read() {
    let long = "x".repeat(600);
    let (entry, _) = one(Archive::new()
        .header("././@LongLink", b'L', "", 601)
        .data(format!("{long}\0").as_bytes())
        .header("././@LongLink", b'K', "", 600)
        .data(long.as_bytes())
        .symlink("cut", "cut")
        .patch(108, &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe])
        .patch(136, &[0xff; 12]));
    assert_eq!((entry.path.len(), entry.link.len()), (600, 600));
    assert_eq!((entry.uid, entry.mtime.seconds), (0xffff_fffe, -1));
}

#[test]
fn ustar_prefixes_and_names_that_are_not_utf_8_are_read() {
    let archive = Archive::new().file("name", b"").patch(345, b"a/prefix").patch(0, b"\xff");
    assert_eq!(one(archive).0.path, b"a/prefix/\xffame");
}

#[test]
fn sparse_files_of_all_four_forms_read_alike() {
    let expected = [&[0; 1000][..], b"abc", &[0; 500], b"de", &[0; 95]].concat();
    let old = Archive::new()
        .header("s", b'S', "", 5)
        .patch(257, b"ustar  \0")
        .patch(345, &[0; 155])
        .patch(386, b"00000001750\x0000000000003\x0000000002737\x0000000000002\0")
        .patch(483, b"00000003100\0")
        .data(b"abcde");
    let numbers = [("offset", "1000"), ("numbytes", "3"), ("offset", "1503"), ("numbytes", "2")];
    let keys: Vec<_> = numbers.iter().map(|(key, _)| format!("GNU.sparse.{key}")).collect();
    let mut records: Vec<(&str, &[u8])> = vec![("GNU.sparse.size", b"1600")];
    records.extend(keys.iter().zip(&numbers).map(|(key, (_, value))| (key.as_str(), value.as_bytes())));
    let v00 = Archive::new().pax(&records).file("s", b"abcde");
    let map = ("GNU.sparse.map", &b"1000,3,1503,2"[..]);
    let v01 = Archive::new().pax(&[("GNU.sparse.size", b"1600"), map]).file("s", b"abcde");
    let mut data = b"2\n1000\n3\n1503\n2\n".to_vec();
    data.resize(512, 0);
    data.extend(b"abcde");
    let version =
        [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1600")];
    let v10 = Archive::new().pax(&[&version[..], &[("GNU.sparse.name", b"s")]].concat()).file("x", &data);
    for (form, archive) in [("old", old), ("0.0", v00), ("0.1", v01), ("1.0", v10)] {
        let mut entries = entries(&archive.file("after", b"next").end()).unwrap();
        let (entry, content) = entries.remove(0);
        assert_eq!((entry.path.as_slice(), entry.size), (&b"s"[..], 1600), "{form}");
        assert_eq!(content, expected, "{form}");
        assert_eq!(entries[0].1, b"next", "{form}");
    }
}

#[test]
fn a_sparse_map_that_lies_is_refused() {
    for map in ["1000,3,900,2", "1599,5", "0,4", "0,5,3", "18446744073709551615,5", "0,x"] {
        let records = [("GNU.sparse.size", &b"1600"[..]), ("GNU.sparse.map", map.as_bytes())];
        assert!(refusal(Archive::new().pax(&records).file("s", b"abcde")).contains("sparse"), "{map}");
    }
}

#[test]
fn what_is_wrong_or_unsupported_is_named() {
    assert!(refusal(Archive::new().header("m", b'M', "", 0)).contains("type 'M'"));
    let wrong_sum = Archive::new().file("a", b"").file("b", b"").patch(0, b"b");
    let mut bytes = wrong_sum.0;
    let last = bytes.len() - 512;
    bytes[last] ^= 1;
    assert!(refusal(Archive(bytes)).contains("checksum"));
    assert!(refusal(Archive::new().file("a", b"").patch(124, b"9")).contains("size is not a number"));
    assert!(refusal(Archive::new().file("a", b"").patch(124, &[0xff; 12])).contains("out of range"));
    let huge = Archive::new().header("h", b'x', "", 2 << 20);
    assert!(refusal(huge).contains("more than 1 MiB"));
    let global = Archive::new().pax(&[("path", b"x")]);
    let mut bytes = global.0;
    bytes.drain(..512);
    let global = Archive::new().header("g", b'g', "", 9).data(&bytes[..9]).file("a", b"");
    assert!(refusal(global).contains("global PAX header with path"));
}

#[test]
fn noise_never_panics() {
    let archive = Archive::new().pax(&[("size", b"3"), ("mtime", b"1.5")]).file("a", b"abc").end();
    let mut state = 1_u32;
    for _ in 0..4_000 {
        let mut noisy = archive.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % noisy.len();
            noisy[at] = state as u8;
        }
        let mut reader = Reader::new(&noisy[..]);
        while let Ok(Some(_)) = reader.next_entry() {}
    }
}
