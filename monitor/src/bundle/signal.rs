//! The signal that asks a container to end.

use nix::sys::signal::Signal;

/// Reads `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `RTMAX-1`; TERM when empty.
///
/// # Errors
/// What is no signal.
pub fn stop_signal(text: &str) -> Result<i32, String> {
    if text.is_empty() { Ok(Signal::SIGTERM as i32) } else { spec::signal::number(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_real_time_signals() {
        for (text, number) in [
            ("", 15),
            ("SIGTERM", 15),
            ("QUIT", 3),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(stop_signal(text), Ok(number), "{text}");
        }
        for text in ["SIGNAL", "0", "65", "-1", "RTMIN+40", "RTMIN-1", "RTMAX-99999999999"] {
            assert!(stop_signal(text).is_err(), "{text}");
        }
    }
}
