//! Images on disk: verified, kept as erofs files, mounted.
//!
//! [`Store::import`] reads an image, [`Stores::resolve`] finds it by name, and
//! [`rootfs`] mounts its layers as a container's root. `docs/store.md` says more.
//! Registries are not spoken to yet.

pub mod compression;
pub mod digest;
pub mod erofs;
mod error;
pub mod layer;
pub mod oci;
pub mod rootfs;
mod source;
mod store;
mod stores;
pub mod tar;

pub use digest::Digest;
pub use error::{Error, Result};
pub use oci::{Config, Healthcheck, Platform, Reference};
pub use store::{Collected, Image, Imported, Layer, Listed, Store};
pub use stores::Stores;
