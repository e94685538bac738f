//! Which of an image's variants fits a machine.

use super::null_is_default;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Operating system, processor and its variant, as Go names them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// `amd64`, `arm64`, …; what `uname -m` says of them is read as that, as containerd does.
    #[serde(default, deserialize_with = "architecture")]
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default)]
    pub variant: Option<String>,
}

fn architecture<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name: String = null_is_default(from)?;
    Ok(match name.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => name,
    })
}

impl Platform {
    /// The platform that this program was built for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "x86" => ("386", None),
            other => (other, None),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(str::to_owned) }
    }

    /// True when an image for `offered` is one for this platform; one that does not say what it is for is for any.
    pub fn takes(&self, offered: &Self) -> bool {
        offered.architecture.is_empty() || self.distance(offered).is_some()
    }

    /// How well an image for `offered` runs here; smaller is better. None: not
    /// at all. A lower variant of the same processor runs, a higher one does not.
    pub(crate) fn distance(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        self.level().checked_sub(offered.level())
    }

    /// The variant's number, with the one that no variant means.
    fn level(&self) -> u32 {
        let number = |variant: &str| variant.strip_prefix('v')?.parse().ok();
        let default = match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        match self.variant.as_deref() {
            None | Some("") => default,
            Some(variant) => number(variant).unwrap_or(u32::MAX),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Strangers wrote it: no line breaks.
        write!(out, "{}/{}", self.os.escape_debug(), self.architecture.escape_debug())?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(out, "/{}", variant.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut words = text.split('/').map(str::to_owned);
        let (os, architecture) = (words.next().unwrap(), words.next().unwrap());
        Platform { os, architecture, variant: words.next() }
    }

    #[test]
    fn a_processor_is_known_by_its_other_names() {
        let read = |text: &str| serde_json::from_str::<Platform>(text).unwrap().to_string();
        assert_eq!(read(r#"{"os":"linux","architecture":"x86_64"}"#), "linux/amd64");
        assert_eq!(read(r#"{"os":"linux","architecture":"aarch64","variant":null}"#), "linux/arm64");
        assert_eq!(read(r#"{"os":null,"architecture":null}"#), "/");
    }

    #[test]
    fn the_nearest_variant_that_runs_is_chosen() {
        let host = platform("linux/arm/v7");
        assert_eq!(host.distance(&platform("linux/arm/v7")), Some(0));
        assert_eq!(host.distance(&platform("linux/arm/v6")), Some(1));
        assert_eq!(host.distance(&platform("linux/arm/v8")), None);
        assert_eq!(host.distance(&platform("linux/arm64/v8")), None);
        assert_eq!(platform("linux/arm64").distance(&platform("linux/arm64/v8")), Some(0));
        assert_eq!(platform("linux/amd64").distance(&platform("linux/amd64/v3")), None);
        assert_eq!(platform("linux/amd64").distance(&platform("windows/amd64")), None);
        assert!(platform("linux/arm64").takes(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm64").takes(&platform("linux/amd64")));
        assert!(platform("linux/arm64").takes(&Platform { variant: None, ..platform("/") }));
    }
}
