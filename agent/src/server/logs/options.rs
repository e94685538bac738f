//! Which part of a log is asked for: the query of `/containerLogs`, PodLogOptions of the API.

use crate::server::remote::options::pairs;
use spec::timestamp;

/// Which part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Goes on with what comes.
    pub follow: bool,
    /// Of the instance before.
    pub previous: bool,
    /// At most so many of the last entries.
    pub tail: Option<u64>,
    /// Not before this time, nanoseconds since 1970.
    pub since: Option<u64>,
    /// At most so many bytes.
    pub limit: Option<u64>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Of this output alone: `stdout` or `stderr`.
    pub stream: Option<&'static str>,
}

/// Why a query cannot be answered: 400 when it cannot be read, 422 when it makes no sense.
pub type Refusal = (u16, String);

impl Options {
    /// From a query; `now` in nanoseconds since 1970.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn of(query: &str, now: u64) -> Result<Self, Refusal> {
        let mut options = Self::default();
        let mut seconds = None;
        let mut time = None;
        for (name, value) in pairs(query) {
            match name.as_str() {
                "follow" => options.follow = truth(&value),
                "previous" => options.previous = truth(&value),
                "timestamps" => options.timestamps = truth(&value),
                "tail" if value == "all" => options.tail = None,
                "tailLines" | "tail" => options.tail = Some(number(&name, &value, 0)?),
                "limitBytes" => options.limit = Some(number(&name, &value, 1)?),
                "sinceSeconds" => seconds = Some(number(&name, &value, 1)?),
                "sinceTime" => time = Some(timestamp::parse(&value).ok_or_else(|| unreadable(&name))?),
                "stream" => options.stream = stream(&value)?,
                _ => {}
            }
        }
        if seconds.is_some() && time.is_some() {
            return Err((422, "at most one of `sinceTime` or `sinceSeconds` may be specified".into()));
        }
        if options.stream.is_some() && options.tail.is_some() {
            return Err((422, "`tailLines` and specific `stream` are mutually exclusive for now".into()));
        }
        options.since = time.or(seconds.map(|span| now.saturating_sub(span.saturating_mul(1_000_000_000))));
        Ok(options)
    }
}

fn truth(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn number(name: &str, value: &str, least: i64) -> Result<u64, Refusal> {
    let number: i64 = value.parse().map_err(|_| unreadable(name))?;
    match u64::try_from(number) {
        Ok(positive) if number >= least => Ok(positive),
        _ => Err((422, format!("{name}: must be greater than or equal to {least}"))),
    }
}

fn unreadable(name: &str) -> Refusal {
    (400, format!("unable to decode query: {name}"))
}

fn stream(value: &str) -> Result<Option<&'static str>, Refusal> {
    match value {
        "All" | "" => Ok(None),
        "Stdout" => Ok(Some("stdout")),
        "Stderr" => Ok(Some("stderr")),
        _ => Err((422, format!("stream: {value:?} is not one of All, Stdout, Stderr"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_query_says_which_part() {
        let query = "follow=true&tailLines=5&limitBytes=9&timestamps=1&previous=false&sinceSeconds=60";
        let expected = Options {
            follow: true,
            tail: Some(5),
            since: Some(40 * SECOND),
            limit: Some(9),
            timestamps: true,
            ..Options::default()
        };
        assert_eq!(Options::of(query, 100 * SECOND), Ok(expected));
        let since = Options::of("sinceTime=1970-01-01T00%3A00%3A07Z", 0).unwrap().since;
        assert_eq!(since, Some(7 * SECOND));
        assert_eq!(Options::of("stream=Stderr&tail=all", 0).unwrap().stream, Some("stderr"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (query, status) in [
            ("tailLines=-1", 422),
            ("tailLines=x", 400),
            ("limitBytes=0", 422),
            ("sinceSeconds=0", 422),
            ("sinceTime=yesterday", 400),
            ("sinceSeconds=1&sinceTime=1970-01-01T00:00:07Z", 422),
            ("stream=stdout", 422),
            ("stream=Stdout&tailLines=1", 422),
        ] {
            assert_eq!(Options::of(query, 0).unwrap_err().0, status, "{query}");
        }
    }
}
