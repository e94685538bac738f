//! Containers' output: from their pipes to their log files, losing nothing and
//! repeating nothing whenever the monitor is killed.
//!
//! ```text
//! container ──▶ log pipe ──tee──▶ scratch pipe ──▶ buffer: what is there, and where to cut
//!                  │
//!                  └──splice──▶ desk ··· tee ···▶ buffer ──▶ NAME.log
//!                                │
//!                                └──read──▶ nothing: it is logged
//! ```
//!
//! The *desk* is one more pipe, the only one of its kind on the node. It holds
//! the one batch that is being logged. PID 1's descriptor store keeps both its
//! ends and the read end of every log pipe, so all three outlive the monitor;
//! the scratch pipe and the buffer do not, and hold only copies.
//!
//! A batch goes through these steps, and nothing else is logged meanwhile:
//!
//! | step | what it does | killed after it |
//! |---|---|---|
//! | `Look` | `tee(2)` the log pipe's head into the scratch pipe, read it, choose where to cut | nothing happened |
//! | `Mark` | rotate the log if the batch would not fit; write the *mark*: container, stream, moment, the log's length | the desk is empty: the mark means nothing |
//! | `Take` | `splice(2)` the batch to the desk | the desk holds it: log it |
//! | `Write` | append its entries to the log | the same, and the log's length tells how much of it is there |
//! | `Clear` | read the desk empty | the desk is empty: done |
//!
//! So what a new monitor needs is exact and never guessed. Bytes on the desk are
//! the batch that the mark describes, because the mark is written while the desk
//! is empty. Their entries are a function of the bytes, the mark's stream and
//! its moment ([`cri::entries`]), so they come out the same, timestamps
//! included; what the log holds beyond the mark's offset is that many bytes of
//! them, and only the rest is appended. A program that writes the same line
//! over and over is no harder than any other: texts are never compared. The log
//! is never rewritten, so one who follows it sees nothing odd.
//!
//! The kernel moves the bytes of one `splice` between two pipes, and takes the
//! bytes of one `read` from a pipe, under the pipe's lock without looking for
//! signals; a file's `write` may be cut short by SIGKILL, which the length shows.
//! A power cut takes pipes and mark along with the containers; a log then ends
//! wherever the file system's last commit was.
//!
//! A terminal takes the same road, without a look: the kernel copies no bytes of one and leaves them.
//! The mark comes first there, too; how much was taken shows on the desk. What a
//! terminal has is logged at once, finished or not, since somebody may be looking on.
//!
//! An unfinished line stays in its pipe until its newline comes, it fills
//! [`cri::LONGEST`] bytes, or half a second has passed ([`PATIENCE`]); then it is
//! logged as a part. A log that cannot be written (no space) never holds up its
//! container: batches are dropped whole, which the console says once, and
//! again, with their size, when the log can be written again.
//!
//! Who follows a log reads its files ([`crate::follow`]). Deliberately missing: rotation on
//! demand.

mod cri;
mod desk;
mod file;

pub use cri::Stream;
pub use desk::{Desk, Note, Outcome, Source, pipe};
pub use file::{LogFile, ROOT, look, open, predecessor, remove};

use std::time::Duration;

/// How long an unfinished line may wait for its end.
pub const PATIENCE: Duration = Duration::from_millis(500);
