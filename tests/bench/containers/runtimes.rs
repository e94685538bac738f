//! The runtimes that are compared, and their command lines, which are runc's.

use super::stopwatch::Words;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Failure, Result, programs, repository, said};

/// What the others are measured against.
pub const OURS: &str = "skerry";
/// Debian's.
pub const CRUN: &str = "crun";

/// A container runtime.
#[derive(Debug)]
pub struct Runtime {
    /// What the table calls it.
    pub name: &'static str,
    /// What it says of its version.
    pub version: String,
    program: PathBuf,
}

/// All of them, ours first; those of this year are built when they are not there.
pub fn all() -> Result<Vec<Runtime>> {
    let mut build = Command::new(repository().join("tests/peers/build"));
    let built = said(build.args(["runc", "youki"]))?;
    let [runc, youki] = built.lines().collect::<Vec<_>>()[..] else {
        return Err(Failure::new(format!("tests/peers/build says {built:?}")));
    };
    let paths = [
        (OURS, programs().join("skerry-runtime")),
        (CRUN, "/usr/bin/crun".into()),
        ("runc", runc.into()),
        ("youki", youki.into()),
    ];
    paths.into_iter().map(|(name, program)| Runtime::new(name, program)).collect()
}

impl Runtime {
    fn new(name: &'static str, program: PathBuf) -> Result<Self> {
        let said = said(Command::new(&program).arg("--version"))?;
        let version = said.lines().next().unwrap_or_default();
        let version = version.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Self { name, version, program })
    }

    /// Bytes of the program's file.
    pub fn size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.program)?.len())
    }

    /// `run`: to the program's end, and removed.
    pub fn run(&self, bundle: &Path, id: &str) -> Words {
        self.words("run", &["--bundle", &bundle.display().to_string(), id])
    }

    /// `create`
    pub fn create(&self, bundle: &Path, id: &str) -> Words {
        self.words("create", &["--bundle", &bundle.display().to_string(), id])
    }

    /// `start`
    pub fn start(&self, id: &str) -> Words {
        self.words("start", &[id])
    }

    /// `delete --force`
    pub fn delete(&self, id: &str) -> Words {
        self.words("delete", &["--force", id])
    }

    /// `exec /bin/true`
    pub fn exec(&self, id: &str) -> Words {
        self.words("exec", &[id, "/bin/true"])
    }

    /// `state`
    pub fn state(&self, id: &str) -> Words {
        self.words("state", &[id])
    }

    fn words(&self, verb: &str, rest: &[&str]) -> Words {
        let root = format!("/run/bench-{}", self.name);
        let program = self.program.display().to_string();
        let first = [program, "--root".to_owned(), root, verb.to_owned()];
        first.into_iter().chain(rest.iter().map(|word| (*word).to_owned())).collect()
    }
}
