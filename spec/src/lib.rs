//! Words that Skerry's programs share: the node's configuration, OCI bundles,
//! well-known paths, the languages of PID 1's and the monitor's sockets.
//!
//! Nothing here does I/O, so every program, PID 1 among them, can read the same
//! words without taking on anything else. What only one program needs lives in
//! that program.

pub mod bundle;
pub mod control;
pub mod crc32c;
pub mod ext4_template;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod manifest;
pub mod modules;
pub mod monitor;
pub mod mountinfo;
pub mod nearest;
pub mod network;
pub mod node;
pub mod paths;
pub mod proc_stat;
pub mod quantity;
pub mod seccomp;
pub mod signal;
pub mod timestamp;
mod value;
pub mod volume;
