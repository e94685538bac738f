//! Files sealed by fs-verity: read-only for ever, and each page checked when it is read
//! (the kernel's Documentation/filesystems/fsverity.rst).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOW('f', 133, struct fsverity_enable_arg)`
const FS_IOC_ENABLE_VERITY: libc::Ioctl = 0x4080_6685;
/// `_IOWR('f', 134, struct fsverity_digest)`
const FS_IOC_MEASURE_VERITY: libc::Ioctl = 0xc004_6686_u32 as libc::Ioctl;
const FS_VERITY_HASH_ALG_SHA256: u32 = 1;

/// `struct fsverity_enable_arg` (linux/fsverity.h).
#[repr(C)]
struct EnableArgument {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt: u64,
    sig_size: u32,
    reserved1: u32,
    sig: u64,
    reserved2: [u64; 11],
}

/// `struct fsverity_digest` with room for the longest digest (linux/fsverity.h).
#[repr(C)]
struct Measured {
    digest_algorithm: u16,
    digest_size: u16,
    digest: [u8; 64],
}

/// Seals a file, opened to read, that nobody has opened to write: SHA-256, blocks of
/// 4096 bytes, no salt (`FS_IOC_ENABLE_VERITY`).
///
/// # Errors
/// `EOPNOTSUPP` or `ENOTTY` where kernel or file system cannot; `ETXTBSY` with a writer; `EEXIST` when
/// it is sealed already.
pub fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    let argument = EnableArgument {
        version: 1,
        hash_algorithm: FS_VERITY_HASH_ALG_SHA256,
        block_size: 4096,
        salt_size: 0,
        salt: 0,
        sig_size: 0,
        reserved1: 0,
        sig: 0,
        reserved2: [0; 11],
    };
    // SAFETY: the kernel reads one fsverity_enable_arg through the pointer, whose own pointers are
    // null with sizes of zero, and keeps it not.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_ENABLE_VERITY, &raw const argument) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The digest that a file is sealed with (`FS_IOC_MEASURE_VERITY`).
///
/// # Errors
/// `ENODATA` when it is not sealed; `EOPNOTSUPP` or `ENOTTY` where kernel or file system cannot.
pub fn measure(file: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut measured = Measured { digest_algorithm: 0, digest_size: 64, digest: [0; 64] };
    // SAFETY: the kernel writes a header and at most `digest_size` bytes behind it, which is the length of `digest`.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_MEASURE_VERITY, &raw mut measured) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(measured.digest[..usize::from(measured.digest_size).min(64)].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<EnableArgument>(), 128);
        assert_eq!(std::mem::offset_of!(EnableArgument, sig), 32);
        assert_eq!(std::mem::offset_of!(Measured, digest), 4);
    }

    #[test]
    fn what_cannot_be_sealed_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        seal(file.as_fd()).unwrap_err();
        measure(file.as_fd()).unwrap_err();
    }
}
