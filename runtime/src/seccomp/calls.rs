//! System calls by name: `*.txt` beside this file, in which a line is the number
//! of its first name and names that count on from it.

use std::collections::BTreeMap;

/// Set in every number of an x32 call.
pub const X32_BIT: u32 = 0x4000_0000;

/// Numbers by name.
pub type Calls = BTreeMap<&'static str, u32>;

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

impl Abi {
    /// The numbers of this ABI. x32 has those of x86-64 but for a few.
    pub fn calls(self) -> Calls {
        match self {
            Self::X86_64 => read(include_str!("x86_64.txt"), 0),
            Self::I386 => read(include_str!("i386.txt"), 0),
            Self::X32 => {
                let mut calls = read(include_str!("x86_64.txt"), X32_BIT);
                calls.extend(read(include_str!("x32.txt"), X32_BIT));
                calls
            }
        }
    }
}

fn read(table: &'static str, bit: u32) -> Calls {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let run = |line: &'static str| {
        let (first, names) = line.split_once(' ').unwrap_or((line, ""));
        let first: u32 = first.parse().unwrap_or_else(|_| unreachable!("a line begins with a number"));
        names.split(' ').zip(first | bit..)
    };
    lines.flat_map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        let [native, x32, i386] = [Abi::X86_64, Abi::X32, Abi::I386].map(Abi::calls);
        assert_eq!((native["read"], native["clone3"], native["mseal"]), (0, 435, 462));
        assert_eq!((i386["read"], i386["openat"], i386["mmap2"]), (3, 295, 192));
        assert_eq!((x32["read"], x32["ioctl"]), (X32_BIT, X32_BIT | 514));
        assert_eq!(native.get("socketcall"), None);
    }

    #[test]
    fn the_table_agrees_with_libc() {
        let native = Abi::X86_64.calls();
        let known = [
            ("execve", libc::SYS_execve),
            ("rseq", libc::SYS_rseq),
            ("statx", libc::SYS_statx),
            ("pidfd_open", libc::SYS_pidfd_open),
            ("fchmodat2", libc::SYS_fchmodat2),
            ("sendmmsg", libc::SYS_sendmmsg),
        ];
        for (name, number) in known {
            assert_eq!(i64::from(native[name]), number, "{name}");
        }
    }
}
