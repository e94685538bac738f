//! Virtual machines for people and tests: built, started, watched, always ended.
//!
//! A [`Machine`] is a plain description; [`Machine::start`] turns it into a
//! [`Vm`], which owns one QEMU process.
//!
//! ```no_run
//! use qemu::{Disk, Machine, Network};
//!
//! let vm = Machine::q35()
//!     .kernel("vmlinuz", "initramfs.cpio", "console=ttyS0")
//!     .disk(Disk::new("root.erofs").read_only())
//!     .network(Network::user().forward(0, 80))
//!     .start()?;
//! vm.console().wait_for("web: running")?;
//! let port = vm.forwarded(80)?;
//! vm.power_button()?;
//! vm.wait_off()?;
//! # Ok::<(), qemu::Error>(())
//! ```
//!
//! # How a machine never outlives its owner
//!
//! - Dropping a [`Vm`] kills QEMU and waits until it is gone.
//! - An owner that dies without dropping (SIGKILL, abort) takes QEMU along: QEMU
//!   runs under `setpriv --pdeathsig KILL`, which execve(2) preserves. The kernel
//!   sends that signal when the *thread* that forked ends (prctl(2)), so each VM
//!   has a thread of its own that spawns it and then waits for its end.
//! - Serial console, QMP and the test channel are socket pairs inherited by QEMU:
//!   nothing lies in the file system, so nothing can stay behind there.
//!
//! # What is deliberately missing
//!
//! No polling: every wait sleeps until QEMU or the guest says something, or its
//! limit passes. No other architecture than x86-64, no graphics, no migration.

mod accelerator;
mod arguments;
mod console;
mod disk;
mod error;
mod machine;
mod network;
mod process;
mod qmp;
mod vm;
mod watched;

pub use accelerator::Accelerator;
pub use console::{Console, Watch};
pub use disk::Disk;
pub use error::{Error, words};
pub use machine::{Board, Machine};
pub use network::Network;
pub use process::{End, Process, owned};
pub use vm::Vm;
