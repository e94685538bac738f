//! Images on disk: verified, kept as erofs files, mounted.
//!
//! [`Store::pull`] fetches an image from its registry and [`Store::import`] reads one from a file,
//! [`Stores::resolve`] finds it by name, and [`rootfs`] mounts its layers as a
//! container's root. `docs/store.md` says more.

pub mod compression;
pub mod digest;
pub mod erofs;
mod error;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod layer;
pub mod oci;
mod progress;
pub mod registry;
pub mod rootfs;
mod source;
mod store;
mod stores;
pub mod tar;
mod verity;
mod windows;
mod zstd;

pub use digest::Digest;
pub use error::{Error, Result};
pub use oci::{Config, Healthcheck, History, Platform, Reference};
pub use progress::{Progress, State, Update};
pub use registry::Registries;
pub use source::Root;
pub use store::{
    Bad, Checked, Collected, Details, Form, Held, Image, Imported, Layer, Listed, Outcome, Pulled, Pushed,
    Room, Store,
};
pub use stores::Stores;
