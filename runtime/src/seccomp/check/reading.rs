//! A profile read from top to bottom for one call, with nothing prepared.

use super::{ALLOW, ARCH_I386, ARCH_X86_64, Abi, ENOSYS, EPERM, KILL, Numbers, X32_BIT, multiplexed};
use spec::bundle::{Action, Argument, Operator, Seccomp, Syscalls};
use std::collections::HashMap;

/// A profile and the numbers that its names have.
pub struct Reading<'a> {
    profile: &'a Seccomp,
    numbers: HashMap<&'a str, Numbers>,
}

/// What a profile says of one number.
pub enum Call<'a> {
    /// The same whatever the arguments are.
    Always(u32),
    /// The first rule that holds, or else the value. A rule has a mask and what the
    /// first argument must be under it when it is about a multiplexed call.
    Rules(Vec<(&'a Syscalls, Option<(u64, u64)>)>, u32, u64),
}

impl<'a> Reading<'a> {
    pub fn new(profile: &'a Seccomp) -> Self {
        let names = profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str);
        let numbers = names.chain(["socketcall", "ipc"]).map(|name| (name, Numbers::of(name))).collect();
        Self { profile, numbers }
    }

    pub fn call(&self, arch: u32, number: u32) -> Call<'a> {
        let named = |name: &str| self.profile.architectures.iter().any(|arch| arch == name);
        let default = value(self.profile.default_action, self.profile.default_errno_ret);
        let lets_through = [Action::Allow, Action::Log, Action::Trace, Action::Notify]
            .contains(&self.profile.default_action);
        let unknown = if lets_through { default } else { ENOSYS };
        let abi = match arch {
            ARCH_I386 if named("SCMP_ARCH_X86") => Abi::I386,
            ARCH_X86_64 if number < X32_BIT => Abi::X86_64,
            ARCH_X86_64 if number == u32::MAX => return Call::Always(unknown),
            ARCH_X86_64 if named("SCMP_ARCH_X32") => Abi::X32,
            _ => return Call::Always(KILL),
        };
        let (found, newest) = self.rules(abi, number);
        let free = |(rule, first): &&(&Syscalls, Option<_>)| rule.args.is_empty() && first.is_none();
        if let Some((rule, _)) = found.iter().find(free) {
            return Call::Always(value(rule.action, rule.errno_ret));
        }
        let known = number != u32::MAX && newest.is_none_or(|newest| number <= newest);
        let width = if abi == Abi::I386 { u64::from(u32::MAX) } else { u64::MAX };
        Call::Rules(found, if known { default } else { unknown }, width)
    }

    /// Rules about the number, and the newest number that the profile names.
    #[expect(clippy::type_complexity, reason = "read once, above")]
    fn rules(&self, abi: Abi, number: u32) -> (Vec<(&'a Syscalls, Option<(u64, u64)>)>, Option<u32>) {
        let default = value(self.profile.default_action, self.profile.default_errno_ret);
        let (mut found, mut newest) = (Vec::new(), None);
        for rule in &self.profile.syscalls {
            let says = value(rule.action, rule.errno_ret) != default;
            for name in &rule.names {
                let own = self.numbers[name.as_str()].on(abi);
                newest = newest.max(own);
                found.extend((says && own == Some(number)).then_some((rule, None)));
                let form =
                    multiplexed::form(name).filter(|_| says && abi == Abi::I386 && rule.args.is_empty());
                if let Some((call, first)) = form {
                    let call = self.numbers[call].on(abi);
                    newest = newest.max(call);
                    let first = Some((first.value, first.value_two));
                    found.extend((call == Some(number)).then_some((rule, first)));
                }
            }
        }
        (found, newest)
    }
}

impl Call<'_> {
    /// What becomes of the call with these arguments.
    pub fn with(&self, args: [u64; 6]) -> u32 {
        let (rules, otherwise, width) = match self {
            Self::Always(value) => return *value,
            Self::Rules(rules, otherwise, width) => (rules, *otherwise, *width),
        };
        let holds = |(rule, first): &&(&Syscalls, Option<(u64, u64)>)| match first {
            Some((mask, value)) => args[0] & mask == *value,
            None => all_hold(&rule.args, args, width),
        };
        rules.iter().find(holds).map_or(otherwise, |(rule, _)| value(rule.action, rule.errno_ret))
    }
}

fn all_hold(conditions: &[Argument], args: [u64; 6], width: u64) -> bool {
    let mut seen = [0; 6];
    conditions.iter().for_each(|condition| seen[condition.index as usize] += 1);
    let holds = |condition: &Argument| {
        let argument = args[condition.index as usize];
        let (value, two) = (condition.value & width, condition.value_two & width);
        match condition.op {
            Operator::NotEqual => argument != value,
            Operator::LessThan => argument < value,
            Operator::LessEqual => argument <= value,
            Operator::EqualTo => argument == value,
            Operator::GreaterEqual => argument >= value,
            Operator::GreaterThan => argument > value,
            Operator::MaskedEqual => argument & value == two,
        }
    };
    if seen.iter().any(|count| *count > 1) {
        conditions.iter().any(holds)
    } else {
        conditions.iter().all(holds)
    }
}

fn value(action: Action, number: Option<u32>) -> u32 {
    match action {
        Action::Kill | Action::KillThread => 0,
        Action::KillProcess => KILL,
        Action::Trap => 0x0003_0000,
        Action::Errno => (EPERM & 0xffff_0000) | number.unwrap_or(1),
        Action::Trace => 0x7ff0_0000 | number.unwrap_or(1),
        Action::Allow => ALLOW,
        Action::Log => 0x7ffc_0000,
        Action::Notify => 0x7fc0_0000,
    }
}
