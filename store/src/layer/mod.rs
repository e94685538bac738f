//! An image's layer, a tar archive, as one erofs image.
//!
//! | in the archive | in the image |
//! |---|---|
//! | `.wh.NAME` | character device 0:0 `NAME`, or, where the layer itself has a directory `NAME`, that directory opaque; nothing where it has something else |
//! | `.wh..wh..opq` | `trusted.overlay.opaque=y` on its folder |
//! | either of them below what is no directory in the end, `.wh.NAME` below a folder that is opaque | nothing: that hides as much |
//! | `.wh..wh.*` besides | gone (AUFS's own), though hard links to it stay |
//! | a path twice | the last; a directory over a directory keeps its entries |
//! | a missing folder | root's, mode 0755, at 1970 |
//! | a folder that is a symbolic link in the same layer | followed, within the layer |
//! | `/etc/x`, `./etc/x`, `a/../etc/x` | `etc/x` |
//! | a path or hard link that climbs out with `..` | refused |
//! | a path or hard link of more than 4095 bytes, written or with the links that it passes; a name of more than 255 | refused |
//! | a symbolic link's target | as it stands, absolute or climbing: it is resolved in the container |
//! | a hard link | to earlier and to later entries of the layer |
//! | a hard link to what only a lower layer has | refused: a layer is stored once for all images, whatever lies below it |
//! | `trusted.overlay.*` attributes | dropped and noted: they would steer the node's own overlay |
//! | attributes in a namespace that Linux lacks | dropped and noted |

mod convert;
mod error;
mod path;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

pub use convert::{Report, convert, convert_by};
pub use error::Error;

/// What one layer may hold. Beyond it, it is refused: a small download must not
/// fill a disk or the memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of files, holes among them.
    pub bytes: u64,
    /// Entries of the archive; folders that it does not list, though it has files in them, count, too.
    pub entries: u64,
    /// Bytes of names, link targets and extended attributes: what stays in memory.
    pub names: u64,
}

impl Limits {
    /// Bytes of the archive itself, with all that follows its end: for headers and padding 1 KiB an entry.
    fn archive(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(1 << 10))
    }
}

impl Default for Limits {
    /// 256 GiB in 4,000,000 entries with 512 MiB of names.
    fn default() -> Self {
        Self { bytes: 256 << 30, entries: 4_000_000, names: 512 << 20 }
    }
}
