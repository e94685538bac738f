//! `skerry store check`, on a store of the test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use store::{Digest, Store};

/// A store with the image `app`, gone with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skerry-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let archive = folder.join("app.tar");
        write_archive(fs::File::create(&archive).unwrap());
        let place = Self(folder);
        let output = place.skerry(&["import", archive.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        place
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn skerry(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skerry"));
        command.arg("--store").arg(self.store()).args(arguments).output().unwrap()
    }

    /// What a command prints, and its exit status.
    fn says(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = self.skerry(arguments);
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    fn layer(&self) -> PathBuf {
        Store::open_read_only(&self.store()).resolve("app").unwrap().layers[0].path.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `docker save` writes, with one layer of one file.
fn write_archive(to: fs::File) {
    let file = |builder: &mut tar::Builder<_>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(10_000);
    header.set_mode(0o644);
    layer.append_data(&mut header, "file", &[7; 10_000][..]).unwrap();
    let layer = layer.into_inner().unwrap();
    let ids = [Digest::sha256(&layer).to_string()];
    let config = serde_json::json!({ "os": "linux", "architecture": "amd64", "config": {}, "rootfs": { "type": "layers", "diff_ids": ids } });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": ["app:latest"], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    file(&mut archive, "config.json", config.to_string().as_bytes());
    file(&mut archive, "layer.tar", &layer);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    (&to).write_all(&archive.into_inner().unwrap()).unwrap();
}

/// Turns one bit of a file over, as a disk might.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // In place of it: one that is sealed cannot be written.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_damaged_is_found_and_brought_back() {
    let place = Place::new("check");
    let good = ("1 whole images, 4 good files, 0 bad\n".to_owned(), Some(0));
    assert_eq!(place.says(&["store", "check"]), good);
    let layer = place.layer();
    let whole = fs::read(&layer).unwrap();
    flip(&layer);
    let (text, status) = place.says(&["store", "check", "--no-repair"]);
    assert_eq!(status, Some(1));
    assert!(text.starts_with("KIND    NAME"), "{text}");
    assert!(text.contains("damaged on disk") && text.contains("bad: left as it is"), "{text}");
    assert!(fs::read(&layer).unwrap() != whole);
    let (text, status) = place.says(&["store", "check", "--format", "json"]);
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((objects.len(), status), (2, Some(0)), "{text}");
    assert_eq!((&objects[0]["Kind"], &objects[0]["Outcome"]), (&"layer".into(), &"brought back".into()));
    assert!(fs::read(&layer).unwrap() == whole);
    assert_eq!(place.says(&["store", "check"]), good);
}

/// A registry that has nothing; ends with the tests.
fn empty_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn what_nobody_has_any_more_ends_with_status_1() {
    let place = Place::new("lost");
    let blobs = fs::read_dir(place.store().join("blobs/sha256")).unwrap();
    blobs.for_each(|entry| flip(&entry.unwrap().path()));
    let name = format!("{}/app:1", empty_registry());
    let names = place.store().join("names");
    fs::rename(names.join("docker.io%2Flibrary%2Fapp:latest"), names.join(name.replace('/', "%2F"))).unwrap();
    let (text, status) = place.says(&["store", "check"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(&format!("bad: image {name}: ")) && text.ends_with(" 4 bad\n"), "{text}");
    assert!(place.skerry(&["images", "--quiet"]).status.success());
}
