//! `diff`: the files that a container has changed.

use super::{Node, images, print_all, unexpected};
use crate::arguments::Diff;
use crate::error::Result;
use crate::transfer::{self, IMAGE, WRITTEN};
use spec::monitor::{Reply, Request};
use std::path::Path;

/// `skerry diff`
pub fn diff(node: &Node<'_>, asked: &Diff) -> Result<()> {
    let (summary, written) = match node.answer(&Request::Inspect { name: asked.container.clone() })? {
        Reply::Container { summary, written, .. } => (summary, written),
        other => return Err(unexpected(&other)),
    };
    let (stores, upper) = (node.stores(), Path::new(&written).join("upper"));
    if !upper.exists() {
        // It has never run.
        return Ok(());
    }
    let image = match images::digest_of(&stores, &summary)? {
        Some(digest) => stores.resolve_digest(&summary.image, &digest)?,
        None => stores.resolve(&summary.image)?,
    };
    transfer::enter_apart(&image.layers, &upper)?;
    let changes = transfer::changes(Path::new(IMAGE), Path::new(WRITTEN))?;
    print_all(&changes.iter().map(|change| format!("{change}\n")).collect::<String>());
    Ok(())
}
