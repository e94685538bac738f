//! A file in a volume, as its containers see it.

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use sys::regular::open_found;

/// Most bytes of one.
const LARGEST: u64 = 1 << 20;

/// What it says, if it is there. Containers may have put anything in its place.
///
/// # Errors
/// As openat2(2) and read(2) have them; it is no regular file, not UTF-8 or longer than 1 MiB.
pub fn read(folder: &Path, path: &Path) -> io::Result<Option<String>> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    let found = match openat2(super::root(folder)?, path, how).map(File::from).map_err(io::Error::from) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        found => found?,
    };
    let mut text = String::new();
    open_found(&found, File::options().read(true))?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_lies_in_the_volume_is_read() {
        let volume = std::env::temp_dir().join(format!("skerry-volume-file-{}", std::process::id()));
        fs::create_dir_all(volume.join("etc")).unwrap();
        fs::write(volume.join("etc/passwd"), "A='inside'").unwrap();
        fs::write(volume.join("large"), "x".repeat((1 << 20) + 1)).unwrap();
        symlink("/etc/passwd", volume.join("link")).unwrap();
        nix::unistd::mkfifo(&volume.join("pipe"), Mode::S_IRWXU).unwrap();
        let of = |path: &str| read(&volume, Path::new(path));
        assert_eq!(of("link").unwrap().as_deref(), Some("A='inside'"), "the volume is its root");
        assert_eq!((of("none").unwrap(), of("link/none").unwrap()), (None, None));
        assert!(of("pipe").unwrap_err().to_string().contains("regular file"));
        assert!(of("etc").unwrap_err().to_string().contains("regular file"));
        assert!(read(&volume.join("pipe"), Path::new("a")).is_err(), "nobody waits for its other end");
        assert_eq!(of("large").unwrap_err().kind(), ErrorKind::FileTooLarge);
        fs::remove_dir_all(&volume).unwrap();
    }
}
