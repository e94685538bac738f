//! The node's configuration as PID 1 has laid it out: a file per layer, in the
//! order of their names, in [`spec::paths::CONFIG_LAYERS`].

use spec::node::{Layer, Node, load};
use std::path::Path;
use sys::texts::of_folder;

/// Reads and merges the layers.
///
/// # Errors
/// A layer that cannot be read or is refused; PID 1 has checked them all, so
/// this is a fault of the node and not of who wrote them.
pub fn read(folder: &Path) -> Result<Node, String> {
    let files = of_folder(folder, "toml")?
        .ok_or_else(|| format!("read {}: no such file or directory", folder.display()))?;
    let layers: Vec<Layer> = files.into_iter().map(Layer::from).collect();
    load(&layers).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
