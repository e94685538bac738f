//! Which runtime is tested.
//!
//! `SKERRY_TEST_RUNTIME=runc` or `=crun` or a path takes another one than ours: a
//! test that the peers fail too is probably wrong.

use std::io::Write;

/// A runtime with runc's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `skerry-runtime`
    Ours,
    /// runc of Debian 12: 1.1.5
    Runc,
    /// crun of Debian 12: 1.8.1
    Crun,
}

impl Peer {
    /// The program that is tested.
    pub fn program() -> String {
        std::env::var("SKERRY_TEST_RUNTIME")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_skerry-runtime").to_owned())
    }

    /// Which one that is; an unknown one must do what ours does.
    pub fn tested() -> Self {
        match Self::program().rsplit('/').next() {
            Some("runc") => Self::Runc,
            Some("crun") => Self::Crun,
            _ => Self::Ours,
        }
    }
}

/// Whether the runtime is a peer that is known not to do this. It says so past
/// the capture of a test's output: nothing is left out silently.
pub fn fails(peer: Peer, why: &str) -> bool {
    let known = Peer::tested() == peer;
    if known {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "left out for {peer:?}: {test}: {why}");
    }
    known
}
