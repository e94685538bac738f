//! Docker's default profile for a container without more capabilities than usual,
//! as the monitor writes it.

use super::rule;
use spec::bundle::{Action, Operator, Seccomp};

/// The monitor's own list: a filter is tested with the profile that nodes have.
const ALWAYS: &str = include_str!("../../../../monitor/src/bundle/seccomp-always.txt");

/// Socket families above `AF_DECnet` that are allowed.
const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// The profile.
pub fn profile() -> Seccomp {
    let mut rules = vec![
        rule(ALWAYS, Action::Allow, &[]),
        rule("chroot", Action::Allow, &[]),
        rule("clone", Action::Allow, &[(0, Operator::MaskedEqual, 0x7e02_0000, 0)]),
        rule("clone3", Action::Errno, &[]),
        rule("socket", Action::Allow, &[(0, Operator::LessThan, 12, 0)]),
    ];
    rules[3].errno_ret = Some(38);
    rules.extend(FAMILIES.map(|family| rule("socket", Action::Allow, &[(0, Operator::EqualTo, family, 0)])));
    let domains = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    rules.extend(
        domains.map(|domain| rule("personality", Action::Allow, &[(0, Operator::EqualTo, domain, 0)])),
    );
    super::profile(Action::Errno, rules)
}
