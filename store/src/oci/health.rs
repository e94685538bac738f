//! How it is found out whether a container is well: what its image and its configuration say together.

use serde::Deserialize;
use spec::node::{HealthCheck, HealthOptions};
use spec::quantity::Span;
use std::time::Duration;

/// Docker's extension of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", PROGRAM, …]` or `["CMD-SHELL", LINE]`; inherited when empty.
    #[serde(deserialize_with = "super::null_is_default")]
    pub test: Vec<String>,
    /// Nanoseconds between checks; 0 is the default.
    #[serde(deserialize_with = "super::null_is_default")]
    pub interval: u64,
    /// Nanoseconds that a check may take; 0 is the default.
    #[serde(deserialize_with = "super::null_is_default")]
    pub timeout: u64,
    /// Nanoseconds after the start in which a failure does not count.
    #[serde(deserialize_with = "super::null_is_default")]
    pub start_period: u64,
    /// Nanoseconds between checks in that time; 0 is the default.
    #[serde(deserialize_with = "super::null_is_default")]
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy; 0 is the default.
    #[serde(deserialize_with = "super::null_is_default")]
    pub retries: u32,
}

/// The shell of `CMD-SHELL`.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Healthcheck {
    /// A container's: its image's, but for what it says itself. Zero says nothing, as with Docker.
    pub fn of(image: Option<&Self>, own: Option<&HealthOptions>) -> Option<Self> {
        let usual = image.cloned().unwrap_or_default();
        let own = own.cloned().unwrap_or_default();
        let span = |own: Option<Span>, usual| {
            let own = own.map(|own| u64::try_from(own.0.as_nanos()).unwrap_or(u64::MAX));
            own.filter(|own| *own > 0).unwrap_or(usual)
        };
        let merged = match own.command.as_deref() {
            Some([]) => Self { test: vec!["NONE".to_owned()], ..Self::default() },
            command => Self {
                test: command.map_or(usual.test, test),
                interval: span(own.interval, usual.interval),
                timeout: span(own.timeout, usual.timeout),
                start_period: span(own.start_period, usual.start_period),
                start_interval: span(own.start_interval, usual.start_interval),
                retries: own.retries.filter(|own| *own > 0).unwrap_or(usual.retries),
            },
        };
        Some(merged).filter(|merged| !merged.test.is_empty())
    }

    /// The check that is made, with Docker's defaults; none where its words say so, or mean nothing.
    pub fn check(&self) -> Option<HealthCheck> {
        let command = match self.test.split_first()? {
            (how, rest) if how == "CMD" && !rest.is_empty() => rest.to_vec(),
            (how, [line]) if how == "CMD-SHELL" => [SHELL[0], SHELL[1], line].map(str::to_owned).into(),
            _ => return None,
        };
        let span = |nanoseconds, usual| match nanoseconds {
            0 => Span::seconds(usual),
            some => Span(Duration::from_nanos(some)),
        };
        Some(HealthCheck {
            command,
            interval: span(self.interval, 30),
            timeout: span(self.timeout, 30),
            retries: if self.retries == 0 { 3 } else { self.retries },
            start_period: span(self.start_period, 0),
            start_interval: span(self.start_interval, 5),
        })
    }
}

/// A program in an image's words.
fn test(command: &[String]) -> Vec<String> {
    match command {
        [shell, option, line] if [shell, option] == SHELL => vec!["CMD-SHELL".to_owned(), line.clone()],
        command => ["CMD".to_owned()].into_iter().chain(command.iter().cloned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    fn own(command: Option<&[&str]>) -> HealthOptions {
        HealthOptions { command: command.map(words), ..HealthOptions::default() }
    }

    #[test]
    fn an_images_check_becomes_one_of_the_nodes() {
        let check = |test: &[&str]| {
            Healthcheck { test: words(test), interval: 1_500_000_000, ..Healthcheck::default() }.check()
        };
        let made = check(&["CMD-SHELL", "wget -q x"]).unwrap();
        assert_eq!(made.command, ["/bin/sh", "-c", "wget -q x"]);
        assert_eq!((made.interval.0.as_millis(), made.timeout, made.retries), (1500, Span::seconds(30), 3));
        assert_eq!((made.start_period, made.start_interval), (Span::seconds(0), Span::seconds(5)));
        assert_eq!(check(&["CMD", "a", "b"]).unwrap().command, ["a", "b"]);
        assert!(check(&["NONE"]).is_none() && check(&[]).is_none() && check(&["CMD"]).is_none());
    }

    #[test]
    fn a_containers_check_is_its_images_but_for_what_is_said() {
        let image = Healthcheck {
            test: words(&["CMD", "image"]),
            interval: 1_000_000_000,
            timeout: 2_000_000_000,
            retries: 4,
            ..Healthcheck::default()
        };
        let later = HealthOptions { interval: Some(Span::seconds(9)), ..own(None) };
        let merged = Healthcheck { interval: 9_000_000_000, ..image.clone() };
        assert_eq!(Healthcheck::of(Some(&image), Some(&later)), Some(merged));
        assert_eq!(Healthcheck::of(Some(&image), None), Some(image.clone()));
        assert_eq!((Healthcheck::of(None, Some(&later)), Healthcheck::of(None, None)), (None, None));
        let other = HealthOptions { retries: Some(7), ..own(Some(&["own", "x"])) };
        let merged = Healthcheck { test: words(&["CMD", "own", "x"]), retries: 7, ..image.clone() };
        assert_eq!(Healthcheck::of(Some(&image), Some(&other)), Some(merged));
        let shell = own(Some(&["/bin/sh", "-c", "true || false"]));
        let merged = Healthcheck::of(None, Some(&shell)).unwrap();
        assert_eq!(merged.test, ["CMD-SHELL", "true || false"]);
        assert_eq!(merged.check().unwrap().command, shell.command.unwrap());
        let zero = Some(Span::seconds(0));
        let nothing = HealthOptions {
            command: None,
            interval: zero,
            timeout: zero,
            retries: Some(0),
            start_period: zero,
            start_interval: zero,
        };
        assert_eq!(Healthcheck::of(Some(&image), Some(&nothing)), Some(image.clone()));
        let none = Healthcheck::of(Some(&image), Some(&own(Some(&[])))).unwrap();
        assert_eq!((none.test.as_slice(), none.check()), (&["NONE".to_owned()][..], None));
    }
}
