//! Standard output, which may be a full disk: `println!` would panic.

use crate::error::{Context, Result};
use std::io::{Write, stdout};

/// Writes it, all of it.
///
/// # Errors
/// Those of write(2).
pub fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(|| "write to standard output".into())
}
