//! The runtime's own program is never run by a container: `/proc/self/exe`, as
//! program or as a script's interpreter, would be the host's file (CVE-2019-5736).

use crate::image_file;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, whatever path leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// As many interpreters of interpreters as the kernel follows.
const DEEPEST: usize = 6;
/// As much of a script's first line as the kernel reads.
const LINE: usize = 256;

impl Identity {
    /// Of the running program, if `/proc` is there to say.
    pub fn of_this_program() -> Option<Self> {
        Self::of(Path::new("/proc/self/exe"))
    }

    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Identity {
    fn from(about: &Metadata) -> Self {
        Self { device: about.dev(), inode: about.ino() }
    }
}

/// Whether the file is the runtime, by whatever name.
pub fn is(own: Identity, path: &Path) -> bool {
    Identity::of(path) == Some(own)
}

/// Whether running the file would run the runtime.
pub fn runs(own: Identity, path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..DEEPEST {
        // One that its user may run and not read has no interpreter that the kernel could read either.
        let Ok((file, about)) = image_file::open(&path) else { return is(own, &path) };
        if Identity::from(&about) == own {
            return true;
        }
        match interpreter(file) {
            Some(next) => path = next,
            None => return false,
        }
    }
    // The kernel would refuse it for its depth.
    false
}

fn interpreter(mut file: File) -> Option<PathBuf> {
    let mut line = [0; LINE];
    let length = file.read(&mut line).ok()?;
    let rest = line[..length].strip_prefix(b"#!")?;
    let rest = rest.split(|&byte| byte == b'\n').next()?;
    let name = rest.split(|&byte| byte == b' ' || byte == b'\t').find(|name| !name.is_empty())?;
    // The kernel's name of it ends here, too.
    let name = name.split(|&byte| byte == 0).next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_itself_and_scripts_for_it_are_seen() {
        let own = Identity::of_this_program().unwrap();
        let exe = std::env::current_exe().unwrap();
        let script = std::env::temp_dir().join(format!("guard-{}", std::process::id()));
        fs::write(&script, format!("#!\t{} -x\n", exe.display())).unwrap();
        assert!(runs(own, &exe) && runs(own, &script));
        fs::write(&script, format!("#!{}\0x\n", exe.display())).unwrap();
        assert!(runs(own, &script) && !is(own, &script));
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(!runs(own, &script) && !runs(own, Path::new("/no/such")));
        fs::remove_file(script).unwrap();
    }
}
