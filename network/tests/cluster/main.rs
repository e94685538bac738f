//! A cluster's network, in namespaces: nodes with pods, and a world that knows the nodes alone.

#[path = "../containers/helpers.rs"]
mod helpers;
#[allow(dead_code, reason = "the second node has no test yet")]
mod nodes;
#[path = "../place/mod.rs"]
mod place;
mod pods;
