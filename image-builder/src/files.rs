//! The files that a recipe puts into the root, its node configuration among them.

use crate::error::{Error, Result};
use crate::recipe::{File, Recipe};
use crate::tree::{Content, Node, Tree};
use spec::node::{Layer, load};
use spec::paths;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Puts the node's configuration into the root, if the recipe names one that is right.
pub fn install_config(recipe: &Recipe, root: &mut Tree) -> Result<()> {
    let Some(config) = &recipe.body.config else { return Ok(()) };
    let path = recipe.resolve(config.get_ref());
    let failed = |error| recipe.at(&config.span(), Error::io("read", &path, &error));
    let text = fs::read_to_string(&path).map_err(failed)?;
    let layer = Layer { origin: path.display().to_string(), text };
    load(std::slice::from_ref(&layer)).map_err(|error| Error::new(error.to_string()))?;
    // A token or passwords of registries may be in it, and a container may be given /etc.
    let node = Node::bytes(0o600, layer.text);
    root.insert(paths::IMAGE_CONFIG, node).map_err(|error| recipe.at(&config.span(), error))
}

/// Puts the recipe's files into the root.
pub fn install(recipe: &Recipe, root: &mut Tree) -> Result<()> {
    for (target, file) in &recipe.body.files {
        let placed = place(recipe, &target.0, file.get_ref(), root);
        placed.map_err(|error| recipe.at(&file.span(), error))?;
    }
    Ok(())
}

fn place(recipe: &Recipe, target: &str, file: &File, root: &mut Tree) -> Result<()> {
    if let Some(link) = &file.symlink {
        return root.insert(target, owned(Node::symlink(link), file));
    }
    if let Some(content) = &file.content {
        let mode = file.mode.map_or(0o644, |mode| mode.0);
        return root.insert(target, owned(Node::bytes(mode, content.as_str()), file));
    }
    let source = recipe.resolve(file.source.as_deref().unwrap_or(Path::new("")));
    copy(&source, target, file, root)
}

/// Puts what is at `source` at `target`, a folder with all below it. A symbolic link
/// named in the recipe is followed, one below a folder is kept.
fn copy(source: &Path, target: &str, file: &File, root: &mut Tree) -> Result<()> {
    let failed = |error| Error::io("read", source, &error);
    let metadata = fs::metadata(source).map_err(failed)?;
    if metadata.is_file() {
        // Only the owner's x bit counts: the rest is the umask's doing.
        let own = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
        let mode = file.mode.map_or(own, |mode| mode.0);
        return root.insert(target, owned(Node::file(mode, Content::outside(source)?), file));
    }
    if !metadata.is_dir() {
        return Err(Error::new(format!("read {}: neither a file nor a folder", source.display())));
    }
    if file.mode.is_some() {
        return Err(Error::new(format!("{} is a folder: a mode is for one file", source.display())));
    }
    root.insert(target, owned(Node::directory(0o755), file))?;
    for (path, name) in entries(source)? {
        let below = format!("{target}/{name}");
        if path.is_symlink() {
            let link = fs::read_link(&path).map_err(|error| Error::io("read", &path, &error))?;
            root.insert(&below, owned(Node::symlink(link.to_string_lossy()), file))?;
        } else {
            copy(&path, &below, file, root)?;
        }
    }
    Ok(())
}

/// What a folder holds: path and name of each entry, in no order.
///
/// # Errors
/// A folder that cannot be read; a name that is not UTF-8.
pub fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let failed = |error| Error::io("read", folder, &error);
    let entries = fs::read_dir(folder).map_err(failed)?.map(|entry| {
        let path = entry.map_err(failed)?.path();
        match path.file_name().and_then(|name| name.to_str()).map(str::to_owned) {
            Some(name) => Ok((path, name)),
            None => Err(Error::new(format!("{}: a name that is not UTF-8", path.display()))),
        }
    });
    entries.collect()
}

fn owned(node: Node, file: &File) -> Node {
    Node { uid: file.uid, gid: file.gid, ..node }
}
