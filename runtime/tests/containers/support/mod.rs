//! What the tests' sentences are made of.
//!
//! A [`Bundle`] is described and run; a [`Container`] is one that was created.
//! Each test's thread is in namespaces of its own (see [`place`]), which are made
//! with its first bundle and end with it.

mod bundle;
mod command;
mod config;
mod console;
mod container;
mod peer;
mod place;

pub use bundle::Bundle;
pub use command::{Ran, Running, STATE, begin, finish, runtime, sh};
pub use config::capabilities;
pub use console::Console;
pub use container::Container;
pub use peer::{Peer, fails};
pub use place::{controllers, lacks, leftovers, stop_reaping};

use std::time::{Duration, Instant};

/// The longest that anything here takes on a machine that is busy: two minutes, or
/// `SKERRY_TEST_PATIENCE` on one that is emulated besides.
pub fn patience() -> Duration {
    let said = std::env::var("SKERRY_TEST_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(said.unwrap_or(120))
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut answer: impl FnMut() -> bool) {
    let patience = patience();
    let end = Instant::now() + patience;
    while !answer() {
        assert!(Instant::now() < end, "{what}: not after {patience:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file's text, or why there is none.
#[track_caller]
pub fn read(path: impl AsRef<std::path::Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}
