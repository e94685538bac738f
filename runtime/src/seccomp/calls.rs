//! System calls by name: `calls.txt` beside this file. It is searched as it is. A profile has
//! some 400 names, and a table made for them took more time than all else that is done
//! for its filter.

use std::cmp::Ordering;

/// Set in every number of an x32 call.
pub const X32_BIT: u32 = 0x4000_0000;

const TABLE: &[u8] = include_bytes!("calls.txt");

/// A way to make system calls; what `seccomp_data.arch` and the number tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// The machine's own.
    X86_64,
    /// 64-bit registers and 32-bit pointers, with [`X32_BIT`].
    X32,
    /// 32-bit programs.
    I386,
}

/// The numbers of one call, where an ABI has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers([Option<u32>; 3]);

impl Numbers {
    /// Those of a name; none when no ABI has it.
    pub fn of(name: &str) -> Self {
        let Some(columns) = columns(name.as_bytes()) else { return Self::default() };
        let mut columns = columns.split(|byte| *byte == b' ').map(number);
        let mut next = || columns.next().flatten();
        let (native, x32, i386) = (next(), next(), next());
        Self([native, x32.map(|number| number | X32_BIT), i386])
    }

    /// With [`X32_BIT`] in those of x32.
    pub fn on(self, abi: Abi) -> Option<u32> {
        self.0[abi as usize]
    }
}

/// What stands behind a name.
fn columns(name: &[u8]) -> Option<&'static [u8]> {
    let mut rest = TABLE;
    while !rest.is_empty() {
        let (before, from) = rest.split_at(rest.len() / 2);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let end =
            from.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |length| before.len() + length);
        let line = &rest[start..end];
        let length = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        rest = match line[..length].cmp(name) {
            Ordering::Equal => return line.get(length + 1..),
            Ordering::Less => rest.get(end + 1..).unwrap_or_default(),
            Ordering::Greater => &rest[..start],
        };
    }
    None
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number * 10 + char::from(*digit).to_digit(10)?))
}

/// Every name there is.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("calls.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(name: &str) -> Option<u32> {
        Numbers::of(name).on(Abi::X86_64)
    }

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(["read", "clone3", "mseal"].map(native), [Some(0), Some(435), Some(462)]);
        let i386 = |name| Numbers::of(name).on(Abi::I386);
        assert_eq!(["read", "openat", "mmap2"].map(i386), [Some(3), Some(295), Some(192)]);
        let x32 = |name| Numbers::of(name).on(Abi::X32);
        assert_eq!(["read", "ioctl"].map(x32), [Some(X32_BIT), Some(X32_BIT | 514)]);
        assert_eq!((native("socketcall"), x32("socketcall")), (None, None));
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        assert_eq!(names().count(), 469);
        for name in names() {
            let numbers = Numbers::of(name);
            assert!(
                [Abi::X86_64, Abi::X32, Abi::I386].iter().any(|abi| numbers.on(*abi).is_some()),
                "{name}"
            );
        }
        for name in ["", " ", "#", "no_such_call", "zzz", "a", "read 0"] {
            assert_eq!(Numbers::of(name).0, [None; 3], "{name:?}");
        }
    }

    #[test]
    fn the_table_agrees_with_libc() {
        let known = [
            ("execve", libc::SYS_execve),
            ("rseq", libc::SYS_rseq),
            ("statx", libc::SYS_statx),
            ("pidfd_open", libc::SYS_pidfd_open),
            ("fchmodat2", libc::SYS_fchmodat2),
            ("sendmmsg", libc::SYS_sendmmsg),
        ];
        for (name, number) in known {
            assert_eq!(native(name).map(i64::from), Some(number), "{name}");
        }
    }
}
