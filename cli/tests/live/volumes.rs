//! `volume`, and mounts of a container.

use super::said::{fails, says, skerry_reads};
use super::support::Node;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

#[test]
fn a_volume_stays_and_tells_who_uses_it() {
    let _node = Node::boot();
    assert_eq!(says("volume ls").lines().count(), 1);
    assert_eq!(says("volume create empty"), "empty");
    assert_eq!(says("run --rm -v data:/d busybox sh -c 'echo kept >/d/file'"), "");
    assert_eq!(says("run --name a --mount source=data,target=/d,readonly busybox cat /d/file"), "kept");
    assert_eq!(says("volume ls -q"), "data\nempty");
    assert_eq!(says("volume ls --format '{{.Name}}:{{.UsedBy}}'"), "data:a\nempty:");
    assert_eq!(says("volume ls -q --filter dangling=true"), "empty");
    assert_eq!(says("volume ls -q --filter name=at"), "data");
    assert_eq!(says("volume inspect -f '{{.Mountpoint}}' data"), "/var/lib/skerry/volumes/data/data");
    assert_eq!(says("inspect --type volume -f '{{.Name}}' data"), "data");
    assert_eq!(fails("volume rm data", 1), "skerry: volume data: container a is made with it");
    assert_eq!(fails("volume rm dat", 1), "skerry: volume \"dat\": there is none (did you mean data?)");
    // What a removal that was killed has left of another goes, too.
    std::fs::create_dir_all("/var/lib/skerry/volumes/.other/folder").unwrap();
    assert_eq!(says("volume rm -f none empty"), "empty");
    assert!(!std::fs::exists("/var/lib/skerry/volumes/.other").unwrap());
    says("rm a");
    assert_eq!(skerry_reads("volume prune", b"n\n").out, "");
    assert_eq!(says("volume ls -q"), "data");
    let unnamed = says("volume create");
    let said = says("volume prune -f");
    assert!(said.starts_with(&format!("Deleted: {unnamed}\nTotal reclaimed space: ")), "{said}");
    // What has a name goes when it is asked for.
    assert_eq!(says("volume ls -q"), "data");
    let torn = "/var/lib/skerry/definitions/torn.json";
    std::fs::write(torn, "{").unwrap();
    let told = fails("volume rm data", 1);
    assert!(told.starts_with(&format!("skerry: volume data: read {torn}: ")), "{told}");
    std::fs::remove_file(torn).unwrap();
    let said = says("volume prune -f --all");
    assert!(said.starts_with("Deleted: data\nTotal reclaimed space: ") && !said.ends_with(" 0B"), "{said}");
    assert_eq!(std::fs::read_dir("/var/lib/skerry/volumes").unwrap().count(), 0);
    assert_eq!(says("volume create").len(), 32);
}

#[test]
fn a_volume_without_a_name_goes_with_its_container() {
    let _node = Node::boot();
    let count = || says("volume ls -q").lines().count();
    assert_eq!(says("run --rm -v /d busybox sh -c 'echo here >/d/file; cat /d/file'"), "here");
    assert_eq!(count(), 0);
    says("run --name a -v /bin --mount target=/d busybox touch /d/file");
    assert_eq!(says("run --rm --volumes-from a busybox ls /d /bin/busybox"), "/bin/busybox\n\n/d:\nfile");
    assert_eq!(count(), 2);
    says("create --name b --volumes-from a busybox");
    says("rm -v a");
    assert_eq!(count(), 2, "another has them");
    says("rm b");
    assert_eq!(count(), 2, "nobody has asked for more");
    let said = says("volume prune -f");
    assert_eq!((said.lines().count(), count()), (3, 0), "{said}");
    says("create --name c -v /d -v own:/own busybox");
    says("rm -v c");
    assert_eq!(count(), 0, "one that was named is made when it is used");
    // One that was named by its made-up name stays.
    let name = says("volume create");
    says(&format!("run --rm -v {name}:/d busybox touch /d/file"));
    assert_eq!(says(&format!("run --rm -v {name}:/d busybox ls /d")), "file");
    says(&format!("volume rm {name}"));
    fails("create -v /d --tmpfs /d busybox", 125);
    assert_eq!(count(), 0, "what was made for nothing is gone");
    super::support::eventually("what they held is gone", || {
        std::fs::read_dir("/var/lib/skerry/containers/.old").unwrap().count() == 0
    });
}

#[test]
fn a_volume_without_a_name_is_not_there_before_its_container() {
    // Whoever prunes in between would take it away.
    let _node = Node::boot();
    says("create -v /d busybox");
    let told = says("events --since 1h --until 0s --format '{{.Type}} {{.Action}}'");
    assert_eq!(told, "container create\nvolume create");
    assert_eq!(says("volume prune -f"), "Total reclaimed space: 0B");
    // One that cannot have its volume is not there either.
    mount(Some("t"), "/var/lib/skerry/volumes", Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>).unwrap();
    assert!(fails("run --rm -v /d busybox true", 125).contains("read-only file system"));
    umount2("/var/lib/skerry/volumes", MntFlags::MNT_DETACH).unwrap();
    assert_eq!(says("ps -aq").lines().count(), 1);
}

#[test]
fn an_image_has_volumes_where_nothing_else_is_mounted() {
    let _node = Node::boot();
    says("export busybox --format docker-archive -o /run/image.tar");
    let run = |program: &str, words: &[&str]| {
        let output = std::process::Command::new(program).args(words).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
    };
    run("skopeo", &["copy", "-q", "docker-archive:/run/image.tar", "oci:/run/layout:with"]);
    run(
        "umoci",
        &["config", "--image", "/run/layout:with", "--config.volume", "/d", "--config.volume", "/bin"],
    );
    says("import /run/layout --name with:1");
    // Its root cannot be written; its volumes can.
    assert_eq!(says("run --rm --read-only with:1 sh -c 'touch /d/file /bin/new; ls /d'"), "file");
    assert_eq!(says("volume ls -q"), "");
    says("run --name a --tmpfs /d -v own:/bin/ with:1 true");
    assert_eq!(says("volume ls -q"), "own");
    says("rm -v a");
    assert_eq!(says("volume ls -q"), "own");
}

#[test]
fn a_mount_has_an_owner_begins_empty_and_follows_the_machine_when_it_is_to() {
    let _node = Node::boot();
    let said = says("run --rm --tmpfs /t:uid=1000,gid=50,mode=750 busybox stat -c '%u:%g %a' /t");
    assert_eq!(said, "1000:50 750");
    assert_eq!(says("run --rm -v none:/etc:nocopy busybox ls /etc"), "hostname\nhosts\nresolv.conf");
    std::fs::create_dir("/var/shared").unwrap();
    let tmpfs = |at: &str| mount(Some("t"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    tmpfs("/var/shared");
    mount(None::<&str>, "/var/shared", None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    std::fs::create_dir("/var/shared/in").unwrap();
    says("run -d --name follows -v /var/shared:/s:rslave busybox sleep 1000");
    says("run -d --name /stays -v /var/shared:/s busybox sleep 1000");
    tmpfs("/var/shared/in");
    std::fs::write("/var/shared/in/file", "").unwrap();
    assert_eq!(says("exec follows ls /s/in"), "file");
    assert_eq!(says("exec /stays ls /s/in"), "");
    let told = says("inspect -f '{{(index .Mounts 0).Propagation}} {{index .HostConfig.Binds 0}}' /follows");
    assert_eq!(told, "rslave /var/shared:/s:rslave");
    // No mount of the test's keeps the place.
    says("rm -f /follows stays");
    umount2("/var/shared", MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn one_place_holds_one_mount() {
    let _node = Node::boot();
    for mounts in ["-v a:/x -v b:/x", "--tmpfs /x -v a:/x/", "--mount source=a,target=/x --tmpfs /x"] {
        let told = fails(&format!("create {mounts} busybox"), 125);
        assert!(told.contains("create: mounts: duplicate mount point: /x"), "{mounts}: {told}");
    }
    assert_eq!(says("ps -aq"), "");
    // What is lent gives way.
    says("create --name lender -v a:/x busybox");
    says("create --name own --volumes-from lender --tmpfs /x busybox");
    assert_eq!(says("inspect -f '{{len .Mounts}}' own"), "1");
}

#[test]
fn a_new_volume_begins_as_the_images_folder() {
    let _node = Node::boot();
    says("volume create programs");
    let image = says("run --rm busybox ls /bin");
    assert!(image.contains("busybox"), "{image}");
    assert_eq!(says("run --rm -v programs:/bin busybox ls /bin"), image);
    // What a person has put there stays.
    says("volume create --label tier=front own");
    let place = says("volume inspect -f '{{.Mountpoint}}' own");
    std::fs::write(format!("{place}/mine"), "").unwrap();
    let line = "run --rm -v own:/etc busybox sh -c 'ls /etc/mine; test -e /etc/passwd || echo nothing else'";
    assert_eq!(says(line), "/etc/mine\nnothing else");
    assert_eq!(says("volume ls -q --filter label=tier"), "own");
    assert_eq!(says("volume inspect -f '{{.Labels.tier}}' own"), "front");
}

#[test]
fn mounts_are_what_was_asked_for() {
    let _node = Node::boot();
    std::fs::create_dir("/run/here").unwrap();
    std::fs::write("/run/here/file", "here").unwrap();
    let line = "cat /b/file; touch /b/x 2>/dev/null || echo read-only; touch /m/y && echo written; \
                df -k /t | awk 'NR==2{print $2}'; touch /etc/z 2>/dev/null || echo fixed";
    std::fs::write("/run/here/line", line).unwrap();
    let said = says(
        "run --rm --read-only -v /run/here:/b:ro --mount type=bind,source=/run/here,target=/m \
         --tmpfs /t:size=2m busybox sh /b/line",
    );
    assert_eq!(said, "hereread-only\nwritten\n2048\nfixed");
    assert!(std::path::Path::new("/run/here/y").exists());
    // Read-only is all of it, whatever is mounted there.
    std::fs::create_dir("/run/here/sub").unwrap();
    let none = None::<&str>;
    nix::mount::mount(Some("none"), "/run/here/sub", Some("tmpfs"), nix::mount::MsFlags::empty(), none)
        .unwrap();
    let line = "touch /b/sub/x 2>/dev/null || echo read-only; stat -c %a /t; \
                printf '#!/bin/sh\\necho runs' >/t/x; chmod +x /t/x; /t/x; touch /u/x 2>/dev/null || echo fixed";
    std::fs::write("/run/here/line", line).unwrap();
    let said = says(
        "run --rm -v /run/here:/b:ro --tmpfs /t:mode=750,exec --mount type=tmpfs,target=/u,readonly busybox sh /b/line",
    );
    assert_eq!(said, "read-only\n750\nruns\nfixed");
    let told = fails("run --rm --mount type=bind,source=/run/none,target=/b busybox true", 125);
    assert!(told.contains("mount /run/none: no such file or directory"), "{told}");
    says("run --rm -v /run/none/new:/b busybox touch /b/file");
    assert!(std::path::Path::new("/run/none/new/file").exists());
    // The kernel's own are private here.
    let told = fails("run --rm -v /run/here:/b:rshared busybox true", 125);
    assert!(told.ends_with("path /run/here is mounted on /run but it is not a shared mount"), "{told}");
}
