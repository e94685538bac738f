//! What the kernel tells of files that are not what their seal says: somebody read a damaged
//! page of a layer, and got an I/O error in place of it (the kernel's fs-verity).

use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Longest record of the kernel log (`PRINTKRB_RECORD_MAX` and its head).
const RECORD: usize = 8192;

/// The kernel log from here on.
pub struct KernelLog(File);

impl KernelLog {
    /// Begins at its end: what was said before was looked at, or lies before the last check of the store.
    pub fn open() -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// The inode numbers of the files that it has named since.
    pub fn damaged(&mut self) -> Vec<u64> {
        let (mut inodes, mut record) = (Vec::new(), [0; RECORD]);
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return inodes,
                Ok(length) => inodes.extend(inode(&String::from_utf8_lossy(&record[..length]))),
                // Records were overwritten before they were read; those that are left follow.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return inodes,
            }
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The inode of `fs-verity (vda, inode 12): FILE CORRUPTED! pos=…`, as fs/verity/verify.c says it.
/// Only the kernel's own records count: a program may write into its log, too.
fn inode(record: &str) -> Option<u64> {
    let (head, words) = record.split_once(';')?;
    // Facility and level: those of the kernel are below 8.
    let level: u32 = head.split(',').next()?.parse().ok()?;
    let (inode, what) = words.strip_prefix("fs-verity (")?.split_once(", inode ")?.1.split_once("): ")?;
    (level < 8 && what.starts_with("FILE CORRUPTED")).then(|| inode.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_word_of_a_damaged_file_is_understood() {
        let said = "3,812,5302211,-;fs-verity (vdc, inode 21): FILE CORRUPTED! pos=81920, level=-1, \
                    want_hash=sha256:00, real_hash=sha256:11\n";
        assert_eq!(inode(said), Some(21));
        for other in [
            "6,1,2,-;fs-verity (vdc, inode 21): using sha256-ni",
            "11,812,5302211,-;fs-verity (vdc, inode 21): FILE CORRUPTED! pos=0",
            "3,1,2,-;EXT4-fs (vdc): mounted",
            "fs-verity (vdc, inode 21): FILE CORRUPTED!",
            "",
        ] {
            assert_eq!(inode(other), None, "{other}");
        }
    }
}
