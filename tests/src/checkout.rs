//! The tree as somebody has it who is not root, with the programs already built.
//!
//! Root gives it to `nobody` and works in it as that user, so that what needs root
//! fails and what root leaves behind shows. Any other user works in it as it is.

use crate::{Failure, Image, Result, container_archive, programs, repository, said};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The user ID of `nobody`.
const NOBODY: u32 = 65534;

/// A copy of what `make run` needs, gone with this value.
#[derive(Debug)]
pub struct Checkout {
    folder: PathBuf,
    user: u32,
}

impl Checkout {
    /// A copy with warm caches of the kernel and of the container images nginx and
    /// busybox. It lies below /tmp, where every user gets.
    ///
    /// # Errors
    ///
    /// When a program is not built, or copying fails.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("skerry-checkout-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        let me = fs::metadata(&folder)?.uid();
        let checkout = Self { user: if me == 0 { NOBODY } else { me }, folder };
        checkout.fill()?;
        if me == 0 {
            said(Command::new("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(&checkout.folder))?;
        }
        Ok(checkout)
    }

    fn fill(&self) -> Result {
        for name in ["Makefile", "recipes", "tools", "tests/images"] {
            copy(&repository().join(name), &self.tree().join(name))?;
        }
        let release = self.tree().join("target/x86_64-unknown-linux-gnu/release");
        for name in
            ["init", "skerry-image", "skerry-monitor", "skerry-network", "skerry-runtime", "skerry-vm"]
        {
            copy(&programs().join(name), &release.join(name))?;
        }
        let cache = self.folder.join(".cache/skerry");
        for name in ["nginx", "busybox"] {
            let archive = container_archive(name)?;
            copy(&archive, &cache.join("images").join(archive.file_name().unwrap_or_default()))?;
        }
        Image::empty().build()?; // which fetches the kernel
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        let caches = caches.ok_or_else(|| Failure::new("no home folder"))?;
        copy(&caches.join("skerry/kernel"), &cache.join("kernel"))
    }

    /// The folder with the `Makefile`.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Whether another user than the tests' works here.
    pub fn is_nobodys(&self) -> bool {
        self.user == NOBODY
    }

    /// A program that its user starts in the tree.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        if self.user == NOBODY {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
        command.arg("--").arg(program).current_dir(self.tree()).env("HOME", &self.folder);
        command.env_remove("XDG_CACHE_HOME").env_remove("SKERRY_CACHE");
        command
    }

    /// A line of shell that its user types in the tree.
    ///
    /// # Errors
    ///
    /// When there is no shell.
    pub fn shell(&self, line: &str) -> Result<Output> {
        Ok(self.command("sh").args(["-c", line]).output()?)
    }

    /// What another user owns here, what is mounted here, and which process runs
    /// here: nothing, a line each.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub fn strangers(&self) -> Result<String> {
        let user = self.user.to_string();
        let mut found = said(Command::new("find").arg(&self.folder).args(["!", "-uid", &user]))?;
        let path = self.folder.to_string_lossy();
        let mounts = fs::read_to_string("/proc/mounts")?;
        found.extend(mounts.lines().filter(|line| line.contains(&*path)));
        for process in fs::read_dir("/proc")? {
            let cwd = fs::read_link(process?.path().join("cwd")).unwrap_or_default();
            found += if cwd.starts_with(&self.folder) { "a process\n" } else { "" };
        }
        Ok(found)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.folder);
    }
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    said(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
}
