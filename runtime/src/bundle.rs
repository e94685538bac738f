//! The bundle that the command line names (`bundle.md`).

use crate::error::{Context, Error, Result};
use serde::de::DeserializeOwned;
use spec::bundle::Config;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// Reads `config.json`.
    ///
    /// # Errors
    /// The file and the JSON path of what is wrong in it.
    pub fn open(path: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).context(|| format!("open the bundle {}", path.display()))?;
        let file = path.join("config.json");
        let text = fs::read(&file).context(|| format!("read {}", file.display()))?;
        let config = parse(&text, &file)?;
        Ok(Self { path, text, config })
    }
}

/// Reads JSON. Where it is wrong is looked for only when it is.
///
/// # Errors
/// The file, the JSON path and the place of what is wrong.
pub fn parse<T: DeserializeOwned>(text: &[u8], file: &Path) -> Result<T> {
    let error: serde_json::Error = match serde_json::from_slice(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let deserializer = &mut serde_json::Deserializer::from_slice(text);
    let path = match serde_path_to_error::deserialize::<_, T>(deserializer) {
        // `.` is the whole, `?` what has no name yet.
        Err(found) if !matches!(found.path().to_string().as_str(), "." | "?") => {
            format!("{}: ", found.path())
        }
        _ => String::new(),
    };
    Err(Error(format!("{}: {path}{error}", file.display())))
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
