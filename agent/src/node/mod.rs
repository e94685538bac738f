//! The Node object: made once, kept true, and the Lease that says that this node lives.
//!
//! [`facts`] reads what the machine is, [`object`] puts it into the API's words, [`report`] sends it.

pub mod facts;
pub mod lease;
pub mod object;
pub mod report;
