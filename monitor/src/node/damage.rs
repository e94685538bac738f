//! A damaged layer under a container: it is named, and the store is checked, which brings it back.

use super::{Monitor, Work};
use crate::{place, puller};
use nix::libc;
use std::fs;

impl Monitor {
    /// Looks at what the kernel has said.
    pub(super) fn read_kernel_log(&mut self) {
        let inodes = self.kernel_log.as_mut().map(crate::damage::KernelLog::damaged).unwrap_or_default();
        let fresh: Vec<u64> = inodes.into_iter().filter(|inode| self.damaged.insert(*inode)).collect();
        let layers: Vec<_> = fresh.into_iter().filter_map(|inode| self.images.layer_of(inode)).collect();
        for layer in &layers {
            let users = self.users(layer);
            self.console.say(&format!(
                "image layer {layer}: damaged on disk: what reads it gets an I/O error ({})",
                if users.is_empty() { "no container has it".to_owned() } else { users.join(", ") }
            ));
        }
        if !layers.is_empty() {
            self.check_store();
        }
    }

    /// Begins a check, or, since the one that is under way may have passed what is damaged, has one follow it.
    fn check_store(&mut self) {
        if self.work.values().any(|work| matches!(work, Work::Check)) {
            self.check_again = true;
            return;
        }
        self.check_again = false;
        match puller::begin_check() {
            Ok(pid) => drop(self.work.insert(pid, Work::Check)),
            Err(reason) => {
                self.console.say(&format!("store: not mended: {reason}"));
                // It is told of again when it is read again.
                self.damaged.clear();
            }
        }
    }

    /// The containers whose images have a layer.
    fn users(&self, layer: &str) -> Vec<String> {
        let has = |image: &str| self.images.find(image).is_ok_and(|image| image.has(layer));
        let cells = self.cells.iter().map(|(_, cell)| cell);
        let users = cells.filter(|cell| cell.container.as_ref().is_some_and(|own| has(&own.image)));
        users.map(|cell| cell.name.to_string()).collect()
    }

    /// A check of the store has ended: what it found is said.
    pub(super) fn store_checked(&mut self, status: i32) {
        let said = fs::read_to_string(place::check_log()).unwrap_or_default();
        said.lines().for_each(|line| self.console.say(&format!("store: {line}")));
        if libc::WIFSIGNALED(status) {
            self.console.say(&format!("store: the check was killed by signal {}", libc::WTERMSIG(status)));
        }
        // What was brought anew may have the number of a file that is gone.
        self.damaged.retain(|inode| self.images.layer_of(*inode).is_some());
        if self.check_again {
            self.check_store();
        }
    }
}
