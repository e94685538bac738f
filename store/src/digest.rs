//! Digests as OCI writes them: `sha256:HEX` and `sha512:HEX` (image-spec, descriptor.md).

use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// A digest whose algorithm is supported and whose length fits it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The SHA-256 of these bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex(&Sha256::digest(bytes))))
    }

    /// A SHA-256 that was computed elsewhere.
    pub(crate) fn of_hash(hash: &[u8]) -> Self {
        Self(format!("sha256:{}", hex(hash)))
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        &self.0[..6]
    }

    /// The digest in lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }

    /// The first 16 bytes, for a volume's UUID.
    pub fn prefix(&self) -> [u8; 16] {
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
        let digits = self.hex().as_bytes();
        std::array::from_fn(|at| digit(digits[2 * at]) << 4 | digit(digits[2 * at + 1]))
    }

    /// True when these are the bytes.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (algorithm, hex) = text.split_once(':').unwrap_or((text, ""));
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(format!("digest {text:?} is neither sha256 nor sha512")),
        };
        if hex.len() == length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("digest {text:?} is not {length} lower-case hexadecimal digits"))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// A hasher of the same algorithm.
    fn new(like: &Digest) -> Self {
        match like.algorithm() {
            "sha512" => Self::Sha512(Box::default()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        Digest(match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex(&hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex(&hasher.finalize())),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Passes bytes on and hashes them.
pub(crate) struct Hashed<R> {
    inner: R,
    hasher: Hasher,
    /// How many bytes have passed.
    pub length: u64,
}

impl<R: Read> Hashed<R> {
    /// Hashes with the algorithm of the digest that is expected.
    pub fn new(inner: R, expected: &Digest) -> Self {
        Self { inner, hasher: Hasher::new(expected), length: 0 }
    }

    /// Reads on to the end and gives the digest of all that was read.
    pub fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_parsed_strictly() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").to_string(), empty);
        assert_eq!(empty.parse::<Digest>().unwrap().prefix()[..3], [0xe3, 0xb0, 0xc4]);
        assert!(empty.parse::<Digest>().unwrap().matches(b""));
        for wrong in
            ["", "sha256:", "md5:00", &empty.to_uppercase(), &empty[..70], "sha256:../../../etc/passwd"]
        {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
