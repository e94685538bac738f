//! An image's configuration: how its containers are run.

use super::{Healthcheck, Platform};
use crate::digest::Digest;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The `config` of an image's configuration (image-spec, config.md). What the
/// image leaves out is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// The program and its first arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Arguments that a user's own replace; the program when there is no entrypoint.
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// Absolute path; `/` when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// `USER[:GROUP]`, names or numbers; root when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// `SIGTERM` or `15`; `SIGTERM` when empty.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// `80/tcp`.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// Folders whose content is not the image's.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Free annotations.
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// How Docker finds out whether a container is well.
    pub healthcheck: Option<Healthcheck>,
}

/// The whole document.
#[derive(Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(flatten)]
    pub platform: Platform,
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: Config,
    pub rootfs: RootFs,
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

/// A step by which an image was made, as its configuration tells it: the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct History {
    /// When (RFC 3339).
    pub created: Option<String>,
    /// By what command.
    #[serde(deserialize_with = "null_is_default")]
    pub created_by: String,
    /// What its maker says.
    #[serde(deserialize_with = "null_is_default")]
    pub comment: String,
    /// It has made no layer.
    #[serde(deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

#[derive(Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// Docker writes `null` for what is empty.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Texts by name, of which one may be null, too.
fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let labels: BTreeMap<String, Option<String>> = null_is_default(from)?;
    Ok(labels.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

/// A set that is written as an object of empty objects.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let set = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(set.unwrap_or_default().into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_with_nulls_and_gaps() {
        let text = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Cmd":null,"Entrypoint":["/bin/x"],"Env":["A=b"],"ExposedPorts":{"80/tcp":{}},
            "Volumes":null,"Labels":{"a":null,"b":"c"},"Healthcheck":{"Test":["CMD","y"],"Interval":3000000000,"Timeout":null}}}"#;
        let file: ConfigFile = serde_json::from_str(text).unwrap();
        assert_eq!(file.config.entrypoint, ["/bin/x"]);
        assert_eq!(file.config.exposed_ports, ["80/tcp"]);
        assert_eq!((&*file.config.labels["a"], &*file.config.labels["b"]), ("", "c"));
        assert_eq!(file.config.healthcheck.unwrap().interval, 3_000_000_000);
        assert_eq!(file.platform.to_string(), "linux/amd64");
        let bare = r#"{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[]},"config":null}"#;
        assert_eq!(serde_json::from_str::<ConfigFile>(bare).unwrap().config, Config::default());
        assert!(serde_json::from_str::<ConfigFile>(bare).unwrap().history.is_empty());
        let told = r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"history":[
            {"created":null,"created_by":"ADD x","comment":null},{"created_by":"CMD y","empty_layer":true}]}"#;
        let told = serde_json::from_str::<ConfigFile>(told).unwrap().history;
        let steps = told.iter().map(|step| (&*step.created_by, step.empty_layer));
        assert_eq!(steps.collect::<Vec<_>>(), [("ADD x", false), ("CMD y", true)]);
        let scratch = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":null}}"#;
        assert!(serde_json::from_str::<ConfigFile>(scratch).unwrap().rootfs.diff_ids.is_empty());
    }
}
