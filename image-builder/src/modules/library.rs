//! A kernel's module tree, `lib/modules/RELEASE`, as its package holds it: files
//! below it, and the names of what is built in. What depmod would add is not there.

use super::file::{self, plain_path};
use super::info::Info;
use super::normalized;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that there are; their files are read one by one.
#[derive(Debug, Default)]
pub struct Library {
    folder: PathBuf,
    /// Name to path below the folder.
    files: BTreeMap<String, String>,
    /// `modules.builtin` as it stands.
    builtin_list: String,
    builtin: BTreeSet<String>,
    builtin_aliases: BTreeSet<String>,
}

/// What a kernel has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A module that can be loaded.
    Loadable,
    /// Part of the kernel itself.
    BuiltIn,
    /// Nothing.
    Absent,
}

/// One module, read.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// Where it lies below `lib/modules/RELEASE` in an image.
    pub path: String,
    /// The package has it compressed by xz.
    pub xz: bool,
    /// It lies compressed in an image too.
    pub packed: bool,
    /// What it says of itself.
    pub info: Info,
    /// Its file, uncompressed.
    pub bytes: Vec<u8>,
}

impl Library {
    /// That of a kernel with everything built in: no module, and this list, a `modules.builtin`.
    pub fn of_builtin(list: String) -> Self {
        let builtin = list.lines().map(name_of).collect();
        Self { builtin, builtin_list: list, ..Self::default() }
    }

    /// Looks through a module tree.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut library = Self { folder: folder.to_owned(), ..Self::default() };
        library.walk(folder, "")?;
        library.builtin_list = read_optional(&folder.join("modules.builtin"))?;
        library.builtin = library.builtin_list.lines().map(name_of).collect();
        // MODULE.KEY=VALUE, divided by NUL.
        let modinfo = read_optional(&folder.join("modules.builtin.modinfo"))?;
        let aliases = modinfo.split('\0').filter_map(|line| line.split_once(".alias="));
        library.builtin_aliases = aliases.map(|(_, alias)| alias.to_owned()).collect();
        Ok(library)
    }

    fn walk(&mut self, folder: &Path, below: &str) -> Result<()> {
        let failed = |error| Error::io("read", folder, &error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if entry.file_type().map_err(failed)?.is_dir() {
                self.walk(&entry.path(), &path)?;
            } else if plain_path(name).is_some() {
                self.add(path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String) -> Result<()> {
        let name = name_of(plain_path(&path).unwrap_or(&path));
        match self.files.insert(name.clone(), path.clone()) {
            None => Ok(()),
            Some(other) => Err(Error::new(format!(
                "{}: module {name} is there twice: {} and {}",
                self.folder.display(),
                path.as_str().min(&other),
                path.as_str().max(&other)
            ))),
        }
    }

    /// What the kernel has under a module's name.
    pub fn presence(&self, name: &str) -> Presence {
        if self.files.contains_key(name) {
            Presence::Loadable
        } else if self.builtin.contains(name) {
            Presence::BuiltIn
        } else {
            Presence::Absent
        }
    }

    /// Whether something built in serves an alias.
    pub fn builtin_serves(&self, alias: &str) -> bool {
        self.builtin_aliases.contains(alias)
    }

    /// Names of all modules, built in or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(&self.builtin).map(String::as_str)
    }

    /// `modules.builtin` as it stands.
    pub fn builtin_list(&self) -> &str {
        &self.builtin_list
    }

    /// Reads a module that [`Self::presence`] calls loadable.
    pub fn read(&self, name: &str) -> Result<Module> {
        let path = self.files.get(name).ok_or_else(|| Error::new(format!("no module {name}")))?;
        let place = self.folder.join(path);
        let bytes = file::read(&place)?;
        let info =
            Info::of(&bytes).map_err(|words| Error::new(format!("read {}: {words}", place.display())))?;
        let xz = path.ends_with(".xz");
        let path = plain_path(path).unwrap_or(path).to_owned();
        Ok(Module { name: name.to_owned(), path, xz, packed: false, info, bytes })
    }
}

/// `kernel/fs/nls/nls_base.ko` is `nls_base`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normalized(file.strip_suffix(".ko").unwrap_or(file))
}

fn read_optional(path: &Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io("read", path, &error)),
    }
}
