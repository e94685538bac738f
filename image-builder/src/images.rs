//! The container images that the node's root carries: a store, read-only on the node, that
//! is made in the output's scratch folder and put into the root as it is.

use crate::error::{Error, Result};
use crate::files::entries;
use crate::manifest::Image;
use crate::progress::{Progress, size};
use crate::recipe::Recipe;
use crate::tree::{Content, Node, Tree};
use spec::paths;
use std::collections::BTreeMap;
use std::path::Path;
use store::Store;

/// What of a store goes into the root; the rest is for writing to it.
const FOLDERS: [&str; 3] = ["layers", "blobs", "names"];

/// Imports the recipe's images and puts their store into the root.
pub fn install(
    recipe: &Recipe,
    scratch: &Path,
    root: &mut Tree,
    progress: &mut Progress,
) -> Result<BTreeMap<String, Image>> {
    let mut images = BTreeMap::new();
    if recipe.body.images.is_empty() {
        return Ok(images);
    }
    let folder = scratch.join("store");
    let store = Store::open(&folder).map_err(|error| Error::new(error.to_string()))?.without_packed_layers();
    for (name, source) in &recipe.body.images {
        let at = |words: String| recipe.at(&source.span(), Error::new(words));
        let imported = store.import(&recipe.resolve(source.get_ref()), name);
        let imported = imported.map_err(|error| at(error.to_string()))?;
        imported.notes.iter().for_each(|note| Progress::say(note));
        progress.step("image", &format!("{name} is {}, {}", imported.called(), imported.digest));
        let image = Image { digest: imported.digest.to_string() };
        if images.insert(imported.called(), image).is_some() {
            return Err(at(format!("image {name}: {} is named twice", imported.called())));
        }
    }
    for part in FOLDERS {
        let length = put(&folder.join(part), &format!("{}/{part}", paths::IMAGE_STORE), root)?;
        if part == "layers" {
            progress.step("layers", &size(length));
        }
    }
    Ok(images)
}

/// Puts a folder of regular files into the root, and tells how many bytes they have.
fn put(folder: &Path, target: &str, root: &mut Tree) -> Result<u64> {
    root.insert(target, Node::directory(0o755))?;
    let mut length = 0;
    for (path, name) in entries(folder)? {
        let below = format!("{target}/{name}");
        if path.is_dir() {
            length += put(&path, &below, root)?;
        } else {
            let content = Content::outside(&path)?;
            length += content.length();
            root.insert(&below, Node::file(0o644, content))?;
        }
    }
    Ok(length)
}
