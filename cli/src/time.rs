//! Moments as people name them.

use crate::error::{Error, Result};
use spec::quantity::Span;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `10m` before now, a date, or seconds since 1970: nanoseconds since 1970.
///
/// # Errors
/// It is none of them; `option` is named.
pub fn moment(option: &str, text: &str) -> Result<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1e9) as u64);
    }
    let span = text.parse::<Span>().ok().map(|Span(before)| now().saturating_sub(before.as_nanos() as u64));
    span.or_else(|| spec::timestamp::parse(text)).ok_or_else(|| {
        Error::new(format!(
            "{option} {text:?}: neither a time such as 10m nor a date such as 2026-01-02T03:04:05Z"
        ))
    })
}

/// Nanoseconds since 1970 as the system has them.
pub fn system(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// Seconds since 1970 as Go writes a moment: `2026-01-02 03:04:05 +0000 UTC`.
pub fn gos(seconds: u64) -> String {
    spec::timestamp::rfc3339_seconds(seconds).replace('T', " ").replace('Z', " +0000 UTC")
}

/// How long ago that was, in seconds since 1970.
pub fn since(seconds: u64) -> Duration {
    Duration::from_nanos(now()).saturating_sub(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_times_before_now() {
        assert_eq!(moment("--since", "1970-01-02").unwrap(), 86_400_000_000_000);
        assert_eq!(moment("--since", "1.5").unwrap(), 1_500_000_000);
        let before = now() - moment("--since", "10m").unwrap();
        assert!((590_000_000_000..700_000_000_000).contains(&before), "{before}");
        assert_eq!(gos(86_399), "1970-01-01 23:59:59 +0000 UTC");
        assert!(moment("--since", "soon").unwrap_err().message.starts_with("--since \"soon\": neither"));
    }
}
