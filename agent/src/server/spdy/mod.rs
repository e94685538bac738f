//! SPDY/3.1, the server's side, as far as Kubernetes uses it: a client opens streams over an
//! upgraded connection, each with a few headers, and both sides write to them ("SPDY Protocol –
//! Draft 3.1" of the Chromium project; the numbers in brackets are its sections).
//!
//! ```text
//! bytes ──▶ [frame] ──▶ [session]: events of streams ──▶ who serves them
//!                          │                                │
//! bytes ◀── out ◀──────────┴──────── accept, send, finish ◀─┘
//! ```
//!
//! A session holds no socket: [`driver`] carries its bytes. Flow windows [2.6.8] are a matter of
//! trust here. Kubernetes' own clients neither count nor grant any, so one is counted only for a
//! peer that has spoken of windows; all peers are granted theirs. What a peer sends beyond them
//! stays in its socket, since nothing is read while [`session::MOST_BACKLOG`] bytes wait.
//!
//! Deliberately missing: pushed streams, credentials, priorities.

pub mod driver;
pub mod frame;
pub mod headers;
pub mod session;
#[cfg(test)]
pub(in crate::server) mod tests;
