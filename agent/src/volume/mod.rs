//! Volumes of pods: made before the first container, kept until the last has ended.
//!
//! | question | module |
//! |---|---|
//! | what lies in those that the API server fills | [`payload`] |
//! | how their files change | [`writer`] |
//! | how each kind is made | [`make`] |
//! | what of them a container sees | [`mounts`] |
//! | where they are | [`place`] |

pub mod make;
pub mod mounts;
pub mod payload;
pub mod place;
pub mod writer;
