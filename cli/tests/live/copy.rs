//! `cp`, both ways.

use super::said::{fails, says, skerry, skerry_reads};
use super::support::Node;
use std::fs;

#[test]
fn files_go_in_and_out() {
    let _node = Node::boot();
    says(
        "run -d --name a busybox sh -c 'mkdir -p /srv/deep; echo inside >/srv/deep/file; ln -s /etc/passwd /srv/link; sleep 1000'",
    );
    super::support::eventually("its files are there", || skerry("exec a test -L /srv/link").status == 0);
    fs::create_dir_all("/run/here/sub").unwrap();
    fs::write("/run/here/sub/page", "outside").unwrap();
    says("cp /run/here/sub/page a:/srv/");
    assert_eq!(says("exec a cat /srv/page"), "outside");
    says("cp /run/here a:/srv/new");
    assert_eq!(says("exec a cat /srv/new/sub/page"), "outside");
    says("cp a:/srv/deep/file /run/file");
    assert_eq!(fs::read_to_string("/run/file").unwrap(), "inside\n");
    says("cp a:/srv /run/out");
    assert_eq!(fs::read_link("/run/out/link").unwrap().to_str(), Some("/etc/passwd"));
    // A link of the container's leads nowhere but within it.
    says("cp -L a:/srv/link /run/passwd");
    assert_eq!(fs::read_to_string("/run/passwd").unwrap(), says("exec a cat /etc/passwd") + "\n");
    let archive = skerry_reads("cp - a:/tmp", &tar("/run/here"));
    assert_eq!(archive.status, 0, "{archive:?}");
    assert_eq!(says("exec a cat /tmp/here/sub/page"), "outside");
    let told = fails("cp a:/none /run/x", 1);
    assert!(told.starts_with("skerry: read /none: no such file or directory"), "{told}");
    assert!(fails("cp none:/etc /run/x", 1).contains("container \"none\": there is none"));
    assert!(fails("cp /run/here /run/there", 1).contains("CONTAINER:PATH"));
}

#[test]
fn one_that_does_not_run_has_files_too() {
    let _node = Node::boot();
    let mounts = || fs::read_to_string("/proc/1/mountinfo").unwrap();
    says("run --name a busybox sh -c 'mkdir /srv; echo inside >/srv/file'");
    super::support::eventually("its root is unmounted", || {
        says("inspect -f '{{.State.Status}}' a") == "exited"
            && !fs::read_to_string("/proc/1/mountinfo").unwrap().contains("overlay")
    });
    let before = mounts();
    says("cp a:/srv/file /run/file");
    assert_eq!(fs::read_to_string("/run/file").unwrap(), "inside\n");
    fs::write("/run/script", "cat /file; exit 3").unwrap();
    says("create --name new busybox sh /script");
    says("cp /run/script new:/");
    says("cp /run/file new:/");
    // Some of before may have gone only now.
    let after = mounts();
    let left: Vec<&str> = after.lines().filter(|mount| !before.lines().any(|one| one == *mount)).collect();
    assert_eq!(left, [""; 0], "nothing is left mounted");
    let said = skerry("start -a new");
    assert_eq!((said.out.as_str(), said.status), ("inside\n", 3), "{said:?}");
    let told = fails("cp a:/none /run/x", 1);
    assert!(told.starts_with("skerry: read /none: no such file or directory"), "{told}");
}

#[test]
fn what_a_container_is_lent_is_there_when_it_does_not_run() {
    let _node = Node::boot();
    fs::create_dir("/run/given").unwrap();
    fs::write("/run/given/file", "given\n").unwrap();
    fs::write("/run/new", "new\n").unwrap();
    says(
        "create --name a -v /run/given:/g:ro -v data:/d -v /bin busybox sh -c 'cat /d/new /bin/new /g/file 2>/dev/null'",
    );
    // As yet nobody knows what the volumes are to have.
    says("cp /run/new a:/bin/");
    assert_eq!(skerry("start -a a").out, "new\ngiven\n");
    super::support::eventually("it has ended", || says("ps -q").is_empty());
    says("cp /run/new a:/d/");
    says("cp a:/g/file /run/back");
    assert_eq!(fs::read_to_string("/run/back").unwrap(), "given\n");
    assert_eq!(fs::read_to_string("/var/lib/skerry/volumes/data/data/new").unwrap(), "new\n");
    let told = fails("cp /run/new a:/g/", 1);
    assert!(told.contains("read-only file system"), "{told}");
    assert_eq!(fs::read_dir("/run/given").unwrap().count(), 1);
    assert_eq!(skerry("start -a a").out, "new\nnew\ngiven\n");
}

#[test]
fn a_volume_is_filled_by_a_container_that_never_runs() {
    let _node = Node::boot();
    fs::write("/run/new", "new\n").unwrap();
    fs::create_dir("/run/given").unwrap();
    let volume = |path: &str| fs::read_to_string(format!("/var/lib/skerry/volumes/{path}"));
    says("create --name a -v data:/data/deep -v own:/bin:nocopy -v /run/given:/g/h busybox");
    says("cp /run/new a:/data/deep");
    says("cp /run/new a:/bin");
    says("cp /run/new a:/g/h/");
    says("rm a");
    assert_eq!(volume("data/data/new").unwrap(), "new\n");
    assert_eq!(volume("own/data/new").unwrap(), "new\n");
    assert_eq!(fs::read_to_string("/run/given/new").unwrap(), "new\n");
    says("create --name b -v data:/d busybox cat /d/new");
    says("cp b:/d/new /run/back");
    assert_eq!(fs::read_to_string("/run/back").unwrap(), "new\n");
    assert_eq!(skerry("start -a b").out, "new\n");
}

#[test]
fn what_node_toml_has_begins_with_its_image() {
    let _node = Node::with_config("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    super::support::eventually("it runs", || says("ps -q").lines().count() == 1);
    says("exec own sh -c 'echo last >/file'");
    says("stop -t 0 own");
    says("cp own:/file /run/file");
    assert_eq!(fs::read_to_string("/run/file").unwrap(), "last\n");
    assert!(fails("cp /run/file own:/", 1).contains("begins with its image"));
}

fn tar(folder: &str) -> Vec<u8> {
    let (above, name) = folder.rsplit_once('/').unwrap();
    std::process::Command::new("tar").args(["-C", above, "-c", name]).output().unwrap().stdout
}
