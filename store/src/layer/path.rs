//! Paths of an archive brought into paths of the image.

use crate::erofs::Kind;

/// How many symbolic links one path may pass (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// Longest path, and longest target of a link (`PATH_MAX` without its zero byte).
const PATH_MAX: usize = 4095;

/// Longest name in a path (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Refuses a path that Linux could not name: its work and its memory are bounded so.
pub(super) fn check(path: &[u8]) -> Result<(), String> {
    if path.len() > PATH_MAX {
        return Err(format!("{} bytes long, more than {PATH_MAX}", path.len()));
    }
    match names_of(path).map(<[u8]>::len).find(|&length| length > NAME_MAX) {
        Some(length) => Err(format!("a name of {length} bytes, more than {NAME_MAX}")),
        None => Ok(()),
    }
}

/// Takes `.`, `..` and empty names out of a path by its text alone, as Docker
/// does. None: it climbs out.
pub(super) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    for name in names_of(path) {
        match name {
            b".." => {
                names.pop()?;
            }
            _ => names.push(name),
        }
    }
    Some(names.join(&b'/'))
}

fn names_of(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// Folder and last name of a clean path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Joins a folder of the image and a name.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// Follows the symbolic links on the way to and at `folder`, a clean path; the
/// image's root is `/` for absolute ones and above every `..`. `child` tells what the image
/// has in a folder by a name.
pub(super) fn resolve<'t, P: Copy>(
    folder: &'t [u8],
    root: P,
    child: impl Fn(P, &[u8]) -> Option<(P, Kind<'t>)>,
) -> Result<Vec<u8>, String> {
    let mut rest: Vec<&[u8]> = names_of(folder).rev().collect();
    // Each name with its place, where the image has something there.
    let mut way: Vec<(&[u8], Option<P>)> = Vec::new();
    let (mut links, mut length) = (0, folder.len());
    while let Some(name) = rest.pop() {
        if name == b".." {
            way.pop();
            continue;
        }
        let here = way.last().map_or(Some(root), |(_, place)| *place);
        let found = here.and_then(|place| child(place, name));
        let Some((_, Kind::Symlink(target))) = found else {
            way.push((name, found.map(|(place, _)| place)));
            continue;
        };
        (links, length) = (links + 1, length + target.len());
        if links > LINKS_MAX {
            return Err("too many symbolic links".into());
        }
        if length > PATH_MAX {
            return Err(format!("more than {PATH_MAX} bytes with the symbolic links on the way"));
        }
        if target.starts_with(b"/") {
            way.clear();
        }
        rest.extend(names_of(target).rev());
    }
    let names: Vec<_> = way.into_iter().map(|(name, _)| name).collect();
    Ok(names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_confined_or_refused() {
        for (path, clean_path) in
            [("/etc//x", "etc/x"), ("./a/./b/", "a/b"), ("a/../b", "b"), ("", ""), ("./", ""), ("a/..", "")]
        {
            assert_eq!(clean(path.as_bytes()).unwrap(), clean_path.as_bytes(), "{path}");
        }
        for path in ["..", "../x", "a/../../x", "/../etc/passwd"] {
            assert_eq!(clean(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn links_are_followed_within_the_root() {
        // A place is the path to it.
        let child = |folder: &'static str, name: &[u8]| match (folder, name) {
            ("", b"usr") => Some(("usr", Kind::Directory)),
            ("", b"lib") => Some(("lib", Kind::Symlink(b"usr/lib"))),
            ("usr", b"abs") => Some(("usr/abs", Kind::Symlink(b"/usr"))),
            ("", b"out") => Some(("out", Kind::Symlink(b"../../../etc"))),
            ("", b"loop") => Some(("loop", Kind::Symlink(b"loop"))),
            ("", b"long") => Some(("long", Kind::Symlink(&[b'/'; 4092]))),
            _ => None,
        };
        let resolve = |folder: &'static [u8]| resolve(folder, "", child);
        assert_eq!(resolve(b"lib/x86").unwrap(), b"usr/lib/x86");
        assert_eq!(resolve(b"a/abs").unwrap(), b"a/abs");
        assert_eq!(resolve(b"usr/abs/bin").unwrap(), b"usr/bin");
        assert_eq!(resolve(b"out").unwrap(), b"etc");
        assert_eq!(resolve(b"loop").unwrap_err(), "too many symbolic links");
        assert!(resolve(b"long").unwrap_err().starts_with("more than 4095 bytes"));
    }

    #[test]
    fn what_linux_could_not_name_is_refused() {
        let (name, path) = ("n".repeat(255), "n/".repeat(2047) + "n");
        assert_eq!([&name, &path].map(|path| check(path.as_bytes())), [Ok(()), Ok(())]);
        assert_eq!(check((name + "n").as_bytes()).unwrap_err(), "a name of 256 bytes, more than 255");
        assert_eq!(check((path + "n").as_bytes()).unwrap_err(), "4096 bytes long, more than 4095");
    }
}
