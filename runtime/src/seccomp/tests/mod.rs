//! Each compiled program is run on every system call number and compared with a
//! direct reading of its profile.

use super::calls::{X32_BIT, names};
use super::check::{ALLOW, ENOSYS, EPERM, KILL, Reading, run};
use super::*;
use spec::bundle::{Argument, Operator, Syscalls};

mod docker;

fn profile(default: Action, syscalls: Vec<Syscalls>) -> Seccomp {
    Seccomp {
        default_action: default,
        default_errno_ret: None,
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(str::to_owned).into(),
        flags: Vec::new(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls,
    }
}

fn rule(names: &str, action: Action, args: &[(u32, Operator, u64, u64)]) -> Syscalls {
    let args = args.iter().map(|&(index, op, value, value_two)| Argument { index, value, value_two, op });
    let names = names.split_whitespace().map(str::to_owned).collect();
    Syscalls { names, action, errno_ret: None, args: args.collect() }
}

fn result(profile: &Seccomp, arch: u32, number: u32, args: [u64; 6]) -> u32 {
    run(&compile(profile).unwrap().program, arch, number, args).0
}

fn complaint(profile: &Seccomp) -> String {
    compile(profile).unwrap_err().0
}

/// Numbers that calls have, and some around.
fn numbers() -> impl Iterator<Item = u32> {
    (0..700).chain(X32_BIT - 2..X32_BIT + 700).chain([0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX])
}

/// Compares the program with the profile for every number, with these arguments.
fn agrees(profile: &Seccomp, arguments: &[[u64; 6]]) {
    let program = compile(profile).unwrap().program;
    let reading = Reading::new(profile);
    for arch in [ARCH_X86_64, ARCH_I386, 0xc000_00b7] {
        for number in numbers() {
            let call = reading.call(arch, number);
            for args in arguments {
                let got = run(&program, arch, number, *args).0;
                let expected = call.with(*args);
                assert_eq!(got, expected, "arch {arch:#x} call {number:#x} args {args:x?} of {profile:?}");
            }
        }
    }
}

#[test]
fn what_is_let_through_is_let_through_whatever_its_arguments() {
    const WRITE: u32 = 1;
    let equal = [(0, Operator::EqualTo, 2, 0)];
    let both = |default, first, second: &[_]| {
        profile(default, vec![rule("write", Action::Allow, first), rule("read write", Action::Allow, second)])
    };
    for (profile, expected) in [
        (docker::profile(), true),
        (profile(Action::Allow, vec![]), true),
        (profile(Action::Errno, vec![]), false),
        (profile(Action::Log, vec![]), false),
        (profile(Action::Allow, vec![rule("write", Action::Errno, &equal)]), false),
        (profile(Action::Allow, vec![rule("write", Action::Trace, &[])]), false),
        (profile(Action::Errno, vec![rule("write", Action::Allow, &equal)]), false),
        (both(Action::Errno, &equal, &equal), false),
        (both(Action::Errno, &equal, &[]), true),
        (both(Action::Allow, &equal, &equal), true),
    ] {
        assert_eq!(lets_through(&profile, "write"), expected, "{profile:?}");
        let results = [[0; 6], [2; 6], [3; 6]].map(|args| result(&profile, ARCH_X86_64, WRITE, args));
        assert!(!expected || results == [ALLOW; 3], "{profile:?}");
    }
}

#[test]
fn the_default_profile_is_short_and_quick() {
    let profile = docker::profile();
    let program = compile(&profile).unwrap().program;
    assert!(program.len() < 500, "{} instructions", program.len());
    let read = run(&program, ARCH_X86_64, 0, [0; 6]);
    assert_eq!(read.0, ALLOW);
    let slowest = numbers().map(|number| run(&program, ARCH_X86_64, number, [99; 6]).1).max().unwrap();
    assert!(read.1 <= 14 && slowest <= 120, "{} and {slowest} steps", read.1);
    println!("{} instructions, read takes {}, the slowest {slowest}", program.len(), read.1);
}

#[test]
fn the_default_profile_does_what_it_says() {
    let families = [0, 11, 12, 13, 38, 40, 45, 1 << 32].map(|family| [family, 0, 0, 0, 0, 0]);
    let flags = [0x11, 0x0002_0000, 0x0200_0000, 0xffff_ffff].map(|flags| [flags, 0, 0, 0, 0, 0]);
    agrees(&docker::profile(), &[&families[..], &flags[..]].concat());
}

#[test]
fn a_newer_call_looks_absent_and_an_older_one_is_refused() {
    let profile = profile(Action::Errno, vec![rule("read openat2", Action::Allow, &[])]);
    assert_eq!(result(&profile, ARCH_X86_64, 437, [0; 6]), ALLOW);
    assert_eq!(result(&profile, ARCH_X86_64, 436, [0; 6]), EPERM);
    assert_eq!(result(&profile, ARCH_X86_64, 438, [0; 6]), ENOSYS);
    assert_eq!(result(&profile, ARCH_I386, 438, [0; 6]), ENOSYS);
    assert_eq!(result(&profile, ARCH_X86_64, X32_BIT | 438, [0; 6]), ENOSYS);
    assert_eq!(result(&profile, ARCH_X86_64, u32::MAX, [0; 6]), ENOSYS);
}

#[test]
fn a_profile_that_only_denies_lets_newer_calls_through() {
    let profile = profile(Action::Allow, vec![rule("mount", Action::Errno, &[])]);
    assert_eq!(result(&profile, ARCH_X86_64, 165, [0; 6]), EPERM);
    assert_eq!(result(&profile, ARCH_X86_64, 600, [0; 6]), ALLOW);
}

#[test]
fn architectures_that_are_not_named_die() {
    let mut profile = profile(Action::Allow, vec![]);
    profile.architectures = vec!["SCMP_ARCH_AARCH64".to_owned()];
    assert_eq!(result(&profile, ARCH_X86_64, 0, [0; 6]), ALLOW);
    assert_eq!(result(&profile, ARCH_I386, 0, [0; 6]), KILL);
    assert_eq!(result(&profile, ARCH_X86_64, X32_BIT, [0; 6]), KILL);
}

#[test]
fn a_denied_socket_call_is_denied_through_socketcall() {
    let profile = profile(Action::Allow, vec![rule("connect shmat", Action::Errno, &[])]);
    assert_eq!(result(&profile, ARCH_I386, 102, [3, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(result(&profile, ARCH_I386, 102, [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(result(&profile, ARCH_I386, 117, [0x1_0015, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn an_unconditional_rule_prevails_and_equal_arguments_are_alternatives() {
    let one = [(0, Operator::EqualTo, 1, 0)];
    let two = [(0, Operator::EqualTo, 1, 0), (0, Operator::EqualTo, 2, 0)];
    let rules = vec![
        rule("dup", Action::Allow, &one),
        rule("dup", Action::Trap, &[]),
        rule("close", Action::Allow, &two),
    ];
    let profile = profile(Action::Errno, rules);
    assert_eq!(result(&profile, ARCH_X86_64, 32, [1, 0, 0, 0, 0, 0]), 0x0003_0000);
    assert_eq!(result(&profile, ARCH_X86_64, 3, [2, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(result(&profile, ARCH_X86_64, 3, [3, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn what_cannot_be_is_refused_by_its_path() {
    let bad = |change: fn(&mut Seccomp)| {
        let mut profile = profile(Action::Errno, vec![rule("read", Action::Allow, &[])]);
        change(&mut profile);
        complaint(&profile)
    };
    let notify = bad(|profile| profile.syscalls[0].action = Action::Notify);
    assert_eq!(notify, "linux.seccomp.listenerPath: is missing, and SCMP_ACT_NOTIFY needs it");
    let metadata = bad(|profile| profile.listener_metadata = "x".to_owned());
    assert_eq!(metadata, "linux.seccomp.listenerMetadata: there is no listenerPath");
    let flag = bad(|profile| profile.flags = vec!["X".to_owned()]);
    assert_eq!(flag, "linux.seccomp.flags[0]: \"X\" is not a flag");
    let arch = bad(|profile| profile.architectures.push("SCMP_ARCH_Z80".to_owned()));
    assert_eq!(arch, "linux.seccomp.architectures[3]: \"SCMP_ARCH_Z80\" is not an architecture");
    let number = bad(|profile| profile.default_errno_ret = Some(5000));
    assert_eq!(number, "linux.seccomp.defaultAction: error number 5000 is above 4095");
    let carried = bad(|profile| profile.syscalls[0].errno_ret = Some(1));
    assert_eq!(carried, "linux.seccomp.syscalls[0].action: the action takes no error number");
    let index =
        bad(|profile| profile.syscalls[0] = rule("read", Action::Allow, &[(6, Operator::EqualTo, 0, 0)]));
    assert_eq!(index, "linux.seccomp.syscalls[0].args[0].index: a system call has arguments 0 to 5");
}

#[test]
fn flags_are_the_kernels() {
    let mut profile = profile(Action::Allow, vec![]);
    profile.flags = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"]
        .map(|name| format!("SECCOMP_FILTER_FLAG_{name}"))
        .into();
    assert_eq!(compile(&profile).unwrap().flags, 7);
    // With a listener the last counts, and there is one thread to filter.
    profile.default_action = Action::Notify;
    profile.listener_path = "/agent".to_owned();
    let program = compile(&profile).unwrap();
    assert_eq!((program.flags, program.has_listener()), (2 | 4 | 8 | 32, true));
}

#[test]
fn an_agent_is_asked_about_calls_that_a_profile_could_not_know_if_it_is_about_all() {
    let mut profile = profile(Action::Notify, vec![rule("read", Action::Allow, &[])]);
    profile.listener_path = "/agent".to_owned();
    assert_eq!(result(&profile, ARCH_X86_64, 0, [0; 6]), ALLOW);
    assert_eq!(result(&profile, ARCH_X86_64, 600, [0; 6]), 0x7fc0_0000);
}

/// xorshift64: the same profiles on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// Values at which a comparison of halves could go wrong.
const CORNERS: [u64; 9] =
    [0, 1, 2, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x7fff_ffff_ffff_ffff, u64::MAX - 1, u64::MAX];

fn random_rule(dice: &mut Dice, names: &[&str]) -> Syscalls {
    use Operator::{EqualTo, GreaterEqual, GreaterThan, LessEqual, LessThan, MaskedEqual, NotEqual};
    let operators = [EqualTo, GreaterEqual, GreaterThan, LessEqual, LessThan, MaskedEqual, NotEqual];
    let actions = [Action::Allow, Action::Errno, Action::Kill, Action::Trap, Action::Log, Action::Trace];
    let chosen: Vec<&str> = (0..=dice.roll(4)).map(|_| dice.of(names)).collect();
    let count = [0, 1, 1, 2, 3][dice.roll(5)];
    let args: Vec<_> = (0..count)
        .map(|_| (dice.roll(3) as u32, dice.of(&operators), dice.of(&CORNERS), dice.of(&CORNERS)))
        .collect();
    rule(&chosen.join(" "), dice.of(&actions), &args)
}

#[test]
fn a_program_does_what_its_profile_says_whatever_it_is() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let names: Vec<&str> = names().chain(["no_such_call"]).collect();
    for _ in 0..16 {
        let few: Vec<&str> = (0..12).map(|_| dice.of(&names)).chain(["socket", "semop"]).collect();
        let rules = (0..dice.roll(40)).map(|_| random_rule(&mut dice, &few)).collect();
        let default = dice.of(&[Action::Errno, Action::Allow, Action::KillProcess]);
        let mut profile = profile(default, rules);
        profile.architectures.truncate(dice.roll(4));
        let arguments: Vec<[u64; 6]> = (0..8).map(|_| std::array::from_fn(|_| dice.of(&CORNERS))).collect();
        agrees(&profile, &arguments);
    }
}

#[test]
fn a_jump_past_many_instructions_arrives() {
    let many = (0..300).map(|value| rule("close", Action::Allow, &[(0, Operator::EqualTo, value * 3, 0)]));
    let profile = profile(Action::Errno, many.collect());
    for value in [0, 3, 4, 450, 897, 898] {
        let expected = if value % 3 == 0 { ALLOW } else { EPERM };
        assert_eq!(result(&profile, ARCH_X86_64, 3, [value, 0, 0, 0, 0, 0]), expected, "{value}");
    }
}
