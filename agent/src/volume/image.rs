//! Volumes that are images (core/v1 ImageVolumeSource, KEP-4639): an image's files, read-only, and none of them can be
//! executed. One is fetched when the first container that mounts it begins, and stays as it is until the pod ends, whatever
//! its name leads to by then.
//!
//! A record is written before the mount: whoever removes images reads it.

use super::make::{Made, is_mounted};
use super::place;
use serde::{Deserialize, Serialize};
use spec::monitor::IDS;
use spec::paths;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use store::Layer;
use store::rootfs::{self, View};
use sys::cause::cause;

/// An image that a pod has as a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As the pod asked for it.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
}

/// The volume of this name, when it is mounted.
pub fn find(uid: &str, volume: &str) -> Option<Made> {
    let path = place::volume(uid, "image", volume);
    is_mounted(&path).then_some(Made { path, read_only: true, is_image: true })
}

/// Mounts an image of these layers as a pod's volume; `users` is the first of the pod's own users, if it has some.
///
/// # Errors
/// What cannot be done, in words.
pub fn make(
    uid: &str,
    volume: &str,
    image: &Image,
    layers: &[Layer],
    users: Option<u32>,
) -> Result<Made, String> {
    let (folder, target) = (place::image(uid, volume), place::volume(uid, "image", volume));
    let record = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        sys::file::replace(&folder.join("image.json"), &serde_json::to_vec(image)?)
    };
    record().map_err(|error| format!("write {}: {}", folder.join("image.json").display(), cause(&error)))?;
    let users = users.map(|first| {
        let map = format!("0 {first} {IDS}");
        sys::user_namespace::with_maps(&map, &map)
            .map_err(|error| format!("make a user namespace: {}", cause(&error)))
    });
    let users = users.transpose()?;
    let view = View {
        layers,
        mounts: Path::new(paths::LAYERS),
        top: &folder.join("top"),
        target: &target,
        users: users.as_ref().map(AsFd::as_fd),
    };
    rootfs::view(&view).map_err(|error| error.to_string())?;
    Ok(Made { path: target, read_only: true, is_image: true })
}

/// All images that pods of this node have as volumes.
pub fn all(pods: &Path) -> Vec<Image> {
    folders(pods).flat_map(|pod| of(&pod)).collect()
}

/// Those of the pod of this folder.
pub fn of(pod: &Path) -> Vec<Image> {
    folders(&pod.join(place::IMAGES))
        .filter_map(|volume| serde_json::from_slice(&fs::read(volume.join("image.json")).ok()?).ok())
        .collect()
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|one| one.path())
}

/// Unmounts the layers of images whose volumes have been unmounted.
///
/// # Errors
/// Which one, and why, in words.
pub fn release() -> Result<(), String> {
    rootfs::release(Path::new(paths::LAYERS)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_all_pods_are_found_by_their_records() {
        let pods = std::env::temp_dir().join(format!("skerry-image-volumes-{}", std::process::id()));
        let image = |name: &str| Image { name: name.to_owned(), digest: "sha256:1".to_owned() };
        for (uid, volume) in [("a", "v"), ("a", "w"), ("b", "v")] {
            let folder = pods.join(uid).join(place::IMAGES).join(volume);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("image.json"), serde_json::to_vec(&image(volume)).unwrap()).unwrap();
        }
        // One that a kill has left half written, and a pod without any.
        fs::create_dir_all(pods.join("b").join(place::IMAGES).join("half")).unwrap();
        fs::create_dir_all(pods.join("c")).unwrap();
        let mut found = all(&pods);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(found, [image("v"), image("v"), image("w")]);
        assert_eq!(of(&pods.join("b")), [image("v")]);
        fs::remove_dir_all(pods).unwrap();
    }
}
