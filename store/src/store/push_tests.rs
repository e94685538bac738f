//! Pushes to a registry that takes uploads into memory and fails as a test tells it.

use super::fixture::{Layout, Scratch, archive, layer};
use super::*;
use crate::Stores;
use crate::digest::Digest;
use crate::registry::fake::{Answer, Asked, Fake};
use crate::registry::{Host, Registries, Settings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a registry has: blobs and manifests by their digest or tag, and an upload under way.
#[derive(Default)]
struct Held {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    uploads: Vec<Vec<u8>>,
}

impl Held {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let last = path.rsplit('/').next().unwrap();
        let of = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).map(str::to_owned);
        if asked.method == "PUT" && path.contains("/manifests/") {
            let kind = asked.header("content-type").unwrap().to_owned();
            self.manifests.insert(last.to_owned(), (kind, asked.body.clone()));
            return Answer::status(201)
                .with("docker-content-digest", Digest::sha256(&asked.body).to_string());
        }
        let here = |number: usize| format!("/v2/up/blobs/uploads/{number}?state=x");
        match asked.method.as_str() {
            "HEAD" if self.blobs.contains_key(last) => Answer::status(200),
            "POST" if of("mount=").is_some_and(|_| of("from=").as_deref() == Some("has/it")) => {
                self.blobs.insert(of("mount=").unwrap(), Vec::new());
                Answer::status(201)
            }
            "POST" => {
                self.uploads.push(Vec::new());
                Answer::status(202).with("location", here(self.uploads.len() - 1))
            }
            "PATCH" | "PUT" | "GET" if path.contains("/uploads/") => {
                let number: usize = last.parse().unwrap();
                let upload = &mut self.uploads[number];
                upload.extend(&asked.body);
                match of("digest=") {
                    Some(digest) if Digest::sha256(upload).to_string() != digest => Answer::status(400),
                    Some(digest) => {
                        self.blobs.insert(digest, std::mem::take(upload));
                        Answer::status(201)
                    }
                    None => {
                        let range = format!("0-{}", upload.len().saturating_sub(1));
                        Answer::status(202).with("location", here(number)).with("range", range)
                    }
                }
            }
            _ => Answer::status(404),
        }
    }
}

/// A store with an image of two layers, and what it is made of.
fn pushed(scratch: &Scratch) -> (Store, Digest, Layout) {
    let layout = Layout::new(scratch.0.join("layout"));
    layout.index(&[layout.image("amd64", &[layer("a", b"1"), layer("b", &[7; 3000])])]);
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let store = Store::open(&scratch.0.join("store")).unwrap().for_platform(platform);
    let digest = store.import(&layout.0, "app").unwrap().digest;
    (store, digest, layout)
}

#[test]
fn a_docker_archive_of_packed_layers_is_pushed_and_exported() {
    let scratch = Scratch::new("packed-archive");
    let (packed, tar) = layer("f", b"x");
    let zstd = ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest);
    let id = Digest::sha256(&tar).to_string();
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [id, id, id] } }).to_string();
    let items =
        json!([{ "Config": "c", "RepoTags": ["app:1"], "Layers": ["a.tar.gz", "b", "c.tar"] }]).to_string();
    let files: [(&str, &[u8]); 5] = [
        ("c", config.as_bytes()),
        ("a.tar.gz", &packed),
        ("b", &zstd),
        ("c.tar", &tar),
        ("manifest.json", items.as_bytes()),
    ];
    let path = scratch.0.join("archive.tar");
    fs::write(&path, archive(&files)).unwrap();
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let store = Store::open(&scratch.0.join("store")).unwrap().for_platform(platform);
    store.import(&path, "app:1").unwrap();
    let (fake, held) = fake(|_| None);
    store.push(&Registries::new(settings()), "app:1", &format!("{}/up:v1", fake.host()), &()).unwrap();
    let held = held.lock().unwrap();
    let manifest: Value = serde_json::from_slice(&held.manifests["v1"].1).unwrap();
    for (place, (bytes, kind)) in [(&packed, "+gzip"), (&zstd, "+zstd"), (&tar, "")].into_iter().enumerate() {
        let layer = &manifest["layers"][place];
        assert_eq!(layer["mediaType"], format!("application/vnd.oci.image.layer.v1.tar{kind}"));
        assert_eq!(layer["size"], bytes.len());
        assert_eq!(held.blobs[layer["digest"].as_str().unwrap()], *bytes);
    }
    for form in [Form::Oci, Form::Docker] {
        store.export(&["app:1"], form, &mut std::io::sink(), &()).unwrap();
    }
    assert_eq!(store.import(&path, "app:1").unwrap().new_layers, 0);
}

fn settings() -> Settings {
    Settings { trusted: None, pause: Duration::from_millis(1), ..Settings::default() }
}

fn fake(fail: impl Fn(&Asked) -> Option<u16> + Send + Sync + 'static) -> (Fake, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(Held::default()));
    let own = held.clone();
    let fake = Fake::new(move |asked| match fail(asked) {
        Some(status) => Answer::status(status),
        None => own.lock().unwrap().answer(asked),
    });
    (fake, held)
}

#[test]
fn an_image_arrives_as_it_came_and_what_is_there_is_not_sent_again() {
    let scratch = Scratch::new("push");
    let (store, digest, layout) = pushed(&scratch);
    let (fake, held) = fake(|_| None);
    let to = format!("{}/up:v1", fake.host());
    let pushed = store.push(&Registries::new(settings()), "app", &to, &()).unwrap();
    assert_eq!((&pushed.digest, pushed.sent, pushed.mounted), (&digest, 3, 0));
    for (digest, bytes) in &held.lock().unwrap().blobs {
        assert_eq!(fs::read(layout.path(&digest.parse().unwrap())).unwrap(), *bytes);
    }
    let (kind, bytes) = held.lock().unwrap().manifests["v1"].clone();
    assert_eq!(kind, "application/vnd.oci.image.manifest.v1+json");
    assert!(digest.matches(&bytes));
    assert_eq!(store.push(&Registries::new(settings()), "app", &to, &()).unwrap().sent, 0);
    // The manifest came after all blobs.
    let asked = fake.asked();
    let manifest = asked.iter().position(|asked| asked.path.contains("/manifests/")).unwrap();
    assert_eq!(asked[..manifest].iter().filter(|asked| asked.method == "PUT").count(), 3);
}

#[test]
fn a_blob_comes_in_pieces_where_that_is_wanted_and_goes_on_after_a_failure() {
    let scratch = Scratch::new("pieces");
    let (store, _, layout) = pushed(&scratch);
    let failures = Mutex::new(0);
    let (fake, held) = fake(move |asked| {
        let mut failures = failures.lock().unwrap();
        let fails = asked.method == "PATCH" && *failures < 2;
        *failures += u32::from(fails);
        fails.then_some(503)
    });
    let mut settings = settings();
    settings.hosts.insert(fake.host(), Host { piece: Some(40), ..Host::default() });
    store.push(&Registries::new(settings), "app", &format!("{}/up:v1", fake.host()), &()).unwrap();
    assert!(fake.asked().iter().filter(|asked| asked.method == "PATCH").count() > 6);
    assert_eq!(held.lock().unwrap().blobs.len(), 3);
    for (digest, bytes) in &held.lock().unwrap().blobs {
        assert_eq!(fs::read(layout.path(&digest.parse().unwrap())).unwrap(), *bytes);
    }
}

#[test]
fn an_upload_that_fails_begins_anew_and_at_last_is_given_up_in_words() {
    let scratch = Scratch::new("push-fails");
    let (store, ..) = pushed(&scratch);
    let first = Mutex::new(true);
    let (once, held) = fake(move |asked| {
        let fails = asked.method == "PUT" && std::mem::replace(&mut *first.lock().unwrap(), false);
        fails.then_some(500)
    });
    store.push(&Registries::new(settings()), "app", &format!("{}/up:v1", once.host()), &()).unwrap();
    assert_eq!(held.lock().unwrap().blobs.len(), 3);
    let (never, held) = fake(|asked| (asked.method == "POST").then_some(403));
    let to = format!("{}/up:v1", never.host());
    let error = store.push(&Registries::new(settings()), "app", &to, &()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("image docker.io/library/app:latest to {to}: ")), "{error}");
    assert!(error.ends_with(&format!("registry {}: answers 403 forbidden", never.host())), "{error}");
    assert!(held.lock().unwrap().manifests.is_empty());
}

#[test]
fn a_registry_may_take_its_time_to_store_a_blob_and_one_that_it_has_is_not_sent_again() {
    let scratch = Scratch::new("push-slow");
    let (store, ..) = pushed(&scratch);
    let held = Arc::new(Mutex::new(Held::default()));
    let first = AtomicBool::new(true);
    let slow = Fake::new(move |asked| {
        let answer = held.lock().unwrap().answer(asked);
        // Longer than the patience, which is long enough for every other answer on a busy machine.
        if asked.method == "PUT" && first.swap(false, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(3));
        }
        answer
    });
    let puts = |fake: &Fake| fake.asked().iter().filter(|asked| asked.method == "PUT").count();
    let settings = || Settings { patience: Duration::from_secs(2), ..settings() };
    store.push(&Registries::new(settings()), "app", &format!("{}/up:v1", slow.host()), &()).unwrap();
    assert_eq!(puts(&slow), 4, "three blobs and a manifest");
    let held = Arc::new(Mutex::new(Held::default()));
    let lost = Fake::new(move |asked| {
        let answer = held.lock().unwrap().answer(asked);
        let is_blob = asked.method == "PUT" && asked.path.contains("/blobs/");
        if is_blob { Answer::status(504) } else { answer }
    });
    store.push(&Registries::new(settings()), "app", &format!("{}/up:v1", lost.host()), &()).unwrap();
    assert_eq!(puts(&lost), 4);
}

#[test]
fn an_upload_follows_a_redirect_that_keeps_what_it_brings() {
    let scratch = Scratch::new("push-redirect");
    let (store, ..) = pushed(&scratch);
    let held = Arc::new(Mutex::new(Held::default()));
    let own = held.clone();
    let fake = Fake::new(move |asked| match asked.path.strip_prefix("/moved") {
        Some(path) => own.lock().unwrap().answer(&Asked { path: path.to_owned(), ..asked.clone() }),
        None if asked.method == "HEAD" => Answer::status(404),
        None => Answer::status(307).with("location", format!("/moved{}", asked.path)),
    });
    store.push(&Registries::new(settings()), "app", &format!("{}/up:v1", fake.host()), &()).unwrap();
    let held = held.lock().unwrap();
    assert_eq!((held.blobs.len(), held.manifests.len()), (3, 1));
}

#[test]
fn an_image_of_a_store_that_is_only_read_is_pushed_as_far_as_its_layers_were_kept() {
    let scratch = Scratch::new("push-came");
    let (kept, digest, layout) = pushed(&scratch);
    let (fake, held) = fake(|_| None);
    let to = format!("{}/up:v1", fake.host());
    let own = Store::open(&scratch.0.join("own")).unwrap();
    let push = |came: &Path| {
        let stores = Stores::new(vec![own.clone(), Store::open_read_only(came)]);
        stores.push(&Registries::new(settings()), "app", &to, &())
    };
    let bare = Store::open(&scratch.0.join("bare")).unwrap().without_packed_layers();
    bare.import(&layout.0, "app").unwrap();
    let error = push(bare.root()).unwrap_err().to_string();
    assert!(error.contains("was not kept as it came; pull the image again"), "{error}");
    assert!(held.lock().unwrap().manifests.is_empty());
    let pushed = push(kept.root()).unwrap();
    assert_eq!((pushed.digest, held.lock().unwrap().blobs.len()), (digest, 3));
    // What the registry has need not be here.
    assert_eq!(push(bare.root()).unwrap().sent, 0);
}

#[test]
fn what_another_repository_has_is_mounted() {
    let scratch = Scratch::new("mount");
    let (store, ..) = pushed(&scratch);
    let (fake, held) = fake(|_| None);
    store.tag("app", &format!("{}/has/it:1", fake.host())).unwrap();
    let pushed =
        store.push(&Registries::new(settings()), "app", &format!("{}/up:v1", fake.host()), &()).unwrap();
    // The configuration is small: it is sent.
    assert_eq!((pushed.sent, pushed.mounted), (1, 2));
    assert_eq!(held.lock().unwrap().blobs.len(), 3);
}
