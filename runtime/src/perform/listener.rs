//! A filter that asks an agent (`SCMP_ACT_NOTIFY`): loading it gives a descriptor, which
//! must reach the agent although this process may not make one call more without it.
//!
//! ```text
//! this process                  a second thread, not filtered     start, exec
//! starts the thread          →  looks for the descriptor
//! loads the filter           →  sends it                       →  sends it to the agent
//! waits in its own memory    ←  says so                        ←  G
//! goes on to exec               ends, at the latest with exec
//! ```
//!
//! So a profile may ask about every call there is, sendmsg(2), futex(2) and execve(2) among
//! them. When the agent cannot be told the thread ends the process.

use crate::channel::Channel;
use crate::error::{Context, Result};
use crate::seccomp::Program;
use std::hint::spin_loop;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use sys::scheduling::{self, Attributes};

/// Of the thread, in bytes: it calls little.
const STACK: usize = 128 * 1024;

/// What both threads see.
#[derive(Default)]
struct Shared {
    listener: OnceLock<OwnedFd>,
    is_known: AtomicBool,
}

/// Loads the filter, and returns once the agent has its descriptor.
///
/// # Errors
/// Those of seccomp(2) and of making a thread.
pub fn load(filter: &Program, channel: &Channel) -> Result<()> {
    let words = || "linux.seccomp: load".to_owned();
    let shared = Arc::new(Shared::default());
    let (theirs, channel) = (Arc::clone(&shared), channel.again()?);
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || hand_over(&theirs, &channel));
    // Waiting for its end would be a call too.
    drop(thread.context(words)?);
    let listener = sys::seccomp::load_with_listener(&filter.program, filter.flags).context(words)?;
    let _ = shared.listener.set(listener);
    while !shared.is_known.load(Ordering::Acquire) {
        spin_loop();
    }
    // Closing the descriptor would be a call; exec closes it.
    std::mem::forget(shared);
    Ok(())
}

/// The thread's side.
fn hand_over(shared: &Shared, channel: &Channel) {
    // A real-time policy of the container would let the other one, which cannot yield, keep
    // the processor.
    let _ = scheduling::set(&Attributes::default());
    let listener = loop {
        match shared.listener.get() {
            Some(listener) => break listener,
            None => thread::yield_now(),
        }
    };
    if channel.listener(listener.as_fd()).is_err() {
        sys::fork::exit_now(1);
    }
    shared.is_known.store(true, Ordering::Release);
}
