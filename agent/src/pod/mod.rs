//! A pod on this node.
//!
//! | question | module |
//! |---|---|
//! | what there is of it | [`observed`] |
//! | what is to be done next | [`next`] |
//! | what the API server is told of it | [`status`] |
//! | how much it may have | [`qos`], [`quantity`] |

pub mod admission;
pub mod cgroup;
pub mod container;
pub mod env;
pub mod fields;
pub mod names;
pub mod next;
pub mod observed;
pub mod qos;
pub mod quantity;
pub mod status;
