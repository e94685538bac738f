//! Moments as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in UTC with nine digits of a second (RFC 3339); one before 1970 is
/// written as 1970's first.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    format!("{}.{:09}Z", date_and_time(since.as_secs()), since.subsec_nanos())
}

/// A moment in UTC in whole seconds after 1970's first (RFC 3339).
pub fn rfc3339_seconds(time: u64) -> String {
    date_and_time(time) + "Z"
}

fn date_and_time(time: u64) -> String {
    let (days, second) = (time / 86_400, time % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a number of days after 1970-01-01, counted in
/// 400-year eras that begin with a first of March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Nanoseconds after 1970's first of a moment such as `2026-01-02T03:04:05.5Z`, `2026-01-02T03:04:05+01:00`
/// or `2026-01-02`, which is UTC's midnight.
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset) = zone(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    if year > 2500 || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let seconds =
        i64::try_from(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second).ok()? - offset;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(number(&digits)?)
}

/// The time without its zone, and the zone's seconds ahead of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(place) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (hours, minutes) = time[place + 1..].split_once(':')?;
    let offset = i64::try_from(number(hours)? * 3600 + number(minutes)? * 60).ok()?;
    Some((&time[..place], if time[place..].starts_with('-') { -offset } else { offset }))
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A month's number, from 1, by the first three letters of its English name.
pub fn month(name: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    MONTHS.find(name).filter(|at| at % 3 == 0 && name.len() == 3).map(|at| at as u64 / 3 + 1)
}

/// Days from 1970 to a day of the Gregorian calendar up to the year 9999.
pub fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        for seconds in (0_u64..4_200_000_000).step_by(86_400 * 13 + 7) {
            let time = seconds * 1_000_000_000 + 123_456_789;
            assert_eq!(parse(&rfc3339(UNIX_EPOCH + Duration::from_nanos(time))), Some(time));
        }
    }

    #[test]
    fn people_write_moments_in_several_ways() {
        let noon = 1_767_355_200_000_000_000;
        for text in [
            "2026-01-02T12:00:00Z",
            "2026-01-02T13:00:00+01:00",
            "2026-01-02T06:30:00-05:30",
            "2026-01-02T12:00",
        ] {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        assert_eq!(parse("2026-01-02"), Some(noon - 12 * 3_600_000_000_000));
        assert_eq!(parse("2026-01-02T12:00:00.5Z"), Some(noon + 500_000_000));
        for text in
            ["", "yesterday", "2026-13-01", "2026-01-02T25:00:00Z", "2026-01-02T12:00:00+1", "1969-12-31"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.000000007Z"),
            (1_767_323_045, 123_456_789, "2026-01-02T03:04:05.123456789Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, nanoseconds)), text);
        }
    }

    #[test]
    fn a_time_is_shown_as_its_date() {
        for (time, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_794_614_400, "2026-11-14T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339_seconds(time), expected);
        }
    }
}
