//! Files of a folder, read whole.

use crate::cause::cause;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The files of a folder whose names end with `.EXTENSION`, in the order of their names: each one's
/// path and text. `None` when there is no such folder.
///
/// # Errors
/// One that cannot be read; the message names it.
pub fn of_folder(folder: &Path, extension: &str) -> Result<Option<Vec<(String, String)>>, String> {
    let paths = match paths(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        paths => paths.map_err(|error| format!("read {}: {}", folder.display(), cause(&error)))?,
    };
    let chosen = paths.iter().filter(|path| path.extension().is_some_and(|own| own == extension));
    chosen.map(|path| of_file(path)).collect::<Result<_, _>>().map(Some)
}

/// A file's path and text.
///
/// # Errors
/// It cannot be read; the message names it.
pub fn of_file(path: &Path) -> Result<(String, String), String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("read {name}: {}", cause(&error)))?;
    Ok((name, text))
}

fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_the_order_of_their_names_and_others_are_left_out() {
        let folder = std::env::temp_dir().join(format!("skerry-texts-{}", std::process::id()));
        assert_eq!(of_folder(&folder, "toml"), Ok(None));
        fs::create_dir_all(folder.join("30.toml")).unwrap();
        for name in ["20.toml", "10.toml", "notes"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let fault = of_folder(&folder, "toml").unwrap_err();
        assert!(fault.ends_with("30.toml: is a directory"), "{fault}");
        fs::remove_dir(folder.join("30.toml")).unwrap();
        let texts = of_folder(&folder, "toml").unwrap().unwrap();
        assert_eq!(texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["10.toml", "20.toml"]);
        assert!(texts[0].0.ends_with("/10.toml"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
