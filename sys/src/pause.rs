//! A process that only waits, for namespaces that need one: a program of two instructions, in memory alone, with three
//! pages and no descriptor.
//!
//! In a PID namespace nothing can begin once its first process has ended, whatever mount keeps it. This one
//! ignores `SIGCHLD`, so the kernel reaps what is orphaned there (wait(2), NOTES), and ends the rest with it
//! (pid_namespaces(7)).

use crate::elf;
use crate::process::{CloneArgs, clone3, reap};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

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

/// What the child reads, in the memory it shares with its stopped parent.
struct Child {
    program: RawFd,
    oom_score_adj: *const c_char,
    error: c_int,
}

/// Starts it in new namespaces (`CLONE_NEW*`), in a cgroup v2 folder if one is given, and gives its ID
/// (`clone3(2)`, `execveat(2)`). `oom_score_adj` is written to its file of that name
/// (proc(5)); best effort. It is this process's child: who starts it reaps it.
///
/// # Errors
/// Those of clone3, `EPERM` and `ENOSPC` among them, and of execveat.
pub fn start(namespaces: c_int, cgroup: Option<BorrowedFd<'_>>, oom_score_adj: &CStr) -> io::Result<i32> {
    let program = in_memory()?;
    let mut child = Child { program: program.as_raw_fd(), oom_score_adj: oom_score_adj.as_ptr(), error: 0 };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | namespaces;
    let mut args = CloneArgs::process(flags, &mut stack);
    if let Some(cgroup) = cgroup {
        args.enter(cgroup);
    }
    let child_at = &raw mut child;
    // SAFETY: `args` names a stack that is this call's own and 16-byte aligned;
    // CLONE_VFORK stops this thread until the child has left our memory, so all
    // that `child` points to outlives its use.
    let pid = unsafe { clone3(&args, run_child, child_at.cast()) };
    // SAFETY: the child is gone from our memory; it wrote through this pointer.
    let error = unsafe { ptr::read_volatile(&raw const (*child_at).error) };
    match (i32::try_from(pid), error) {
        (Ok(pid), 0) if pid > 0 => Ok(pid),
        (Ok(pid), error) if pid > 0 => {
            reap(pid);
            Err(io::Error::from_raw_os_error(error))
        }
        _ => Err(io::Error::from_raw_os_error(-pid as i32)),
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
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(file, child.oom_score_adj.cast::<c_void>(), libc::strlen(child.oom_score_adj));
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
    use std::process::{Command, Stdio};

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
