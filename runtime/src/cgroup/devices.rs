//! `linux.resources.devices` as a program of `BPF_PROG_TYPE_CGROUP_DEVICE`, which
//! the kernel asks about every open and mknod of a device.
//!
//! Each bit of a request is decided by the last rule that is about the device and
//! names the bit; a bit that no rule names is denied. So the program goes from
//! the last rule to the first with the bits that are still undecided:
//!
//! ```text
//! allow   takes its bits away; when none is left the request is allowed
//! deny    when one of its bits is there the request is denied
//! ```
//!
//! A rule of type `a` is about everything, whatever else it says, as in the
//! kernel's `security/device_cgroup.c`: it ends the program. runc and crun compare
//! a request with a rule as a whole instead, so that a denial of `w` does not stop
//! an open with `rw`.

use super::refused;
use crate::error::{Error, Result};
use spec::bundle::DeviceRule;

/// Bits of a request: `BPF_DEVCG_ACC_*`.
const ACCESS: [(char, u32); 3] = [('m', 1), ('r', 2), ('w', 4)];
/// All of them.
const EVERY: u32 = 7;
/// `BPF_DEVCG_DEV_BLOCK`
const BLOCK: u32 = 1;
/// `BPF_DEVCG_DEV_CHAR`
const CHAR: u32 = 2;

/// The register whose value is returned.
const RESULT: u8 = 0;
/// The register that points to `struct bpf_cgroup_dev_ctx`.
const CONTEXT: u8 = 1;
/// Registers for what was read from there.
const TYPE: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// The program, `struct bpf_insn` each, or none when there is no rule. It returns
/// 1 to allow and 0 to deny.
///
/// # Errors
/// A value that cannot be, by its JSON path.
pub fn program(rules: &[DeviceRule]) -> Result<Option<Vec<u64>>> {
    let rules: Vec<Rule> = rules.iter().enumerate().map(Rule::read).collect::<Result<_>>()?;
    if rules.is_empty() {
        return Ok(None);
    }
    let last = rules.iter().rposition(|rule| rule.kind.is_none());
    let (allow, rest) = match last {
        Some(last) => (rules[last].allow, &rules[last + 1..]),
        None => (false, &rules[..]),
    };
    let mut program = start();
    program.extend(rest.iter().rev().flat_map(Rule::block));
    program.extend(give(allow));
    Ok(Some(program))
}

/// A rule with its words understood.
struct Rule {
    allow: bool,
    /// Every device when there is none.
    kind: Option<u32>,
    /// Every one when there is none.
    major: Option<u32>,
    /// Every one when there is none.
    minor: Option<u32>,
    /// Bits of [`ACCESS`].
    access: u32,
}

impl Rule {
    fn read((place, rule): (usize, &DeviceRule)) -> Result<Self> {
        let path = |key| format!("devices[{place}].{key}");
        let kind = match rule.kind.as_deref() {
            None | Some("a") => None,
            Some("b") => Some(BLOCK),
            Some("c") => Some(CHAR),
            Some(other) => return Err(refused(&path("type"), format!("{other:?}"), "not a, b or c")),
        };
        Ok(Self {
            allow: rule.allow,
            kind,
            major: number(&path("major"), rule.major)?,
            minor: number(&path("minor"), rule.minor)?,
            access: rule.access.as_deref().map_or(Ok(EVERY), |letters| access(&path("access"), letters))?,
        })
    }

    /// Decides, or goes past its own end.
    ///
    /// Each test goes on over a jump to the end, so that the kernel's verifier,
    /// which follows what stands next first, meets what does not hold before what
    /// does. The latter is then a case of what it has seen. The other way round it
    /// needs 25 ms for a hundred rules and gives up (E2BIG) at three hundred.
    fn block(&self) -> Vec<u64> {
        let mut steps = self.action();
        for (register, number) in [(MINOR, self.minor), (MAJOR, self.major), (TYPE, self.kind)] {
            if let Some(number) = number {
                steps.splice(0..0, [if_equal(register, number), jump(steps.len())]);
            }
        }
        steps
    }

    /// What is done when the device is the rule's.
    fn action(&self) -> Vec<u64> {
        let give = give(self.allow);
        let past = jump(give.len());
        let first = match self.allow {
            // Every bit that is undecided is the rule's.
            _ if self.access == EVERY => vec![],
            true => vec![and(UNDECIDED, !self.access), if_equal(UNDECIDED, 0), past],
            false => vec![if_any(UNDECIDED, self.access), past],
        };
        [&first[..], &give[..]].concat()
    }
}

/// A device number; none is every one.
fn number(path: &str, number: Option<i64>) -> Result<Option<u32>> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => match u32::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(refused(path, number, "not a device number, nor -1 for every one")),
        },
    }
}

/// As runc and crun it goes by the letters that are known.
fn access(path: &str, letters: &str) -> Result<u32> {
    match letters.chars().filter_map(bit).fold(0, |bits, bit| bits | bit) {
        0 => Err(refused(path, format!("{letters:?}"), "not some of r, w and m")),
        bits => Ok(bits),
    }
}

fn bit(letter: char) -> Option<u32> {
    ACCESS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| *bit)
}

/// Letters that are left out.
pub fn warnings(rules: &[DeviceRule]) -> Vec<Error> {
    let one = |(place, rule): (usize, &DeviceRule)| {
        let letters = rule.access.as_deref()?;
        let other = letters.chars().find(|letter| bit(*letter).is_none())?;
        let why = format!("{other:?} is none of r, w and m, left out");
        Some(refused(&format!("devices[{place}].access"), format!("{letters:?}"), why))
    };
    rules.iter().enumerate().filter_map(one).collect()
}

/// Reads the request: type in the low half and access in the high half of the
/// first word, then the numbers.
fn start() -> Vec<u64> {
    vec![
        load(TYPE, 0),
        and(TYPE, 0xffff),
        load(UNDECIDED, 0),
        instruction(0x74, UNDECIDED, 0, 0, 16), // BPF_ALU | BPF_RSH
        load(MAJOR, 4),
        load(MINOR, 8),
    ]
}

/// Ends the program.
fn give(allow: bool) -> [u64; 2] {
    // BPF_ALU64 | BPF_MOV, BPF_JMP | BPF_EXIT
    [instruction(0xb7, RESULT, 0, 0, allow.into()), instruction(0x95, 0, 0, 0, 0)]
}

/// `BPF_LDX | BPF_MEM | BPF_W`
fn load(to: u8, offset: usize) -> u64 {
    instruction(0x61, to, CONTEXT, offset, 0)
}

/// `BPF_ALU | BPF_AND`
fn and(register: u8, mask: u32) -> u64 {
    instruction(0x54, register, 0, 0, mask)
}

/// Skips one instruction; `BPF_JMP32 | BPF_JEQ`: of 32 bits, so that no number is
/// taken for a negative one.
fn if_equal(register: u8, number: u32) -> u64 {
    instruction(0x16, register, 0, 1, number)
}

/// Skips one instruction; `BPF_JMP32 | BPF_JSET`
fn if_any(register: u8, bits: u32) -> u64 {
    instruction(0x46, register, 0, 1, bits)
}

/// `BPF_JMP | BPF_JA`
fn jump(skip: usize) -> u64 {
    instruction(0x05, 0, 0, skip, 0)
}

/// `struct bpf_insn`: code, registers of four bits each, offset, number.
fn instruction(code: u8, to: u8, from: u8, offset: usize, number: u32) -> u64 {
    u64::from(code) | u64::from(to | from << 4) << 8 | (offset as u64) << 16 | u64::from(number) << 32
}
