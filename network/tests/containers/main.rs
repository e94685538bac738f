//! Networks of the containers' own, in namespaces: a node, its containers, and a
//! world that knows the node alone.

#[path = "../place/mod.rs"]
mod place;

mod forwarding;
mod helpers;
mod killed;
mod lifecycle;
mod names;
mod ports;
mod relay;

use helpers::Scene;
