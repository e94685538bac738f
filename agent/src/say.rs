//! What a user should know, a line each, on standard output: PID 1 puts it on the console and into
//! the log, with the agent's name before it.

use crate::certificate::random;
use std::fmt;
use std::io::{Write, stdout};
use std::time::Duration;
use tokio::time::sleep;

/// How long after a first failure something is tried again, and how long at most after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Says a line. Nobody listening is no reason to end.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = stdout().write_all(format!("{line}\n").as_bytes());
}

/// Says what goes wrong again and again once, until it is something else or is over; and tries it again later
/// each time.
#[derive(Debug, Default)]
pub struct Trouble {
    last: Option<String>,
    /// How often it went wrong in a row.
    failures: u32,
}

impl Trouble {
    /// Takes how an attempt came out; gives what it made, if it worked.
    pub fn of<T>(&mut self, what: &str, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(made) => {
                self.failures = 0;
                if self.last.take().is_some() {
                    say(format_args!("{what}: works again"));
                }
                Some(made)
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                if self.last.as_ref() != Some(&reason) {
                    say(format_args!("{what}: {reason}"));
                    self.last = Some(reason);
                }
                None
            }
        }
    }

    /// Waits until it is to be tried again: half a second at first, twice as long each time, 8 s at most; a
    /// quarter more or less, so that not all that waits comes back at once.
    pub async fn pause(&self) {
        sleep(pause(self.failures).mul_f64(0.75 + random() / 2.0)).await;
    }
}

fn pause(failures: u32) -> Duration {
    PAUSES.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_later_each_time_up_to_a_bound() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u128> = (0..100)
            .map(|_| {
                trouble.of::<()>("try", Err("no".to_owned()));
                pause(trouble.failures).as_millis()
            })
            .collect();
        assert_eq!(pauses[..6], [500, 1000, 2000, 4000, 8000, 8000]);
        assert_eq!(pauses[99], 8000);
        trouble.of("try", Ok(()));
        trouble.of::<()>("try", Err("no".to_owned()));
        assert_eq!(pause(trouble.failures).as_millis(), 500);
    }
}
