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

fn tar(folder: &str) -> Vec<u8> {
    let (above, name) = folder.rsplit_once('/').unwrap();
    std::process::Command::new("tar").args(["-C", above, "-c", name]).output().unwrap().stdout
}
