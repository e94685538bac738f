//! The two clocks: the one that counts from boot, for leases and pauses, and the
//! one on the wall.

use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since boot, suspended time included (clock_gettime(2), `CLOCK_BOOTTIME`).
    pub boot: Duration,
    /// Since 1970.
    pub wall: Duration,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { boot, wall }
    }
}
