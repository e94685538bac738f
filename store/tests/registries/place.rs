//! A folder of a test's own, images in it, and the programs that are run there.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use store::{Digest, Platform, Store};

/// A folder that is gone with the test.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("skerry-registries-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn store(&self, name: &str) -> Store {
        Store::open(&self.path(name)).unwrap()
    }

    /// An OCI layout with one image, whose layers have a file of so many bytes each that do not pack.
    pub fn image(&self, name: &str, layers: &[usize]) -> Digest {
        let folder = self.path(name);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let (mut ids, mut descriptors) = (Vec::new(), Vec::new());
        for (number, bytes) in layers.iter().enumerate() {
            let tar = self.layer(number, *bytes);
            let packed = said(Command::new("gzip").arg("-1nc").arg(&tar));
            ids.push(Digest::sha256(&fs::read(&tar).unwrap()).to_string());
            let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
            descriptors.push(blob(&folder, kind, &packed));
        }
        let host = Platform::host();
        let config = json!({ "os": host.os, "architecture": host.architecture, "config": { "Cmd": ["/x"] },
            "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = blob(&folder, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": descriptors });
        let mut entry = blob(&folder, kind, manifest.to_string().as_bytes());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        entry["digest"].as_str().unwrap().parse().unwrap()
    }

    /// A layer's archive: one large file, and small ones, as images have them.
    fn layer(&self, number: usize, bytes: usize) -> PathBuf {
        let folder = self.path(&format!("layer{number}"));
        fs::create_dir_all(folder.join("small")).unwrap();
        let mut noise = File::open("/dev/urandom").unwrap();
        let mut large = File::create(folder.join("large")).unwrap();
        io::copy(&mut (&mut noise).take(bytes as u64), &mut large).unwrap();
        for small in 0..bytes / 20_000 {
            let mut content = vec![0; 2500];
            noise.read_exact(&mut content).unwrap();
            fs::write(folder.join(format!("small/{small}")), content).unwrap();
        }
        let tar = self.path(&format!("layer{number}.tar"));
        said(Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&tar).arg("."));
        fs::remove_dir_all(folder).unwrap();
        tar
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn blob(folder: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = Digest::sha256(bytes);
    fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    json!({ "mediaType": kind, "digest": digest.to_string(), "size": bytes.len() })
}

/// What a command writes; it must not fail.
pub fn said(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The same for words: `run("skopeo", &["copy", …])`.
pub fn run(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(said(Command::new(program).args(arguments))).unwrap()
}

/// What a command writes when it is given this.
pub fn fed(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// `examples/pull.rs`
pub fn puller(arguments: &[&str]) -> Command {
    example("pull", arguments)
}

/// `examples/collect.rs`
pub fn collector(store: &str) -> Command {
    example("collect", &[store])
}

/// An example, which lies beside the tests.
fn example(name: &str, arguments: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{} is not built: cargo build -p store --examples", program.display());
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that ends with the test.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file below a folder with its bytes' digest, sorted.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Digest)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let digest = Digest::sha256(&fs::read(&path).unwrap());
                found.push((path.strip_prefix(folder).unwrap().to_owned(), digest));
            }
        }
    }
    found.sort();
    found
}
