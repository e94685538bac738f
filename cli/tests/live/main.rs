//! The command `skerry` as people type it, against a keeper, a monitor and the runtime, each
//! test in namespaces of its own.

mod cold;
mod copy;
mod files;
mod images;
mod lives;
mod looking;
mod networks;
mod progress;
mod registry;
mod run;
mod said;
mod sharing;
mod terminal;
mod volumes;

/// The monitor's own harness: the node that is under the command.
#[path = "../../../monitor/tests/live/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what only the monitor's own tests need")]
mod support;
