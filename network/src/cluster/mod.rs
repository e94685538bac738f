//! A cluster's network on this node, for the agent to call: it watches the API server, says what
//! should be, and what is here makes it so. Nothing is kept between calls but what the kernel and the
//! disk hold.
//!
//! | file | question |
//! |---|---|
//! | `foreign` | what do a cluster's own networks and Services ask of the kernel? |
//! | `pods` | which addresses do pods get? |
//! | `policies` | who may speak to whom? |
//! | `routes` | which way is it to other nodes' pods? |
//! | `services` | which endpoint does what is sent to a Service get to? |

pub mod foreign;
pub mod pods;
pub mod policies;
pub mod routes;
pub mod services;

pub use crate::containers::modules::load_these as load_modules;
