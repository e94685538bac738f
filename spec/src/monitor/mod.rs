//! The language of the monitor's socket, [`crate::paths::MONITOR_SOCKET`]: how
//! `skerry` and the agent ask for containers.
//!
//! A stream of frames in both directions (`SOCK_STREAM`; the peer must be root,
//! `SO_PEERCRED`). Nothing but the frames is assumed of what carries them, so the
//! same language can be spoken over a network.
//!
//! ```text
//! frame      = length kind payload
//! length     = of kind and payload, 32 bits, big-endian, 1 to MAX_FRAME
//! kind       = one byte: Message, Input, Output, Error
//! Message    = a JSON object, the rest are bytes of a program's streams
//! ```
//!
//! A connection is one request:
//!
//! ```text
//! client                                monitor
//! Message Hello {version}          →
//!                                  ←    Message Hello {version}, or Failed
//! Message Request                  →
//!                                  ←    Message Reply …, the last of which is
//!                                       Done, Failed or, of a program, Exited
//! ```
//!
//! `attach`, `exec` and `logs` are answered by [`Reply::Streams`], then by
//! streams in frames of their own, and at the end by [`Reply::Exited`] or
//! [`Reply::Done`]. A [`Reply::Warning`] may come before the answer to what starts a container or changes
//! its networks, and amid its streams. A list that does not fit into a frame comes in several; what `inspect` tells and
//! does not fit follows it ([`Reply::Container`]). A frame of
//! `logs` is one entry, its line as the file has it, the newline at its end included. While streams are open the client may send [`Request::Resize`],
//! [`Request::InputEnded`] and, of `exec`, [`Request::Signal`].
//!
//! A client that leaves takes nothing along: only an `exec` whose client was its
//! only reader loses its streams. A monitor that was killed closes its
//! connections; the client connects again and asks anew. Who has streams asks for
//! [`Request::Resume`] with the session's name and the bytes of output that have come: the
//! rest follows, nothing lost and nothing twice, and the exit status; or it fails, when the program has written more
//! than the log holds before the client was back. A [`Reply::Streams`] amid them gives another name,
//! by which bytes are counted from there on. An incomplete frame
//! at the end of a connection counts for nothing. Input that the program had not read is lost.

mod frame;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use frame::{Frame, Kind, MAX_FRAME, Reader, Wrong};
pub use reply::{
    CHECKS, COMMAND, Checked, Checks, Code, Failure, Health, Port, Reply, Stats, Status, Summary,
};
pub use request::{Create, Exec, Happening, IDS, Logs, Object, Request, Sandbox, Size, Update, Wait};

use serde::{Deserialize, Serialize};

/// The version of this language. A monitor understands its own and those before it
/// that it names in its refusal.
pub const VERSION: u32 = 1;

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the speaker.
    pub version: u32,
    /// The speaker's program and its own version, for people.
    pub program: String,
}
