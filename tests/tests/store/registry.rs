//! A registry on the workstation, with images of `tests/images`.

use super::fake::{Answer, Asked, Fake};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Result, container_archive, said};

/// Ends with this value.
pub struct Registry {
    fake: Fake,
    folder: PathBuf,
}

impl Registry {
    /// One with these images, each `NAME:latest`.
    pub fn of(folder: &Path, images: &[&str]) -> Result<Self> {
        let folder = folder.join("registry");
        fs::create_dir(&folder)?;
        for name in images {
            let from = format!("docker-archive:{}", container_archive(name)?.display());
            let to = format!("oci:{}:latest", folder.join(name).display());
            said(Command::new("skopeo").args(["copy", "--quiet", &from, &to]))?;
        }
        let own = folder.clone();
        Ok(Self { fake: Fake::new(move |asked| answer(&own, asked)), folder })
    }

    /// As a node in a machine of QEMU's user network reaches it.
    pub fn host(&self) -> String {
        format!("10.0.2.2:{}", self.fake.address.port())
    }

    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}:latest", self.host())
    }

    /// Bytes of an image's files.
    pub fn size(&self, name: &str) -> u64 {
        let blobs = fs::read_dir(self.folder.join(name).join("blobs/sha256")).into_iter().flatten().flatten();
        blobs.filter_map(|blob| blob.metadata().ok()).map(|blob| blob.len()).sum()
    }

    /// Adds a file to an image, in a layer of its own.
    pub fn insert(&self, name: &str, path: &str, bytes: &[u8]) -> Result {
        let file = self.folder.join("file");
        fs::write(&file, bytes)?;
        let image = format!("{}:latest", self.folder.join(name).display());
        let mut insert = Command::new("umoci");
        insert.args(["insert", "--rootless", "--image", &image]).arg(file).arg(path);
        said(&mut insert).map(drop)
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.fake.asked().len()
    }
}

/// What a registry answers that has the OCI layouts of a folder.
fn answer(folder: &Path, asked: &Asked) -> Answer {
    let none = Answer::status(if asked.path == "/v2/" { 200 } else { 404 });
    let words: Vec<&str> = asked.path.split('/').collect();
    let ["", "v2", name, kind, reference] = words[..] else { return none };
    let layout = folder.join(name);
    let digest = if reference == "latest" { top(&layout) } else { Some(reference.to_owned()) };
    let file = |digest: &str| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let Some((digest, body)) =
        digest.and_then(|digest| fs::read(file(&digest)).ok().map(|body| (digest, body)))
    else {
        return none;
    };
    let range = asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    if let Some(from) = range.and_then(|from| from.parse::<usize>().ok()) {
        let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
        return Answer::status(206).with("content-range", range).body(&body[from..]);
    }
    let answer = Answer::status(200).with("docker-content-digest", digest).body(body);
    match kind {
        "manifests" => answer.with("content-type", "application/vnd.oci.image.manifest.v1+json"),
        _ => answer,
    }
}

/// The digest of a layout's one image.
fn top(layout: &Path) -> Option<String> {
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).ok()?).ok()?;
    Some(index["manifests"][0]["digest"].as_str()?.to_owned())
}
