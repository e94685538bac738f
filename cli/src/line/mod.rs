//! The line reader of a node's console: what a shell's prompt would do, for `skerry`'s own
//! verbs alone.
//!
//! [`keys`] makes keys of bytes, [`editor`] lines of keys, [`words`] words of a line; none of
//! them touches a terminal.

mod editor;
mod keys;
mod words;

pub use editor::{Editor, Turn};
pub use keys::{Key, Keys};
pub use words::split;
