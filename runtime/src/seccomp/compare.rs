//! Comparisons of a call's arguments. `seccomp_data` has each as 64 bits, low half
//! first, and the machine compares 32 bits at once, unsigned.

use super::assembler::{Assembler, Jump, Label};
use super::decision::Decision;
use spec::bundle::{Argument, Operator};

/// Where `seccomp_data` has the arguments.
const ARGUMENTS: u32 = 16;

/// Writes the cases one after the other, and what is if none holds.
pub fn write(out: &mut Assembler, decision: &Decision) -> Label {
    let mut next = out.give(decision.otherwise);
    for case in decision.cases.iter().rev() {
        let mut holds = out.give(case.value);
        for condition in case.conditions.iter().rev() {
            holds = compare(out, condition, holds, next);
        }
        next = holds;
    }
    next
}

/// Goes to `yes` when the argument compares so, else to `no`.
fn compare(out: &mut Assembler, argument: &Argument, yes: Label, no: Label) -> Label {
    let (high, low) = halves(argument.value);
    let low_at = ARGUMENTS + 8 * argument.index;
    let high_at = low_at + 4;
    // Above decides at once, equal asks the lower half, below decides the other way.
    let mut ordered = |jump, above, below| {
        out.branch(jump, low, above, below);
        let equal = out.load(low_at);
        let not_above = out.branch(Jump::Equal, high, equal, below);
        out.branch(Jump::Greater, high, above, not_above);
        out.load(high_at)
    };
    match argument.op {
        Operator::GreaterThan => ordered(Jump::Greater, yes, no),
        Operator::GreaterEqual => ordered(Jump::GreaterEqual, yes, no),
        Operator::LessEqual => ordered(Jump::Greater, no, yes),
        Operator::LessThan => ordered(Jump::GreaterEqual, no, yes),
        Operator::EqualTo => equal(out, low_at, (u64::MAX, argument.value), yes, no),
        Operator::NotEqual => equal(out, low_at, (u64::MAX, argument.value), no, yes),
        Operator::MaskedEqual => equal(out, low_at, (argument.value, argument.value_two), yes, no),
    }
}

/// Goes to `yes` when the bits of the mask are those of the value.
fn equal(out: &mut Assembler, low_at: u32, (mask, value): (u64, u64), yes: Label, no: Label) -> Label {
    let (high_mask, low_mask) = halves(mask);
    let (high, low) = halves(value);
    let yes = half(out, low_at, low_mask, low, yes, no);
    half(out, low_at + 4, high_mask, high, yes, no)
}

/// The same of 32 bits. Where the mask has none, nothing is loaded.
fn half(out: &mut Assembler, at: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
    if mask == 0 && value == 0 {
        return yes;
    }
    out.branch(Jump::Equal, value, yes, no);
    if mask != u32::MAX {
        out.and(mask);
    }
    out.load(at)
}

const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
