//! The kernel that `make kernel` builds, where it is built.

use crate::{Failure, Result, repository};
use std::path::PathBuf;

/// Where `make kernel` has put it: a folder whose name tells what it was made of.
///
/// # Errors
///
/// When it is not built.
pub fn kernel_folder() -> Result<PathBuf> {
    let folder = repository().join("target/kernel");
    folder.canonicalize().map_err(|_| Failure::new("the tuned kernel is not built; `make kernel` builds it"))
}

/// One of its files: `vmlinux`, `bzImage` or `bzImage-small`.
///
/// # Errors
///
/// When it is not built.
pub fn tuned_kernel(file: &str) -> Result<PathBuf> {
    Ok(kernel_folder()?.join(file))
}

/// What `SKERRY_TEST_KERNEL` names for every test that does not choose one itself: `tuned`, or
/// nothing for the packaged kernel.
pub(crate) fn of_all_tests() -> Result<Option<PathBuf>> {
    match std::env::var("SKERRY_TEST_KERNEL").as_deref() {
        Err(_) | Ok("" | "packaged") => Ok(None),
        Ok("tuned") => tuned_kernel("vmlinux").map(Some),
        Ok(other) => {
            Err(Failure::new(format!("SKERRY_TEST_KERNEL: {other:?} is neither packaged nor tuned")))
        }
    }
}
