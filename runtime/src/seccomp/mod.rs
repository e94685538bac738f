//! `linux.seccomp` as a program for seccomp(2), without libseccomp, which takes
//! some 10 ms for each container.
//!
//! ```text
//! arch?  x86-64 ── number < or ≥ …    balanced search tree over ranges of numbers
//!                    ├─ < or ≥ …      with the same outcome
//!                    └─ outcome       a value, or comparisons of arguments
//!        i386   ── the same
//!        other  ── the process dies
//! ```
//!
//! x32 calls come under x86-64's architecture, with a bit in their number. The
//! profile's architectures that this machine has not are skipped, as are names
//! of calls that an architecture lacks. A call newer than all that the
//! profile names gives ENOSYS, as with runc. An outcome stands in the program
//! once, near the jumps that lead to it.
//!
//! With `SCMP_ACT_NOTIFY` the kernel gives a descriptor along, which `perform` hands over.

mod action;
mod assembler;
mod calls;
#[cfg(any(test, feature = "fuzz"))]
pub mod check;
mod compare;
mod decision;
mod listener;
mod multiplexed;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use assembler::{Assembler, Jump, Label};
use calls::Abi;
use decision::{Decision, Rules};
use spec::bundle::{Action, Seccomp};
use sys::packet::Instruction;

pub use listener::Listener;

/// `AUDIT_ARCH_X86_64`
const ARCH_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`
const ARCH_I386: u32 = 0x4000_0003;
/// Where `seccomp_data` has the number of the call.
const NUMBER: u32 = 0;
/// Where `seccomp_data` has the architecture.
const ARCH: u32 = 4;
/// `BPF_MAXINSNS`
const MOST: usize = 4096;

/// Architectures of libseccomp that no machine of ours has.
const FOREIGN: &str = "ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC \
                       PARISC64 PPC PPC64 PPC64LE RISCV64 S390 S390X SH SHEB";

/// What a rule may do.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// How a rule compares an argument.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Architectures whose calls are told apart.
pub const ARCHITECTURES: [&str; 3] = ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32"];

/// Names and values of seccomp(2). The last concerns listeners alone: without one it does
/// nothing.
pub const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", TSYNC),
    ("SECCOMP_FILTER_FLAG_LOG", 2),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE),
];

const TSYNC: u32 = 1;
const NEW_LISTENER: u32 = 8;
const WAIT_KILLABLE: u32 = 32;

/// What [`sys::seccomp::load`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Classic BPF over `seccomp_data`.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`
    pub flags: u32,
}

impl Program {
    /// Whether loading it gives a descriptor.
    pub fn has_listener(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }
}

/// Makes the filter of a profile.
///
/// # Errors
/// What the profile asks for and cannot have, by its JSON path.
pub fn compile(profile: &Seccomp) -> Result<Program> {
    let abis = abis(&profile.architectures)?;
    let rules = Rules::new(profile)?;
    let flags = match Listener::of(profile)? {
        // Alone in its process but for the thread that hands the descriptor over.
        Some(_) => flags(&profile.flags)? & !TSYNC | NEW_LISTENER,
        None => flags(&profile.flags)? & !WAIT_KILLABLE,
    };
    let mut writer = Writer::default();
    let killed = writer.assembler.give(action::KILL_PROCESS);
    let i386 = abis.contains(&Abi::I386).then(|| writer.calls(&rules.ranges(&[Abi::I386])));
    let native: Vec<Abi> = abis.into_iter().filter(|abi| *abi != Abi::I386).collect();
    let native = writer.calls(&rules.ranges(&native));
    let mut assembler = writer.assembler;
    let other = match i386 {
        Some(i386) => assembler.branch(Jump::Equal, ARCH_I386, i386, killed),
        None => killed,
    };
    assembler.branch(Jump::Equal, ARCH_X86_64, native, other);
    assembler.load(ARCH);
    let program = assembler.finish();
    if program.len() > MOST {
        return Err(Error(format!("linux.seccomp: {} instructions, at most {MOST} can be", program.len())));
    }
    Ok(Program { program, flags })
}

/// Whether the profile lets a call of the machine's own through whatever its arguments are, and says so plainly.
pub fn lets_through(profile: &Seccomp, name: &str) -> bool {
    let allowed = profile.default_action == Action::Allow;
    let mut rules = profile.syscalls.iter().filter(|rule| rule.names.iter().any(|known| known == name));
    let mut always = allowed;
    rules.all(|rule| {
        always |= rule.args.is_empty();
        rule.action == Action::Allow
    }) && always
}

/// `SECCOMP_FILTER_FLAG_*` of seccomp(2).
fn flags(names: &[String]) -> Result<u32> {
    names.iter().enumerate().try_fold(0, |flags, (place, name)| {
        match FLAGS.into_iter().find(|(known, _)| known == name) {
            Some((_, flag)) => Ok(flags | flag),
            None => Err(Error(format!("linux.seccomp.flags[{place}]: {name:?} is not a flag"))),
        }
    })
}

/// The machine's own and those of the profile.
fn abis(names: &[String]) -> Result<Vec<Abi>> {
    let mut abis = vec![Abi::X86_64];
    for (place, name) in names.iter().enumerate() {
        match name.strip_prefix("SCMP_ARCH_") {
            Some("X86_64" | "NATIVE") => {}
            Some("X32") => abis.push(Abi::X32),
            Some("X86") => abis.push(Abi::I386),
            Some(other) if FOREIGN.split_whitespace().any(|foreign| foreign == other) => {}
            _ => {
                let path = format!("linux.seccomp.architectures[{place}]");
                return Err(Error(format!("{path}: {name:?} is not an architecture")));
            }
        }
    }
    Ok(abis)
}

/// Writes outcomes and the trees that lead to them.
#[derive(Default)]
struct Writer {
    assembler: Assembler,
    /// Outcomes that were written, and where last.
    written: Vec<(Decision, Label)>,
}

impl Writer {
    /// All numbers of one architecture.
    fn calls(&mut self, ranges: &[(u32, Decision)]) -> Label {
        let root = self.search(ranges);
        self.assembler.continue_at(root);
        self.assembler.load(NUMBER)
    }

    /// A balanced search tree over the ranges, which are not empty.
    fn search(&mut self, ranges: &[(u32, Decision)]) -> Label {
        let [only] = ranges else {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (yes, no) = (self.search(high), self.search(low));
            return self.assembler.branch(Jump::GreaterEqual, high[0].0, yes, no);
        };
        self.outcome(&only.1)
    }

    /// The outcome, written earlier if that is near enough.
    fn outcome(&mut self, decision: &Decision) -> Label {
        let known = self.written.iter().position(|(known, _)| known == decision);
        if let Some(place) = known {
            let label = self.written[place].1;
            if self.assembler.is_near(label) {
                return label;
            }
            let again = if decision.cases.is_empty() {
                self.assembler.give(decision.otherwise)
            } else {
                self.assembler.continue_at(label)
            };
            self.written[place].1 = again;
            return again;
        }
        let label = compare::write(&mut self.assembler, decision);
        self.written.push((decision.clone(), label));
        label
    }
}
