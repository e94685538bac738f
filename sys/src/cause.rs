//! Why a call failed, in words for a person.

use nix::errno::Errno;
use std::io;

/// The cause of an error in lower case and without its number: `permission denied`.
pub fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => small(Errno::from_raw(number).desc()),
        None => small(&error.to_string()),
    }
}

/// A text that begins in lower case, but for "I/O error" and the like.
fn small(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_words_without_a_number() {
        let words = |number| cause(&io::Error::from_raw_os_error(number));
        assert_eq!(words(libc::ENOSPC), "no space left on device");
        assert_eq!(words(libc::EIO), "I/O error");
        assert_eq!(cause(&io::Error::other("as it is")), "as it is");
    }
}
