//! Processes: started without copying the caller, looked at before they are reaped.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

/// What a new process is to be.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program by absolute path, and its arguments; at least one.
    pub argv: &'a [CString],
    /// Environment, `NAME=value` each.
    pub env: &'a [CString],
    /// Descriptors that become 0, 1, 2, … of the process; it gets no other.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// The cgroup v2 folder in which it begins; the caller's own without it.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// What to write to `/proc/self/oom_score_adj` (proc(5)); best effort.
    pub oom_score_adj: Option<&'a CStr>,
}

/// `struct clone_args` up to `cgroup` (clone(2)).
#[repr(C)]
#[derive(Default)]
pub(crate) struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl CloneArgs {
    /// A thread on this stack, with `CLONE_*` flags.
    pub(crate) fn thread(flags: c_int, stack: &mut [u128]) -> Self {
        let (stack, stack_size) = (stack.as_mut_ptr() as u64, size_of_val(stack) as u64);
        Self { flags: flags as u64, stack, stack_size, ..Self::default() }
    }

    /// A child on this stack, with `CLONE_*` flags, whose end is told by `SIGCHLD`.
    pub(crate) fn process(flags: c_int, stack: &mut [u128]) -> Self {
        Self { exit_signal: libc::SIGCHLD as u64, ..Self::thread(flags, stack) }
    }

    /// It is the child of the caller's parent, and its end is told as the caller's is.
    pub(crate) fn be_sibling(&mut self) {
        self.flags |= libc::CLONE_PARENT as u64;
        self.exit_signal = 0;
    }

    /// It begins in this cgroup v2 folder.
    pub(crate) fn enter(&mut self, cgroup: BorrowedFd<'_>) {
        self.flags |= CLONE_INTO_CGROUP;
        self.cgroup = cgroup.as_raw_fd() as u64;
    }
}

/// What the child reads, in the memory it shares with its stopped parent.
struct Child {
    argv: *const *const c_char,
    env: *const *const c_char,
    descriptors: *mut RawFd,
    count: usize,
    oom_score_adj: *const c_char,
    error: c_int,
}

/// Not libc's constant, which is an int that this value does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const STACK: usize = 32 * 1024;

/// Starts a process in a session of its own, with every signal unblocked and
/// `SIGPIPE` at its default, and returns its ID (`clone3(2)` with
/// `CLONE_VM | CLONE_VFORK`, `execve(2)`).
///
/// The caller stands still until the program runs or could not be run, so no
/// page of it is copied.
///
/// # Errors
/// Those of clone3 and execve, `ENOENT` and `EACCES` for the program among them;
/// a child whose exec failed is reaped. `EINVAL` for an empty `argv`.
pub fn spawn(spawn: &Spawn<'_>) -> io::Result<i32> {
    if spawn.argv.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let argv = pointers(spawn.argv);
    let env = pointers(spawn.env);
    let mut descriptors: Vec<RawFd> = spawn.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let mut child = Child {
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        descriptors: descriptors.as_mut_ptr(),
        count: descriptors.len(),
        oom_score_adj: spawn.oom_score_adj.map_or(ptr::null(), CStr::as_ptr),
        error: 0,
    };
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK);
    let base = stack.as_mut_ptr() as u64;
    let mut args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: base,
        stack_size: ((base + STACK as u64) & !15) - base,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = spawn.cgroup {
        args.enter(cgroup);
    }
    let child_at = &raw mut child;
    // SAFETY: `args` names a stack that is this call's own and 16-byte aligned;
    // CLONE_VFORK stops this thread until the child has left our memory, so all
    // that `child` points to outlives its use.
    let pid = unsafe { clone3(&args, run_child, child_at.cast()) };
    // SAFETY: the child is gone from our memory; it wrote through this pointer.
    let error = unsafe { ptr::read_volatile(&raw const (*child_at).error) };
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(-pid as i32));
    }
    if error != 0 {
        reap(pid as i32);
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok(pid as i32)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// clone3(2) by hand, because the child begins on a new stack: a function that
/// returned there would find no frame. Returns the child's ID or an errno below zero.
///
/// # Safety
/// `args` must share memory (`CLONE_VM`) and name a 16-byte aligned stack, which the caller must
/// leave alone until the child has left its memory; `data` must be valid for `run` as long.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone3(
    args: &CloneArgs,
    run: extern "C" fn(*mut c_void) -> !,
    data: *mut c_void,
) -> i64 {
    let mut result = libc::SYS_clone3;
    // SAFETY: in the parent only rax, rcx and r11 change. The child, whose rax
    // is zero, calls `run`, which does not return.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inout("rax") result,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") data,
            in("r13") run,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// The child's side: nothing but system calls, since it stands in its parent's memory.
extern "C" fn run_child(child: *mut c_void) -> ! {
    // SAFETY: `spawn` gives pointers that live until the exec, and nobody else
    // runs in this memory meanwhile.
    unsafe {
        let child = &mut *child.cast::<Child>();
        libc::setsid();
        if !child.oom_score_adj.is_null() {
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(file, child.oom_score_adj.cast::<c_void>(), libc::strlen(child.oom_score_adj));
            libc::close(file);
        }
        if place(child.descriptors, child.count) {
            let mut all = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(all.as_mut_ptr());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::syscall(libc::SYS_close_range, child.count, u32::MAX, 0);
            libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
            libc::execve(*child.argv, child.argv, child.env);
        }
        child.error = *libc::__errno_location();
        libc::_exit(127)
    }
}

/// Puts descriptor `n` of the list at number `n`, first lifting those that lie
/// in the way.
///
/// # Safety
/// `list` must hold `count` open descriptors.
unsafe fn place(list: *mut RawFd, count: usize) -> bool {
    for target in 0..count {
        // SAFETY: `target` is below `count`; the calls take integers alone.
        let placed = unsafe {
            let from = list.add(target);
            if (*from as usize) < count {
                *from = libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, count as c_int);
            }
            *from >= 0
        };
        if !placed {
            return false;
        }
    }
    // SAFETY: as above.
    (0..count).all(|target| unsafe { libc::dup2(*list.add(target), target as c_int) } >= 0)
}

/// Has the program of a command begin with no signal blocked: `std` hands on what its caller blocks.
pub fn unblock_signals(command: &mut Command) {
    let unblock = || {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is filled before it is read, and none of the old one is asked for.
        let result = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: two calls that may be made after fork(2), without memory or locks of the parent's.
    unsafe { command.pre_exec(unblock) };
}

/// A child that has ended and is still a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its process ID, not given out again before [`reap`].
    pub pid: i32,
    /// Its wait status as wait(2) gives it.
    pub status: i32,
}

/// Looks at a child that has ended, without waiting and without reaping it
/// (`waitid(2)` with `WNOHANG | WNOWAIT`). Every signal number is reported,
/// real-time ones too.
#[must_use]
pub fn peek_ended() -> Option<Ended> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel fills in `info`, which was zero, which is valid too; the
    // accessors read fields that a SIGCHLD siginfo has.
    unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) != 0 {
            return None;
        }
        let info = info.assume_init();
        let status = match info.si_code {
            libc::CLD_EXITED => (info.si_status() & 0xff) << 8,
            libc::CLD_DUMPED => info.si_status() | 0x80,
            _ => info.si_status(),
        };
        (info.si_pid() != 0).then(|| Ended { pid: info.si_pid(), status })
    }
}

/// Whether there is any child, running or ended (`waitid(2)`). For a process
/// that adopts orphans, no child means no descendant at all.
#[must_use]
pub fn has_children() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel fills in `info`, which nobody reads.
    unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) == 0 }
}

/// Reaps one child, which must have ended (`waitpid(2)`).
pub fn reap(pid: i32) {
    // SAFETY: a null status is allowed; the call touches no memory.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// Reaps one child if it has ended; its wait status as wait(2) gives it, real-time signals too (`waitpid(2)` with `WNOHANG`).
///
/// # Errors
/// `ECHILD` for who is no child.
pub fn reap_if_ended(pid: i32) -> io::Result<Option<i32>> {
    let mut status = 0;
    // SAFETY: the kernel writes one int through the pointer.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } {
        ended if ended < 0 => Err(io::Error::last_os_error()),
        ended => Ok((ended != 0).then_some(status)),
    }
}

/// Sends a signal to a process; to every process but the caller and PID 1 when
/// `pid` is -1, to the group when it is below (`kill(2)`).
///
/// # Errors
/// `ESRCH` when there is none, `EPERM`, `EINVAL`.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes two integers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this process open so many files, or as many as it may (`RLIMIT_NOFILE` of setrlimit(2)), and returns
/// how many. A greater limit stays.
pub fn may_open(most: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit through the pointer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 || limit.rlim_cur >= most {
        return limit.rlim_cur;
    }
    for hard in [limit.rlim_max.max(most), limit.rlim_max] {
        let wanted = libc::rlimit { rlim_cur: most.min(hard), rlim_max: hard };
        // SAFETY: the kernel reads one rlimit through the pointer.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
            return wanted.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// How many files a program of ours may open at most, for a process that may not raise that
/// (`CAP_SYS_RESOURCE`).
#[must_use]
pub fn most_files() -> Option<u64> {
    const SYS_RESOURCE: u64 = 1 << 24;
    if crate::capability::permitted().is_ok_and(|set| set & SYS_RESOURCE != 0) {
        return None;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit through the pointer.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (read == 0).then_some(limit.rlim_max)
}

/// From now on these signals end this process, with 128 and their number as a shell has it, blocked before or not. By their
/// default none ends the first process of a PID namespace (pid_namespaces(7)); with an exec they are at that again.
pub fn end_by(signals: &[c_int]) {
    extern "C" fn end(number: c_int) {
        // SAFETY: the call takes an integer, and may be made in a handler of signals (signal-safety(7)).
        unsafe { libc::_exit(128 + number) }
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is read; the handler is safe whenever it is called.
    unsafe {
        libc::sigemptyset(all.as_mut_ptr());
        for number in signals {
            libc::sigaddset(all.as_mut_ptr(), *number);
            libc::signal(*number, end as extern "C" fn(c_int) as libc::sighandler_t);
        }
        libc::sigprocmask(libc::SIG_UNBLOCK, all.as_ptr(), ptr::null_mut());
    }
}

/// Puts a signal at its default; one that has no other is left alone (`signal(2)`).
pub fn default_signal(number: i32) {
    // SAFETY: the default is no function of ours, so nothing can be called wrongly.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn run(argv: &[&str], env: &[&str]) -> io::Result<String> {
        let own = |list: &[&str]| list.iter().map(|word| CString::new(*word).unwrap()).collect::<Vec<_>>();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let descriptors = [null.as_fd(), writer.as_fd(), writer.as_fd()];
        let (argv, env) = (own(argv), own(env));
        let pid = spawn(&Spawn {
            argv: &argv,
            env: &env,
            descriptors: &descriptors,
            cgroup: None,
            oom_score_adj: Some(c"500"),
        })?;
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        reap(pid);
        Ok(text)
    }

    #[test]
    fn a_program_gets_its_arguments_environment_and_descriptors() {
        let script =
            "echo $A; ls /proc/self/fd | wc -l; cat /proc/self/oom_score_adj; cut -d' ' -f6 /proc/$$/stat";
        let text = run(&["/bin/sh", "-c", script], &["A=b c"]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["b c", "4", "500"], "{text}");
        let mine = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert_ne!(Some(lines[3]), mine.split(' ').nth(5), "the session is its own");
    }

    #[test]
    fn a_program_that_cannot_run_is_an_error_here() {
        assert_eq!(run(&["/no/such"], &[]).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(run(&["/etc"], &[]).unwrap_err().raw_os_error(), Some(libc::EACCES));
    }
}
