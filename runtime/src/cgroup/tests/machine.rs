//! The kernel's interpreter, as far as device programs go, with what its verifier
//! would refuse.

/// What `struct bpf_cgroup_dev_ctx` says.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub kind: u32,
    pub access: u32,
    pub major: u32,
    pub minor: u32,
}

/// Whether the program allows the request.
pub fn run(program: &[u64], request: Request) -> bool {
    let context = [request.access << 16 | request.kind, request.major, request.minor];
    let mut registers: [Option<u64>; 11] = [None; 11];
    let mut at = 0;
    loop {
        let [code, names, low, high, number @ ..] = program[at].to_le_bytes();
        let number = i32::from_le_bytes(number);
        let (to, offset) = (usize::from(names & 15), i16::from_le_bytes([low, high]));
        let value = |register: usize| registers[register].expect("a register is read before it is written");
        let holds = match code {
            0x61 => {
                assert_eq!(names >> 4, 1, "only the context can be read");
                registers[to] = Some(context[offset as usize / 4].into());
                false
            }
            0x54 => {
                registers[to] = Some((value(to) as u32 & number as u32).into());
                false
            }
            0x74 => {
                registers[to] = Some((value(to) as u32 >> number).into());
                false
            }
            0xb7 => {
                registers[to] = Some(i64::from(number) as u64);
                false
            }
            0x05 => true,
            0x46 => value(to) as u32 & number as u32 != 0,
            0x16 => value(to) as u32 == number as u32,
            0x95 => return value(0) == 1,
            other => panic!("instruction {other:#x}"),
        };
        assert!(offset >= 0, "a jump leads back");
        at += 1 + if holds { offset as usize } else { 0 };
    }
}
