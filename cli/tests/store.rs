//! `skerry store check`, on a store of the test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
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
        // No monitor is there, and none is started.
        command.arg("--socket").arg(self.0.join("none")).arg("--store").arg(self.store());
        command.args(arguments).output().unwrap()
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
    let good = ("1 whole image, 4 good files, 0 bad\n".to_owned(), Some(0));
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

#[test]
fn an_image_is_called_by_its_id_too() {
    let place = Place::new("ids");
    let (ids, _) = place.says(&["images", "--quiet"]);
    let id = ids.trim_end();
    assert_eq!(place.says(&["inspect", "--format", "{{.RepoTags}}", id]).0, "[app:latest]\n");
    let (whole, _) = place.says(&["inspect", "--format", "{{.Id}}", &id[..4]]);
    assert_eq!(place.says(&["tag", whole.trim_end(), "other"]), (String::new(), Some(0)));
    // One that is not here is fetched from nowhere.
    for verb in ["run", "create"] {
        let output = place.skerry(&[verb, "0123456789ab"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (told.as_str(), output.status.code()),
            ("skerry: image \"0123456789ab\" is not here\n", Some(125))
        );
    }
    let (ids, _) = place.says(&["images", "--quiet"]);
    let both: Vec<&str> = std::iter::once("rmi").chain(ids.lines()).collect();
    assert_eq!(place.says(&both), ("Untagged: app:latest\nUntagged: other:latest\n".into(), Some(0)));
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

#[test]
fn what_is_damaged_can_be_removed_and_the_others_are_gone_on_with() {
    let place = Place::new("rmi");
    for name in ["b", "c"] {
        assert!(place.skerry(&["tag", "app", name]).status.success());
    }
    let blobs = fs::read_dir(place.store().join("blobs/sha256")).unwrap();
    blobs.for_each(|entry| flip(&entry.unwrap().path()));
    fs::write(place.store().join("names/docker.io%2Flibrary%2Fc:latest"), "x").unwrap();
    let listed = place.skerry(&["images", "--format", "{{.Repository}}"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "app\nb\n");
    let told = String::from_utf8(listed.stderr).unwrap();
    let said: Vec<&str> = told.lines().collect();
    assert!(said[0].starts_with("skerry: image docker.io/library/c:latest: "), "{told}");
    // These have names, but nobody can tell how old and large they are.
    assert!(said.len() == 3 && said[1..].iter().all(|line| line.ends_with(": damaged on disk")), "{told}");
    let removed = place.skerry(&["rmi", "none", "app", "No", "b", "c"]);
    assert_eq!(removed.status.code(), Some(1));
    let untagged = "Untagged: app:latest\nUntagged: b:latest\nUntagged: c:latest\n";
    assert_eq!(String::from_utf8(removed.stdout).unwrap(), untagged);
    let told = String::from_utf8(removed.stderr).unwrap();
    assert!(
        told.starts_with("skerry: image \"none\" is not here\nskerry: \"No\" is not an image's name"),
        "{told}"
    );
    assert_eq!(fs::read_dir(place.store().join("names")).unwrap().count(), 0);
}

#[test]
fn an_export_that_fails_leaves_what_is_there() {
    let place = Place::new("export");
    let export = |to: &Path| place.skerry(&["export", "app", "-o", to.to_str().unwrap()]).status.success();
    let (file, link, pipe) = (place.0.join("file"), place.0.join("link"), place.0.join("pipe"));
    fs::write(&file, "before").unwrap();
    symlink("file", &link).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let contents = || {
        let mut names: Vec<_> =
            fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(export(&link) && link.is_symlink());
    let whole = fs::read(&file).unwrap();
    assert!(whole.len() > 10_000);
    let before = contents();
    let packed = fs::read_dir(place.store().join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    flip(&packed.max_by_key(|path| path.metadata().unwrap().len()).unwrap());
    assert!(!export(&link) && !export(&file) && !export(&place.0.join("new")));
    assert!(fs::read(&link).unwrap() == whole);
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    assert!(!export(&pipe) && reader.join().unwrap() != whole);
    assert_eq!(contents(), before);
}

#[test]
fn standard_input_is_imported_whatever_it_is() {
    let place = Place::new("stdin");
    let archive = fs::read(place.0.join("app.tar")).unwrap();
    let import = |input: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skerry"));
        command.arg("--socket").arg(place.0.join("none")).arg("--store").arg(place.store());
        let output = command.args(["import", "-"]).stdin(input).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // A socket, which cannot be opened anew.
    let (own, other) = UnixStream::pair().unwrap();
    let bytes = archive.clone();
    let writer = std::thread::spawn(move || (&other).write_all(&bytes).unwrap());
    assert_eq!(import(OwnedFd::from(own).into()), "Loaded image: app:latest\n");
    writer.join().unwrap();
    // A file of which somebody has read the beginning.
    let path = place.0.join("behind");
    fs::write(&path, [&[0; 700][..], &archive].concat()).unwrap();
    let mut file = fs::File::open(&path).unwrap();
    file.read_exact(&mut [0; 700]).unwrap();
    assert_eq!(import(file.into()), "Loaded image: app:latest\n");
}

#[test]
fn files_of_a_root_are_made_an_image_when_it_has_a_name() {
    let place = Place::new("files");
    let archive = place.0.join("root.tar");
    let mut builder = tar::Builder::new(fs::File::create(&archive).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o755);
    for name in ["a/b/c/d/program", "index.json", "manifest.json"] {
        builder.append_data(&mut header, name, &b"#!x"[..]).unwrap();
    }
    builder.finish().unwrap();
    let archive = archive.to_str().unwrap();
    let output = place.skerry(&["import", archive]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("index.json: "), "{told}");
    let words = ["import", "-c", "USER 7", "-c", "cmd [\"/a/b/c/d/program\"]", archive, "flat:1"];
    let (digest, status) = place.says(&words);
    let format = "{{.Id}} {{.Config.User}} {{.Config.Cmd}} {{len .RootFS.Layers}}";
    let (id, _) = place.says(&["inspect", "--format", format, "flat:1"]);
    assert_eq!(id, format!("{} 7 [/a/b/c/d/program] 1\n", digest.trim_end()));
    assert_eq!(status, Some(0));
    let image = Store::open_read_only(&place.store()).resolve("flat:1").unwrap();
    assert_eq!(fs::metadata(&image.layers[0].path).unwrap().len() % 4096, 0);
    let comment = place.says(&["history", "--format", "{{.Comment}}", "flat:1"]).0;
    assert_eq!(comment, format!("Imported from {archive}\n"));
    // What it is written out as is an image.
    let saved = place.0.join("saved.tar");
    let saved = saved.to_str().unwrap();
    assert_eq!(place.says(&["save", "-o", saved, "flat:1"]).1, Some(0));
    let output = place.skerry(&["import", saved, "again"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, format!("skerry: {saved}: holds images, not the files of a root\n"));
    assert_eq!(place.says(&["import", "--name", "again", saved]).1, Some(0));
    assert_eq!(place.says(&["inspect", "--format", "{{.Id}}", "again"]).0, digest);
    for (input, why) in [("", "an empty file"), ("no archive", "the archive is cut within a header")] {
        fs::write(place.0.join("bad"), input).unwrap();
        let output = place.skerry(&["import", place.0.join("bad").to_str().unwrap(), "bad"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(why) && output.status.code() == Some(1), "{told}");
    }
    assert_eq!(fs::read_dir(place.store().join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_image_for_another_platform_is_not_the_one_that_is_asked_for() {
    let place = Place::new("platform");
    let create = |words: &[&str]| {
        let output = place.skerry(&[&["create", "--pull", "never"], words].concat());
        (String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    let told = "skerry: image \"app\" is here for linux/amd64, not for linux/arm64\n";
    assert_eq!(create(&["--platform", "linux/arm64", "app"]), (told.to_owned(), Some(125)));
    // What is here fits: there is nobody to make a container.
    assert!(create(&["--platform", "linux/amd64", "app"]).0.starts_with("skerry: no monitor runs here"));
    assert_eq!(fs::read_dir(place.store().join("tmp")).unwrap().count(), 0);
}
