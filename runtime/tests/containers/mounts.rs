//! `mounts`: what is seen where.

use crate::support::{Bundle, Container, Peer, capabilities, fails, leftovers, read, sh};
use serde_json::json;
use std::fs::{create_dir_all, write};
use std::path::Path;

/// A folder of the host with one file, and another file system in it.
fn source() -> Bundle {
    let bundle = Bundle::new();
    create_dir_all("/run/source/sub").unwrap();
    write("/run/source/file", "from the host\n").unwrap();
    sh("mount -t tmpfs sub /run/source/sub && echo below > /run/source/sub/file");
    bundle
}

#[test]
fn a_bind_mount_shows_the_host_and_not_what_is_mounted_there() {
    let bundle = source().bind("/run/source", "/bound", &["bind"]);
    assert_eq!(bundle.sh("cat /bound/file; ls /bound/sub; echo new > /bound/new").says(), "from the host\n");
    assert_eq!(read("/run/source/new"), "new\n");
}

#[test]
fn a_recursive_bind_mount_shows_what_is_mounted_there() {
    let bundle = source().bind("/run/source", "/bound", &["rbind"]);
    assert_eq!(bundle.sh("cat /bound/sub/file").says(), "below\n");
}

#[test]
fn a_mount_of_type_none_with_rbind_is_a_bind_mount() {
    let bundle = source().mount("/bound", "none", "/run/source", &["rbind"]);
    assert_eq!(bundle.sh("cat /bound/sub/file").says(), "below\n");
}

#[test]
fn a_source_is_relative_to_the_bundle() {
    let bundle = Bundle::new().bind("data", "/bound", &["bind"]).args(["cat", "/bound/file"]);
    create_dir_all(bundle.path().join("data")).unwrap();
    write(bundle.path().join("data/file"), "relative\n").unwrap();
    assert_eq!(bundle.says(), "relative\n");
}

#[test]
fn a_read_only_bind_mount_is_read_only_on_top() {
    let write = "touch /bound/new 2>/dev/null || echo refused; touch /bound/sub/new && echo written";
    let bundle = source().bind("/run/source", "/bound", &["rbind", "ro"]).sh(write);
    assert_eq!(bundle.says(), "refused\nwritten\n");
}

#[test]
fn a_recursively_read_only_one_is_read_only_all_over() {
    let write =
        "touch /bound/new 2>/dev/null || echo refused; touch /bound/sub/new 2>/dev/null || echo refused";
    let bundle = source().bind("/run/source", "/bound", &["rbind", "rro"]).sh(write);
    assert_eq!(bundle.says(), "refused\nrefused\n");
}

#[test]
fn flags_of_a_bind_mount_are_set() {
    let line = source()
        .bind("/run/source", "/bound", &["bind", "nosuid", "nodev", "noexec", "noatime"])
        .mountinfo("/bound");
    let flags: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
    assert_eq!(flags, ["rw", "nosuid", "nodev", "noexec", "noatime"]);
}

#[test]
fn a_file_is_mounted_over_a_file_and_a_missing_one_is_made() {
    let bundle = source()
        .bind("/run/source/file", "/etc/passwd", &["bind", "ro"])
        .bind("/run/source/file", "/not/there/file", &["bind", "ro"])
        .sh("cat /etc/passwd /not/there/file");
    assert_eq!(bundle.says(), "from the host\nfrom the host\n");
}

#[test]
fn missing_folders_are_made() {
    let bundle =
        Bundle::new().mount("/a/b/c", "tmpfs", "tmpfs", &[]).sh("grep -c ' /a/b/c ' /proc/self/mountinfo");
    assert_eq!(bundle.says(), "1\n");
}

#[test]
fn a_source_that_is_missing_is_an_error_that_names_it() {
    let error = Bundle::new().bind("/no/such/source", "/bound", &["bind"]).try_create().error();
    assert!(error.contains("/no/such/source"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_file_system_that_nobody_knows_is_an_error_that_names_the_mount() {
    let error = Bundle::new().mount("/mnt", "colourfs", "none", &[]).try_create().error();
    assert!(error.contains("mnt"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_tmpfs_has_its_size_and_mode() {
    let bundle = Bundle::new()
        .mount("/mnt", "tmpfs", "tmpfs", &["size=1024k", "mode=1750", "uid=7", "noexec"])
        .sh("stat -c '%a %u' /mnt; df -k /mnt | tail -n 1 | awk '{print $2}'");
    assert_eq!(bundle.says(), "1750 7\n1024\n");
}

#[test]
fn a_tmpfs_without_a_mode_has_that_of_the_folder_that_it_covers() {
    use std::os::unix::fs::PermissionsExt;
    if fails(Peer::Crun, "1.8.1 gives it the kernel's") {
        return;
    }
    let bundle = Bundle::new().folder("there");
    let mode = std::fs::Permissions::from_mode(0o1710);
    std::fs::set_permissions(bundle.rootfs().join("there"), mode).unwrap();
    let bundle = bundle.mount("/there", "tmpfs", "tmpfs", &["size=1m"]).sh("stat -c %a /there");
    assert_eq!(bundle.says(), "1710\n");
    let given = bundle.mount("/there", "tmpfs", "tmpfs", &["mode=711"]).says();
    assert!(given == "711\n" || fails(Peer::Runc, "1.1.5 sets the folder's all the same"), "{given}");
}

#[test]
fn a_read_only_tmpfs_and_dev_hold_what_is_made_in_them() {
    let mut bundle = source()
        .mount("/mnt", "tmpfs", "tmpfs", &["ro", "mode=755"])
        .bind("/run/source", "/mnt/inner", &["bind"])
        .sh("for path in /mnt /dev; do touch $path/new 2>/dev/null || echo refused; done
            cat /mnt/inner/file; test -c /dev/null -a -L /dev/stdin -a -d /dev/shm && echo all");
    bundle.config["mounts"][1]["options"].as_array_mut().unwrap().push(json!("ro"));
    assert_eq!(bundle.says(), "refused\nrefused\nfrom the host\nall\n");
    let users = Bundle::new().user_namespace().mount("/mnt", "tmpfs", "tmpfs", &["ro"]);
    let users = users.mount("/mnt/inner", "tmpfs", "tmpfs", &[]);
    assert_eq!(
        users.sh("touch /mnt/new 2>/dev/null || touch /mnt/inner/new && echo refused").says(),
        "refused\n"
    );
}

#[test]
fn a_tmpfs_can_begin_with_a_copy_of_what_it_covers() {
    let copied =
        Bundle::new().file("data/sub/file", "kept\n").mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let bundle = copied.sh("cat /data/sub/file; echo changed > /data/sub/file");
    assert_eq!(bundle.says(), "kept\n");
    assert_eq!(read(bundle.rootfs().join("data/sub/file")), "kept\n");
}

#[test]
fn a_later_mount_covers_an_earlier_one() {
    let bundle = source()
        .mount("/mnt", "tmpfs", "tmpfs", &[])
        .bind("/run/source", "/mnt/inner", &["bind"])
        .sh("cat /mnt/inner/file; ls /mnt");
    assert_eq!(bundle.says(), "from the host\ninner\n");
    assert!(!bundle.rootfs().join("mnt/inner").exists(), "the folder was made in the tmpfs");
}

#[test]
fn an_overlay_of_many_layers_is_mounted() {
    let bundle = Bundle::new();
    let layer = |number: u32| {
        let path = format!("/run/{}/{number}", "layers".repeat(12));
        create_dir_all(&path).unwrap();
        write(format!("{path}/{number}"), "").unwrap();
        path
    };
    let lower = |count| (0..count).map(layer).collect::<Vec<_>>().join(":");
    let overlay = |options: &[&str]| bundle.clone().mount("/mnt", "overlay", "overlay", options);
    let few = lower(5);
    let options = [&*format!("lowerdir={few}"), "nosuid", "ro", "noatime"];
    let shown = overlay(&options).sh("ls /mnt; touch /mnt/new 2>/dev/null || echo refused");
    assert_eq!(shown.says(), "0\n1\n2\n3\n4\nrefused\n");
    let line = shown.mountinfo("/mnt");
    assert!(line.contains(" ro,nosuid,noatime ") && line.contains(&few), "{line}");
    let error = overlay(&[&*format!("lowerdir={}", lower(60))]).try_create().error();
    assert!(error.contains("mnt"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_source_of_any_length_is_mounted() {
    let name = "x".repeat(1000);
    let bundle = Bundle::new().mount("/mnt", "tmpfs", &name, &["ro", "nosuid", "size=64k", "mode=711"]);
    // A later one stands in it, though it is closed to writers.
    let bundle = bundle.mount("/mnt/in", "tmpfs", "tmpfs", &[]);
    let line = bundle.clone().mountinfo("/mnt");
    assert!(
        line.contains(" ro,nosuid,relatime ") && line.contains(&name) && line.contains("mode=711"),
        "{line}"
    );
    assert!(bundle.mountinfo("/mnt/in").contains(" rw"));
    // What is to lie on an ordinary folder does.
    let proc = Bundle::new().folder("elsewhere").link("sub", "elsewhere").mount("/sub", "proc", &name, &[]);
    let error = proc.try_create().error();
    assert!(error.contains("ordinary directory") || fails(Peer::Crun, "has words of its own"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn options_may_stand_in_one_string() {
    let options = ["nosuid", "mode=711,size=64k", "", "ro"];
    let line = Bundle::new().mount("/mnt", "tmpfs", "tmpfs", &options).mountinfo("/mnt");
    assert!(line.contains(" ro,nosuid,relatime "), "{line}");
    assert!(line.contains("mode=711") && line.contains("size=64k"), "{line}");
}

#[test]
fn a_destination_through_a_link_stays_in_the_rootfs() {
    for target in ["/run/outside", "../../../../../../run/outside", "/inside/../../../run/outside"] {
        let bundle = source().folder("inside").folder("run/outside").link("link", target);
        create_dir_all("/run/outside").unwrap();
        let bundle = bundle.bind("/run/source", "/link", &["bind"]).sh("cat /run/outside/file");
        assert_eq!(bundle.says(), "from the host\n", "{target}");
        assert_eq!(std::fs::read_dir("/run/outside").unwrap().count(), 0, "{target}");
        sh("umount /run/source/sub");
    }
}

#[test]
fn a_destination_through_a_dangling_link_is_made_in_the_rootfs() {
    if fails(Peer::Crun, "1.8.1 refuses one") {
        return;
    }
    let bundle = source()
        .link("link", "/run/dangling")
        .bind("/run/source", "/link/deeper", &["bind"])
        .bind("/run/source/file", "/link/deeper-file", &["bind"])
        .sh("cat /run/dangling/deeper/file /run/dangling/deeper-file");
    assert_eq!(bundle.says(), "from the host\nfrom the host\n");
    assert!(!Path::new("/run/dangling").exists());
}

#[test]
fn a_link_in_a_source_is_followed_on_the_host() {
    let bundle = source();
    std::os::unix::fs::symlink("/run/source", "/run/alias").unwrap();
    assert_eq!(
        bundle.bind("/run/alias", "/bound", &["bind"]).sh("cat /bound/file").says(),
        "from the host\n"
    );
}

#[test]
fn a_link_at_proc_or_sys_is_refused() {
    // CVE-2019-16884: masks and labels would have gone elsewhere.
    for name in ["proc", "sys"] {
        if name == "sys" && fails(Peer::Crun, "1.8.1 follows a link at /sys") {
            continue;
        }
        let bundle = Bundle::new().folder("elsewhere");
        std::fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        bundle.link(name, "elsewhere").try_create().error();
        assert_eq!(leftovers(), [""; 0]);
    }
}

#[test]
fn a_bind_mount_over_proc_is_refused() {
    if fails(Peer::Crun, "1.8.1 does not look") {
        return;
    }
    let error = source().bind("/run/source", "/proc/tty", &["bind"]).try_create().error();
    assert!(error.contains("/proc"), "{error}");
}

#[test]
fn mounts_of_the_container_do_not_reach_the_host() {
    let mounts = || read("/proc/1/mountinfo").lines().count();
    let bundle = source().bind("/run/source", "/bound", &["rbind"]);
    sh("mount --make-rshared /run");
    let before = mounts();
    let container = bundle.long().start();
    assert_eq!(mounts(), before);
    container.delete_force().ok();
    assert_eq!(mounts(), before);
}

/// A container that binds a folder which is shared on the host.
fn propagating(options: &[&str]) -> Container {
    let bundle = source();
    sh("mount --bind /run/source /run/source && mount --make-shared /run/source && mkdir /run/source/late");
    // Docker asks for this too when a volume is a slave.
    bundle
        .bind("/run/source", "/bound", options)
        .set("/linux/rootfsPropagation", json!("rslave"))
        .long()
        .start()
}

#[test]
fn a_slave_sees_later_mounts_of_the_host() {
    let container = propagating(&["rbind", "rslave"]);
    sh("mount -t tmpfs late /run/source/late && touch /run/source/late/seen");
    assert_eq!(container.sh("ls /bound/late"), "seen\n");
}

#[test]
fn a_private_one_does_not() {
    let container = propagating(&["rbind", "rprivate"]);
    sh("mount -t tmpfs late /run/source/late && touch /run/source/late/seen");
    assert_eq!(container.sh("ls /bound/late"), "");
}

#[test]
fn what_the_container_mounts_in_a_shared_one_reaches_the_host() {
    let bundle = source();
    sh("mount --bind /run/source /run/source && mount --make-shared /run/source && mkdir /run/source/late");
    let bundle = bundle
        .bind("/run/source", "/bound", &["rbind", "rshared"])
        .set("/linux/rootfsPropagation", json!("rshared"))
        .set("/process/capabilities", capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]))
        .sh("mount -t tmpfs late /bound/late && echo mine >/bound/late/file");
    bundle.run().ok();
    assert_eq!(read("/run/source/late/file"), "mine\n");
}

#[test]
fn remount_changes_what_is_there() {
    let options = |line: &str| line.split(' ').nth(5).unwrap().to_owned();
    let file_system = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    let line = Bundle::new().mount("/proc", "proc", "proc", &["remount", "ro"]).mountinfo("/proc");
    assert!(options(&line).starts_with("ro"), "{line}");
    let whole =
        fails(Peer::Crun, "1.8.1 leaves the file system as it is") || file_system(&line).starts_with("ro");
    assert!(whole, "{line}");
    // The mount alone, which is the container's and not the host's.
    let bound = || Bundle::new().mount("/proc", "bind", "/proc", &["remount", "bind", "ro"]);
    let line = bound().mountinfo("/proc");
    assert!(options(&line).starts_with("ro") && file_system(&line).starts_with("rw"), "{line}");
    assert_eq!(bound().sh("echo /proc/[0-9]*").says(), "/proc/1\n");
    let tmpfs = Bundle::new().mount("/tmp", "tmpfs", "tmpfs", &["size=1m", "nosuid"]);
    let line = tmpfs.mount("/tmp", "tmpfs", "", &["remount", "size=2m"]).mountinfo("/tmp");
    assert!(file_system(&line).contains("size=2048k"), "{line}");
    let kept = fails(Peer::Runc, "1.1.5 takes away what is not named")
        || fails(Peer::Crun, "1.8.1 takes away what is not named")
        || options(&line).contains("nosuid");
    assert!(kept, "{line}");
    let error = Bundle::new().mount("/nothing", "tmpfs", "", &["remount"]).try_create().error();
    assert!(error.contains("nothing"), "{error}");
}

#[test]
fn the_cgroup_mount_shows_the_containers_own() {
    let bundle = Bundle::new().sh("cat /sys/fs/cgroup/cgroup.procs; cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused");
    let said = bundle.says();
    assert!(said.starts_with("1\n"), "{said}");
    assert!(said.ends_with("0::/\nrefused\n"), "{said}");
}

#[test]
fn without_a_new_cgroup_namespace_the_whole_hierarchy_is_shown() {
    let bundle = Bundle::new().namespace("cgroup", None);
    let id = bundle.id.clone();
    let said = bundle.sh(&format!("cat /proc/1/cgroup /sys/fs/cgroup/{id}/cgroup.procs")).says();
    assert!(said.contains(&format!("0::/{id}\n1\n")), "{said}");
}
