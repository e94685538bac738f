//! When a request is made again, and after how long.

use super::Settings;
use spec::timestamp::{days, month as month_of};
use std::time::Duration;

/// A server that wants longer waits than this is given up.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How long to wait before the next try, if there is one: after the failures so
/// far (1: the first), and what the server asked for in `Retry-After`.
pub(crate) fn pause(settings: &Settings, failures: u32, asked: Option<Duration>) -> Option<Duration> {
    if failures >= settings.attempts || asked.is_some_and(|asked| asked > WAIT_MAX) {
        return None;
    }
    let own = settings.pause.saturating_mul(1 << (failures - 1).min(6));
    Some(own.max(asked.unwrap_or_default()).min(WAIT_MAX))
}

/// True for a status that may be another one soon.
pub(crate) fn passes(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3), at `now` in seconds since 1970.
pub(crate) fn after(header: &str, now: u64) -> Option<Duration> {
    let seconds = header.trim().parse().ok().or_else(|| date(header).map(|date| date.saturating_sub(now)));
    seconds.map(Duration::from_secs)
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` in seconds since 1970.
fn date(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let time = time.split(':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let (&[hour, minute, second], year, day) = (&time[..], year.parse().ok()?, day.parse().ok()?) else {
        return None;
    };
    Some(((days(year, month_of(month)?, day)? * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let settings = Settings { attempts: 4, pause: Duration::from_secs(1), ..Settings::default() };
        let seconds = |failures, asked: Option<u64>| {
            pause(&settings, failures, asked.map(Duration::from_secs)).map(|pause| pause.as_secs())
        };
        assert_eq!([1, 2, 3, 4].map(|failures| seconds(failures, None)), [Some(1), Some(2), Some(4), None]);
        assert_eq!(seconds(1, Some(7)), Some(7));
        assert_eq!(seconds(3, Some(1)), Some(4));
        assert_eq!(seconds(1, Some(3600)), None);
    }

    #[test]
    fn what_the_server_asks_for_is_seconds_or_a_date() {
        assert_eq!(after("30", 0), Some(Duration::from_secs(30)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_470), Some(Duration::from_secs(10)));
        assert_eq!(after("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800), Some(Duration::ZERO));
        for wrong in ["", "-1", "soon", "Wed, 21 Okt 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28 GMT"] {
            assert_eq!(after(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!([429, 500, 503].into_iter().all(passes));
        assert!(![200, 400, 401, 403, 404, 501].into_iter().any(passes));
    }
}
