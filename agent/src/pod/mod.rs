//! A pod on this node.
//!
//! | question | module |
//! |---|---|
//! | what there is of it | [`observed`] |
//! | what is to be done next | [`next`] |

pub mod next;
pub mod observed;
