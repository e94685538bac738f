//! Who decides on the calls of `SCMP_ACT_NOTIFY` (`config-linux.md`, Seccomp).

use crate::error::{Error, Result};
use spec::bundle::{Action, Seccomp};

/// Where an agent listens, and what it is told beside the container's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener<'a> {
    /// A unix socket.
    pub path: &'a str,
    /// Opaque.
    pub metadata: &'a str,
}

impl<'a> Listener<'a> {
    /// The profile's, if any call is to be decided so.
    ///
    /// # Errors
    /// The socket is not named, or the text for it is given without it.
    pub fn of(profile: &'a Seccomp) -> Result<Option<Self>> {
        let mut actions = profile.syscalls.iter().map(|rule| rule.action).chain([profile.default_action]);
        let notifies = actions.any(|action| action == Action::Notify);
        let path = profile.listener_path.as_str();
        if path.is_empty() && !profile.listener_metadata.is_empty() {
            return Err(Error::new("linux.seccomp.listenerMetadata: there is no listenerPath"));
        }
        match (notifies, path) {
            (true, "") => {
                Err(Error::new("linux.seccomp.listenerPath: is missing, and SCMP_ACT_NOTIFY needs it"))
            }
            (true, path) => Ok(Some(Self { path, metadata: &profile.listener_metadata })),
            (false, _) => Ok(None),
        }
    }
}
