//! What the machine's configuration says of registries: on a node the layers that PID 1 has
//! laid out, elsewhere `/etc/skerry/node.toml`.

use super::Settings;
use spec::node::{Layer, load};
use spec::paths;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use sys::cause::cause;

impl Settings {
    /// As this machine's configuration has them; the default where there is none.
    ///
    /// # Errors
    /// The configuration or a file that it names cannot be read, or is refused.
    pub fn of_this_machine() -> Result<Self, String> {
        Self::from_files(Path::new(paths::CONFIG_LAYERS), Path::new(paths::IMAGE_CONFIG))
    }

    fn from_files(folder: &Path, single: &Path) -> Result<Self, String> {
        let files =
            layers(folder).map_err(|error| format!("read {}: {}", folder.display(), cause(&error)))?;
        let files = if files.is_empty() && single.exists() { vec![single.to_owned()] } else { files };
        let layer = |path: PathBuf| {
            let origin = path.display().to_string();
            let text = fs::read_to_string(&path);
            text.map_err(|error| format!("read {origin}: {}", cause(&error)))
                .map(|text| Layer { origin, text })
        };
        let layers = files.into_iter().map(layer).collect::<Result<Vec<_>, _>>()?;
        let node = load(&layers).map_err(|error| error.to_string())?;
        Self::default().with_configuration(&node.registries)
    }
}

/// The layers of a folder, the lowest first; none when there is no such folder.
fn layers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

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
