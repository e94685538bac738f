//! Kubernetes' own control plane, and machines that join it.

mod control_plane;
mod join;
mod kubectl;
mod pods;
#[cfg(feature = "kernel-tests")]
mod small;
mod up;
