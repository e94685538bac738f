//! What a node is made of, as it is delivered: an image without containers.

use crate::measurement::{Measurement, Table, Unit};
use std::fs;
use std::path::Path;
use tests::{Failure, Result};

/// Greatest image, in bytes.
const MOST: u64 = 24 << 20;

/// Looks at an image that `skerry-image` wrote.
pub fn measure(image: &Path) -> Result<Table> {
    let length = |name: &str| {
        let file = image.join(name);
        let about = fs::metadata(&file);
        about
            .map(|about| about.len())
            .map_err(|cause| Failure::new(format!("read {}: {cause}", file.display())))
    };
    let (kernel, initramfs, root) = (length("vmlinuz")?, length("initramfs.cpio")?, length("root.erofs")?);
    Ok(Table {
        name: "sizes",
        title: "An image without containers, as delivered",
        rows: vec![
            Measurement::new("kernel", Unit::Size, kernel),
            Measurement::new("initramfs", Unit::Size, initramfs),
            Measurement::new("root", Unit::Size, root),
            Measurement::new("all", Unit::Size, kernel + initramfs + root).within("the bar", MOST),
        ],
    })
}
