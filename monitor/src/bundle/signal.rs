//! The signal that asks a container to end.

use nix::sys::signal::Signal;

/// First and last real-time signal as glibc and musl number them (signal(7)).
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `RTMAX-1`; TERM when empty.
///
/// # Errors
/// What is no signal.
pub fn stop_signal(text: &str) -> Result<i32, String> {
    if text.is_empty() {
        return Ok(Signal::SIGTERM as i32);
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let named = || format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32);
    real_time(name)
        .or_else(named)
        .or_else(|| text.parse().ok().filter(|number| (1..=64).contains(number)))
        .ok_or_else(|| format!("{text:?} is not a signal"))
}

fn real_time(name: &str) -> Option<i32> {
    let number = if let Some(above) = name.strip_prefix("RTMIN") {
        REAL_TIME.start() + if above.is_empty() { 0 } else { above.strip_prefix('+')?.parse::<i32>().ok()? }
    } else {
        let below = name.strip_prefix("RTMAX")?;
        REAL_TIME.end() - if below.is_empty() { 0 } else { below.strip_prefix('-')?.parse::<i32>().ok()? }
    };
    Some(number).filter(|number| REAL_TIME.contains(number))
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
