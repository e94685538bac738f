//! What tests and fuzz targets hold a compiled program against.

mod machine;
mod reading;

use super::calls::{Abi, Numbers, X32_BIT};
use super::{ARCH_I386, ARCH_X86_64, compile, multiplexed};
pub use machine::run;
pub use reading::Reading;
use spec::bundle::{Operator, Seccomp};

/// `SECCOMP_RET_ALLOW`
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO` with EPERM.
pub const EPERM: u32 = 0x0005_0001;
/// The same with ENOSYS.
pub const ENOSYS: u32 = 0x0005_0026;
/// `SECCOMP_RET_KILL_PROCESS`
pub const KILL: u32 = 0x8000_0000;

/// Compares the program of a profile, if it has one, with the profile itself: calls that it
/// names and their neighbours, with arguments about those that it compares with.
pub fn compare(profile: &Seccomp) {
    let Ok(program) = compile(profile) else { return };
    let reading = Reading::new(profile);
    let arguments = arguments(profile);
    for arch in [ARCH_X86_64, ARCH_I386, 0xc000_00b7] {
        for number in numbers(profile) {
            let call = reading.call(arch, number);
            for args in &arguments {
                let got = run(&program.program, arch, number, *args).0;
                assert_eq!(got, call.with(*args), "arch {arch:#x} call {number:#x} args {args:x?}");
            }
        }
    }
}

/// Numbers of the calls that the profile names, and those around them.
fn numbers(profile: &Seccomp) -> Vec<u32> {
    let names: Vec<&str> = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect();
    let with_forms = names.iter().flat_map(|name| [Some(*name), multiplexed::form(name).map(|form| form.0)]);
    let on_each = |name| [Abi::X86_64, Abi::X32, Abi::I386].map(|abi| Numbers::of(name).on(abi));
    let named = with_forms.flatten().flat_map(on_each).flatten();
    let around = named.flat_map(|number| [number.wrapping_sub(1), number, number.wrapping_add(1)]);
    let mut numbers: Vec<u32> = around.chain([0, X32_BIT - 1, X32_BIT, 0x8000_0000, u32::MAX]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Each value of the profile, one more and one less, and with its other half, in every place.
fn arguments(profile: &Seccomp) -> Vec<[u64; 6]> {
    const MOST: usize = 40;
    let compared = profile.syscalls.iter().flat_map(|rule| &rule.args);
    let masked = |op| op == Operator::MaskedEqual;
    let values = compared.flat_map(|arg| [arg.value, if masked(arg.op) { arg.value_two } else { arg.value }]);
    let near = values
        .flat_map(|value| [value, value.wrapping_add(1), value.wrapping_sub(1), value.rotate_left(32)])
        .chain([0, u64::MAX, 1 << 32]);
    let mut near: Vec<u64> = near.collect();
    near.sort_unstable();
    near.dedup();
    let step = near.len().div_ceil(MOST);
    near.into_iter().step_by(step).map(|value| [value, 0, value, 1, value, u64::MAX]).collect()
}
