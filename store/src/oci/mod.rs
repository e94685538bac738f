//! OCI's and Docker's JSON documents (image-spec 1.1; Docker's "Image Manifest V 2, Schema 2").

mod config;
mod health;
mod index;
mod manifest;
mod platform;
mod reference;

pub use config::{Config, History};
pub(crate) use config::{ConfigFile, null_is_default};
pub use health::Healthcheck;
pub(crate) use index::{Wanted, among, choose, follow};
pub(crate) use manifest::{Descriptor, Document, Manifest, media_type, read};
pub use platform::Platform;
pub use reference::Reference;
pub(crate) use reference::split_port;

/// Media types of manifests and lists.
pub(crate) mod media {
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
}

/// Most bytes of a manifest or index, what registries accept (distribution-spec,
/// "Pushing Manifests").
pub const MANIFEST_MAX: u64 = 4 << 20;

/// Most bytes of an image's configuration.
pub const CONFIG_MAX: u64 = 16 << 20;
