//! What `make kernel` writes beside a kernel that it built: what it was made of, and the names
//! of what is built in.
//!
//! ```text
//! target/kernel/
//! ├── vmlinux, bzImage, bzImage-small     the kernel, three times
//! ├── manifest.toml                       its source, and the hash of each of them
//! └── modules.builtin                     what other kernels have as modules
//! ```

use super::Package;
use crate::error::{Error, Result};
use crate::hash::sha256;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The part of the manifest that matters here.
#[derive(Debug, Deserialize)]
struct Manifest {
    source: Source,
    outputs: BTreeMap<String, Output>,
}

#[derive(Debug, Deserialize)]
struct Source {
    package: String,
    version: String,
    sha256: String,
}

#[derive(Debug, Deserialize)]
struct Output {
    sha256: String,
}

/// What a kernel was made of and its list of what is built in; nothing when no manifest lies
/// beside it.
///
/// # Errors
/// A manifest that cannot be read, or is of another kernel.
pub fn beside(image: &Path, bytes: &[u8]) -> Result<Option<(Package, String)>> {
    let folder = image.parent().unwrap_or(Path::new(""));
    let path = folder.join("manifest.toml");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|error| Error::new(format!("{}: {}", path.display(), error.message())))?;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    if manifest.outputs.get(&*name).is_none_or(|output| output.sha256 != sha256(bytes)) {
        return Err(Error::new(format!(
            "{} is not the {name} that {} tells of",
            image.display(),
            path.display()
        )));
    }
    let list = folder.join("modules.builtin");
    let builtin = fs::read_to_string(&list).map_err(|error| Error::io("read", &list, &error))?;
    let Source { package: name, version, sha256 } = manifest.source;
    Ok(Some((Package { name, version, sha256 }, builtin)))
}
