//! The cluster's registry, for images that are not in the nodes': Debian's docker-registry, on the wire.

use super::program::Program;
use super::{Cluster, GATEWAY, Parts};
use crate::image::{said, unpacked};
use crate::{Result, container_archive};
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The port of the registry, whose address is the control plane's.
const PORT: u16 = 5000;

/// The registry, once somebody has asked for it.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Option<Program>>);

/// How a node's configuration says that the registry speaks no TLS.
pub(super) fn node_lines() -> String {
    format!("\n[registries.\"{GATEWAY}:{PORT}\"]\nplain-http = true\n")
}

/// How a node's configuration says that this registry has what is asked of another one.
pub(super) fn mirror_lines(of: &str) -> String {
    format!("\n[registries.{of:?}]\nmirrors = [\"http://{GATEWAY}:{PORT}\"]\n")
}

impl Cluster {
    /// Puts a container image of the tests, as [`container_archive`] names it, into the registry, which
    /// is started for it, and returns the name by which pods may ask for it.
    ///
    /// # Errors
    ///
    /// When the registry does not start, or what skopeo says.
    pub fn push(&self, name: &str) -> Result<String> {
        self.push_as(name, &format!("{}:1", name.rsplit('/').next().unwrap_or(name)))
    }

    /// The same under a repository and a tag of one's own.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn push_as(&self, name: &str, tagged: &str) -> Result<String> {
        self.parts.registry.start(&self.parts)?;
        let archive = container_archive(name)?;
        let listed = said(Command::new("tar").arg("-tf").arg(&archive))?;
        let kind =
            if listed.lines().any(|line| line == "oci-layout") { "oci-archive" } else { "docker-archive" };
        let image = format!("{GATEWAY}:{PORT}/{tagged}");
        self.run_until(&format!(
            "skopeo --insecure-policy copy --quiet --dest-tls-verify=false {kind}:{} docker://{image}",
            archive.display()
        ))?;
        Ok(image)
    }
}

impl Registry {
    fn start(&self, parts: &Parts) -> Result {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            let config = parts.folder.join("registry.yml");
            let data = parts.folder.join("registry");
            fs::write(
                &config,
                format!(
                    "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {GATEWAY}:{PORT}\n",
                    data.display()
                ),
            )?;
            let program = unpacked("docker-registry")?.join("usr/bin/docker-registry");
            let arguments = ["serve".to_owned(), config.display().to_string()];
            *running = Some(Program::start(&parts.namespace, &program, &arguments, &parts.folder)?);
        }
        Ok(())
    }
}
