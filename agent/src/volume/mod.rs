//! Volumes of pods: made before the first container, kept until the last has ended.
//!
//! | question | module |
//! |---|---|
//! | what lies in those that the API server fills | [`payload`] |
//! | how their files change | [`writer`] |
//! | how each kind is made | [`make`]; images: [`image`]; NFS: [`nfs`] |
//! | what of them a container sees | [`mounts`] |
//! | what a file in one says | [`mod@file`] |
//! | where they are | [`place`] |

pub mod file;
pub mod group;
pub mod image;
pub mod make;
pub mod mounts;
pub mod nfs;
pub mod payload;
pub mod place;
pub mod writer;

use nix::fcntl::OFlag;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Finds the folder that a volume is. Whatever else lies there is not waited for.
fn root(folder: &Path) -> io::Result<File> {
    let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
    File::options().read(true).custom_flags(flags).open(folder)
}
