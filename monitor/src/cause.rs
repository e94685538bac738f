//! Why something did not work, as a line names it last.

use nix::errno::Errno;
use std::io;

/// An error of the system in lower case and without its number.
pub fn cause(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = Errno::from_raw(number).desc();
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        // Acronyms stay as they are: `I/O error`.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_words_alone() {
        assert_eq!(cause(&Errno::ENOSPC.into()), "no space left on device");
        assert_eq!(cause(&Errno::EIO.into()), "I/O error");
        assert_eq!(cause(&io::Error::other("said so")), "said so");
    }
}
