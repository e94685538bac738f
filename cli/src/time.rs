//! Moments as people name them.

use crate::error::{Error, Result};
use spec::quantity::Span;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `10m` before now, a date, which is the local time's unless it names a zone, or seconds since 1970: nanoseconds since 1970.
///
/// # Errors
/// It is none of them; `option` is named.
pub fn moment(option: &str, text: &str) -> Result<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1e9) as u64);
    }
    let span = text.parse::<Span>().ok().map(|Span(before)| now().saturating_sub(before.as_nanos() as u64));
    span.or_else(|| date(text, sys::clock::ahead)).ok_or_else(|| {
        Error::new(format!(
            "{option} {text:?}: neither a time such as 10m nor a date such as 2026-01-02T03:04:05Z"
        ))
    })
}

/// A date; `ahead` tells how many seconds the local time is ahead of UTC at a moment.
fn date(text: &str, ahead: impl Fn(i64) -> i64) -> Option<u64> {
    // What can be read with a zone behind it has none of its own.
    let without =
        ["Z", "T00:00:00Z"].iter().find_map(|zone| spec::timestamp::parse(&format!("{text}{zone}")));
    let Some(read) = without else { return spec::timestamp::parse(text) };
    let seconds = i64::try_from(read / 1_000_000_000).ok()?;
    // Near a change of the clocks the first offset may be the wrong one.
    let offset = ahead(seconds - ahead(seconds));
    read.checked_add_signed(-offset * 1_000_000_000)
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
    fn a_date_without_a_zone_is_the_local_times() {
        // An hour ahead, and two from the end of March 2026 on.
        let ahead = |moment| if moment < 1_774_746_000 { 3600 } else { 7200 };
        let utc = |text| spec::timestamp::parse(text).unwrap();
        for (text, expected) in [
            ("2026-01-02T12:00", "2026-01-02T11:00:00Z"),
            ("2026-01-02", "2026-01-01T23:00:00Z"),
            ("2026-03-29T01:30:00", "2026-03-29T00:30:00Z"),
            ("2026-03-29T03:30:00", "2026-03-29T01:30:00Z"),
            ("2026-07-02T12:00:00.5", "2026-07-02T10:00:00.5Z"),
            ("2026-07-02T12:00:00Z", "2026-07-02T12:00:00Z"),
            ("2026-07-02T12:00:00-05:00", "2026-07-02T17:00:00Z"),
        ] {
            assert_eq!(date(text, ahead), Some(utc(expected)), "{text}");
        }
        assert_eq!(date("soon", ahead), None);
    }

    #[test]
    fn moments_are_dates_or_times_before_now() {
        assert_eq!(moment("--since", "1970-01-02T00:00:00Z").unwrap(), 86_400_000_000_000);
        assert_eq!(moment("--since", "1.5").unwrap(), 1_500_000_000);
        let before = now() - moment("--since", "10m").unwrap();
        assert!((590_000_000_000..700_000_000_000).contains(&before), "{before}");
        assert_eq!(gos(86_399), "1970-01-01 23:59:59 +0000 UTC");
        assert!(moment("--since", "soon").unwrap_err().message.starts_with("--since \"soon\": neither"));
    }
}
