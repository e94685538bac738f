//! Networks of containers.

mod settings;

pub use settings::settings;
