//! The node's configuration as PID 1 has laid it out: a file per layer, in the
//! order of their names, in [`spec::paths::CONFIG_LAYERS`].

use spec::node::{Layer, Node, load};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Reads and merges the layers.
///
/// # Errors
/// A layer that cannot be read or is refused; PID 1 has checked them all, so
/// this is a fault of the node and not of who wrote them.
pub fn read(folder: &Path) -> Result<Node, String> {
    let named = |error: io::Error| format!("read {}: {}", folder.display(), cause(&error));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(named)? {
        files.push(entry.map_err(named)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let layer = |file: PathBuf| -> Result<Layer, String> {
        let origin = file.display().to_string();
        let text = fs::read_to_string(&file).map_err(|error| format!("read {origin}: {}", cause(&error)))?;
        Ok(Layer { origin, text })
    };
    let layers: Vec<Layer> = files.into_iter().map(layer).collect::<Result<_, _>>()?;
    load(&layers).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_merged_in_the_order_of_their_names() {
        let folder = std::env::temp_dir().join(format!("skerry-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("10-drive.toml"), "[containers.web]\nmemory = \"1G\"\n").unwrap();
        fs::write(folder.join("00-image.toml"), "[containers.web]\nimage = \"nginx\"\n").unwrap();
        fs::write(folder.join("notes"), "not a layer").unwrap();
        let node = read(&folder).unwrap();
        assert_eq!(node.containers["web"].image, "nginx");
        assert_eq!(node.containers["web"].memory.unwrap().0, 1 << 30);
        fs::write(folder.join("20-bad.toml"), "x = 1\n").unwrap();
        assert!(read(&folder).unwrap_err().contains("20-bad.toml:1:1"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(read(&folder).unwrap_err().contains("read "));
    }
}
