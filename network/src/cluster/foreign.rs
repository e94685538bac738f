//! What a cluster that brings its own networks or Services asks of the kernel.

use crate::containers::modules;

/// Has it loaded, before anybody asks.
///
/// # Errors
/// PID 1 is there and cannot be asked.
pub fn load() -> Result<(), String> {
    modules::load()?;
    modules::load_these(&spec::modules::FOREIGN)
}
