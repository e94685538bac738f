//! What the tests' sentences are made of: a [`Node`] with a keeper and a monitor, and a
//! [`Client`] that speaks to it.

mod client;
mod node;
mod place;

pub use client::{Client, Said};
pub use node::{COUNT, Node, busybox, is_counted};
#[allow(unused_imports, reason = "for the tests of the command")]
pub use node::{archive, programs};
#[allow(unused_imports, reason = "for the tests of the command")]
pub use place::Place;

use std::time::{Duration, Instant};

/// The longest that anything here takes on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until the answer is yes.
#[track_caller]
pub fn eventually(what: &str, mut answer: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !answer() {
        assert!(Instant::now() < end, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A die whose throws are the same for the same seed.
pub struct Die(pub u64);

impl Die {
    /// The next throw, below `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
