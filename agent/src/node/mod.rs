//! The Node object: made, kept true, and the Lease that says that this node lives.
//!
//! [`facts`] reads what the machine is, [`object`] puts it into the API's words, [`report`] sends it; [`membership`] does all of
//! that as long as the agent runs; [`rival`] finds another
//! machine of the same name, [`eviction`] says when the node is short of something, [`local_storage`] when a pod has written too much,
//! [`allocatable`] limits what all pods have together, [`oom`] tells of the kernel's own way out, [`version`] is whose kubelet
//! the node says that it has.

pub mod allocatable;
pub mod eviction;
pub mod facts;
pub mod lease;
pub mod local_storage;
pub mod membership;
pub mod object;
pub mod oom;
pub mod report;
pub mod rival;
pub mod roads;
pub mod version;
