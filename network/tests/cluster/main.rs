//! A cluster's network, in namespaces: nodes with pods, and a world that knows the nodes alone.

mod frames;
#[path = "../containers/helpers.rs"]
mod helpers;
mod nodes;
#[path = "../place/mod.rs"]
mod place;
mod pods;
mod policies;
mod routes;
mod services;
mod sources;
