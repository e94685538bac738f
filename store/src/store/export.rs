//! Images from the store to a folder or an archive, byte for byte as they came.
//!
//! | form | what it has | layers |
//! |---|---|---|
//! | OCI layout (image-spec, image-layout.md) | `oci-layout`, `index.json`, `blobs/`; in an archive also `manifest.json`, for `docker load` | as they came |
//! | docker-archive (what `docker save` wrote before version 25) | `manifest.json`, configurations | unpacked |
//!
//! What several images share is written once. An unpacked layer is compared with its
//! diff ID, and every other blob with its digest, before a byte of it goes out.

use super::Store;
use super::read::{Documents, parse};
use crate::compression;
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result, io_error};
use crate::oci::{CONFIG_MAX, MANIFEST_MAX, Reference};
use crate::progress::{Progress, Told};
use crate::tar::write::Archive;
use nix::unistd::syncfs;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;
use sys::cause::cause;

/// How an archive of images is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout, of which `docker load` reads `manifest.json` where it knows no other.
    Oci,
    /// What `docker load` of every version reads.
    Docker,
}

/// What is written: a name and its bytes.
trait Output {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()>;

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.file(name, bytes.len() as u64, &mut &*bytes)
    }
}

impl Store {
    /// Writes images as one archive, which may be a pipe. One without a name is told by the digest of its manifest
    /// (`sha256:…`), and has none there either.
    ///
    /// # Errors
    /// An image is not here, damaged, or its layers were not kept as they came; the output fails.
    pub fn export(
        &self,
        names: &[&str],
        form: Form,
        output: &mut dyn Write,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut archive = Archive::new(io::BufWriter::with_capacity(1 << 18, output));
        match form {
            Form::Oci => {
                let manifest = self.write_layout(names, &mut archive, progress)?;
                archive.bytes(Manifest::NAME, manifest.text().as_bytes())?;
            }
            Form::Docker => self.write_docker(names, &mut archive, progress)?,
        }
        archive.finish().map_err(unwritten)
    }

    /// Writes images as an OCI layout into a new or empty folder; they are on the disk when this returns. After a failure
    /// the folder is again as it was.
    ///
    /// # Errors
    /// As [`Self::export`]; the folder holds something.
    pub fn export_layout(&self, names: &[&str], folder: &Path, progress: &dyn Progress) -> Result<()> {
        let was_here = folder.exists();
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        if fs::read_dir(folder).map_err(io_error("list", folder))?.next().is_some() {
            return Err(Error::wrong(folder.display(), "is not empty"));
        }
        let written = self.write_layout(names, &mut Folder(folder), progress).and_then(|_| {
            // Files and the listings that name them, in one go.
            let synced = File::open(folder).and_then(|folder| Ok(syncfs(folder)?));
            synced.map_err(io_error("write", folder))
        });
        if written.is_err() {
            clear(folder, was_here);
        }
        written
    }

    fn write_layout(
        &self,
        names: &[&str],
        output: &mut dyn Output,
        progress: &dyn Progress,
    ) -> Result<Manifest> {
        let session = self.session(&"export")?;
        let (mut entries, mut manifest) = (Vec::new(), Manifest::default());
        let mut written = BTreeSet::new();
        output.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        for (name, image) in self.images(&session, names)? {
            let whole = format!("image {}", image.name);
            let layers = image.blobs.iter().enumerate().map(|(layer, (digest, total))| {
                (digest, Some(Told { layer, digest, total: *total, progress }))
            });
            let documents = [(&image.config_digest, None), (&image.digest, None)];
            for (digest, told) in layers.chain(documents) {
                if written.insert(digest.clone()) {
                    self.write_blob(digest, output, told).map_err(|error| error.within(&whole))?;
                }
            }
            entries.push(self.entry(name.as_ref(), &image)?);
            if !manifest.has(name.as_ref(), &image) {
                let layers = image.blobs.iter().map(|(digest, _)| blob_name(digest)).collect();
                manifest.add(name.as_ref(), &image, blob_name(&image.config_digest), layers);
            }
        }
        let index = json!({ "schemaVersion": 2, "manifests": entries });
        output.bytes("index.json", index.to_string().as_bytes())?;
        Ok(manifest)
    }

    /// A line of the index; the annotations are those that containerd, Docker and skopeo read.
    fn entry(&self, name: Option<&Reference>, image: &Documents) -> Result<Value> {
        let size = self.blob(&image.digest, MANIFEST_MAX)?.len();
        let (media_type, digest) = (&image.media_type, image.digest.to_string());
        let mut entry = json!({ "mediaType": media_type, "digest": digest, "size": size });
        if let Some(name) = name {
            let tag = name.tag.iter().map(|tag| ("org.opencontainers.image.ref.name", tag.clone()));
            let full = ("io.containerd.image.name", name.to_string());
            entry["annotations"] = json!(tag.chain([full]).collect::<BTreeMap<_, _>>());
        }
        Ok(entry)
    }

    fn write_docker(&self, names: &[&str], output: &mut dyn Output, progress: &dyn Progress) -> Result<()> {
        let session = self.session(&"export")?;
        let (mut manifest, mut written) = (Manifest::default(), BTreeSet::new());
        for (name, image) in self.images(&session, names)? {
            let whole = format!("image {}", image.name);
            if manifest.has(name.as_ref(), &image) {
                continue;
            }
            for (layer, (diff_id, (digest, total))) in image.diff_ids.iter().zip(&image.blobs).enumerate() {
                if written.insert(diff_id.clone()) {
                    let told = Told { layer, digest, total: *total, progress };
                    self.write_unpacked(diff_id, output, told).map_err(|error| error.within(&whole))?;
                }
            }
            let config = format!("{}.json", image.config_digest.hex());
            if written.insert(image.config_digest.clone()) {
                output.bytes(&config, &self.blob(&image.config_digest, CONFIG_MAX)?)?;
            }
            let layers = image.diff_ids.iter().map(unpacked_name).collect();
            manifest.add(name.as_ref(), &image, config, layers);
        }
        output.bytes(Manifest::NAME, manifest.text().as_bytes())
    }

    /// The images of these names or digests, which no collection takes until the session ends.
    fn images(
        &self,
        session: &super::session::Session,
        names: &[&str],
    ) -> Result<Vec<(Option<Reference>, Documents)>> {
        let one = |text: &&str| match text.parse::<Digest>() {
            Ok(digest) if self.has_manifest(&digest) => {
                self.documents_by_digest(&parse(&format!("none@{digest}"))?, &digest)
            }
            Ok(digest) => Err(Error::NoImage(digest.to_string())),
            Err(_) => self.named(&parse(text)?),
        };
        let images = self.leased(session, || names.iter().map(one).collect())?;
        // One that was called by its index goes out by what it is.
        let own = |image: &Documents| Reference {
            digest: image.name.digest.is_some().then(|| image.digest.clone()),
            ..image.name.clone()
        };
        let name = |(text, image): (&&str, Documents)| {
            let name = text.parse::<Digest>().is_err().then(|| own(&image));
            (name, image)
        };
        Ok(names.iter().zip(images).map(name).collect())
    }

    fn write_blob(&self, digest: &Digest, output: &mut dyn Output, told: Option<Told<'_>>) -> Result<()> {
        let mut file = self.packed(digest)?;
        let unread = |error| io_error("read", &self.blob_path(digest))(error);
        let size = file.metadata().map_err(unread)?.len();
        if Hashed::new(&file, digest).finish().map_err(unread)? != *digest {
            return Err(Error::wrong(format!("blob {digest}"), "damaged on disk"));
        }
        file.rewind().map_err(unread)?;
        let name = blob_name(digest);
        match told {
            Some(told) => told.through(|told| output.file(&name, size, &mut told.counting(file))),
            None => output.file(&name, size, &mut file),
        }
    }

    fn write_unpacked(&self, diff_id: &Digest, output: &mut dyn Output, told: Told<'_>) -> Result<()> {
        let digest = told.digest;
        let unread = |error| io_error("unpack", &self.blob_path(digest))(error);
        let unpack = |file: File| compression::unpack(BufReader::with_capacity(1 << 16, file));
        let mut counted = Hashed::new(unpack(self.packed(digest)?).map_err(unread)?, diff_id);
        io::copy(&mut counted, &mut io::sink()).map_err(unread)?;
        let size = counted.length;
        if counted.finish().map_err(unread)? != *diff_id {
            return Err(Error::wrong(format!("layer {diff_id}"), "damaged on disk"));
        }
        let content = unpack(self.packed(digest)?).map_err(unread)?;
        let told = Told { total: size, ..told };
        told.through(|told| output.file(&unpacked_name(diff_id), size, &mut told.counting(content)))
    }
}

/// Takes away what is in a folder that was empty, and the folder itself where it was not here. What stays is told by the next try.
fn clear(folder: &Path, was_here: bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    if !was_here {
        let _ = fs::remove_dir(folder);
    }
}

/// What Docker finds images by: where in the archive their configurations and layers are, and their tags.
#[derive(Default)]
struct Manifest(Vec<(Digest, Value, Vec<String>)>);

impl Manifest {
    const NAME: &str = "manifest.json";

    /// Whether the image is told already, under one more name then.
    fn has(&mut self, name: Option<&Reference>, image: &Documents) -> bool {
        let told = self.0.iter_mut().find(|(digest, ..)| *digest == image.digest);
        told.is_some_and(|(.., tags)| {
            tags.extend(tag(name));
            true
        })
    }

    fn add(&mut self, name: Option<&Reference>, image: &Documents, config: String, layers: Vec<String>) {
        let item = json!({ "Config": config, "Layers": layers });
        self.0.push((image.digest.clone(), item, tag(name).into_iter().collect()));
    }

    fn text(self) -> String {
        let with_tags = |(_, mut item, tags): (_, Value, Vec<String>)| {
            item["RepoTags"] = json!(tags);
            item
        };
        json!(self.0.into_iter().map(with_tags).collect::<Vec<Value>>()).to_string()
    }
}

fn tag(name: Option<&Reference>) -> Option<String> {
    name.filter(|name| name.tag.is_some() && name.digest.is_none()).map(ToString::to_string)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn unpacked_name(diff_id: &Digest) -> String {
    format!("{}.tar", diff_id.hex())
}

fn unwritten(error: io::Error) -> Error {
    Error::wrong("write the archive", cause(&error))
}

impl<W: Write> Output for Archive<W> {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        Self::file(self, name, size, content).map_err(unwritten)
    }
}

struct Folder<'f>(&'f Path);

impl Output for Folder<'_> {
    fn file(&mut self, name: &str, _: u64, content: &mut dyn Read) -> Result<()> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(self.0);
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        let file = File::create_new(&path);
        file.and_then(|mut file| io::copy(content, &mut file)).map_err(io_error("write", &path))?;
        Ok(())
    }
}
