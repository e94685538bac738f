//! The bundle that the command line names (`bundle.md`).

use crate::error::{Context, Error, Result};
use crate::json_path;
use serde::de::DeserializeOwned;
use spec::bundle::Config;
use std::fs;
use std::path::{Path, PathBuf};

/// The file's name in a bundle.
const USUAL: &str = "config.json";

/// A bundle and its configuration.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// The text of config.json.
    pub text: Vec<u8>,
    /// What it says.
    pub config: Config,
}

impl Bundle {
    /// Reads `config.json`, or another file in its place, which is looked for from the working folder.
    ///
    /// # Errors
    /// The file and the JSON path of what is wrong in it.
    pub fn open(path: &Path, config: Option<&Path>) -> Result<Self> {
        let path = fs::canonicalize(path).context(|| format!("open the bundle {}", path.display()))?;
        if path.to_str().is_none() {
            return Err(Error(format!("open the bundle {}: its path is not UTF-8", path.display())));
        }
        // By its usual name it is the bundle's, as with crun.
        let config = config.filter(|name| *name != Path::new(USUAL));
        let file = config.map_or_else(|| path.join(USUAL), Path::to_owned);
        let text = fs::read(&file).context(|| format!("read {}", file.display()))?;
        let config = parse(&text, &file)?;
        Ok(Self { path, text, config })
    }
}

/// Reads JSON.
///
/// # Errors
/// The file, the JSON path and the place of what is wrong.
pub fn parse<T: DeserializeOwned>(text: &[u8], file: &Path) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
        let path = match json_path::at(text, error.line(), error.column()) {
            path if path.is_empty() => path,
            path => path + ": ",
        };
        Error(format!("{}: {path}{error}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse::<Config>(text.as_bytes(), Path::new("config.json")).unwrap_err().0
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let text = r#"{"linux": {"namespaces": [{"type": "pid"}, {"type": "mnt"}]}}"#;
        let error_of_type = error(text);
        assert!(
            error_of_type.starts_with("config.json: linux.namespaces[1].type: unknown variant `mnt`"),
            "{error_of_type}"
        );
        assert!(error(r#"{"process": {"args": 7}}"#).contains("process.args: invalid type: integer `7`"));
        assert!(error("{").contains("config.json: EOF while parsing"));
    }
}
