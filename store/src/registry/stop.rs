//! An end that several threads share: when one fails, the others need not go on.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Not yet, or at once.
#[derive(Default)]
pub(crate) struct Stop {
    now: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Ends all waits, those to come among them.
    pub fn set(&self) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// True after [`Self::set`].
    pub fn is_set(&self) -> bool {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this long. True: the end came first.
    pub fn wait(&self, time: Duration) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(now, time, |now| !*now);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_stop() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stop.wait(Duration::from_secs(1000)));
            stop.set();
            assert!(waiting.join().unwrap());
        });
        assert!(stop.is_set());
    }
}
