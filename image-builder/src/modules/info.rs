//! What a module says of itself: its `.modinfo`, `KEY=VALUE` strings divided by NUL.

use super::normalized;
use crate::elf::Elf;

/// The lines of a module's `.modinfo` that loading it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Modules whose symbols it uses; they must be loaded first.
    pub depends: Vec<String>,
    /// Modules or aliases that it would like loaded before it.
    pub before: Vec<String>,
    /// The same for after it.
    pub after: Vec<String>,
    /// Patterns of the hardware, file systems and devices that it serves, as they stand.
    pub aliases: Vec<String>,
    /// The kernel that it was built for: the first word of `vermagic`.
    pub release: String,
}

impl Info {
    /// Reads a module, uncompressed.
    ///
    /// # Errors
    /// What is not an ELF file for x86_64 with a `.modinfo`.
    pub fn of(module: &[u8]) -> Result<Self, &'static str> {
        let section = Elf::new(module)?.section(".modinfo").ok_or("a module without .modinfo")?;
        let mut info = Self::default();
        for line in section.split(|&byte| byte == 0) {
            let line = String::from_utf8_lossy(line);
            let Some((key, value)) = line.split_once('=') else { continue };
            match key {
                "depends" => {
                    info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(normalized))
                }
                "softdep" => info.soft(value),
                "alias" => info.aliases.push(value.to_owned()),
                "vermagic" => info.release = value.split(' ').next().unwrap_or_default().to_owned(),
                _ => {}
            }
        }
        Ok(info)
    }

    /// `pre: a b post: c`, as modprobe.d(5) writes it.
    fn soft(&mut self, value: &str) {
        let mut list = &mut self.before;
        for word in value.split_ascii_whitespace() {
            match word {
                "pre:" => list = &mut self.before,
                "post:" => list = &mut self.after,
                name => list.push(name.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_aliases_and_release_are_read() {
        let modinfo = b"license=GPL\0\0\0alias=virtio:d00000001v*\0alias=x\0depends=net-failover,crc\0\
            softdep=pre: crc32c a-b post: z\0vermagic=6.12.1 SMP preempt \0";
        let info = Info::of(&crate::elf::example(".modinfo", modinfo, false)).unwrap();
        assert_eq!(info.depends, ["net_failover", "crc"]);
        assert_eq!(
            (info.before.as_slice(), info.after.as_slice()),
            (&["crc32c".into(), "a-b".into()][..], &["z".into()][..])
        );
        assert_eq!(info.aliases, ["virtio:d00000001v*", "x"]);
        assert_eq!(info.release, "6.12.1");
    }

    #[test]
    fn an_empty_depends_is_no_dependency() {
        let info = Info::of(&crate::elf::example(".modinfo", b"depends=\0", false)).unwrap();
        assert_eq!(info, Info::default());
        assert!(Info::of(&crate::elf::example(".text", b"", false)).is_err());
    }
}
