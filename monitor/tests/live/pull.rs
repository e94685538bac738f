//! Images that are not on the node.

use super::support::{Node, eventually};
use serde_json::Value;
use spec::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::Store;

const HOST: &str = "127.0.0.1:5000";

/// A registry whose repository `app` has what a layout's folder has: files, which busybox serves. It ends
/// with the test's place.
fn registry(layout: &Path) {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let top = index["manifests"][0]["digest"].as_str().unwrap();
    let (blobs, app) = (layout.join("blobs/sha256"), layout.join("v2/app"));
    for folder in ["blobs", "manifests"] {
        fs::create_dir_all(app.join(folder)).unwrap();
    }
    for blob in fs::read_dir(&blobs).unwrap().flatten() {
        let name = format!("sha256:{}", blob.file_name().to_str().unwrap());
        fs::hard_link(blob.path(), app.join("blobs").join(&name)).unwrap();
        if name == top {
            fs::hard_link(blob.path(), app.join("manifests").join(&name)).unwrap();
            fs::hard_link(blob.path(), app.join("manifests/latest")).unwrap();
        }
    }
    let served = Command::new("busybox").args(["httpd", "-p", HOST, "-h"]).arg(layout).status();
    assert!(served.unwrap().success());
}

/// Gives a node that runs already another configuration.
fn configure(node: &Node, text: &str) {
    fs::write(format!("{}/00-test.toml", paths::CONFIG_LAYERS), text).unwrap();
    node.kill_monitor();
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An empty store in place of the one that all tests share; gives a layout of the image that was there.
fn empty_store(name: &str) -> Folder {
    let layout = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&layout);
    let layout = Folder(layout);
    let shared = Store::open(Path::new(paths::DATA_STORE)).unwrap();
    shared.export_layout(&["busybox"], &layout.0, &()).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "store", paths::DATA_STORE]).status();
    assert!(mounted.unwrap().success());
    layout
}

#[test]
fn an_image_that_is_not_on_the_node_is_pulled_when_the_configuration_says_so() {
    let node = Node::boot();
    let layout = empty_store("pulled");
    registry(&layout.0);
    let container = |name: &str, image: &str, pull: &str| {
        format!("[containers.{name}]\nimage = \"{image}\"\npull = \"{pull}\"\nargs = [\"sleep\", \"1000\"]\n")
    };
    // `registry.invalid` is nowhere, its mirror is here: by the configuration's word alone.
    let containers = [
        container("web", "registry.invalid/app", "missing"),
        container("other", &format!("{HOST}/app"), "never"),
        container("none", &format!("{HOST}/none"), "missing"),
    ];
    let registries = format!(
        "[registries.\"registry.invalid\"]\nmirrors = [\"http://{HOST}\"]\n\
         [registries.\"{HOST}\"]\nplain-http = true\n"
    );
    configure(&node, &(containers.concat() + &registries));
    node.becomes("web", "running");
    eventually("the pull that cannot be is told of", || {
        let error = node.summary("none").status.error.unwrap_or_default();
        error.contains("/none\" not found in 127.0.0.1:5000")
    });
    let error = node.summary("other").status.error.unwrap_or_default();
    assert!(error.contains("is not on this node"), "{error}");
}
