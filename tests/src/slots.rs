//! How many tests run machines at once, whatever the number of test threads.
//!
//! Two cores emulate two machines; with more, each waits for the others and all
//! come near their limits. A test holds its slot from its first machine to its
//! last: were it to wait for one per machine, two tests that hold one each and
//! want a second would wait for each other for ever.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

thread_local! {
    /// Machines of the test that this thread runs.
    static MACHINES: Cell<usize> = const { Cell::new(0) };
}

/// The right to run one machine, until dropped by the test that took it.
pub(crate) struct Slot(());

impl Slot {
    /// Waits until fewer tests run machines than there are processors, unless this
    /// one has a machine already.
    pub fn take() -> Self {
        if MACHINES.get() == 0 {
            let most = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
            let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            let free = FREED.wait_while(taken, |taken| *taken >= most);
            *free.unwrap_or_else(PoisonError::into_inner) += 1;
        }
        MACHINES.set(MACHINES.get() + 1);
        Self(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        MACHINES.set(MACHINES.get() - 1);
        if MACHINES.get() == 0 {
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            FREED.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_with_a_machine_never_waits_for_another_tests() {
        let two_machines = || {
            let first = Slot::take();
            let second = Slot::take();
            drop((first, second));
        };
        let tests: Vec<_> = (0..64).map(|_| thread::spawn(two_machines)).collect();
        tests.into_iter().for_each(|test| test.join().unwrap());
        assert_eq!(*TAKEN.lock().unwrap(), 0);
    }
}
