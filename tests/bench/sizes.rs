//! What a node is made of, as it is delivered: images without containers.

use crate::measurement::{Measurement, Table, Unit};
use std::fs;
use std::path::Path;
use tests::{Failure, Result};

/// Greatest image, in bytes.
const MOST: u64 = 24 << 20;

/// Looks at images that `skerry-image` wrote: one of a node, and one of a cluster's worker where there is one.
pub fn measure(plain: &Path, worker: Option<&Path>) -> Result<Vec<Table>> {
    let mut tables = vec![table("sizes", "An image without containers, as delivered", plain)?];
    if let Some(worker) = worker {
        tables.push(table(
            "worker-sizes",
            "A worker's image on the small tuned kernel, as delivered",
            worker,
        )?);
    }
    Ok(tables)
}

fn table(name: &'static str, title: &'static str, image: &Path) -> Result<Table> {
    let length = |name: &str| {
        let file = image.join(name);
        let about = fs::metadata(&file);
        about
            .map(|about| about.len())
            .map_err(|cause| Failure::new(format!("read {}: {cause}", file.display())))
    };
    let (kernel, initramfs, root) = (length("vmlinuz")?, length("initramfs.cpio")?, length("root.erofs")?);
    Ok(Table {
        name,
        title,
        rows: vec![
            Measurement::new("kernel", Unit::Size, kernel),
            Measurement::new("initramfs", Unit::Size, initramfs),
            Measurement::new("root", Unit::Size, root),
            Measurement::new("all", Unit::Size, kernel + initramfs + root).within("the bar", MOST),
        ],
    })
}
