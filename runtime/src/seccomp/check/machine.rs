//! The kernel's interpreter, as far as the filters go.

use sys::packet::Instruction;

/// The value that a filter gives, and after how many instructions.
pub fn run(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> (u32, usize) {
    let mut data = vec![number, arch, 0, 0];
    data.extend(args.iter().flat_map(|value| [*value as u32, (value >> 32) as u32]));
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let step = program[at];
        (at, steps) = (at + 1, steps + 1);
        let holds = match step.code {
            0x20 => {
                accumulator = data[step.operand as usize / 4];
                continue;
            }
            0x54 => {
                accumulator &= step.operand;
                continue;
            }
            0x05 => {
                at += step.operand as usize;
                continue;
            }
            0x06 => return (step.operand, steps),
            0x15 => accumulator == step.operand,
            0x25 => accumulator > step.operand,
            0x35 => accumulator >= step.operand,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { step.jump_true } else { step.jump_false });
    }
}
