//! Paths of an archive brought into paths of the image.

use crate::erofs::Kind;

/// How many symbolic links one path may pass (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

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

fn names_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
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
/// image's root is `/` for absolute ones and above every `..`. `get` tells what the image
/// has at a path. None: too many links.
pub(super) fn resolve<'t>(folder: &[u8], get: impl Fn(&[u8]) -> Option<Kind<'t>>) -> Option<Vec<u8>> {
    let mut rest: Vec<Vec<u8>> = names_of(folder).map(<[u8]>::to_vec).collect();
    rest.reverse();
    let (mut at, mut links) = (Vec::new(), 0);
    while let Some(name) = rest.pop() {
        if name == b".." {
            at = split(&at).0.to_vec();
            continue;
        }
        let next = join(&at, &name);
        let Some(Kind::Symlink(target)) = get(&next) else {
            at = next;
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return None;
        }
        if target.starts_with(b"/") {
            at.clear();
        }
        let names: Vec<_> = names_of(target).map(<[u8]>::to_vec).collect();
        rest.extend(names.into_iter().rev());
    }
    Some(at)
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
        let get = |path: &[u8]| match path {
            b"lib" => Some(Kind::Symlink(b"usr/lib")),
            b"abs" => Some(Kind::Symlink(b"/usr")),
            b"out" => Some(Kind::Symlink(b"../../../etc")),
            b"loop" => Some(Kind::Symlink(b"loop")),
            _ => None,
        };
        assert_eq!(resolve(b"lib/x86", get).unwrap(), b"usr/lib/x86");
        assert_eq!(resolve(b"a/abs", get).unwrap(), b"a/abs");
        assert_eq!(resolve(b"abs/bin", get).unwrap(), b"usr/bin");
        assert_eq!(resolve(b"out", get).unwrap(), b"etc");
        assert_eq!(resolve(b"loop", get), None);
    }
}
