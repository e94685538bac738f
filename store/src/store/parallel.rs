//! Several pieces of work at a time.

use crate::error::{Error, Result};
use crate::registry::Stop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Layers that move at the same time.
const THREADS: usize = 3;

/// Does `work` for each job and gives what came of it, in whatever order. The first failure
/// ends the others.
pub(super) fn each<J: Sync, T: Send>(
    jobs: &[J],
    stop: &Stop,
    work: impl Fn(&J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let outcome: Mutex<(Vec<T>, Option<Error>)> = Mutex::default();
    let run = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = work(job);
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match done {
                Ok(done) => outcome.0.push(done),
                Err(error) => {
                    outcome.1.get_or_insert(error);
                    stop.set();
                }
            }
            if stop.is_set() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(jobs.len()) {
            scope.spawn(run);
        }
        run();
    });
    let (done, error) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    error.map_or(Ok(done), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_counts_and_ends_the_work() {
        let jobs: Vec<usize> = (0..1000).collect();
        assert_eq!(each(&jobs, &Stop::default(), |job| Ok(*job)).unwrap().len(), 1000);
        let (done, stop) = (AtomicUsize::new(0), Stop::default());
        let error = each(&jobs, &stop, |job| {
            done.fetch_add(1, Ordering::SeqCst);
            if *job == 5 { Err(Error::wrong("five", "is odd")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().to_string(), "five: is odd");
        assert!(done.load(Ordering::SeqCst) < 1000 || stop.is_set());
    }
}
