//! What a container's environment is made of.

use super::Worker;
use super::begin::PATIENCE;
use crate::pod::env::{self, Files, Sources};
use crate::pod::observed::Sandbox;
use k8s_openapi::api::core::v1::{Container, Pod};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use sys::cause::cause;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Bytes of a file of variables.
const LARGEST: u64 = 1 << 20;

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
            let read = timeout(PATIENCE, spawn_blocking(move || read(&folder, Path::new(&named))));
            let read = read.await.map_err(|_| format!("volume \"{volume}\" does not answer"))?;
            let text = read.unwrap_or_else(|error| Err(io::Error::other(error)));
            let words = |error: io::Error| format!("read {path} of volume \"{volume}\": {}", cause(&error));
            files.insert((volume.clone(), path.clone()), text.map_err(words)?);
        }
        Ok(files)
    }
}

/// What a file in a volume says, if it is there. Containers may have put anything in its place.
fn read(folder: &Path, path: &Path) -> io::Result<Option<String>> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = openat2(File::open(folder)?, path, OpenHow::new().flags(flags).resolve(resolve));
    let file = match opened.map(File::from).map_err(io::Error::from) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_lies_in_the_volume_is_read() {
        let volume = std::env::temp_dir().join(format!("skerry-env-file-{}", std::process::id()));
        fs::create_dir_all(volume.join("etc")).unwrap();
        fs::write(volume.join("etc/passwd"), "A='inside'").unwrap();
        fs::write(volume.join("large"), "x".repeat((1 << 20) + 1)).unwrap();
        symlink("/etc/passwd", volume.join("link")).unwrap();
        nix::unistd::mkfifo(&volume.join("pipe"), Mode::S_IRWXU).unwrap();
        let of = |path: &str| read(&volume, Path::new(path));
        assert_eq!(of("link").unwrap().as_deref(), Some("A='inside'"), "the volume is its root");
        assert_eq!((of("none").unwrap(), of("link/none").unwrap()), (None, None));
        assert!(of("pipe").unwrap_err().to_string().contains("regular file"));
        assert!(of("etc").unwrap_err().to_string().contains("regular file"));
        assert_eq!(of("large").unwrap_err().kind(), ErrorKind::FileTooLarge);
        fs::remove_dir_all(&volume).unwrap();
    }
}
