//! A process that only waits, for namespaces that need one: a program of two instructions, in memory alone, with three
//! pages and no descriptor.
//!
//! In a PID namespace nothing can begin once its first process has ended, whatever mount keeps it. This one
//! ignores `SIGCHLD`, so the kernel reaps what is orphaned there (wait(2), NOTES), and ends the rest with it
//! (pid_namespaces(7)).

use crate::elf;
use crate::process::{CloneArgs, clone3, reap};
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Its name in lists of processes, as other kubelets' first process of a pod has it.
const NAME: &CStr = c"/pause";

const STACK: usize = 16 * 1024;

/// pause(2), again whenever it returns: `mov eax, 34; syscall; jmp` to the first.
const CODE: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

/// The program in memory (memfd_create(2)).
fn in_memory() -> io::Result<File> {
    let file = elf::in_memory(NAME, &CODE)?;
    // Opened anew, to be read: what somebody may write is not run.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What the children read and write, in the memory they share with their stopped parent.
struct Child {
    program: RawFd,
    oom_score_adj: *const c_char,
    /// The user namespace that is joined first, with what is made in it then; none of the parent's.
    users: RawFd,
    args: *const CloneArgs,
    pid: c_long,
    error: c_int,
}

/// Whoever changes whether this process' memory may be dumped.
static ONE: Mutex<()> = Mutex::new(());

/// Starts it in new namespaces (`CLONE_NEW*`), in a cgroup v2 folder if one is given, and gives its ID
/// (`clone3(2)`, `execveat(2)`). The namespaces belong to `users`, a user namespace, whose root it is; to the caller's
/// without one. `oom_score_adj` is written to its file of that name (proc(5)); best effort. It is this process's child:
/// who starts it reaps it.
///
/// # Errors
/// Those of clone3, `EPERM` and `ENOSPC` among them, of setns and setresuid, and of execveat.
pub fn start(
    users: Option<BorrowedFd<'_>>,
    namespaces: c_int,
    cgroup: Option<BorrowedFd<'_>>,
    oom_score_adj: &CStr,
) -> io::Result<i32> {
    let program = in_memory()?;
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut args = CloneArgs::process(libc::CLONE_VM | libc::CLONE_VFORK | namespaces, &mut stack);
    let mut child = Child {
        program: program.as_raw_fd(),
        oom_score_adj: oom_score_adj.as_ptr(),
        users: -1,
        args: ptr::null(),
        pid: 0,
        error: 0,
    };
    let Some(users) = users else {
        if let Some(cgroup) = cgroup {
            args.enter(cgroup);
        }
        return begin(&args, run_child, &mut child);
    };
    // Who joins it has our memory, and its root might trace whoever is in it: not where memory may not be dumped
    // (ptrace(2), Ptrace access mode checking), which the child sees to first. It is taken back here, by one at a time.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: asks for a number.
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    args.be_sibling();
    (child.users, child.args) = (users.as_raw_fd(), &raw const args);
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut args = CloneArgs::process(libc::CLONE_VM | libc::CLONE_VFORK, &mut stack);
    if let Some(cgroup) = cgroup {
        args.enter(cgroup);
    }
    let between = begin(&args, run_between, &mut child);
    // SAFETY: changes a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, dumpable) };
    let pid = i32::try_from(child.pid).unwrap_or(-1);
    match between {
        Ok(between) => {
            reap(between);
            Ok(pid)
        }
        Err(error) => {
            if pid > 0 {
                reap(pid);
            }
            Err(error)
        }
    }
}

/// Makes a child that runs `side`; it is reaped when that tells an error.
fn begin(args: &CloneArgs, side: extern "C" fn(*mut c_void) -> !, child: &mut Child) -> io::Result<i32> {
    let child = ptr::from_mut(child);
    // SAFETY: `args` names a stack that is the caller's own and 16-byte aligned;
    // CLONE_VFORK stops this thread until the child has left our memory, so all
    // that `child` points to outlives its use.
    let pid = unsafe { clone3(args, side, child.cast()) };
    // SAFETY: the child is gone from our memory; it wrote through this pointer.
    let error = unsafe { ptr::read_volatile(&raw const (*child).error) };
    match (i32::try_from(pid), error) {
        (Ok(pid), 0) if pid > 0 => Ok(pid),
        (Ok(pid), error) if pid > 0 => {
            reap(pid);
            Err(io::Error::from_raw_os_error(error))
        }
        _ => Err(io::Error::from_raw_os_error(-pid as i32)),
    }
}

/// The side of the child that joins a user namespace and makes the process there, as its parent's child: a process of
/// several threads cannot join one.
extern "C" fn run_between(child: *mut c_void) -> ! {
    // SAFETY: `start` gives pointers that live until this child has ended, and nobody else runs in this memory meanwhile.
    // Plain system calls: libc's functions would change the IDs of the parent's threads, too.
    unsafe {
        let own = &mut *child.cast::<Child>();
        adjust_oom_score(own);
        let joined = libc::prctl(libc::PR_SET_DUMPABLE, 0) == 0
            && libc::setns(own.users, libc::CLONE_NEWUSER) == 0
            && libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) == 0
            && libc::syscall(libc::SYS_setresgid, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_setresuid, 0, 0, 0) == 0;
        if joined {
            own.pid = clone3(&*own.args, run_child, child);
            if own.pid < 0 {
                own.error = -own.pid as c_int;
            }
        } else {
            own.error = *libc::__errno_location();
        }
        libc::_exit(0)
    }
}

/// Writes the value for the process that calls.
///
/// # Safety
/// As [`start`] has it: its pointer is valid.
unsafe fn adjust_oom_score(child: &Child) {
    // SAFETY: system calls; the pointer is valid by this function's contract.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(file, child.oom_score_adj.cast::<c_void>(), libc::strlen(child.oom_score_adj));
        libc::close(file);
    }
}

/// The child's side: nothing but system calls, since it stands in its parent's memory.
extern "C" fn run_child(child: *mut c_void) -> ! {
    let argv = [NAME.as_ptr(), ptr::null()];
    // SAFETY: `start` gives pointers that live until the exec, and nobody else
    // runs in this memory meanwhile.
    unsafe {
        let child = &mut *child.cast::<Child>();
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        adjust_oom_score(child);
        // Kept by an exec, as no handler is.
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::syscall(
            libc::SYS_execveat,
            child.program,
            c"".as_ptr(),
            argv.as_ptr(),
            [ptr::null::<c_char>()].as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        child.error = *libc::__errno_location();
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    #[test]
    #[ignore = "needs root"]
    fn its_namespaces_are_those_of_a_user_namespace_whose_root_it_is() {
        let map = "0 65536 65536";
        let users = crate::user_namespace::with_maps(map, map).unwrap();
        let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let pid = start(Some(users.as_fd()), flags, None, c"7").unwrap();
        let of = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let inode = |own: std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(&own);
        let joined = inode(std::fs::metadata(format!("/proc/{pid}/ns/user")).unwrap());
        assert_eq!(joined, inode(users.metadata().unwrap()));
        let status = of("status");
        for line in ["Uid:\t65536\t65536", "Gid:\t65536\t65536", "Groups:\t \n", "NSpid:\t"] {
            assert!(status.contains(line), "{line}: {status}");
        }
        assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
        assert_eq!(of("oom_score_adj"), "7\n");
        {
            // Another test may be about to change it.
            let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: asks for a number.
            assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1, "the caller is as it was");
        }
        let process = crate::pidfd::open(pid).unwrap();
        crate::pidfd::signal(process.as_fd(), libc::SIGKILL).unwrap();
        reap(pid);
        // What cannot be joined is told, and leaves no process.
        let other = File::open("/dev/null").unwrap();
        assert_eq!(
            start(Some(other.as_fd()), flags, None, c"0").unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        assert_eq!(children, "");
    }

    #[test]
    fn the_program_waits_until_it_is_killed() {
        let path = std::env::temp_dir().join(format!("skerry-pause-{}", std::process::id()));
        // By another process: what this one writes another test's child may still have open.
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(&path).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        install.stdin.take().unwrap().write_all(&elf::program(&CODE)).unwrap();
        assert!(install.wait().unwrap().success());
        let mut child = Command::new(&path).stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        let waits = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        // Its system call is pause(2), which nothing but a handler would end.
        while !waits().starts_with("34 ") {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }
}
