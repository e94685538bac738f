//! Kubernetes' own control plane, and machines that join it.

mod bad_pods;
mod balancer;
mod cni;
mod conformance;
mod control_plane;
mod controllers;
mod daemons;
mod death;
mod ends;
mod faults;
mod identity;
mod image_volumes;
mod join;
mod kubectl;
mod nfs;
mod old_kubectl;
mod pods;
mod policies;
mod pressure;
mod resize;
mod restricted;
mod scarce;
#[cfg(feature = "kernel-tests")]
mod small;
mod storage;
mod surroundings;
mod torture;
mod up;
