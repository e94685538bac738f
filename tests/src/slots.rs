//! How many machines run at once, whatever the number of test threads.
//!
//! Two cores emulate two machines; with more, each waits for the others and all
//! come near their limits.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to run one machine, until dropped.
pub(crate) struct Slot(());

impl Slot {
    /// Waits until fewer machines run than there are processors (but two may
    /// always run: a test of two nodes needs both).
    pub fn take() -> Self {
        let most = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let full = FREED.wait_while(taken, |taken| *taken >= most);
        *full.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}
