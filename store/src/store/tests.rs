//! Images in, by name out, and what is refused on the way.

use super::fixture::{Layout, Scratch, archive, gzip, layer, tree};
use super::*;
use crate::digest::Digest;
use crate::{Error, Stores, Update};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

fn store(scratch: &Scratch) -> Store {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    Store::open(&scratch.0.join("store")).unwrap().for_platform(platform)
}

fn simple(scratch: &Scratch) -> Layout {
    let layout = Layout::new(scratch.0.join("layout"));
    let entry = layout.image("amd64", &[layer("a", b"1"), layer("b", b"2")]);
    layout.index(&[entry]);
    layout
}

fn refusal(store: &Store, source: &Path) -> String {
    let error = store.import(source, "app").unwrap_err().to_string();
    assert!(tree(store.root()).iter().all(|path| !path.starts_with(store.root().join("names"))), "{error}");
    assert!(fs::read_dir(store.root().join("tmp")).unwrap().next().is_none(), "{error}");
    error
}

#[test]
fn a_store_is_for_its_owner_alone_also_one_that_was_open_to_all() {
    let scratch = Scratch::new("private");
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    let root = store(&scratch).root().to_owned();
    let all = || {
        let folders = ["", "layers", "blobs", "names", "tmp"].map(|name| root.join(name));
        folders.map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777)
    };
    assert_eq!(all(), [0o700; 5]);
    open(&root);
    open(&root.join("tmp"));
    store(&scratch);
    assert_eq!(all(), [0o755, 0o700, 0o700, 0o700, 0o700], "a folder that is there may be somebody else's");
}

#[test]
fn an_image_is_found_by_every_form_of_its_name() {
    let scratch = Scratch::new("names");
    let store = store(&scratch);
    let imported = store.import(&simple(&scratch).0, "nginx").unwrap();
    assert_eq!(imported.new_layers, 2);
    let digest = imported.digest;
    for name in ["nginx", "nginx:latest", "docker.io/library/nginx:latest", &format!("nginx@{digest}")] {
        let image = store.resolve(name).unwrap();
        assert_eq!((image.config.cmd[0].as_str(), image.layers.len()), ("/x", 2), "{name}");
        assert!(image.layers.iter().all(|layer| layer.path.is_file()));
    }
    assert!(matches!(store.resolve("nginx:1"), Err(Error::NoImage(_))));
    assert_eq!(store.list().unwrap().len(), 1);
    assert!(store.root().join("names/docker.io%2Flibrary%2Fnginx:latest").is_file());
    let error = store.remove(&format!("nginx@{digest}")).unwrap_err().to_string();
    assert!(error.ends_with("has the name docker.io/library/nginx:latest here; remove that"), "{error}");
    // A name of its own is what a pull by digest gives it: that goes alone.
    store.tag("nginx", &format!("nginx@{digest}")).unwrap();
    store.remove(&format!("nginx@{digest}")).unwrap();
    assert_eq!(store.list().unwrap()[0].name.to_string(), "docker.io/library/nginx:latest");
}

#[test]
fn an_image_is_found_by_its_digest_when_its_name_is_gone() {
    let scratch = Scratch::new("digest");
    let store = store(&scratch);
    let digest = store.import(&simple(&scratch).0, "nginx").unwrap().digest;
    store.remove("nginx").unwrap();
    let stores = Stores::new(vec![store]);
    let image = stores.resolve_digest("nginx", &digest).unwrap();
    assert_eq!((image.layers.len(), image.digest), (2, digest));
    let other = Digest::sha256(b"other");
    assert!(matches!(stores.resolve_digest("nginx", &other), Err(Error::NoImage(_))));
}

#[test]
fn a_second_import_finds_the_layers_there() {
    let scratch = Scratch::new("twice");
    let (store, layout) = (store(&scratch), simple(&scratch));
    store.import(&layout.0, "one").unwrap();
    assert_eq!(store.import(&layout.0, "two").unwrap().new_layers, 0);
}

#[test]
fn a_nested_index_gives_the_variant_that_runs_here() {
    let scratch = Scratch::new("index");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    let mut entries = Vec::new();
    for (architecture, content) in [("arm64", "no"), ("amd64", "yes")] {
        let mut entry = layout.image(architecture, &[layer("f", content.as_bytes())]);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let inner = json!({ "schemaVersion": 2, "manifests": entries });
    let inner = layout.document("application/vnd.oci.image.index.v1+json", &inner);
    layout.index(std::slice::from_ref(&inner));
    let digest = store.import(&layout.0, "app").unwrap().digest;
    // By the digest that persons pin.
    let index = inner["digest"].as_str().unwrap();
    assert_eq!(store.resolve(&format!("app@{index}")).unwrap().digest, digest);
    assert_eq!(store.import(&layout.0, &format!("other@{index}")).unwrap().digest, digest);
    assert_eq!(store.resolve(&format!("other@{index}")).unwrap().digest, digest);
    let layers = store.resolve("app").unwrap().layers;
    assert_eq!(layers[0].diff_id, Digest::sha256(&layer("f", b"yes").1));
    let other = Platform { os: "linux".into(), architecture: "riscv64".into(), variant: None };
    let error = store.clone().for_platform(other).import(&layout.0, "app").unwrap_err().to_string();
    assert!(error.contains("no variant for linux/riscv64, only for linux/arm64, linux/amd64"), "{error}");
}

#[test]
fn a_layout_that_lists_an_image_for_each_platform_gives_the_one_that_runs_here() {
    let scratch = Scratch::new("platforms");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    let named = |architecture: &str, name: &str| {
        let mut entry = layout.image(architecture, &[layer("f", architecture.as_bytes())]);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        entry
    };
    // What is no image at all is as good as not there (image-layout.md has such an example).
    let xml =
        json!({ "mediaType": "application/xml", "digest": Digest::sha256(b"x").to_string(), "size": 1 });
    let entries = [xml, named("ppc64le", "multi:1"), named("amd64", "multi:1"), named("s390x", "alien:1")];
    layout.index(&entries);
    let imported = store.import_all(&layout.0, &()).unwrap();
    assert_eq!(imported.len(), 1);
    let note = "image docker.io/library/alien:1: has no variant for linux/amd64, only for linux/s390x";
    assert_eq!(imported[0].notes, [note]);
    let layers = store.resolve("multi:1").unwrap().layers;
    assert_eq!(layers[0].diff_id, Digest::sha256(&layer("f", b"amd64").1));
    store.import(&layout.0, "multi:1").unwrap();
    layout.index(&entries[3..]);
    assert!(store.import_all(&layout.0, &()).unwrap_err().to_string().ends_with(note));
    layout.index(&entries[..3]);
    store.import(&layout.0, "any:2").unwrap();
}

#[test]
fn a_tag_alone_is_no_name_but_chooses_among_images() {
    let scratch = Scratch::new("tags");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    let tagged = |tag: &str| {
        let mut entry = layout.image("amd64", &[layer("f", tag.as_bytes())]);
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        entry
    };
    layout.index(&[tagged("v1"), tagged("v2")]);
    let error = store.import_all(&layout.0, &()).unwrap_err().to_string();
    assert!(error.ends_with("no image in it has a name, only tag v1, tag v2"), "{error}");
    store.import(&layout.0, "app:v2").unwrap();
    assert_eq!(store.resolve("app:v2").unwrap().layers[0].diff_id, Digest::sha256(&layer("f", b"v2").1));
    assert!(refusal(&Store::open(&scratch.0.join("other")).unwrap(), &layout.0).contains("none named"));
}

#[test]
fn docker_archives_with_several_images_are_read_even_compressed() {
    let scratch = Scratch::new("docker");
    let store = store(&scratch);
    let tar = layer("f", b"x").1;
    let id = Digest::sha256(&tar).to_string();
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [id] } }).to_string();
    let items = json!([
        { "Config": "c.json", "RepoTags": ["one:1", "one:2"], "Layers": ["l/layer.tar"] },
        { "Config": "c.json", "RepoTags": ["two:1"], "Layers": ["l/layer.tar"] },
    ]);
    let items = items.to_string();
    let files = [("c.json", config.as_bytes()), ("l/layer.tar", &tar), ("manifest.json", items.as_bytes())];
    let path = scratch.0.join("archive.tar.gz");
    fs::write(&path, gzip(&archive(&files))).unwrap();
    let names: Vec<_> = store.import_all(&path, &()).unwrap().iter().map(Imported::called).collect();
    assert_eq!(names, ["one:1", "one:2", "two:1"].map(|name| format!("docker.io/library/{name}")));
    assert!(
        refusal(&Store::open(&scratch.0.join("other")).unwrap(), &path)
            .contains("holds 2 images, none named")
    );
}

#[test]
fn a_collection_takes_nothing_of_an_import_under_way() {
    let scratch = Scratch::new("under-way");
    let store = store(&scratch);
    let tars = [layer("f", b"1").1, layer("g", b"2").1];
    let ids = tars.each_ref().map(|tar| Digest::sha256(tar).to_string());
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": ids } }).to_string();
    let items =
        json!([{ "Config": "c.json", "RepoTags": ["app:1"], "Layers": ["f.tar", "g.tar"] }]).to_string();
    let [f, g] = &tars;
    let files =
        [("c.json", config.as_bytes()), ("f.tar", f), ("g.tar", g), ("manifest.json", items.as_bytes())];
    let path = scratch.0.join("archive.tar");
    fs::write(&path, archive(&files)).unwrap();
    let collect = |_: &Update<'_>| assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    store.import_as(&path, "app:1", &collect).unwrap();
    store.export(&["app:1"], Form::Docker, &mut std::io::sink(), &()).unwrap();
}

#[test]
fn an_archive_that_is_packed_otherwise_is_refused_by_name() {
    let scratch = Scratch::new("otherwise");
    let store = store(&scratch);
    let path = scratch.0.join("archive");
    for (start, name) in [(&b"\xfd7zXZ\0..."[..], "xz"), (b"BZh9....", "bzip2")] {
        fs::write(&path, start).unwrap();
        let error = refusal(&store, &path);
        assert!(error.ends_with(&format!("{name} compression is not supported")), "{error}");
    }
}

#[test]
fn an_export_that_fails_leaves_the_folder_as_it_was() {
    let scratch = Scratch::new("export-fails");
    let store = store(&scratch);
    store.import(&simple(&scratch).0, "app").unwrap();
    let [new, old] = ["new", "old"].map(|name| scratch.0.join(name));
    fs::create_dir(&old).unwrap();
    let blob = store.blob_path(&Digest::sha256(&layer("b", b"2").0));
    let kept = fs::read(&blob).unwrap();
    fs::write(&blob, b"other").unwrap();
    for folder in [&new, &old] {
        store.export_layout(&["app"], folder, &()).unwrap_err();
    }
    assert!(!new.exists() && fs::read_dir(&old).unwrap().next().is_none());
    fs::write(&blob, kept).unwrap();
    store.export_layout(&["app"], &old, &()).unwrap();
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_refused() {
    let scratch = Scratch::new("digest");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let path = layout.path(&Digest::sha256(&layer("b", b"2").0));
    let good = fs::read(&path).unwrap();
    fs::write(&path, layer("b", b"3").0).unwrap();
    let error = refusal(&store, &layout.0);
    assert!(error.starts_with("image docker.io/library/app:latest: layer sha256:"), "{error}");
    assert!(error.contains("its content is sha256:") || error.contains("bytes instead of"), "{error}");
    fs::write(&path, &good[..good.len() - 9]).unwrap();
    assert!(refusal(&store, &layout.0).contains("bytes instead of"));
    fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    assert!(refusal(&store, &layout.0).contains("more bytes instead of"));
    fs::remove_file(&path).unwrap();
    assert!(refusal(&store, &layout.0).contains("layer sha256:"));
    fs::write(&path, good).unwrap();
    store.import(&layout.0, "app").unwrap();
}

#[test]
fn a_layer_whose_diff_id_is_wrong_is_refused() {
    let scratch = Scratch::new("diffid");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    layout.index(&[layout.image("amd64", &[(layer("a", b"1").0, b"something else".to_vec())])]);
    assert!(refusal(&store, &layout.0).contains("its unpacked content is sha256:"));
}

#[test]
fn a_huge_or_changed_manifest_is_refused() {
    let scratch = Scratch::new("manifest");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    let mut entry = layout.image("amd64", &[layer("a", b"1")]);
    let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
    entry["size"] = json!(100 << 20);
    layout.index(&[entry.clone()]);
    assert!(refusal(&store, &layout.0).contains("104857600 bytes, more than 4 MiB"));
    entry["size"] = json!(300);
    layout.index(&[entry]);
    fs::File::create(layout.path(&digest)).unwrap().set_len(100 << 20).unwrap();
    assert!(refusal(&store, &layout.0).contains("is larger than 4 MiB"));
    fs::File::create(layout.0.join("index.json")).unwrap().set_len(100 << 20).unwrap();
    assert!(refusal(&store, &layout.0).contains("index.json is larger than 4 MiB"));
}

#[test]
fn an_image_of_another_processor_is_refused() {
    let scratch = Scratch::new("platform");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    layout.index(&[layout.image("s390x", &[])]);
    assert!(refusal(&store, &layout.0).contains("is for linux/s390x, not for linux/amd64"));
    // One that does not say is for any.
    layout.index(&[layout.image("", &[])]);
    store.import(&layout.0, "any").unwrap();
}

#[test]
fn a_bad_entry_is_named_with_image_and_layer() {
    let scratch = Scratch::new("entry");
    let (store, layout) = (store(&scratch), Layout::new(scratch.0.join("layout")));
    layout.index(&[layout.image("amd64", &[layer("../escape", b"")])]);
    let error = refusal(&store, &layout.0);
    assert!(error.starts_with("image docker.io/library/app:latest: layer sha256:"), "{error}");
    assert!(error.ends_with("entry \"../escape\": the path climbs out of the layer"), "{error}");
}

#[test]
fn what_an_import_that_was_killed_left_behind_is_cleaned_up() {
    let scratch = Scratch::new("killed");
    let (store, layout) = (store(&scratch), simple(&scratch));
    fs::File::create(store.root().join("tmp/half.erofs")).unwrap().write_all(b"half").unwrap();
    store.import(&layout.0, "app").unwrap();
    assert!(fs::read_dir(store.root().join("tmp")).unwrap().next().is_none());
    // Killed between its layers and its name: the next collection takes the layers.
    fs::remove_dir_all(store.root().join("names")).unwrap();
    fs::create_dir(store.root().join("names")).unwrap();
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 8);
}

#[test]
fn collection_spares_what_a_name_or_a_container_needs() {
    let scratch = Scratch::new("collect");
    let (store, layout) = (store(&scratch), simple(&scratch));
    store.import(&layout.0, "app").unwrap();
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    let digest = store.resolve("app").unwrap().digest;
    // The name moves on, and a container is still made of what it meant.
    let next = Layout::new(scratch.0.join("next"));
    next.index(&[next.image("amd64", &[layer("a", b"1"), layer("b", b"new")])]);
    store.import(&next.0, "app").unwrap();
    let elsewhere = Digest::sha256(b"an image of the node's root");
    assert_eq!(store.collect(&BTreeSet::from([digest.clone(), elsewhere])).unwrap().files, 0);
    store.remove("app").unwrap();
    assert!(matches!(store.remove("app"), Err(Error::NoImage(_))));
    // What would be free is what a collection frees, and all where nothing is in use.
    let room = |in_use: &[&Digest]| store.room(&in_use.iter().copied().cloned().collect()).unwrap();
    let (before, all) = (room(&[&digest]), room(&[]));
    assert!(all.taken == all.unneeded && all.taken == before.taken && before.unneeded < all.unneeded);
    // Manifest, configuration, the layer that is its own: that with its seal, and as it came.
    let collected = store.collect(&BTreeSet::from([digest.clone()])).unwrap();
    assert_eq!((collected.files, collected.bytes), (5, before.unneeded));
    let stores = Stores::new(vec![store.clone()]);
    assert!(stores.resolve_digest("app", &digest).unwrap().layers.iter().all(|layer| layer.path.is_file()));
    fs::write(store.blob_path(&digest), b"{}").unwrap();
    let error = store.collect(&BTreeSet::from([digest.clone()])).unwrap_err().to_string();
    assert_eq!(error, format!("image {digest}: blob {digest}: damaged on disk"));
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 8);
}

#[test]
fn what_is_held_stays_until_a_container_needs_it() {
    let scratch = Scratch::new("held");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let digest = store.import(&layout.0, "app").unwrap().digest;
    assert!(store.hold(&Digest::sha256(b"none")).unwrap().is_none() && store.has_manifest(&digest));
    assert!(Store::open_read_only(store.root()).hold(&digest).unwrap().is_none());
    let held = store.hold(&digest).unwrap();
    assert!(held.is_some());
    store.remove("app").unwrap();
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    // A container is made of it while others are asked about, and nobody holds it from then on.
    let in_use = || {
        drop(held);
        Ok::<_, Error>(BTreeSet::new())
    };
    assert_eq!(store.collect_but(in_use).unwrap().files, 0);
    let unknown = || Err(Error::NoImage("nobody tells".into()));
    assert!(store.collect_but(unknown).is_err());
    assert_eq!(store.collect_but(|| Ok::<_, Error>(BTreeSet::from([digest]))).unwrap().files, 0);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 8);
}

#[test]
fn a_damaged_image_stops_the_collection_and_is_named() {
    let scratch = Scratch::new("damaged");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let digest = store.import(&layout.0, "app").unwrap().digest;
    fs::write(store.blob_path(&digest), b"{}").unwrap();
    assert!(store.resolve("app").unwrap_err().to_string().contains("damaged on disk"));
    let before = tree(store.root());
    store.collect(&BTreeSet::new()).unwrap_err();
    assert_eq!(tree(store.root()), before);
}

#[test]
fn a_damaged_name_hides_no_other_and_is_told() {
    let scratch = Scratch::new("damaged-name");
    let (store, layout) = (store(&scratch), simple(&scratch));
    store.import(&layout.0, "app").unwrap();
    store.tag("app", "b").unwrap();
    let path = store.name_path(&"b".parse().unwrap());
    fs::write(&path, "two words").unwrap();
    let listed: Vec<_> = store.list().unwrap().iter().map(|image| image.name.to_string()).collect();
    assert_eq!(listed, ["docker.io/library/app:latest"]);
    let why = format!("{}: not a media type, a digest and a size", path.display());
    let told = format!("image docker.io/library/b:latest: {why}");
    let checked = store.check(false).unwrap();
    for bad in [&checked.bad[..], &store.damaged_names().unwrap()] {
        assert_eq!(bad.iter().map(ToString::to_string).collect::<Vec<_>>(), [&*told]);
    }
    assert_eq!(checked.images, 1);
    // Nobody knows what it needs.
    assert_eq!(store.collect(&BTreeSet::new()).unwrap_err().to_string(), told);
    assert_eq!(store.check(true).unwrap().bad, checked.bad);
    assert!(!path.exists(), "it goes with a check");
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    fs::write(&path, "two words").unwrap();
    store.remove("b").unwrap();
    fs::copy(store.name_path(&"app".parse().unwrap()), store.root().join("names/No Name")).unwrap();
    assert!(
        store.damaged_names().unwrap()[0].to_string().starts_with("image No Name: \"No Name\" is not an")
    );
}

#[test]
fn a_name_may_be_longer_than_a_file_s() {
    let scratch = Scratch::new("long-name");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let repository = format!("r.example/{}", vec!["ab"; 60].join("/"));
    let digest = store.import(&layout.0, &format!("{repository}:{}", "t".repeat(128))).unwrap().digest;
    store
        .tag(&format!("{repository}@{digest}"), &format!("{repository}:{}@{digest}", "u".repeat(128)))
        .unwrap();
    let listed = store.list().unwrap();
    let tags: Vec<_> = listed.iter().map(|image| image.name.tag.clone().unwrap()).collect();
    assert_eq!(tags, ["t".repeat(128), "u".repeat(128)]);
    assert_eq!(store.check(true).unwrap().images, 2);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    for image in listed {
        assert_eq!(store.resolve(&image.name.to_string()).unwrap().digest, digest);
        store.remove(&image.name.to_string()).unwrap();
    }
    assert!(store.list().unwrap().is_empty() && tree(&store.root().join("names")).is_empty());
}

#[test]
fn images_of_the_node_are_used_where_they_lie_and_stay() {
    let scratch = Scratch::new("stores");
    let (own, layout) = (store(&scratch), simple(&scratch));
    let node = Store::open(&scratch.0.join("node")).unwrap();
    node.import(&layout.0, "app").unwrap();
    let missing = Store::open_read_only(&scratch.0.join("missing"));
    let stores = Stores::new(vec![own.clone(), Store::open_read_only(node.root()), missing]);
    assert!(stores.resolve("app").unwrap().layers[0].path.starts_with(node.root()));
    assert!(matches!(stores.remove("app"), Err(Error::ReadOnly(_))));
    assert!(matches!(stores.remove("none"), Err(Error::NoImage(_))));
    own.import(&layout.0, "app").unwrap();
    assert!(stores.resolve("app").unwrap().layers[0].path.starts_with(own.root()));
    let listed = stores.list().unwrap();
    assert_eq!(listed.len(), 1);
    let whole = own.details(&listed[0].name).unwrap();
    std::fs::remove_file(&own.resolve("app").unwrap().layers[0].path).unwrap();
    assert_eq!(stores.details(&listed[0].name).unwrap(), whole, "a layer may lie in the other store");
    assert!(own.details(&listed[0].name).is_err());
    stores.remove("app").unwrap();
    assert!(stores.list().unwrap()[0].read_only);
}

#[test]
fn what_a_writer_that_lives_needs_stays() {
    let scratch = Scratch::new("lease");
    let (store, layout) = (store(&scratch), simple(&scratch));
    store.import(&layout.0, "app").unwrap();
    let layers = store.resolve("app").unwrap().layers;
    let (kept, other) = (&layers[0].path, &layers[1].path);
    let session = session::Session::begin(store.root()).unwrap();
    session.need(&BTreeSet::from([kept.clone()])).unwrap();
    store.remove("app").unwrap();
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 7);
    assert!(kept.is_file() && !other.exists());
    // Other writers come and go beside it.
    store.import(&layout.0, "app").unwrap();
    store.remove("app").unwrap();
    store.collect(&BTreeSet::new()).unwrap();
    assert!(kept.is_file() && !other.exists());
    drop(session);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 1);
    assert!(tree(&store.root().join("tmp")).is_empty());
}

#[test]
fn a_download_is_kept_for_a_day_unless_somebody_works_on_it() {
    let scratch = Scratch::new("downloads");
    let store = store(&scratch);
    let (new, old, busy) = (Digest::sha256(b"new"), Digest::sha256(b"old"), Digest::sha256(b"busy"));
    let held = store.claim(&busy, || panic!("nobody has it")).unwrap();
    for digest in [&new, &old] {
        drop(store.claim(digest, || panic!("nobody has it")).unwrap());
    }
    let path = |digest: &Digest| store.root().join("downloads/sha256").join(digest.hex());
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60);
    for digest in [&old, &busy] {
        fs::File::open(path(digest)).unwrap().set_modified(yesterday).unwrap();
    }
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 1);
    assert_eq!([&new, &old, &busy].map(|digest| path(digest).exists()), [true, false, true]);
    drop(held);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 1);
}

#[test]
fn an_import_keeps_layers_as_they_came_unless_told_not_to() {
    let scratch = Scratch::new("kept");
    let (keeping, layout) = (store(&scratch), simple(&scratch));
    keeping.import(&layout.0, "app").unwrap();
    let packed = layer("b", b"2").0;
    let digest = Digest::sha256(&packed);
    assert_eq!(fs::read(keeping.blob_path(&digest)).unwrap(), packed);
    let bare = Store::open(&scratch.0.join("bare")).unwrap().without_packed_layers();
    bare.import(&layout.0, "app").unwrap();
    assert!(!bare.blob_path(&digest).exists());
    assert_eq!(bare.collect(&BTreeSet::new()).unwrap().files, 0);
}

#[test]
fn an_image_gets_another_name_and_says_what_it_is() {
    let scratch = Scratch::new("tag");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let digest = store.import(&layout.0, "app").unwrap().digest;
    store.tag("app", "example.com/other:1").unwrap();
    assert!(matches!(store.tag("none", "x"), Err(Error::NoImage(_))));
    store.remove("app").unwrap();
    assert_eq!(store.collect(&BTreeSet::new()).unwrap().files, 0);
    let listed = store.list().unwrap();
    assert_eq!((listed.len(), &listed[0].digest), (1, &digest));
    let details = store.details(&listed[0].name).unwrap();
    assert_eq!((details.layers, details.created.as_deref()), (2, Some("2024-05-06T07:08:09Z")));
    let sizes = store.resolve("example.com/other:1").unwrap().layers;
    let bytes: u64 = sizes.iter().map(|layer| layer.path.metadata().unwrap().len()).sum();
    assert_eq!(details.size, bytes);
}

#[test]
fn an_image_that_lost_its_name_is_found_by_its_digest_and_given_another() {
    let scratch = Scratch::new("nameless");
    let (own, layout) = (store(&scratch), simple(&scratch));
    let first = own.import(&layout.0, "app").unwrap().digest;
    assert_eq!(own.nameless().unwrap(), []);
    let other = Layout::new(scratch.0.join("other"));
    other.index(&[other.image("amd64", &[layer("a", b"1"), layer("c", b"3")])]);
    let second = own.import(&other.0, "app").unwrap().digest;
    let stores = Stores::new(vec![own.clone()]);
    assert_eq!(stores.nameless().unwrap(), std::slice::from_ref(&first));
    assert_eq!(stores.nameless_called(&first.hex()[..12]).unwrap(), Some(first.clone()));
    assert_eq!(stores.nameless_called(&second.to_string()).unwrap(), None);
    assert_eq!(stores.details_by_digest(&first).unwrap().layers, 2);
    let pinned = format!("app@{second}");
    assert!(own.tag_digest(&first, &pinned).unwrap_err().to_string().contains("is sha256:"));
    for (form, file) in [(Form::Oci, "oci.tar"), (Form::Docker, "docker.tar")] {
        let archive = scratch.0.join(file);
        own.export(&[&first.to_string()], form, &mut fs::File::create(&archive).unwrap(), &()).unwrap();
        let to = Store::open(&scratch.0.join(format!("to-{file}"))).unwrap();
        let imported = to.import_all(&archive, &()).unwrap();
        let digest = &imported[0].digest;
        assert_eq!((imported.len(), &imported[0].name, *digest == first), (1, &None, form == Form::Oci));
        assert_eq!((to.list().unwrap().len(), to.nameless().unwrap()), (0, vec![digest.clone()]));
        assert_eq!(to.import(&archive, "back").unwrap().digest, *digest);
    }
    // Two of them.
    own.remove("app").unwrap();
    let both = [&first, &second].map(Digest::to_string);
    let archive = scratch.0.join("both.tar");
    let mut file = fs::File::create(&archive).unwrap();
    own.export(&both.each_ref().map(String::as_str), Form::Oci, &mut file, &()).unwrap();
    let to = Store::open(&scratch.0.join("both")).unwrap();
    let called: Vec<String> = to.import_all(&archive, &()).unwrap().iter().map(Imported::called).collect();
    assert_eq!(called, both);
    own.tag_digest(&second, "app").unwrap();
    let missing = Digest::sha256(b"").to_string();
    assert!(matches!(own.export(&[&missing], Form::Oci, &mut Vec::new(), &()), Err(Error::NoImage(_))));
    own.tag_digest(&first, "old:1").unwrap();
    assert_eq!((own.resolve("old:1").unwrap().digest, own.nameless().unwrap()), (first, vec![]));
    own.export(&["old:1"], Form::Oci, &mut std::io::sink(), &()).unwrap();
    own.remove("old:1").unwrap();
    // What is left of one is none.
    let gone = own.resolve("app").unwrap().layers.remove(0).path;
    fs::remove_file(gone).unwrap();
    assert_eq!(own.nameless().unwrap(), []);
    assert!(matches!(own.tag_digest(&Digest::sha256(b""), "x"), Err(Error::NoImage(_))));
}

#[test]
fn an_image_that_came_with_the_node_gets_another_name_and_is_whole_then() {
    let scratch = Scratch::new("adopt");
    let (own, layout) = (store(&scratch), simple(&scratch));
    let folder = scratch.0.join("came");
    let came = Store::open(&folder).unwrap().without_packed_layers();
    let digest = came.import(&layout.0, "app").unwrap().digest;
    let stores = Stores::new(vec![own.clone(), Store::open_read_only(&folder)]);
    assert!(matches!(stores.tag("none", "x"), Err(Error::NoImage(_))));
    let other = Digest::sha256(b"");
    assert!(stores.tag("app", &format!("mine@{other}")).unwrap_err().to_string().contains("is sha256:"));
    stores.tag("app", "mine:1").unwrap();
    assert_eq!(own.resolve("mine:1").unwrap().digest, digest);
    let checked = own.check(true).unwrap();
    assert_eq!((checked.images, checked.files, checked.unknown, &checked.bad[..]), (1, 4, 0, &[][..]));
    assert_eq!(own.collect(&BTreeSet::new()).unwrap().files, 0);
    // Of its layers one is another image's, too, which has it as it came.
    let other = Layout::new(scratch.0.join("other"));
    other.index(&[other.image("amd64", &[layer("a", b"1"), layer("z", b"26")])]);
    own.import(&other.0, "other").unwrap();
    let checked = own.check(true).unwrap();
    assert_eq!((checked.images, &checked.bad[..]), (2, &[][..]));
    own.remove("other").unwrap();
    own.remove("mine:1").unwrap();
    assert_eq!(
        (own.nameless().unwrap().len(), stores.nameless().unwrap().len()),
        (2, 1),
        "one has a name there"
    );
    // What is damaged there does not come here.
    own.collect(&BTreeSet::new()).unwrap();
    let layer = &came.resolve("app").unwrap().layers[0];
    fs::remove_file(&layer.path).unwrap();
    fs::write(&layer.path, b"other").unwrap();
    let error = stores.tag("app", "mine:1").unwrap_err().to_string();
    assert_eq!(error, format!("layer {}: damaged on disk", layer.diff_id));
    assert!(own.list().unwrap().is_empty());
}

#[test]
fn what_is_exported_is_imported_again_as_it_was() {
    let scratch = Scratch::new("export");
    let (from, layout) = (store(&scratch), simple(&scratch));
    let digest = from.import(&layout.0, "app").unwrap().digest;
    from.tag("app", "example.com/other:1").unwrap();
    let names = ["app", "example.com/other:1"];
    for (number, form) in [Form::Oci, Form::Docker].into_iter().enumerate() {
        let mut bytes = Vec::new();
        from.export(&names, form, &mut bytes, &()).unwrap();
        let archive = scratch.0.join("archive.tar");
        fs::write(&archive, &bytes).unwrap();
        let to = Store::open(&scratch.0.join(format!("to{number}"))).unwrap();
        let imported = to.import_all(&archive, &()).unwrap();
        let found: Vec<_> = imported.iter().map(Imported::called).collect();
        assert_eq!(found, ["docker.io/library/app:latest", "example.com/other:1"]);
        assert_eq!(imported.iter().all(|image| image.digest == digest), form == Form::Oci);
        let ids = |store: &Store| store.resolve("app").unwrap().layers.into_iter().map(|layer| layer.diff_id);
        assert!(ids(&from).eq(ids(&to)));
        // Of what came without packed layers the export is the same again.
        let mut again = Vec::new();
        to.export(&names, form, &mut again, &()).unwrap();
        assert!(again == bytes);
    }
    let folder = scratch.0.join("folder");
    from.export_layout(&names, &folder, &()).unwrap();
    for path in tree(&layout.0.join("blobs")) {
        let copy = folder.join("blobs/sha256").join(path.file_name().unwrap());
        assert_eq!(fs::read(copy).unwrap(), fs::read(path).unwrap());
    }
    assert!(from.export_layout(&names, &folder, &()).unwrap_err().to_string().ends_with("is not empty"));
}

#[test]
fn what_cannot_be_exported_is_named() {
    let scratch = Scratch::new("no-export");
    let (keeping, layout) = (store(&scratch), simple(&scratch));
    keeping.import(&layout.0, "app").unwrap();
    assert!(matches!(keeping.export(&["none"], Form::Oci, &mut Vec::new(), &()), Err(Error::NoImage(_))));
    let blob = Digest::sha256(&layer("b", b"2").0);
    fs::write(keeping.blob_path(&blob), b"other").unwrap();
    let mut out = Vec::new();
    let error = keeping.export(&["app"], Form::Oci, &mut out, &()).unwrap_err().to_string();
    assert_eq!(error, format!("image docker.io/library/app:latest: blob {blob}: damaged on disk"));
    fs::remove_file(keeping.blob_path(&blob)).unwrap();
    let error = keeping.export(&["app"], Form::Docker, &mut out, &()).unwrap_err().to_string();
    assert!(error.contains(&format!("layer {blob}: was not kept as it came")), "{error}");
}

#[test]
fn what_another_check_has_mended_or_removed_is_left_alone() {
    let scratch = Scratch::new("two-checks");
    let (store, layout) = (store(&scratch), simple(&scratch));
    store.import(&layout.0, "app").unwrap();
    let [mended, gone] = ["a", "b"].map(|name| {
        let content: &[u8] = if name == "a" { b"1" } else { b"2" };
        store.blob_path(&Digest::sha256(&layer(name, content).0))
    });
    let good = fs::read(&mended).unwrap();
    [&mended, &gone].into_iter().for_each(|path| fs::write(path, b"other").unwrap());
    let checked = store.read_all().unwrap();
    assert_eq!(checked.bad.len(), 2);
    fs::write(&mended, &good).unwrap();
    fs::remove_file(&gone).unwrap();
    store.remove_bad(&checked).unwrap();
    assert_eq!(fs::read(&mended).unwrap(), good);
}

#[test]
fn what_is_damaged_is_found_and_can_be_had_again() {
    let scratch = Scratch::new("check");
    let (store, layout) = (store(&scratch), simple(&scratch));
    let digest = store.import(&layout.0, "app").unwrap().digest;
    store.tag("app", "b").unwrap();
    let checked = store.check(false).unwrap();
    assert_eq!((checked.images, checked.files, checked.unknown, &checked.bad[..]), (2, 6, 0, &[][..]));
    let layers = store.resolve("app").unwrap().layers;
    // One bit.
    let mut bytes = fs::read(&layers[1].path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&layers[1].path).unwrap();
    fs::write(&layers[1].path, bytes).unwrap();
    let blob = store.blob_path(&Digest::sha256(&layer("a", b"1").0));
    fs::write(&blob, b"other").unwrap();
    fs::remove_file(check::seal_path(&layers[0].path)).unwrap();
    let checked = store.check(true).unwrap();
    let words: Vec<_> = checked.bad.iter().map(ToString::to_string).collect();
    let (layer, packed) = (&layers[1].diff_id, blob.file_name().unwrap().to_str().unwrap());
    let missing =
        |name: &str| format!("image docker.io/library/{name}:latest: layer {layer}: is not in the store");
    let expected = [
        format!("layer {layer}: damaged on disk"),
        format!("blob sha256:{packed}: damaged on disk"),
        missing("app"),
        missing("b"),
    ];
    assert_eq!(words, expected);
    assert_eq!((checked.images, checked.files, checked.unknown), (0, 3, 1));
    assert!(!layers[1].path.exists() && !blob.exists());
    store.import(&layout.0, "app").unwrap();
    let checked = store.check(true).unwrap();
    assert_eq!((checked.images, checked.files, checked.unknown, &checked.bad[..]), (2, 6, 0, &[][..]));
    fs::remove_file(store.blob_path(&digest)).unwrap();
    let checked = store.check(true).unwrap();
    assert!(checked.bad[0].why.contains("no such file or directory"), "{:?}", checked.bad);
}
