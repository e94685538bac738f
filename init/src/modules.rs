//! Kernel modules: for the hardware that is there, for hardware that comes, and
//! by name.
//!
//! The image builder writes kmod's text files beside the modules, which lie
//! uncompressed in `/lib/modules/VERSION`, but for those that few nodes need, which
//! the kernel unpacks; modules that are built in have no
//! line there and need none. The files are read when they are needed and not
//! kept: a node at rest has no use for them.

use crate::command_line::normal;
use crate::error::{Context, Error, Result};
use crate::modalias::{load_order, modules_for, name_of, wanted_before};
use crate::uevent;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;

/// `MODULE_INIT_COMPRESSED_FILE` of init_module(2).
const PACKED: ModuleInitFlags = ModuleInitFlags::from_bits_retain(4);

/// The modules of this image.
#[derive(Debug, Default)]
pub struct Modules {
    folder: Option<String>,
    /// Names that are never loaded for hardware, normalised.
    pub blacklist: Vec<String>,
    /// `MODULE` and `OPTION=VALUE` from the kernel command line.
    pub options: Vec<(String, String)>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Looks whether this root has modules for the running kernel.
    pub fn open(&mut self) {
        let folder = folder_of_kernel();
        // An empty list is that of a kernel with everything built in.
        let some = fs::metadata(format!("{folder}/modules.dep")).is_ok_and(|list| list.len() > 0);
        self.folder = some.then_some(folder);
    }

    /// Whether there are any; without, nothing below does anything.
    pub fn any(&self) -> bool {
        self.folder.is_some()
    }

    /// Loads what serves the devices; says what went wrong and how many were loaded.
    pub fn load_for(&mut self, devices: &[String]) -> usize {
        let Some(folder) = &self.folder else { return 0 };
        let aliases = fs::read_to_string(format!("{folder}/modules.alias")).unwrap_or_default();
        let mut names = modules_for(&aliases, devices);
        drop(aliases);
        names.retain(|name| !self.loaded.contains(name) && !self.blacklist.contains(name));
        self.load_all(&names)
    }

    /// Loads by name, blacklisted or not. A name that this image has no module
    /// for is said, unless the kernel has it built in.
    pub fn load_named(&mut self, names: &[&str]) -> usize {
        let names: Vec<String> = names.iter().map(|name| normal(name)).collect();
        if self.folder.is_none() {
            names.iter().filter(|name| !built_in(name)).for_each(|name| unknown(name));
        }
        self.load_all(&names)
    }

    /// Loads by name what this image has a module for; the rest may be built in.
    pub fn load_if_there(&mut self, names: &[String]) {
        let Some(folder) = &self.folder else { return };
        let deps = fs::read_to_string(format!("{folder}/modules.dep")).unwrap_or_default();
        let names = names.iter().map(|name| normal(name));
        let there: Vec<String> = names.filter(|name| !load_order(&deps, name).is_empty()).collect();
        self.load_all(&there);
    }

    /// Loads what mounting a file system of this kind takes.
    pub fn load_for_file_system(&mut self, kind: &str) {
        if self.any() {
            self.load_for(&[format!("fs-{kind}")]);
            self.load_all(&[kind.to_owned()]);
        }
    }

    fn load_all(&mut self, names: &[String]) -> usize {
        let Some(folder) = self.folder.clone() else { return 0 };
        let fresh: Vec<&String> = names.iter().filter(|name| !self.loaded.contains(*name)).collect();
        if fresh.is_empty() {
            return 0;
        }
        crate::console::flush();
        let deps = fs::read_to_string(format!("{folder}/modules.dep")).unwrap_or_default();
        let before = self.loaded.len();
        let softdeps = fs::read_to_string(format!("{folder}/modules.softdep")).unwrap_or_default();
        for name in fresh {
            if load_order(&deps, name).is_empty() && !built_in(name) {
                unknown(name);
            }
            // What it only wants may be built in or left out of the image.
            for name in wanted_before(&softdeps, name).iter().chain([name]) {
                self.load_with_needs(&folder, &deps, name);
            }
        }
        self.loaded.len() - before
    }

    fn load_with_needs(&mut self, folder: &str, deps: &str, name: &str) {
        for path in load_order(deps, name) {
            if let Err(error) = self.load_file(folder, path) {
                say!("{error}");
                return;
            }
        }
    }

    fn load_file(&mut self, folder: &str, path: &str) -> Result<()> {
        let name = name_of(path);
        if self.loaded.contains(&name) {
            return Ok(());
        }
        let options: Vec<&str> =
            self.options.iter().filter(|(module, _)| *module == name).map(|(_, option)| &**option).collect();
        let options = CString::new(options.join(" "))
            .map_err(|_| Error(format!("load {name}: its options hold a zero")))?;
        let file = File::open(format!("{folder}/{path}")).context(|| format!("load module {path}"))?;
        let packed = if path.ends_with(".ko") { ModuleInitFlags::empty() } else { PACKED };
        match finit_module(&file, &options, packed) {
            Ok(()) | Err(Errno::EEXIST) => {
                self.loaded.insert(name);
                Ok(())
            }
            Err(Errno::ENODEV) => {
                // Its hardware is not there; asking again would find the same.
                self.loaded.insert(name);
                Ok(())
            }
            Err(cause) => Err(cause).context(|| format!("load module {path}")),
        }
    }

    /// Loads what the devices that are there ask for, and the devices that come
    /// to light by that (a bus behind a bridge). Returns the number of modules.
    pub fn cold_plug(&mut self, socket: Option<&uevent::Socket>) -> usize {
        if !self.any() {
            return 0;
        }
        let mut count = self.load_for(&uevent::present_devices());
        while let Some(events) = socket.map(uevent::Socket::drain).filter(|events| !events.is_empty()) {
            let aliases: Vec<String> = events.into_iter().filter_map(|event| event.modalias).collect();
            count += self.load_for(&aliases);
        }
        count
    }
}

/// The running kernel's, as `uname -r` tells it.
pub fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim_end().to_owned()
}

fn folder_of_kernel() -> String {
    format!("/lib/modules/{}", release())
}

/// What is built in and has no parameters is not in `/sys/module`; the image may list it.
fn built_in(name: &str) -> bool {
    Path::new("/sys/module").join(name).exists()
        || fs::read_to_string("/proc/filesystems")
            .is_ok_and(|text| text.split_whitespace().any(|word| word == name))
        || fs::read_to_string(format!("{}/modules.builtin", folder_of_kernel()))
            .is_ok_and(|text| text.lines().any(|path| name_of(path) == name))
}

fn unknown(name: &str) {
    say!("load module {name}: no such module in this image");
}
