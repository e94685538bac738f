//! The least memory of a machine that an image boots on.
//!
//! Measured with Debian's 6.12 cloud kernel, which takes 56 MiB while it unpacks itself: it
//! boots from 76 MiB. The initramfs is in memory twice while it is unpacked, and what it
//! holds may not take more than half of memory; with an 18 MB root in it the same
//! kernel needs 112 MiB. A margin is added, for the node's own programs.

use crate::kernel::Takes;
use spec::manifest::LeastMemory;

const MIB: u64 = 1 << 20;

/// What a booting kernel takes beside its own unpacking, in MiB.
const KERNEL: u64 = 20;

/// For a kernel that does not tell what it takes, in MiB (an uncompressed one boots from 80).
const UNKNOWN_KERNEL: u64 = 80;

/// For the node's programs, in MiB.
const MARGIN: u64 = 8;

/// What a kernel that is not packed takes beside the memory in which it lies, in MiB.
const RUNNING: u64 = 16;

/// Results are a multiple of this, in MiB.
const STEP: u64 = 8;

/// The least memory by what the kernel takes, and the bytes of the initramfs with and
/// without the root in it.
pub fn least(kernel: Takes, initramfs: u64, initramfs_memory: u64) -> LeastMemory {
    let kernel = match kernel {
        Takes::Unpacking(size) => size.div_ceil(MIB) + KERNEL,
        Takes::Lying(end) => end.div_ceil(MIB) + RUNNING,
        Takes::Unknown => UNKNOWN_KERNEL,
    };
    let need = |archive: u64| (kernel + (2 * archive).div_ceil(MIB) + MARGIN).next_multiple_of(STEP);
    LeastMemory { disk: need(initramfs), memory: need(initramfs_memory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_cloud_kernel_needs_what_was_measured() {
        let least = least(Takes::Unpacking(58_572_800), 3 << 20, (18_000_000) + (3 << 20));
        assert_eq!(least, LeastMemory { disk: 96, memory: 128 });
    }

    #[test]
    fn a_greater_root_needs_twice_its_size_more() {
        let of = |root: u64| least(Takes::Unknown, 2 << 20, root << 20).memory;
        assert_eq!(of(256) - of(128), 256);
    }
}
