//! A pod on this node.
//!
//! | question | module |
//! |---|---|
//! | what there is of it | [`observed`] |
//! | what is to be done next | [`next`] |
//! | whether and when it is tried again | [`restart`] |
//! | what the API server is told of it | [`status`] |
//! | what its containers' environment is | [`mod@env`], [`env_file`] |
//! | how much it may have | [`qos`], [`quantity`], [`huge`] |
//! | whether there is room for that, or for more | [`admission`], [`allocation`] |
//! | whether it asks for a node like this one | [`affinity`] |
//! | how it comes to more or less while it runs | [`resize`] |

pub mod admission;
pub mod affinity;
pub mod allocation;
pub mod cgroup;
pub mod conditions;
pub mod container;
pub mod env;
pub mod env_file;
pub mod fields;
pub mod huge;
pub mod names;
pub mod next;
pub mod observed;
pub mod qos;
pub mod quantity;
pub mod resize;
pub mod restart;
pub mod status;
