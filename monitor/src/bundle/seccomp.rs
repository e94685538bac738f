//! The system calls that a container may make: the same in effect as Docker's
//! default profile of 2025 (version 28) on x86-64. Everything else fails with
//! EPERM, `clone3` with ENOSYS, so that libc falls back to `clone`, whose flags
//! a filter can see.
//!
//! Deliberately left out, as there: `io_uring_*`, `keyctl` and its kin,
//! `userfaultfd`, `kexec_*`, `swapon`, `mount` and everything else that asks
//! for a capability which the container was not given.

use spec::bundle::{Action, Argument, Operator, Seccomp, Syscalls};
use std::collections::BTreeSet;

/// Allowed to everyone. Names of the 32-bit architectures are among them.
const ALWAYS: &str = include_str!("seccomp-always.txt");

/// Allowed to those who hold a capability.
const WITH: [(&str, &str); 14] = [
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
];

/// `CLONE_NEW*`: what makes a namespace.
const CLONE_NEW: u64 = 0x7e02_0000;

/// Execution domains that `personality(2)` may ask for: Linux, 32-bit Linux,
/// each with `UNAME26` or not, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Socket families of `socket(2)` from 0 up to this one, `AF_DECnet`, are allowed.
const FAMILIES_BELOW: u64 = 12;
/// And these above it: without `AF_ALG` (38) and `AF_VSOCK` (40), which reach
/// past the container, and without those that Linux no longer has.
const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// The profile for a container with these capabilities.
pub fn profile(capabilities: &BTreeSet<String>) -> Seccomp {
    let holds = |name: &str| capabilities.contains(name);
    let mut names: BTreeSet<&str> = ALWAYS.split_whitespace().collect();
    for (capability, calls) in WITH {
        if holds(capability) {
            names.extend(calls.split_whitespace());
        }
    }
    let mut rules = vec![rule(names, Action::Allow, None, vec![])];
    if !holds("CAP_SYS_ADMIN") {
        rules.push(allow_if("clone", 0, Operator::MaskedEqual, CLONE_NEW));
        rules.push(rule(["clone3"], Action::Errno, Some(nix::libc::ENOSYS.unsigned_abs()), vec![]));
    }
    rules.push(allow_if("socket", 0, Operator::LessThan, FAMILIES_BELOW));
    rules.extend(FAMILIES.map(|family| allow_if("socket", 0, Operator::EqualTo, family)));
    rules.extend(PERSONALITIES.map(|domain| allow_if("personality", 0, Operator::EqualTo, domain)));
    Seccomp {
        default_action: Action::Errno,
        default_errno_ret: Some(nix::libc::EPERM.unsigned_abs()),
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(str::to_owned).into(),
        flags: Vec::new(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: rules,
    }
}

/// Allows a call when one argument compares so; `MaskedEqual` asks for zero.
fn allow_if(name: &str, index: u32, op: Operator, value: u64) -> Syscalls {
    rule([name], Action::Allow, None, vec![Argument { index, value, value_two: 0, op }])
}

fn rule<'a>(
    names: impl IntoIterator<Item = &'a str>,
    action: Action,
    errno_ret: Option<u32>,
    args: Vec<Argument>,
) -> Syscalls {
    Syscalls { names: names.into_iter().map(str::to_owned).collect(), action, errno_ret, args }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities;
    use super::*;

    fn allowed(add: &[&str]) -> BTreeSet<String> {
        let add: Vec<String> = add.iter().map(|name| (*name).to_owned()).collect();
        let profile = profile(&capabilities::set(&add, &[]).unwrap());
        let free = profile.syscalls.into_iter().filter(|rule| rule.args.is_empty());
        free.filter(|rule| rule.action == Action::Allow).flat_map(|rule| rule.names).collect()
    }

    #[test]
    fn programs_live_and_the_kernel_is_out_of_reach() {
        let allowed = allowed(&[]);
        for name in ["read", "execve", "fork", "mmap", "chroot", "ptrace", "futex", "epoll_wait"] {
            assert!(allowed.contains(name), "{name}");
        }
        for name in ["mount", "unshare", "keyctl", "add_key", "bpf", "kexec_load", "io_uring_setup", "reboot"]
        {
            assert!(!allowed.contains(name), "{name}");
        }
    }

    #[test]
    fn a_capability_opens_its_calls() {
        assert!(allowed(&["SYS_ADMIN"]).contains("mount"));
        assert!(allowed(&["SYS_ADMIN"]).contains("clone3"));
        assert!(allowed(&["SYS_TIME"]).contains("clock_settime"));
    }

    #[test]
    fn a_new_namespace_is_refused_and_clone3_looks_absent() {
        let profile = profile(&BTreeSet::new());
        let clone3 = profile.syscalls.iter().find(|rule| rule.names == ["clone3"]).unwrap();
        assert_eq!((clone3.action, clone3.errno_ret), (Action::Errno, Some(38)));
        let clone = profile.syscalls.iter().find(|rule| rule.names == ["clone"]).unwrap();
        assert_eq!((clone.args[0].value, clone.args[0].op), (2_114_060_288, Operator::MaskedEqual));
    }

    #[test]
    fn no_name_stands_twice() {
        let names: Vec<&str> = ALWAYS.split_whitespace().collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    }
}
