//! Makes this node's pods match the API server: a kubelet.
//!
//! It may be killed and started again at any instruction: all that it must know lies on disk, with
//! the monitor, or at the API server.
//!
//! | question | module |
//! |---|---|
//! | how this node becomes one of the cluster's | [`join`], [`identity`], [`certificate`] |
//! | what the cluster is told of it | [`node`] |
//! | how the API server is reached | [`api`] |
//! | what a pod is, needs and does next, as functions | [`pod`] |
//! | how that is done | [`worker`], [`sandbox`], [`volume`], [`image`], [`probe`] |
//! | what pods refer to | [`sources`] |
//! | what happens when the node runs short, or a pod writes too much | [`evict`], [`storage`] |
//! | how containers are run | [`monitor`], [`table`] |
//! | which way packets go | [`cluster_network`], [`cni`], [`policies`] |
//! | how addresses are read that older API servers let pass | [`legacy`] |
//! | what the API server and others ask of the node | [`server`], [`serving`], [`healthz`], [`answering`] |
//! | what happens, in what order | [`run`] |
//!
//! It has one thread for all that waits. Whoever enters another namespace gets a thread of its own, and so does what a
//! disk or a server may hold up for long: to walk folders, to have something on the disk for good ([`record`]), to look
//! into a volume.

pub mod answering;
pub mod api;
pub mod attempt;
pub mod certificate;
pub mod cluster_network;
pub mod cni;
pub mod config;
pub mod csr;
pub mod duration;
pub mod events;
pub mod evict;
pub mod folder;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod healthz;
pub mod identity;
pub mod image;
pub mod join;
pub mod legacy;
pub mod manifest;
pub mod monitor;
pub mod node;
pub mod objects;
pub mod pod;
pub mod pods;
pub mod policies;
pub mod probe;
pub mod record;
pub mod run;
pub mod sandbox;
pub mod say;
pub mod server;
pub mod serving;
pub mod sources;
pub mod static_pods;
pub mod storage;
pub mod table;
pub mod volume;
pub mod worker;
