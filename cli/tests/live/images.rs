//! Images: `images`, `tag`, `rmi`, `import`, `export`, `prune`.

use super::registry::{HOST, Registry};
use super::said::{fails, says, skerry, skerry_is_answered, skerry_reads};
use super::support::{Node, archive};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A node whose store is empty and its own.
pub fn without_images() -> (Node, PathBuf) {
    without_images_with("")
}

fn without_images_with(config: &str) -> (Node, PathBuf) {
    // What builds it does not find its own folders in the node's `/var`.
    let busybox = archive("busybox");
    let node = Node::with_config(config);
    umount2("/var/lib/skerry/store", MntFlags::MNT_DETACH).unwrap();
    (node, busybox)
}

fn names() -> String {
    let said = says("images --format '{{.Repository}}:{{.Tag}}'");
    said.lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn images_come_and_go_as_files() {
    let (_node, busybox) = without_images();
    assert_eq!(says(&format!("import {}", busybox.display())), "Loaded image: busybox:latest");
    says("tag busybox mine:1");
    assert_eq!(names(), "busybox:latest mine:1");
    assert_eq!(says("images -q").lines().count(), 2);
    assert_eq!(says("images mine --format '{{.Tag}}'"), "1");
    assert_eq!(says("images 'm?n*' --format '{{.Tag}}'"), "1");
    assert_eq!(says("images --filter reference=mi*:? --format '{{.Repository}}'"), "mine");
    says("export mine:1 busybox -o /run/both.tar");
    says("export mine:1 --format docker-archive -o /run/docker.tar");
    says("export mine:1 --format oci -o /run/layout");
    assert_eq!(says("rmi mine:1"), "Untagged: mine:1");
    assert_eq!(names(), "busybox:latest");
    let bytes = std::fs::read("/run/docker.tar").unwrap();
    assert_eq!(skerry_reads("load", &bytes).out, "Loaded image: mine:1\n");
    let said = says("image rm mine:1 busybox");
    assert!(said.contains("Untagged: busybox:latest\nDeleted: sha256:"), "{said}");
    assert_eq!(names(), "");
    assert_eq!(std::fs::read_dir("/var/lib/skerry/store/layers/sha256").unwrap().count(), 0);
    says("import /run/both.tar");
    assert_eq!(names(), "busybox:latest mine:1");
    assert_eq!(says("import /run/layout --name other:2"), "Loaded image: other:2");
    assert_eq!(says("run --rm other:2 echo works"), "works");
    // Other people's tools read what was written.
    let read = Command::new("skopeo").args(["inspect", "docker-archive:/run/docker.tar"]).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let told = fails("import /run/none.tar", 1);
    assert!(told.contains("/run/none.tar") && told.contains("no such file or directory"), "{told}");
}

#[test]
fn an_image_that_lost_its_name_is_shown_and_pruned_as_one_without() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    let id = says("images -q");
    says("run -d --name a busybox sleep 1000");
    says("rmi -f busybox");
    let shown = |options: &str| {
        says(&format!("images {options} --format '{{{{.Repository}}}}:{{{{.Tag}}}} {{{{.ID}}}}'"))
    };
    let expected = format!("<none>:<none> {id}");
    assert_eq!(
        (shown("").as_str(), shown("-f dangling=true").as_str()),
        (expected.as_str(), expected.as_str())
    );
    assert_eq!((shown("--filter dangling=false"), shown("busybox")), (String::new(), String::new()));
    assert_eq!(says("images -aq"), id);
    assert_eq!(says(&format!("inspect -f '{{{{len .RepoTags}}}} {{{{.Architecture}}}}' {id}")), "0 amd64");
    assert!(fails(&format!("rmi -f {id}"), 1).contains("container a needs it"));
    assert!(!says("image prune -f").contains("Deleted"));
    assert_eq!(says(&format!("run --rm {id} echo runs")), "runs");
    says(&format!("save -o /run/nameless.tar {id}"));
    assert!(says("load -i /run/nameless.tar").starts_with(&format!("Loaded image ID: sha256:{id}")));
    assert_eq!(says("import /run/nameless.tar --name again:1"), "Loaded image: again:1");
    assert_eq!(shown(""), format!("again:1 {id}"));
    says("rmi -f again:1");
    says(&format!("tag {id} again:1"));
    assert_eq!(shown(""), format!("again:1 {id}"));
    says("rmi -f again:1");
    says("stop -t 0 a");
    assert_eq!(says("container prune -f --filter until=1h"), "");
    assert_eq!(says("container prune -f --filter label!=kept"), "Deleted: a");
    assert_eq!(shown("--filter dangling=true"), expected);
    says("volume create named");
    let volume = says("volume create --label gone=yes");
    assert!(!says("system prune -f --volumes --filter label=none").contains("Deleted: "));
    assert!(fails("system prune -f --volumes --filter until=1h", 1).contains("not supported with"));
    assert!(
        says("system prune -f --volumes --filter label=gone=yes").contains(&format!("Deleted: {volume}\n"))
    );
    assert_eq!((says("volume ls -q").as_str(), shown("--filter dangling=true")), ("named", expected));
    assert!(says("image prune -f").starts_with(&format!("Deleted: sha256:{id}")));
    assert_eq!(shown(""), "");
    assert!(fails("images --filter dangling=maybe", 1).contains("neither true nor false"));
    says(&format!("import {}", busybox.display()));
    says("run -d --name b busybox sleep 1000");
    says("rmi -f busybox");
    says("rm -f b");
    assert!(says(&format!("rmi {id}")).starts_with(&format!("Deleted: sha256:{id}")));
}

#[test]
fn images_without_a_name_are_loaded_by_their_ids_and_stay_until_somebody_prunes() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    says("run -d --name a busybox sleep 1000");
    says("rmi -f busybox");
    let id = says("images -q --no-trunc");
    says(&format!("save -o /run/nameless.tar {id}"));
    says("rm -f a");
    says("prune -f");
    assert_eq!(says("images -aq"), "");
    assert_eq!(says("load -i /run/nameless.tar"), format!("Loaded image ID: {id}"));
    // Another goes, made of the same layers; that its archive says so of it makes it another.
    let other = format!("LC_ALL=C sed 's/umoci raw/umoci row/' {} >/run/other.tar", busybox.display());
    assert!(Command::new("sh").args(["-c", &other]).status().unwrap().success());
    assert_eq!(says("load -i /run/other.tar"), "Loaded image: busybox:latest");
    assert!(says("rmi busybox").contains("Deleted: "));
    assert_eq!(says("images -q --no-trunc"), id);
    assert_eq!(says(&format!("run --rm {id} echo runs")), "runs");
    assert_eq!(says("image prune -f").lines().next(), Some(&*format!("Deleted: {id}")));
}

#[test]
fn an_image_that_came_with_the_node_is_given_a_name_of_ones_own() {
    let (_node, busybox) = without_images();
    mount(Some("came"), "/usr/share", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let came = store::Store::open(Path::new(spec::paths::IMAGE_STORE)).unwrap().without_packed_layers();
    came.import(&busybox, "busybox").unwrap();
    says("tag busybox mine:1");
    let origins = says("images --format '{{.Repository}} {{.Origin}}'");
    assert_eq!(origins, "busybox node\nmine store");
    umount2("/usr/share", MntFlags::MNT_DETACH).unwrap();
    assert_eq!(says("run --rm mine:1 echo works"), "works");
    assert!(says("store check").starts_with("1 whole image, "));
}

#[test]
fn what_is_needed_stays_and_the_rest_is_pruned() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    says("tag busybox spare");
    says("run -d --name a busybox sleep 1000");
    says("run --name ended busybox true");
    assert_eq!(says("rmi busybox"), "Untagged: busybox:latest");
    assert!(fails("rmi spare", 1).contains("container a needs it"));
    says("tag spare busybox");
    let said = skerry_reads("prune", b"n\n");
    assert_eq!((said.out.as_str(), said.status), ("", 0), "{said:?}");
    let said = says("prune -f");
    assert!(said.contains("Deleted: ended") && said.contains("Total reclaimed space: "), "{said}");
    assert_eq!(says("ps -a --format '{{.Names}}'"), "a");
    assert_eq!(says("exec a echo goes on"), "goes on");
    // Its container starts anew from what has no name any more.
    says("rmi -f busybox spare");
    says("prune -f");
    says("restart -t 0 a");
    assert_eq!(says("exec a echo goes on"), "goes on");
    says(&format!("import {} --name spare", busybox.display()));
    says("rm -f a");
    let said = says("prune -af");
    assert!(said.contains("Untagged: spare:latest"), "{said}");
    assert_eq!(names(), "");
    assert_eq!(std::fs::read_dir("/var/lib/skerry/store/layers/sha256").unwrap().count(), 0);
    let told = fails("tag busybox x", 1);
    assert_eq!(told, "skerry: image \"busybox\" is not here");
    assert_eq!(skerry("images").out.lines().count(), 1);
}

#[test]
fn what_was_made_while_a_person_thought_it_over_is_needed() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    says("run --name old busybox true");
    let meanwhile = || {
        says("rm old");
        says("run -d --name new busybox sleep 1000");
    };
    let said = skerry_is_answered("prune -a", meanwhile, b"y\n");
    assert!(said.status == 0 && said.out.starts_with("Total reclaimed space: "), "{said:?}");
    assert_eq!(names(), "busybox:latest");
    says("restart -t 0 new");
    assert_eq!(says("exec new echo goes on"), "goes on");
}

#[test]
fn the_image_of_what_node_toml_has_is_needed() {
    let (_node, busybox) =
        without_images_with("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    says(&format!("import {}", busybox.display()));
    says("tag busybox spare");
    says("restart -t 0 own");
    assert!(fails("rmi busybox", 1).contains("container own needs it"));
    says("run --name pods --label io.kubernetes.pod.uid=1 busybox true");
    says("prune -af");
    assert_eq!(names(), "busybox:latest spare:latest");
    assert_eq!(says("ps -aq --filter name=pods").lines().count(), 1);
    says("restart -t 0 own");
}

#[test]
fn a_name_that_no_registry_has_is_told_with_the_nearest_that_is_here() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    let _registry = Registry::of("app", &busybox);
    let (right, wrong) = (format!("{HOST}/app"), format!("{HOST}/apq"));
    let told = fails(&format!("run --rm {wrong} true"), 125);
    assert_eq!(told, format!("skerry: image \"{wrong}\" not found in {HOST}"));
    says(&format!("pull {right}"));
    for line in [format!("run --rm {wrong} true"), format!("pull {wrong}"), format!("create {wrong}")] {
        let said = skerry(&line);
        let told = said.err.trim_end();
        let expected =
            format!("skerry: image \"{wrong}\" not found in {HOST} (did you mean {right}, which is here?)");
        assert_eq!(told, expected, "{line}");
    }
    // One that tells strangers nothing, as Docker's own.
    let told = fails(&format!("run --rm {HOST}/secret true"), 125);
    let expected =
        format!("image \"{HOST}/secret\" not found in {HOST}, or it takes a login (skerry login {HOST}): ");
    assert!(told.starts_with(&format!("skerry: {expected}")), "{told}");
}
