//! The kernel's random numbers.

use std::io;

/// A number that nobody can foretell from those before it (getrandom(2)). It is not waited for: of a kernel that has
/// only begun it is the best that there is.
///
/// # Errors
/// `ENOSYS`, `EINVAL` of a kernel before 5.6.
pub fn number() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the kernel writes at most `bytes.len()` bytes.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_INSECURE) };
    match usize::try_from(length) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ() {
        assert_ne!(number().unwrap(), number().unwrap());
    }
}
