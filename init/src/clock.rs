//! A clock that is certainly wrong is set to the latest time that is certainly
//! past: the image's own, or that of the last shutdown. A clock that was far ahead then must not make
//! every later one wrong, so [`MOST`] bounds what counts.

use crate::error::{Context, Result};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970 at the last shutdown, on the data disk.
const FILE: &str = "/var/lib/skerry/clock";
/// How long an image is used at most: 15 years, in seconds.
const MOST: u64 = 15 * 31_557_600;

/// Seconds since 1970.
pub fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sets the clock when it is behind; returns by how much it was, in seconds, and behind what.
pub fn raise(image_time: Option<u64>) -> Result<Option<(u64, &'static str)>> {
    let kept = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse().ok());
    let counts = kept.filter(|kept| *kept <= latest(image_time));
    if counts != kept {
        say!("clock: the time of the last shutdown does not count: it is years after the image's");
    }
    let Some(floor) = image_time.max(counts) else { return Ok(None) };
    let behind = floor.saturating_sub(seconds());
    if behind == 0 {
        return Ok(None);
    }
    let time = TimeSpec::from(Duration::from_secs(floor));
    clock_settime(ClockId::CLOCK_REALTIME, time).context(|| "set the clock")?;
    // One that was ahead at that shutdown is taken for right, so whose time it is matters.
    Ok(Some((behind, if image_time == Some(floor) { "the image" } else { "the last shutdown" })))
}

/// The latest time that can be past; without an image's, the end of 32 bits.
fn latest(image_time: Option<u64>) -> u64 {
    image_time.map_or(u32::MAX.into(), |time| time.saturating_add(MOST))
}

/// Keeps the time for the next boot.
pub fn keep() -> Result<()> {
    fs::create_dir_all("/var/lib/skerry").context(|| "create /var/lib/skerry")?;
    fs::write(FILE, format!("{}\n", seconds())).context(|| format!("write {FILE}"))
}

/// Now as `2026-11-24T04:12:49Z`.
pub fn stamp() -> String {
    format_utc(seconds())
}

/// Days to dates after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn format_utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_far_after_the_image_does_not_count() {
        let built = 1_795_000_000;
        assert_eq!(format_utc(built), "2026-11-18T11:06:40Z");
        assert_eq!(format_utc(latest(Some(built))), "2041-11-18T05:06:40Z");
        assert_eq!(format_utc(latest(None)), "2106-02-07T06:28:15Z");
        assert_eq!(latest(Some(u64::MAX)), u64::MAX);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_utc(seconds), text);
        }
    }
}
