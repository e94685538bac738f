//! The two calls of i386 that stand for many: `socketcall(2)` and `ipc(2)`. A rule
//! without arguments for one of the many holds for the call in this form too, or
//! a 32-bit program would get around it; one with arguments cannot, because
//! `socketcall` has them in memory.

use spec::bundle::{Argument, Operator};

/// From 1 on, linux/net.h.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// linux/ipc.h
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The other form of a call: the call that stands for it, and with which first argument.
pub fn form(name: &str) -> Option<(&'static str, Argument)> {
    let first = |value, mask| Argument { index: 0, value: mask, value_two: value, op: Operator::MaskedEqual };
    if let Some(place) = SOCKETCALL.iter().position(|known| *known == name) {
        return Some(("socketcall", first(place as u64 + 1, 0xffff_ffff)));
    }
    let (_, number) = IPC.iter().find(|(known, _)| *known == name)?;
    // The upper half is the version of the call's form.
    Some(("ipc", first(*number, 0xffff)))
}
