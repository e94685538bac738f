//! SELinux's labels of this process (the kernel's `LSM/SELinux.rst`; proc(5), `attr`).

use super::files::write_attribute;
use crate::error::{Context, Error, Result};
use nix::sys::statfs::{SELINUX_MAGIC, statfs};

/// Refuses what config.json has at this path where SELinux is off.
///
/// # Errors
/// It is.
pub fn check(path: &str) -> Result<()> {
    match statfs("/sys/fs/selinux") {
        Ok(about) if about.filesystem_type() == SELINUX_MAGIC => Ok(()),
        _ => Err(Error(format!("{path}: SELinux is not on"))),
    }
}

/// The label that the program will run under.
pub fn exec(label: &str) -> Result<()> {
    write_attribute(&["exec"], label.as_bytes()).context(|| format!("process.selinuxLabel: enter {label:?}"))
}

/// The label of keyrings that are made from here on; the usual one when empty.
pub fn keys(label: &str) -> Result<()> {
    write_attribute(&["keycreate"], label.as_bytes())
        .context(|| format!("process.selinuxLabel: label keys {label:?}"))
}
