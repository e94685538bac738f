//! The programs under test, and a PID 1 that is not released.

use crate::Result;
use crate::image::{repository, said, target};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What a node's image holds of our programs.
pub(crate) const PROGRAMS: [&str; 4] = ["init", "skerry-monitor", "skerry-network", "skerry-runtime"];

/// Whose programs an image is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Programs {
    /// Those under test.
    Released,
    /// The same, but PID 1 has the cargo feature `panic-test`.
    PanicTest,
}

/// The folder of the programs under test: as released, or `SKERRY_PROGRAMS`.
pub fn programs() -> PathBuf {
    let folder = std::env::var_os("SKERRY_PROGRAMS")
        .map_or_else(|| "target/x86_64-unknown-linux-gnu/release".into(), PathBuf::from);
    repository().join(folder)
}

impl Programs {
    /// The folder of the programs, built when they are not `make build`'s.
    pub fn folder(self) -> Result<PathBuf> {
        match self {
            Self::Released => Ok(programs()),
            Self::PanicTest => with_panic_test(),
        }
    }
}

/// Builds PID 1 with the feature, in a target folder of its own so that it never
/// takes the released one's place, and puts links to the other programs beside it.
fn with_panic_test() -> Result<PathBuf> {
    let builds = repository().join("target/panic-test");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "-p", "init", "--features", "panic-test", "--target-dir"]);
    said(build.arg(&builds).current_dir(repository()))?;
    let folder = target().join("panic-test");
    fs::create_dir_all(&folder)?;
    for name in PROGRAMS {
        let program = match name {
            "init" => builds.join("x86_64-unknown-linux-gnu/release/init"),
            _ => programs().join(name),
        };
        let mut link = Command::new("ln");
        said(link.arg("-sfn").arg(program).arg(folder.join(name)))?;
    }
    Ok(folder)
}
