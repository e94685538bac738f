//! Amounts as people write them: `"64M"`, `"1.5s"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. Written as an integer, or as a string with one of the
/// suffixes `K M G T` (powers of 1024, optionally followed by `iB` or `B`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size such as 512K, 64M or 2G");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let suffix = suffix.trim_end_matches("iB").trim_end_matches('B');
        let shift = match suffix {
            "" => 0,
            "K" | "k" => 10,
            "M" | "m" => 20,
            "G" | "g" => 30,
            "T" | "t" => 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, suffix) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(out, "{}{suffix}", self.0 >> shift);
            }
        }
        write!(out, "{}", self.0)
    }
}

/// A length of time. Written as an integer number of seconds, or as a string
/// with one of the suffixes `ms s m h`, or several, with fractions: `1h30m`, `1.5s`. What is less than a millisecond is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// In milliseconds it has 64 bits, so that any time since boot and a span make a time still.
    fn of(number: u64, milliseconds: u64) -> Option<Self> {
        number.checked_mul(milliseconds).map(Duration::from_millis).map(Self)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a time such as 500ms, 10s, 5m or 1h");
        let (mut rest, mut sum) = (text, 0_u64);
        loop {
            let (number, after) = digits(rest);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
            let (suffix, after) = after.split_at(after.bytes().take_while(u8::is_ascii_alphabetic).count());
            let unit = match suffix {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(wrong()),
            };
            let part = number.checked_mul(unit).and_then(|whole| whole.checked_add(part(unit, fraction)));
            sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(wrong)?;
            if after.is_empty() {
                return Self::of(sum, 1).ok_or_else(wrong);
            }
            rest = after;
        }
    }
}

/// The digits at the beginning, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Of a unit of so many milliseconds, what the digits after the point say.
fn part(unit: u64, fraction: &str) -> u64 {
    let mut place = unit * 1_000_000;
    let digit = |digit: u8| {
        place /= 10;
        place * u64::from(digit - b'0')
    };
    fraction.bytes().map(digit).sum::<u64>() / 1_000_000
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(out, "{}s", self.0.as_secs()),
            _ => write!(out, "{}ms", self.0.as_millis()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

/// Reads `T` from an integer through `whole`, or from a string through `FromStr`.
struct Amount<T>(fn(u64) -> Option<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Amount<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a whole number, or a string with a unit")
    }

    fn visit_u64<E: de::Error>(self, whole: u64) -> Result<T, E> {
        (self.0)(whole).ok_or_else(|| E::custom(format!("{whole} is too large a number")))
    }

    fn visit_i64<E: de::Error>(self, whole: i64) -> Result<T, E> {
        let whole = u64::try_from(whole).map_err(|_| E::custom(format!("{whole} is below zero")))?;
        self.visit_u64(whole)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Amount(|bytes| Some(Self(bytes))))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Amount(|seconds| Self::of(seconds, 1_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::Error as ValueError;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("0", 0), ("512", 512), ("4K", 4096), ("64MiB", 64 << 20), ("2G", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "M", "-1", "1X", "1.5G", "99999999T", "64MM"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_as_they_are_written() {
        for text in ["0", "1000", "4K", "64M", "3G"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!("1500ms".parse(), Ok(Span(Duration::from_millis(1500))));
        assert_eq!("5m".parse(), Ok(Span::seconds(300)));
        assert_eq!("1h30m5s".parse(), Ok(Span::seconds(5405)));
        for (text, milliseconds) in [
            ("1.5s", 1500),
            ("0.5h", 1_800_000),
            ("1.5h0.25m", 5_415_000),
            ("0.3333333333h", 1_199_999),
            ("1.9ms", 1),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in [
            "",
            "10",
            "1.5",
            ".5s",
            "1.5.5s",
            "s",
            "-1s",
            "1d",
            "99999999999999999h",
            "1h30",
            "1h m",
            "1m99999999999999999h",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_no_clock_reaches_is_refused() {
        let read =
            |seconds: u64| Span::deserialize(IntoDeserializer::<ValueError>::into_deserializer(seconds));
        assert_eq!(read(u64::MAX).unwrap_err().to_string(), "18446744073709551615 is too large a number");
        assert_eq!(read(31_536_000), Ok(Span::seconds(31_536_000)));
    }
}
