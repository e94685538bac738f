//! A container's files: `diff`, `export`, and what takes how much of the disk.

use super::images::without_images;
use super::said::{fails, says};
use super::support::{Node, eventually};
use std::fs;
use std::process::Command;

#[test]
fn what_a_container_has_changed_is_told() {
    let _node = Node::boot();
    let changes = |name: &str| says(&format!("diff {name}")).lines().map(str::to_owned).collect::<Vec<_>>();
    says(
        "create --name a busybox sh -c 'echo x >/etc/new; rm /etc/group /bin/ls; rm -r /root; chmod 700 /tmp'",
    );
    assert_eq!(changes("a"), [""; 0]);
    says("start -a a");
    let expected = ["C /bin", "D /bin/ls", "C /etc", "D /etc/group", "A /etc/new", "D /root", "C /tmp"];
    eventually("it has ended", || says("ps -q").is_empty());
    assert_eq!(changes("a"), expected);
    // A folder that was made again has nothing of the one before.
    let line = "cp /bin/busybox /busybox; /busybox rm -r /bin; /busybox mkdir /bin; /busybox cp /busybox /bin/sh; /busybox touch /ready; /busybox sleep 1000";
    says(&format!("run -d --name b busybox sh -c '{line}'"));
    eventually("it has written", || changes("b").contains(&"A /ready".to_owned()));
    let (deleted, others): (Vec<_>, Vec<_>) =
        changes("b").into_iter().partition(|change| change.starts_with("D /bin/"));
    assert!(deleted.contains(&"D /bin/ls".to_owned()) && deleted.len() > 100, "{deleted:?}");
    assert_eq!(others, ["C /bin", "C /bin/sh", "A /busybox", "A /ready"]);
    let mounts = fs::read_to_string("/proc/1/mountinfo").unwrap();
    changes("b");
    assert_eq!(fs::read_to_string("/proc/1/mountinfo").unwrap(), mounts, "nothing is left mounted");
    assert_eq!(fails("diff none", 1), "skerry: container \"none\": there is none");
}

#[test]
fn a_container_s_files_are_one_archive() {
    let _node = Node::boot();
    fs::create_dir("/run/given").unwrap();
    fs::write("/run/given/file", "given").unwrap();
    says(
        "run -d --name a -v /run/given:/g busybox sh -c 'echo new >/etc/new; rm /etc/group; echo >/ready; sleep 1000'",
    );
    eventually("it has written", || says("diff a").ends_with("A /ready"));
    for line in ["export a -o /run/a.tar", "container export --output /run/a.tar a"] {
        says(line);
        let names = tar("/run/a.tar", &["t"]);
        let has = |name: &str| names.lines().any(|line| line == name);
        assert!(has("bin/busybox") && has("etc/new") && has("etc/passwd") && has("g"), "{names}");
        assert!(!has("etc/group") && !has("g/file") && !has("proc/1"), "{names}");
        assert_eq!(tar("/run/a.tar", &["x", "-O", "etc/new"]), "new\n");
    }
    says("stop -t 0 a");
    eventually("its root is unmounted", || {
        !fs::read_to_string("/proc/1/mountinfo").unwrap().contains("overlay")
    });
    says("export a -o /run/stopped.tar");
    let made = says("import -c 'CMD [\"cat\", \"/etc/new\"]' -c 'ENV A=1' -m flat /run/stopped.tar flat:1");
    assert!(made.starts_with("sha256:"), "{made}");
    assert_eq!(says("run --rm flat:1"), "new");
    assert_eq!(says("run --rm flat:1 sh -c 'echo $A'"), "1");
    assert_eq!(says("history --format '{{.Comment}}' flat:1"), "flat");
    assert_eq!(tar("/run/stopped.tar", &["t"]), tar("/run/a.tar", &["t"]));
    // What is an image, too, is asked about.
    says("rename a busybox");
    let told = fails("export busybox -o /run/b.tar", 1);
    assert!(told.contains("is a container and an image: container export busybox writes the one"), "{told}");
    says("save busybox -o /run/b.tar");
    assert!(tar("/run/b.tar", &["t"]).contains("oci-layout"));
    assert_eq!(fails("export none", 1), "skerry: \"none\": there is no such container or image");
}

/// What tar(1) says of an archive.
fn tar(archive: &str, words: &[&str]) -> String {
    let said = Command::new("tar")
        .args(["-f", archive])
        .arg(format!("-{}", words[0]))
        .args(&words[1..])
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn what_takes_how_much_of_the_disk_is_told() {
    let (_node, busybox) = without_images();
    says(&format!("import {}", busybox.display()));
    says("tag busybox mine:1");
    let told = |kind: &str, field: &str| {
        let lines = says("system df --format json");
        let objects = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let object = objects.into_iter().find(|object| object["Type"] == kind).unwrap();
        object[field].as_str().unwrap().to_owned()
    };
    assert_eq!((told("Images", "TotalCount"), told("Images", "Active")), ("1".into(), "0".into()));
    assert!(told("Images", "Reclaimable").ends_with(" (100%)"));
    says("run -d --name a -v data:/data busybox sh -c 'dd if=/dev/zero of=/file bs=1M count=2; sleep 1000'");
    says("volume create other");
    eventually("it has written", || told("Containers", "Size").starts_with("2.1MB"));
    assert_eq!((told("Images", "Active"), told("Images", "Reclaimable")), ("1".into(), "0B (0%)".into()));
    assert_eq!(told("Containers", "Reclaimable"), "0B (0%)");
    let volumes = |field| told("Local Volumes", field);
    assert_eq!((volumes("TotalCount"), volumes("Active")), ("2".into(), "1".into()));
    says("stop -t 0 a");
    assert!(told("Containers", "Reclaimable").ends_with("MB (100%)"));
    let table = says("system df");
    assert!(table.starts_with("TYPE            TOTAL   ACTIVE   SIZE"), "{table}");
    // As much as is told is free afterwards.
    says("rm a");
    let reclaimable = told("Images", "Reclaimable");
    let reclaimed = says("image prune -af");
    let space = reclaimable.split(' ').next().unwrap();
    assert!(reclaimed.ends_with(&format!("Total reclaimed space: {space}")), "{reclaimed} {reclaimable}");
    assert_eq!((told("Images", "TotalCount"), told("Images", "Size")), ("0".into(), "0B".into()));
}

#[test]
fn an_image_tells_how_it_was_made() {
    let _node = Node::boot();
    let id = says("images -q busybox");
    let table = says("history busybox");
    let heading: Vec<&str> =
        table.lines().next().unwrap().split("   ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(heading, ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    let ids = says("history -q busybox");
    assert_eq!(ids.lines().next(), Some(id.as_str()));
    assert!(ids.lines().skip(1).all(|id| id == "<missing>"), "{ids}");
    let sizes = says("history -H=false --format '{{.Size}}' busybox");
    let sum: u64 = sizes.lines().map(|size| size.parse::<u64>().unwrap()).sum();
    assert_eq!(says("inspect -f '{{.Size}}' busybox"), sum.to_string());
    assert!(fails("history none", 1).contains("image \"none\" is not here"));
}
