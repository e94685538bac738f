//! What a container's environment is made of.

use super::Worker;
use super::begin::PATIENCE;
use crate::pod::env::{self, Files, Sources};
use crate::pod::observed::Sandbox;
use crate::volume::file;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use sys::cause::cause;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

impl Worker {
    pub(super) async fn environment(
        &mut self,
        pod: &Pod,
        sandbox: &Sandbox,
        container: &Container,
    ) -> Result<BTreeMap<String, String>, String> {
        let context = self.context.clone();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let (maps, secrets) =
            match context.sources.data(&context.api, &namespace, &env::needed(container)).await {
                Ok(read) => self.read.entry(container.name.clone()).insert_entry(read).get().clone(),
                // It began with this before, and begins so again while the API server is away.
                Err(reason) => self.read.get(&container.name).cloned().ok_or(reason)?,
            };
        let files = self.files(container).await?;
        let on_node = sandbox.network.is_none();
        let from = Sources {
            config_maps: &maps,
            secrets: &secrets,
            files: &files,
            services: &self.service_env(pod)?,
            pod: if on_node { &context.own.addresses } else { &sandbox.addresses },
            node: &context.own.addresses,
            allocatable: context.allocatable(),
        };
        env::environment(pod, container, &from)
    }

    /// The files of variables that the container's refer to.
    async fn files(&self, container: &Container) -> Result<Files, String> {
        let mut files = Files::new();
        for (volume, path) in env::files(container) {
            let made = self.volumes.as_ref().and_then(|all| all.get(&volume));
            let folder = made.ok_or_else(|| format!("volume \"{volume}\" is not there"))?.path.clone();
            let named = path.clone();
            let read = timeout(PATIENCE, spawn_blocking(move || file::read(&folder, Path::new(&named))));
            let read = read.await.map_err(|_| format!("volume \"{volume}\" does not answer"))?;
            let text = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            let words = |error: io::Error| format!("read {path} of volume \"{volume}\": {}", cause(&error));
            files.insert((volume.clone(), path.clone()), text.map_err(words)?);
        }
        Ok(files)
    }
}
