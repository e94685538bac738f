//! Names of nodes, services, containers, interfaces and modules.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A name that is safe as a file name, with what is appended to it, a cgroup's name and a word of the
/// control socket: 1 to 200 of `A–Z a–z 0–9 . _ -`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Most bytes of one.
    pub const LONGEST: usize = 200;

    /// Most bytes of one that is a host's (RFC 1035, 2.3.4).
    pub const LONGEST_OF_HOST: usize = 63;
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && text.len() <= Self::LONGEST && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not a name: 1 to 200 letters, digits, '.', '_' or '-', a letter or digit first"
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_longer_than_a_hosts() {
        let long = format!("a{}", "b-._9".repeat(40));
        assert!(long[..Name::LONGEST].parse::<Name>().is_ok());
        for text in ["", ".a", "-a", "a/b", "a b", &long] {
            assert!(text.parse::<Name>().unwrap_err().contains("is not a name"), "{text}");
        }
    }
}
