//! The last step before a program whose path others decide: by way of a program of a few instructions, in
//! memory alone, that executes it.
//!
//! A path that is looked at and executed later may lead elsewhere by then, to `/proc/self/exe` for one. From here on
//! that is the trampoline's, which nobody needs to keep from being overwritten (CVE-2019-5736).
//!
//! Its arguments are the program's path and the program's own arguments. That its execve(2) fails it tells on a socket, which
//! stays open until then: four bytes, the error's number.

use crate::elf;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

/// What it calls, which a filter of system calls must let through, and what begins it.
pub const CALLS: [&str; 5] = ["execveat", "fcntl", "execve", "write", "exit_group"];

/// A trampoline that is made and not executed yet.
#[derive(Debug)]
pub struct Trampoline {
    program: File,
    socket: RawFd,
}

impl Trampoline {
    /// Makes one that tells its failure on the socket that has this descriptor's number when it is executed
    /// (`memfd_create(2)`).
    ///
    /// # Errors
    /// `EACCES` where the machine wants no programs in memory.
    pub fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = socket.as_raw_fd();
        Ok(Self { program: elf::in_memory(c"exec", &code(socket))?, socket })
    }

    /// Becomes the trampoline, and by it the program (`execveat(2)`); returns only when it cannot become the first, and
    /// all is as it was.
    ///
    /// # Errors
    /// Those of execveat, `EACCES` among them where programs in memory may not be executed.
    pub fn exec(&self, path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
        let args = args.iter().map(|word| word.as_ptr());
        let args: Vec<_> = [path.as_ptr()].into_iter().chain(args).chain([ptr::null()]).collect();
        let env: Vec<_> = env.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        // SAFETY: both lists end in a null pointer, and their strings live as long as `self` and the arguments; the kernel
        // copies them. The other calls take integers.
        unsafe {
            libc::fcntl(self.socket, libc::F_SETFD, 0);
            let (list, env): (*const *const c_char, _) = (args.as_ptr(), env.as_ptr());
            let (program, flags): (c_int, _) = (self.program.as_raw_fd(), libc::AT_EMPTY_PATH);
            libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), list, env, flags);
            let error = io::Error::last_os_error();
            libc::fcntl(self.socket, libc::F_SETFD, libc::FD_CLOEXEC);
            error
        }
    }
}

/// What it does:
///
/// ```text
/// fcntl(socket, F_SETFD, FD_CLOEXEC)
/// error = execve(argv[0], argv + 1, envp)
/// write(socket, &error, 4)
/// exit_group(127)
/// ```
fn code(socket: RawFd) -> Vec<u8> {
    let socket = socket.to_le_bytes();
    let parts: [&[u8]; 8] = [
        // mov edi, socket; mov esi, F_SETFD; mov edx, FD_CLOEXEC; mov eax, 72; syscall
        &[0xbf],
        &socket,
        &[0xbe, 2, 0, 0, 0, 0xba, 1, 0, 0, 0, 0xb8, 72, 0, 0, 0, 0x0f, 0x05],
        // The stack has argc, argv, 0, envp, 0: mov rax, [rsp]; mov rdi, [rsp + 8]; lea rsi, [rsp + 16];
        // lea rdx, [rsp + rax * 8 + 16]; mov eax, 59; syscall
        &[0x48, 0x8b, 0x04, 0x24, 0x48, 0x8b, 0x7c, 0x24, 8, 0x48, 0x8d, 0x74, 0x24, 16],
        &[0x48, 0x8d, 0x54, 0xc4, 16, 0xb8, 59, 0, 0, 0, 0x0f, 0x05],
        // neg eax; push rax; mov edi, socket; mov rsi, rsp; mov edx, 4; mov eax, 1; syscall
        &[0xf7, 0xd8, 0x50, 0xbf],
        &socket,
        // mov edi, 127; mov eax, 231; syscall
        &[
            0x48, 0x89, 0xe6, 0xba, 4, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xbf, 127, 0, 0, 0, 0xb8, 231,
            0, 0, 0, 0x0f, 0x05,
        ],
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, ExitStatus, Stdio};

    /// Has a child become the program by a trampoline, with the socket's number as one argument more; gives how it ended,
    /// its output and what the socket says.
    fn run(words: &[&str], env: &[&str]) -> (ExitStatus, String, Vec<u8>) {
        let pair =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (ours, theirs) = (pair.0, pair.1);
        let own = |list: &[&str]| list.iter().map(|word| CString::new(*word).unwrap()).collect::<Vec<_>>();
        let number = theirs.as_raw_fd().to_string();
        let all: Vec<&str> = words.iter().copied().chain([&*number]).collect();
        let (path, args, env) = (CString::new(words[0]).unwrap(), own(&all), own(env));
        let trampoline = Trampoline::new(theirs.as_fd()).unwrap();
        let mut command = Command::new("never");
        // SAFETY: what the child does before its exec is two system calls and memory of its own; no other thread's lock is
        // taken but the allocator's, which the C library leaves usable over a fork.
        unsafe { command.pre_exec(move || Err(trampoline.exec(&path, &args, &env))) };
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop((command, theirs));
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let mut told = vec![0; 16];
        let (length, _) = crate::descriptors::receive(ours.as_fd(), &mut told).unwrap();
        told.truncate(length);
        (child.wait().unwrap(), said, told)
    }

    #[test]
    fn a_program_has_its_arguments_and_environment_and_no_socket() {
        let script = "echo $0 $1 $A; test -e /proc/$$/fd/$2 || echo closed; tr '\\0' ' ' < /proc/$$/cmdline";
        let (status, said, told) =
            run(&["/bin/sh", "-c", script, "zero", "one two"], &["A=b c", "PATH=/bin"]);
        assert!(status.success());
        assert!(said.starts_with("zero one two b c\nclosed\n/bin/sh -c echo"), "{said}");
        assert_eq!(told, [0; 0], "the socket closes without a word");
    }

    #[test]
    fn a_program_that_cannot_run_is_told() {
        let (status, said, told) = run(&["/no/such", "x"], &[]);
        assert_eq!((status.code(), &*said), (Some(127), ""));
        assert_eq!(told, libc::ENOENT.to_le_bytes());
        assert_eq!(run(&["/etc"], &[]).2, libc::EACCES.to_le_bytes());
    }
}
