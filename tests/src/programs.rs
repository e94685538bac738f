//! The programs under test, and a PID 1 that is not released.

use crate::image::{repository, said, target};
use crate::{Failure, Result};
use serde_json::Value;
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

/// A folder with the runtime's black-box tests, `runtime/tests/containers`, as one static program,
/// `containers`, that any machine runs.
///
/// # Errors
///
/// When they cannot be built.
pub fn container_tests() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["test", "--quiet", "--locked", "-p", "runtime"]);
    build.args(["--test", "containers", "--no-run", "--message-format=json"]);
    let messages = said(build.current_dir(repository()))?;
    let program = messages.lines().find_map(executable_of_tests);
    let program = program.ok_or_else(|| Failure::new("cargo names no program of runtime's tests"))?;
    let folder = target().join("container-tests");
    fs::create_dir_all(&folder)?;
    // Without its debug information it is a tenth as large.
    said(Command::new("strip").arg("-o").arg(folder.join("containers")).arg(program))?;
    Ok(folder)
}

/// What a message of cargo's says that the test program was built as.
fn executable_of_tests(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == "containers" && message["target"]["kind"][0] == "test";
    message["executable"].as_str().filter(|_| is_it).map(str::to_owned)
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
