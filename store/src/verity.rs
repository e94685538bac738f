//! A file's fs-verity digest, as the kernel computes it: a Merkle tree of SHA-256 over
//! blocks of 4096 bytes, without salt (the kernel's Documentation/filesystems/fsverity.rst).
//!
//! Where the file system can seal a file, the kernel tells the digest and checks each page
//! that is ever read against it. Elsewhere it is computed here, and a check
//! of the store compares it.

use crate::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;

const BLOCK: usize = 4096;

type Hash = [u8; 32];

/// Seals a file, opened to read, where kernel and file system can, and tells its digest.
pub(crate) fn seal(file: &File) -> io::Result<Digest> {
    match sys::verity::seal(file.as_fd()) {
        // What is checked by nobody from now on would be so for good.
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            return Err(error);
        }
        // Where nothing can be sealed it is a file like any other.
        _ => {}
    }
    match sys::verity::measure(file.as_fd()) {
        Ok(measured) => Ok(Digest::of_hash(&measured)),
        Err(_) => digest(file.try_clone()?),
    }
}

/// The digest of all that a reader gives.
pub(crate) fn digest(mut reader: impl Read) -> io::Result<Digest> {
    let (mut tree, mut size) = (Tree::default(), 0);
    let mut block = Vec::with_capacity(BLOCK);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match reader.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count?,
        };
        size += count as u64;
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let (taken, after) = rest.split_at(rest.len().min(BLOCK - block.len()));
            block.extend_from_slice(taken);
            rest = after;
            if block.len() == BLOCK {
                tree.add(0, hash(&mut block));
            }
        }
        if count == 0 {
            break;
        }
    }
    if !block.is_empty() {
        tree.add(0, hash(&mut block));
    }
    Ok(described(size, tree.root()))
}

/// The digest of `struct fsverity_descriptor`, which has the tree's root in it.
fn described(size: u64, root: Hash) -> Digest {
    let mut descriptor = [0; 256];
    // Version 1, SHA-256, blocks of 2^12 bytes.
    descriptor[..3].copy_from_slice(&[1, 1, 12]);
    descriptor[8..16].copy_from_slice(&size.to_le_bytes());
    descriptor[16..48].copy_from_slice(&root);
    Digest::sha256(&descriptor)
}

/// The hash of a block, filled up with zeros, which is then empty.
fn hash(block: &mut Vec<u8>) -> Hash {
    block.resize(BLOCK, 0);
    let hash = Sha256::digest(&*block).into();
    block.clear();
    hash
}

/// A tree that grows from its leaves: of each level the block that is not full yet.
#[derive(Default)]
struct Tree(Vec<Vec<u8>>);

impl Tree {
    fn add(&mut self, level: usize, leaf: Hash) {
        if self.0.len() == level {
            self.0.push(Vec::with_capacity(BLOCK));
        }
        let block = &mut self.0[level];
        block.extend_from_slice(&leaf);
        if block.len() == BLOCK {
            let full = hash(block);
            self.add(level + 1, full);
        }
    }

    /// The one hash of the highest level; zeros of an empty file.
    fn root(mut self) -> Hash {
        let mut level = 0;
        while level < self.0.len() {
            let last = level + 1 == self.0.len();
            let block = &mut self.0[level];
            if last && block.len() == size_of::<Hash>() {
                return block[..].try_into().unwrap_or_default();
            }
            if !block.is_empty() {
                let partial = hash(block);
                self.add(level + 1, partial);
            }
            level += 1;
        }
        Hash::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_that_fsverity_tells() {
        let pattern =
            |size: usize| (0..size).map(|at| ((at * 7 + at / 4096) % 251) as u8).collect::<Vec<_>>();
        // By `fsverity digest` of fsverity-utils.
        for (bytes, expected) in [
            (vec![], "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"),
            (b"a".to_vec(), "bce75948b9e7510293f8f2720412af9697c1479281323f3f220623fb8e94b557"),
            (pattern(4096), "258b680fa93e3bfc1586d9b439d29a2172bd0db550fe7da1272fd8120d801182"),
            (pattern(4097), "0b56d91e56b7acb8a5d9b3c634035e958de06d93cebf44ec208715e5d31e702e"),
            (pattern(4096 * 128), "3f0878082c1ff21b3c72099f28aafe4d629ba40d693ad12c03a48921cf50e92d"),
            (pattern(4096 * 128 + 1), "0b290ba5244d75295e37ef71e3cf78277b2ccb688c590011bb5c9dc95cad7937"),
            (
                vec![0xab; 4096 * 128 * 128 + 5000],
                "40cf8d4e74652fbac0b1efa30e4a7fa17c85736084ce60af77dd185f69107dbd",
            ),
        ] {
            assert_eq!(digest(&bytes[..]).unwrap().hex(), expected, "{} bytes", bytes.len());
        }
    }
}
