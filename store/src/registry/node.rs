//! What the machine's configuration says of registries: on a node the layers that PID 1 has
//! laid out, elsewhere `/etc/skerry/node.toml`.

use super::Settings;
use spec::node::{Layer, load};
use spec::paths;
use std::path::Path;
use sys::texts;

impl Settings {
    /// As this machine's configuration has them; the default where there is none.
    ///
    /// # Errors
    /// The configuration cannot be read, or is refused.
    pub fn of_this_machine() -> Result<Self, String> {
        Self::from_files(Path::new(paths::CONFIG_LAYERS), Path::new(paths::IMAGE_CONFIG))
    }

    fn from_files(folder: &Path, single: &Path) -> Result<Self, String> {
        let mut files = texts::of_folder(folder, "toml")?.unwrap_or_default();
        if files.is_empty() && single.exists() {
            files.push(texts::of_file(single)?);
        }
        let layers: Vec<Layer> = files.into_iter().map(Layer::from).collect();
        let node = load(&layers).map_err(|error| error.to_string())?;
        Ok(Self::default().with_configuration(&node.registries).with_proxies(&node.proxies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn layers_come_before_the_single_file_and_faults_are_named() {
        let place = std::env::temp_dir().join(format!("skerry-registries-{}", std::process::id()));
        let (folder, single) = (place.join("config"), place.join("node.toml"));
        fs::create_dir_all(&folder).unwrap();
        let read = || Settings::from_files(&folder, &single);
        assert!(read().unwrap().hosts.is_empty());
        fs::write(&single, "[registries.a]\nplain-http = true\n").unwrap();
        assert!(read().unwrap().hosts["a"].plain_http);
        fs::write(folder.join("00-image.toml"), "[registries.b]\nplain-http = true\n").unwrap();
        fs::write(folder.join("10-drive.toml"), "[registries.b]\nmirrors = [\"c\"]\n").unwrap();
        let settings = read().unwrap();
        assert_eq!(settings.hosts.keys().collect::<Vec<_>>(), ["b"]);
        assert!(settings.hosts["b"].plain_http && settings.hosts["b"].mirrors == ["c"]);
        fs::write(folder.join("20-bad.toml"), "[registries.b]\nca = 1\n").unwrap();
        assert!(read().unwrap_err().contains("20-bad.toml:2:6: "), "{:?}", read());
        fs::remove_dir_all(&place).unwrap();
    }
}
