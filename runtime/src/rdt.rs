//! Groups of resctrl: made for a container, entered by its processes, removed.
//!
//! ```text
//! /sys/fs/resctrl/              the class of whoever is in no other
//! ├── schemata  tasks
//! └── GROUP/                    a class: `closID`, or the container's name
//!     ├── schemata  tasks
//!     └── mon_groups/NAME/tasks what a container uses, counted by itself
//! ```

use crate::error::{Context, Error, Result};
use crate::plan::{Rdt, is_in_force};
use nix::sys::statfs::statfs;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the file system is mounted.
const RESCTRL: &str = "/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC`, which libc does not have.
const MAGIC: i64 = 0x0765_5821;

/// What a container has of it: the record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The group's folder.
    group: PathBuf,
    /// It was made for the container and goes with it.
    made: bool,
    /// The monitoring group's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
}

/// What a container of this host is going to have, with nothing made yet.
///
/// # Errors
/// There is no resctrl file system; as [`Held::of`].
pub fn claim(plan: &Rdt) -> Result<Held> {
    check(RESCTRL)?;
    Held::of(plan, Path::new(RESCTRL))
}

fn check(root: &str) -> Result<()> {
    match statfs(root) {
        Ok(about) if about.filesystem_type().0 == MAGIC => Ok(()),
        _ => Err(Error(format!("linux.intelRdt: {root} is not a resctrl file system"))),
    }
}

impl Held {
    /// What a container is going to have, with nothing made yet.
    ///
    /// # Errors
    /// A class that is to be there is not, or is another than what is asked for.
    fn of(plan: &Rdt, root: &Path) -> Result<Self> {
        let group = root.join(&plan.group);
        let is_there = group.is_dir();
        if !is_there && !plan.own && plan.schemata.is_empty() {
            return Err(Error(format!("linux.intelRdt.closID: there is no class {:?}", plan.group)));
        }
        if is_there {
            let schemata = fs::read_to_string(group.join("schemata")).unwrap_or_default();
            if let Some(line) = plan.schemata.iter().find(|line| !is_in_force(line, &schemata)) {
                return Err(Error(format!("linux.intelRdt: the class {:?} has not {line}", plan.group)));
            }
        }
        let monitor = plan.monitor.as_ref().map(|name| group.join("mon_groups").join(name));
        Ok(Self { group, made: plan.own && !is_there, monitor })
    }

    /// Makes what is not there.
    ///
    /// # Errors
    /// The kernel has no class left, or refuses a line.
    pub fn make(&self, plan: &Rdt) -> Result<()> {
        if !self.group.is_dir() {
            make_folder(&self.group)?;
            self.write(&plan.schemata)?;
        }
        self.monitor.as_deref().map_or(Ok(()), make_folder)
    }

    /// Writes all lines at once: each is checked against the others.
    ///
    /// # Errors
    /// The kernel refuses one; its words.
    pub fn write(&self, schemata: &[String]) -> Result<()> {
        if schemata.is_empty() {
            return Ok(());
        }
        let text = schemata.join("\n") + "\n";
        fs::write(self.group.join("schemata"), &text).context(|| {
            let status = self.group.with_file_name("info").join("last_cmd_status");
            let status = fs::read_to_string(status).unwrap_or_default();
            format!("linux.intelRdt: write {text:?} to schemata ({})", status.trim())
        })
    }

    /// Puts a process in, and with it those that it starts.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn enter(&self, pid: i32) -> Result<()> {
        [Some(&self.group), self.monitor.as_ref()].into_iter().flatten().try_for_each(|folder| {
            let tasks = folder.join("tasks");
            fs::write(&tasks, pid.to_string())
                .context(|| format!("linux.intelRdt: write to {}", tasks.display()))
        })
    }

    /// Removes what was made for the container.
    ///
    /// # Errors
    /// Those of rmdir(2), but that it is gone already.
    pub fn remove(&self) -> Result<()> {
        let made = self.made.then_some(&self.group);
        self.monitor.iter().chain(made).try_for_each(|folder| match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.context(|| format!("remove {}", folder.display())),
        })
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir(folder).context(|| format!("linux.intelRdt: make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for the file system, with a class `gold`; a kernel's folders
    /// have their files from the beginning.
    fn with_root(check: impl FnOnce(&Path)) {
        let root = std::env::temp_dir().join(format!(
            "resctrl-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(root.join("gold/mon_groups")).unwrap();
        fs::write(root.join("gold/schemata"), "    L3:0=7f0;1=1f\n").unwrap();
        check(&root);
        fs::remove_dir_all(root).unwrap();
    }

    fn plan(group: &str, own: bool, lines: &[&str], monitor: Option<&str>) -> Rdt {
        let schemata = lines.iter().map(|&line| line.to_owned()).collect();
        Rdt { group: group.to_owned(), own, schemata, monitor: monitor.map(str::to_owned) }
    }

    #[test]
    fn a_containers_own_class_is_made_entered_and_removed() {
        with_root(|root| {
            let plan = plan("abc", true, &["L3:0=f", "MB:0=20"], None);
            let held = Held::of(&plan, root).unwrap();
            held.make(&plan).unwrap();
            held.enter(77).unwrap();
            let read = |file: &str| fs::read_to_string(root.join("abc").join(file)).unwrap();
            assert_eq!([read("schemata"), read("tasks")], ["L3:0=f\nMB:0=20\n", "77"]);
            // The kernel's rmdir takes a group's files along.
            ["schemata", "tasks"]
                .iter()
                .for_each(|file| fs::remove_file(root.join("abc").join(file)).unwrap());
            held.remove().unwrap();
            assert!(!root.join("abc").exists());
            held.remove().unwrap();
        });
    }

    #[test]
    fn a_class_that_is_there_must_be_what_is_asked_for_and_stays() {
        with_root(|root| {
            let fits = plan("gold", false, &["L3:1=1f"], Some("abc"));
            let held = Held::of(&fits, root).unwrap();
            held.make(&fits).unwrap();
            held.enter(77).unwrap();
            assert_eq!(fs::read_to_string(root.join("gold/mon_groups/abc/tasks")).unwrap(), "77");
            fs::remove_file(root.join("gold/mon_groups/abc/tasks")).unwrap();
            held.remove().unwrap();
            assert!(root.join("gold").exists() && !root.join("gold/mon_groups/abc").exists());
            let error = Held::of(&plan("gold", false, &["L3:1=f"], None), root).unwrap_err().0;
            assert_eq!(error, "linux.intelRdt: the class \"gold\" has not L3:1=f");
            let error = Held::of(&plan("silver", false, &[], None), root).unwrap_err().0;
            assert_eq!(error, "linux.intelRdt.closID: there is no class \"silver\"");
            Held::of(&plan("", false, &[], None), root).unwrap().make(&plan("", false, &[], None)).unwrap();
        });
    }

    #[test]
    fn a_folder_that_is_no_resctrl_is_refused() {
        for root in ["/", "/no/such"] {
            let error = check(root).unwrap_err().0;
            assert_eq!(error, format!("linux.intelRdt: {root} is not a resctrl file system"));
        }
    }
}
