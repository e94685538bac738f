//! A writer of erofs images: read-only file systems that Linux 6.1 and later mount.
//!
//! One pass, no scratch space: the bytes of a file go to the output while they
//! are read, and only what a directory listing shows stays in memory until
//! [`Writer::finish`]. So the metadata lies behind the data:
//!
//! ```text
//! block 0     1024 zero bytes, superblock (written last, over a hole)
//! block 1…    contents of files, each contiguous, in the order of adding
//! then        full blocks of directories
//! then        metadata: root inode first; behind each inode its extended
//!             attributes and, where both fit into one block, its tail
//! ```
//!
//! What is chosen where the format leaves a choice:
//! - Blocks of 4096 bytes. A file of [`Writer::add_file`] is not compressed: a page of it is a page of
//!   the image, and the image is what a download compresses. One of [`Writer::add_compressed_file`] is,
//!   by LZ4, in blocks of 4096 bytes with a full index.
//! - An inode is compact (32 bytes) when its owner, size and link count fit and
//!   its time is the image's, which is the most common one of all inodes.
//! - The tail of a file lies behind its inode (`FLAT_INLINE`) when both fit into
//!   a block. Tails wait in a scratch file; without one they wait in memory, and after
//!   [`TAIL_BUDGET`] of them the rest get blocks of their own.
//! - Extended attributes are stored with each inode; none are shared and none use
//!   the long prefixes of Linux 6.4.
//! - The same calls give the same bytes; nothing is taken from the clock, the
//!   host or a hash's order.
//!
//! Left out on purpose: other compression, chunks, extra devices, block sizes other
//! than 4096. A path that is added again replaces what was there (a directory
//! over a directory keeps its entries); the replaced bytes stay in the image.
//!
//! Source: the kernel's `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.

mod compressed;
mod directory;
mod error;
mod format;
mod layout;
mod output;
mod tails;
mod tree;
mod writer;
mod xattr;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod check;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use tails::TAIL_BUDGET;
pub use tree::{Device, Kind, Meta, Time};
pub use writer::{Options, Place, Summary, Writer};
pub use xattr::is_known_xattr;

/// Size of a block in bytes.
pub const BLOCK: usize = 4096;
