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
const ALWAYS: &str = "
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get
ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek
lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat
mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat
openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev
pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile
sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

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
