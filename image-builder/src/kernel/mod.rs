//! The kernel and its modules: from a Debian package, or any other.

mod bzimage;
mod debian;
mod stanza;
mod tuned;
mod vmlinux;

use crate::error::{Error, Result};
use crate::modules::Library;
use crate::recipe::{self, Recipe};
use std::fs;
use std::path::{Path, PathBuf};

pub use debian::Package;

/// A kernel that an image can be made of.
#[derive(Debug)]
pub struct Kernel {
    /// The image as it was packaged.
    pub image: Vec<u8>,
    /// The name of its module tree, where there is one or the image tells.
    pub release: Option<String>,
    /// Its modules; none when everything is built in and nobody knows what that is.
    pub library: Option<Library>,
    /// When it was built, in seconds since 1970, where it tells.
    pub time: Option<u64>,
    /// What it takes of memory before it runs.
    pub takes: Takes,
    /// The package that it came from, or whose source it was built from.
    pub package: Option<Package>,
}

/// What a kernel takes of memory before it runs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// To unpack itself.
    Unpacking(u64),
    /// To lie where it runs: it is not packed.
    Lying(u64),
    /// It does not tell.
    Unknown,
}

/// Gets the kernel that a recipe names. `say` hears what the user should know.
pub fn get(recipe: &Recipe, say: &mut dyn FnMut(&str)) -> Result<Kernel> {
    let spanned = &recipe.body.kernel;
    let named = spanned.get_ref();
    let found = match (&named.debian, &named.image) {
        (Some(name), _) => from_debian(name, named.version.as_deref(), say),
        (None, Some(image)) => from_files(recipe, image, named),
        (None, None) => Err(Error::new("no kernel")),
    };
    found.map_err(|error| recipe.at(&spanned.span(), error))
}

fn from_debian(name: &str, version: Option<&str>, say: &mut dyn FnMut(&str)) -> Result<Kernel> {
    let (package, folder) = debian::get(name, version, say)?;
    let modules = debian::modules_folder(&folder).unwrap_or(folder.join("lib/modules"));
    let modules = only_entry(&modules)?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = folder.join("boot").join(format!("vmlinuz-{release}"));
    let kernel = open(&image, Some(&modules))?;
    Ok(Kernel { package: Some(package), ..kernel })
}

fn from_files(recipe: &Recipe, image: &Path, named: &recipe::Kernel) -> Result<Kernel> {
    let modules = named.modules.as_ref().map(|modules| recipe.resolve(modules));
    let image = recipe.resolve(image);
    let kernel = open(&image, modules.as_deref())?;
    Ok(match tuned::beside(&image, &kernel.image)? {
        Some((package, builtin)) => {
            Kernel { package: Some(package), library: Some(Library::of_builtin(builtin)), ..kernel }
        }
        None => kernel,
    })
}

fn open(image: &Path, modules: Option<&Path>) -> Result<Kernel> {
    let bytes = fs::read(image).map_err(|error| Error::io("read", image, &error))?;
    let library = modules.map(Library::open).transpose()?;
    let (release, time, takes) = about(&bytes);
    // An image that does not tell: its module tree's name is believed.
    let name = modules.map(|modules| modules.file_name().unwrap_or_default().to_string_lossy().into_owned());
    Ok(Kernel { image: bytes, release: release.or(name), library, time, takes, package: None })
}

/// The release, time and size that an image tells.
fn about(image: &[u8]) -> (Option<String>, Option<u64>, Takes) {
    if let Some(header) = bzimage::read(image) {
        return (Some(header.release), header.time, Takes::Unpacking(header.init_size));
    }
    match vmlinux::read(image) {
        Some(kernel) => (Some(kernel.release), kernel.time, Takes::Lying(kernel.end)),
        None => (None, None, Takes::Unknown),
    }
}

/// The one entry of a folder that must have just one.
fn only_entry(folder: &Path) -> Result<PathBuf> {
    let failed = |error| Error::io("read", folder, &error);
    let entries: std::io::Result<Vec<_>> = fs::read_dir(folder).map_err(failed)?.collect();
    match entries.map_err(failed)?.as_slice() {
        [entry] => Ok(entry.path()),
        entries => Err(Error::new(format!("{}: {} entries, not one", folder.display(), entries.len()))),
    }
}
