//! The kernel in safe Rust.
//!
//! Wrappers of the system calls that `nix` does not offer safely, one file per
//! noun. The only `unsafe` code of Skerry is here; it knows nothing of
//! containers, services or images. Every function names its manual page, and
//! every `unsafe` block the invariant that makes it sound.

pub mod block;
pub mod capability;
pub mod cause;
pub mod clock;
pub mod descriptors;
pub mod device_filter;
pub mod domain_name;
mod elf;
pub mod entry;
pub mod file;
pub mod fork;
pub mod fs_context;
pub mod interface;
pub mod keyring;
pub mod listener;
pub mod memory;
pub mod mount_tree;
pub mod multicast;
pub mod netlink;
pub mod packet;
pub mod pause;
pub mod pidfd;
pub mod process;
pub mod random;
pub mod regular;
pub mod scheduling;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod texts;
pub mod trampoline;
pub mod tree;
pub mod user_namespace;
pub mod verity;
pub mod watchdog;
pub mod xattr;
