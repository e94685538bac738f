//! The manifest of what an image is made of.

use crate::error::{Error, Result};
use crate::hash::{sha256, sha256_file, sha256_reader};
use crate::kernel::Kernel;
use crate::manifest::{self, Manifest};
use crate::memory;
use crate::modules::Module;
use crate::parts::Parts;
use crate::programs::Executable;
use crate::recipe::Recipe;
use crate::tree::{Kind, Tree};
use spec::paths;
use std::collections::BTreeMap;
use std::path::Path;

/// An image's time when no input tells one: 1 November 2026.
const FLOOR: u64 = 1_793_491_200;

/// The latest time that a date of four digits shows.
const LATEST: u64 = 253_402_300_799;

/// The manifest of an image whose trees are whole but for the manifest itself.
pub fn describe(
    parts: &Parts,
    images: BTreeMap<String, manifest::Image>,
    initramfs: &Tree,
    root: &Tree,
) -> Result<Manifest> {
    let time = image_time(parts)?;
    let (small, whole) = (initramfs.blocks_size(), initramfs.blocks_size() + root.blocks_size());
    let least = memory::least(parts.kernel.takes, small, whole);
    let hash = |program: &Executable| (program.name.to_owned(), program.sha256.clone());
    Ok(Manifest {
        time,
        date: spec::timestamp::rfc3339_seconds(time),
        builder: concat!("skerry-image ", env!("CARGO_PKG_VERSION")).to_owned(),
        least_memory: manifest::Least { disk: least.disk, memory: least.memory },
        kernel: kernel(&parts.kernel),
        modules: modules(parts),
        programs: [&parts.init].into_iter().chain(&parts.programs).map(hash).collect(),
        images,
        files: files(&parts.recipe, root)?,
        outputs: BTreeMap::new(),
    })
}

/// The image's time: what the user says, else when the kernel was built.
fn image_time(parts: &Parts) -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(parts.kernel.time.unwrap_or(FLOOR)),
        Ok(text) => match text.parse() {
            Ok(time @ 0..=LATEST) => Ok(time),
            _ => {
                Err(Error::new(format!("SOURCE_DATE_EPOCH: {text:?} is not a number of seconds since 1970")))
            }
        },
    }
}

fn kernel(kernel: &Kernel) -> manifest::Kernel {
    let package = kernel.package.as_ref();
    manifest::Kernel {
        sha256: sha256(&kernel.image),
        release: kernel.release.clone(),
        package: package.map(|package| package.name.clone()),
        version: package.map(|package| package.version.clone()),
        package_sha256: package.map(|package| package.sha256.clone()),
    }
}

fn modules(parts: &Parts) -> manifest::Modules {
    let hash = |module: &Module| (module.name.clone(), sha256(&module.bytes));
    manifest::Modules {
        strip_signatures: parts.recipe.body.modules.strip_signatures,
        initramfs: parts.early.keys().cloned().collect(),
        root: parts.modules.keys().cloned().collect(),
        sha256: parts.modules.values().map(hash).collect(),
    }
}

/// Hashes of the recipe's files and of the node's configuration, as they lie in the root.
fn files(recipe: &Recipe, root: &Tree) -> Result<BTreeMap<String, String>> {
    let named = |path: &str| {
        let below = |target: &str| {
            path.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        path == paths::IMAGE_CONFIG || recipe.body.files.keys().any(|target| below(&target.0))
    };
    let mut hashes = BTreeMap::new();
    for (path, node) in root.iter() {
        let path = format!("/{path}");
        if let Kind::File(content) = &node.kind
            && named(&path)
        {
            let hash = content.open().and_then(sha256_reader);
            hashes.insert(path.clone(), hash.map_err(|error| Error::io("read", Path::new(&path), &error))?);
        }
    }
    Ok(hashes)
}

/// A file that was written.
pub fn output(path: &Path) -> Result<manifest::Output> {
    let metadata = path.metadata().map_err(|error| Error::io("read", path, &error))?;
    Ok(manifest::Output { size: metadata.len(), sha256: sha256_file(path)? })
}

/// A UUID of these words: version 8 (RFC 9562), the beginning of their hash.
pub fn uuid(words: &str) -> [u8; 16] {
    let hash = sha256(words.as_bytes());
    let byte = |index: usize| u8::from_str_radix(&hash[2 * index..2 * index + 2], 16).unwrap_or_default();
    let mut uuid = std::array::from_fn(byte);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
