//! System calls by name: `calls.txt` beside this file. It is searched as it is, by where its lines
//! start, which is known when this is compiled: a profile has some 400 names, and to make a table for
//! them, or to look for the lines, took more time than all else that is done for its filter.

use std::cmp::Ordering;

/// Set in every number of an x32 call.
pub const X32_BIT: u32 = 0x4000_0000;

const TABLE: &[u8] = include_bytes!("calls.txt");

/// Where each call's line starts.
static STARTS: [u16; LINES] = starts();
const LINES: usize = lines();

const fn lines() -> usize {
    let (mut at, mut lines) = (0, 0);
    while at < TABLE.len() {
        lines += (TABLE[at] != b'#') as usize;
        at = next_line(at);
    }
    lines
}

const fn starts() -> [u16; LINES] {
    assert!(TABLE.len() <= u16::MAX as usize, "the table is too long");
    let mut starts = [0; LINES];
    let (mut at, mut line) = (0, 0);
    while line < LINES {
        if TABLE[at] != b'#' {
            starts[line] = at as u16;
            line += 1;
        }
        at = next_line(at);
    }
    starts
}

const fn next_line(mut at: usize) -> usize {
    while TABLE[at] != b'\n' {
        at += 1;
    }
    at + 1
}

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
    if name.contains(&b' ') {
        return None;
    }
    let place = STARTS.binary_search_by(|start| order(&TABLE[usize::from(*start)..], name)).ok()?;
    let rest = &TABLE[usize::from(STARTS[place]) + name.len() + 1..];
    rest.split(|byte| *byte == b'\n').next()
}

/// Where the name that `line` begins with stands: a blank follows it, which comes before all
/// that names are made of.
fn order(line: &[u8], name: &[u8]) -> Ordering {
    let begin = &line[..name.len().min(line.len())];
    let longer = || if line.get(name.len()) == Some(&b' ') { Ordering::Equal } else { Ordering::Greater };
    begin.cmp(name).then_with(longer)
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
