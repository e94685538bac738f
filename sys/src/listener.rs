//! A filter of system calls that asks another process about them (seccomp_unotify(2)): the
//! descriptor on which it asks must reach that process, although this one may not make one
//! call more without its answer.
//!
//! ```text
//! this thread                   a second one, not filtered    the other end of the socket
//! starts it                  →  looks for the descriptor
//! loads the filter           →  sends it                   →  has it looked after
//! waits in its own memory    ←  says so                    ←  answers
//! ```
//!
//! So a filter may ask about every call there is, sendmsg(2), futex(2) and execve(2) among them.
//! The second thread is none of the C library's, whose threads would make a program a thirtieth
//! larger, and makes nothing but system calls.

use crate::packet::Instruction;
use crate::process::{CloneArgs, clone3};
use crate::scheduling::{self, Attributes};
use crate::seccomp;
use std::ffi::{c_int, c_void};
use std::hint::spin_loop;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

const STACK: usize = 32 * 1024;
/// No descriptor.
const NONE: i32 = -1;

/// What both threads see.
struct Shared {
    listener: AtomicI32,
    is_known: AtomicBool,
    socket: c_int,
    packet: u8,
    answer: u8,
}

/// Puts a filter on this process for good, sends the descriptor on which it asks about calls over
/// a unix socket with a packet of one byte, and returns when the answer has come
/// (`SECCOMP_FILTER_FLAG_NEW_LISTENER` of seccomp(2)). The process ends with status 1 when another
/// answer comes, or none. The descriptor is closed here by then: when the other process ends calls fail, and are not
/// waited for.
///
/// For a process of one thread, that is about to exec: nothing of the second one's is freed.
///
/// # Errors
/// As [`seccomp::load`]; `EBUSY` when a filter of this process asks already; those of clone(2).
pub fn load(
    program: &[Instruction],
    flags: u32,
    socket: BorrowedFd<'_>,
    packet: u8,
    answer: u8,
) -> io::Result<()> {
    let (listener, is_known) = (AtomicI32::new(NONE), AtomicBool::new(false));
    let socket = socket.as_raw_fd();
    let shared: &'static Shared = Box::leak(Box::new(Shared { listener, is_known, socket, packet, answer }));
    start(shared)?;
    let listener = seccomp::set(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32)?;
    shared.listener.store(listener, Ordering::Release);
    while !shared.is_known.load(Ordering::Acquire) {
        spin_loop();
    }
    Ok(())
}

/// Starts the second thread.
fn start(shared: &'static Shared) -> io::Result<()> {
    let stack = Box::leak(vec![0; STACK / size_of::<u128>()].into_boxed_slice());
    let together = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND;
    let args = CloneArgs::thread(together | libc::CLONE_THREAD | libc::CLONE_SYSVSEM, stack);
    let data = std::ptr::from_ref(shared).cast_mut().cast::<c_void>();
    // SAFETY: stack and `shared` are never freed, and the stack, of 16-byte words, is nobody else's.
    match unsafe { clone3(&args, hand_over, data) } {
        result if result < 0 => Err(io::Error::from_raw_os_error(-result as i32)),
        _ => Ok(()),
    }
}

/// The second thread.
extern "C" fn hand_over(shared: *mut c_void) -> ! {
    // SAFETY: `start` gives a `Shared` that is never freed; both threads only read it but for atomics.
    let shared = unsafe { &*shared.cast::<Shared>() };
    // A real-time policy of the process would let the other thread, which cannot yield, keep the processor.
    let _ = scheduling::set(&Attributes::default());
    let listener = loop {
        match shared.listener.load(Ordering::Acquire) {
            // SAFETY: the call takes nothing.
            NONE => unsafe { libc::syscall(libc::SYS_sched_yield) },
            listener => break listener,
        };
    };
    if !is_told(shared, listener) {
        // SAFETY: the call takes an integer and ends the process.
        unsafe { libc::syscall(libc::SYS_exit_group, 1) };
    }
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::syscall(libc::SYS_close, listener) };
    shared.is_known.store(true, Ordering::Release);
    loop {
        // SAFETY: the call takes an integer and ends this thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// A control message with one descriptor, as `SCM_RIGHTS` of unix(7) has it.
#[repr(C)]
struct Rights {
    header: libc::cmsghdr,
    descriptor: c_int,
}

fn is_told(shared: &Shared, listener: c_int) -> bool {
    let length = size_of::<libc::cmsghdr>() + size_of::<c_int>();
    let header =
        libc::cmsghdr { cmsg_len: length, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    let mut rights = Rights { header, descriptor: listener };
    let mut packet = shared.packet;
    let mut part = libc::iovec { iov_base: (&raw mut packet).cast(), iov_len: 1 };
    // SAFETY: a msghdr of zeros is valid: no address, no parts, no control message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = ((&raw mut rights).cast(), length);
    let mut answer = 0_u8;
    // SAFETY: what the message points to lives through the call, as does the byte that is received.
    unsafe {
        let socket = shared.socket;
        libc::syscall(libc::SYS_sendmsg, socket, &raw const message, libc::MSG_NOSIGNAL) == 1
            && libc::syscall(libc::SYS_recvfrom, socket, &raw mut answer, 1, 0, 0, 0) == 1
            && answer == shared.answer
    }
}
