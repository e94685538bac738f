//! The wall clock, kept right by SNTP (RFC 4330) while the node runs. Nothing
//! waits for it: PID 1 has lifted the clock to the image's own time before.
//!
//! | file | question |
//! |---|---|
//! | `packet` | what do the bytes say? |
//! | `lookup` | which addresses have the servers' names? |
//! | `client` | what next? A pure state machine. |
//! | `clock` | how is it done? Sockets and the kernel's clock. |
//!
//! Left out on purpose: authentication (NTS), a server's own selection and
//! clustering algorithms, and any server that nobody named: a node does not call
//! strangers.

pub mod client;
pub mod clock;
mod lookup;
pub mod packet;
