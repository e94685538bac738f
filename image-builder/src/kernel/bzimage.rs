//! What a kernel image says of itself, when it is a bzImage (the kernel's
//! `Documentation/arch/x86/boot.rst`).

use spec::timestamp;

/// The words of a bzImage that the builder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BzImage {
    /// The name of its module tree: `6.12.1-cloud-amd64`.
    pub release: String,
    /// When it was built, in seconds since 1970, where its version tells.
    pub time: Option<u64>,
    /// Memory that it takes while it unpacks itself, in bytes (`init_size`).
    pub init_size: u64,
}

/// Reads the boot header.
pub fn read(image: &[u8]) -> Option<BzImage> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let version_at = usize::from(u16::from_le_bytes(*image.get(0x20e..)?.first_chunk()?)) + 0x200;
    let version = image.get(version_at..)?.split(|&byte| byte == 0).next()?;
    let version = std::str::from_utf8(version).ok()?;
    Some(BzImage {
        release: version.split(' ').next()?.to_owned(),
        time: time(version),
        init_size: u32::from_le_bytes(*image.get(0x260..)?.first_chunk()?).into(),
    })
}

/// The time at the end of a kernel's version: Debian's `… 6.12.1-1 (2026-11-14)`, or
/// the kernel's own `… Sat Nov 14 12:56:01 UTC 2026`.
pub fn time(version: &str) -> Option<u64> {
    let words: Vec<&str> = version.split_ascii_whitespace().collect();
    let (last, before) = words.split_last()?;
    if let Some(date) = last.strip_prefix('(').and_then(|date| date.strip_suffix(')')) {
        let mut parts = date.split('-').map(|part| part.parse().ok());
        return seconds(parts.next()??, parts.next()??, parts.next()??, 0);
    }
    let [.., month, day, clock, _zone] = before else { return None };
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    seconds(
        last.parse().ok()?,
        timestamp::month(month)?,
        day.parse().ok()?,
        hour * 3600 + minute * 60 + second,
    )
}

/// Seconds from 1970 to a day and a time of that day.
fn seconds(year: u64, month: u64, day: u64, of_day: u64) -> Option<u64> {
    let day = timestamp::days(year, month, day).filter(|_| of_day < 86_400)?;
    Some(day * 86_400 + of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_version_tells_when_it_was_built() {
        for (version, expected) in [
            (
                "6.12.117+deb12-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1~deb12u1 (2026-11-14)",
                Some(1_794_614_400),
            ),
            ("6.12.9 (root@host) #1 SMP PREEMPT_DYNAMIC Thu Feb 29 23:59:59 UTC 2024", Some(1_709_251_199)),
            ("x #1 Thu Jan 1 00:00:00 UTC 1970", Some(0)),
            ("6.12.9 (root@host) #1 SMP", None),
            ("6.12.9 (2026-13-01)", None),
            ("", None),
        ] {
            assert_eq!(time(version), expected, "{version}");
        }
    }

    #[test]
    fn the_boot_header_is_read_and_noise_is_not() {
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x80_u16.to_le_bytes());
        image[0x260..0x264].copy_from_slice(&7_u32.to_le_bytes());
        image[0x280..0x28f].copy_from_slice(b"6.12.1-x #1 SMP");
        assert_eq!(read(&image), Some(BzImage { release: "6.12.1-x".into(), time: None, init_size: 7 }));
        assert_eq!(read(&image[..0x250]), None);
        assert_eq!(read(b"\x7fELF"), None);
    }
}
