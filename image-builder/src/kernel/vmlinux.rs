//! What an uncompressed kernel, an ELF file, says of itself.

use super::bzimage;
use crate::elf::Elf;

/// The words of a vmlinux that the builder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmlinux {
    /// The name of its module tree: `6.12.1-skerry`.
    pub release: String,
    /// When it was built, in seconds since 1970, where its version tells.
    pub time: Option<u64>,
    /// Where in memory it ends, in bytes: what it needs at least.
    pub end: u64,
}

/// Reads the headers, and the line that the kernel prints first, `Linux version …`.
pub fn read(image: &[u8]) -> Option<Vmlinux> {
    let end = Elf::new(image).ok()?.memory_end()?;
    let version = banner(image)?;
    let release = version.split(' ').next()?.to_owned();
    Some(Vmlinux { release, time: bzimage::time(version), end })
}

/// What follows `Linux version `. The same words lie in the kernel as a part of other texts,
/// where no number follows.
fn banner(image: &[u8]) -> Option<&str> {
    const BEGIN: &[u8] = b"Linux version ";
    // A kernel has megabytes of bytes that are no `L`; each is looked at once.
    let mut starts = image.iter().enumerate().filter(|(_, byte)| **byte == BEGIN[0]);
    let version = starts.find_map(|(at, _)| {
        let rest = image[at..].strip_prefix(BEGIN)?;
        rest.first().filter(|byte| byte.is_ascii_digit())?;
        rest.split(|&byte| byte == b'\n' || byte == 0).next()
    })?;
    std::str::from_utf8(version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::example;

    #[test]
    fn a_kernel_tells_its_release_its_time_and_its_end() {
        let words = b"Linux version %s\nLinux version 6.12.1-skerry (a@b) (gcc 12) #1 SMP \
            Sat Nov 14 12:56:01 UTC 2026\n\0";
        let read = read(&example(".rodata", words, false)).unwrap();
        let expected = Vmlinux { release: "6.12.1-skerry".into(), time: Some(1_794_660_961), end: 5 << 20 };
        assert_eq!(read, expected);
    }

    #[test]
    fn another_elf_file_and_a_bzimage_tell_nothing() {
        assert_eq!(read(&example(".rodata", b"Linux version %s\n", false)), None);
        assert_eq!(read(b"MZ Linux version 6.12.1 "), None);
    }
}
