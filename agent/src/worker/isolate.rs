//! Network policies of the pod: it is told of to [`Isolation`], and waits for it.
//!
//! [`Isolation`]: crate::policies::Isolation

use super::Worker;
use super::begin::ended;
use crate::pod::observed::Sandbox;
use crate::volume;
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;
use tokio::time::sleep;

/// How long network policies are awaited before that is told.
const PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Policies are about the pod's addresses, of which it has those of its sandbox.
    pub(super) fn tell_addresses(&mut self, pod: &Pod, sandbox: Option<&Sandbox>) {
        let own = sandbox.filter(|own| own.network.is_some()).map(|own| own.addresses.clone());
        let own = own.unwrap_or_default();
        if own.is_empty() {
            self.context.isolation.forget(pod, &self.addresses);
        } else {
            self.context.isolation.tell(pod, &own);
        }
        self.addresses = own;
    }

    /// Waits until policies hold for the pod. What is so stays so for its sandbox, whatever becomes of this agent: the
    /// kernel keeps it.
    ///
    /// # Errors
    /// They do not, in words; none when the pod is to end meanwhile.
    pub(super) async fn isolated(&mut self, sandbox: &Sandbox) -> Result<(), Option<String>> {
        let note = volume::place::run(&self.uid).join("isolated");
        if self.addresses.is_empty() || std::fs::read_to_string(&note).is_ok_and(|own| own == sandbox.id) {
            return Ok(());
        }
        let pod = self.wanted.borrow().pod.clone();
        tokio::select! {
            () = self.context.isolation.holds(&pod, &self.addresses) => {}
            () = sleep(PATIENCE) => return Err(Some("network policies do not hold for the pod yet".to_owned())),
            () = ended(self.wanted.clone()) => return Err(None),
        }
        let written = sys::file::replace(&note, sandbox.id.as_bytes());
        written.map_err(|error| Some(format!("write {}: {}", note.display(), sys::cause::cause(&error))))
    }
}
