//! What a container may not do.

use crate::descriptors::after;
use crate::support::{Bundle, Peer, controllers, fails, finish, leftovers, read, sh};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::symlink;

/// The sets of /proc/self/status by name.
fn sets(bundle: Bundle) -> Vec<(String, u64)> {
    let said = bundle.args(["grep", "^Cap", "/proc/self/status"]).says();
    said.lines()
        .map(|line| line.split_once(":\t").unwrap())
        .map(|(name, bits)| (name.to_owned(), u64::from_str_radix(bits, 16).unwrap()))
        .collect()
}

fn capabilities(bounding: &[&str], permitted: &[&str], inheritable: &[&str], ambient: &[&str]) -> Value {
    json!({
        "bounding": bounding, "effective": permitted, "permitted": permitted,
        "inheritable": inheritable, "ambient": ambient,
    })
}

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_BIND: u64 = 1 << 10;

#[test]
fn the_five_sets_of_capabilities_are_as_asked_for() {
    let asked = capabilities(
        &["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
        &["CAP_CHOWN", "CAP_KILL"],
        &["CAP_KILL"],
        &["CAP_KILL"],
    );
    // Root gets all of the bounding set with execve(2); another user what is ambient.
    let user = Bundle::new().set("/process/capabilities", asked).set("/process/user/uid", json!(1000));
    let expected = [
        ("CapInh", KILL),
        ("CapPrm", KILL),
        ("CapEff", KILL),
        ("CapBnd", CHOWN | KILL | NET_BIND),
        ("CapAmb", KILL),
    ];
    assert_eq!(sets(user), expected.map(|(name, bits)| (name.to_owned(), bits)));
}

#[test]
fn root_has_the_bounding_set() {
    let names = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"];
    let bundle = Bundle::new().set("/process/capabilities", capabilities(&names, &names, &[], &[]));
    let bits = CHOWN | NET_BIND;
    let expected = [("CapInh", 0), ("CapPrm", bits), ("CapEff", bits), ("CapBnd", bits), ("CapAmb", 0)];
    assert_eq!(sets(bundle), expected.map(|(name, bits)| (name.to_owned(), bits)));
}

#[test]
fn without_capabilities_there_are_none() {
    let mut bundle = Bundle::new();
    bundle.config["process"].as_object_mut().unwrap().remove("capabilities");
    // config.md leaves the choice open; runc takes its own default, which is all of them.
    if fails(Peer::Runc, "1.1.5 keeps the caller's") {
        return;
    }
    assert!(sets(bundle).iter().all(|(_, bits)| *bits == 0));
}

#[test]
fn a_capability_that_another_set_rules_out_is_left_out_with_a_warning() {
    let words = "is refused by capset(2)";
    if fails(Peer::Runc, words) || fails(Peer::Crun, words) {
        return;
    }
    let bounding = ["CAP_CHOWN", "CAP_KILL"];
    let wide = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"];
    let mut sets = capabilities(&bounding, &["CAP_CHOWN"], &wide, &wide);
    sets["effective"] = json!(bounding);
    let bundle = Bundle::new()
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/capabilities", sets)
        .sh("grep -E 'CapInh|CapEff' /proc/self/status");
    let ran = bundle.run().ok();
    assert_eq!(ran.stdout, "CapInh:\t0000000000000001\nCapEff:\t0000000000000001\n");
    for words in [
        "effective: \"CAP_KILL\" is not permitted",
        "inheritable: \"CAP_NET_BIND_SERVICE\" is not in the bounding set",
        "can't raise ambient capability CAP_NET_BIND_SERVICE",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
}

#[test]
fn an_unknown_capability_is_left_out() {
    // runtime should WARN / ignore capabilities that cannot be granted (config.md since 1.1).
    let names = ["CAP_CHOWN", "CAP_COLOUR"];
    let bundle = Bundle::new().set("/process/capabilities", capabilities(&names, &names, &[], &[]));
    if fails(Peer::Crun, "1.8.1 refuses it") {
        return;
    }
    assert_eq!(sets(bundle)[3], ("CapBnd".to_owned(), CHOWN));
}

#[test]
fn no_new_privileges_is_set_or_not() {
    let set = |wanted: bool| {
        let bundle = Bundle::new().set("/process/noNewPrivileges", json!(wanted));
        bundle.args(["grep", "NoNewPrivs", "/proc/self/status"]).says()
    };
    assert_eq!(set(true), "NoNewPrivs:\t1\n");
    assert_eq!(set(false), "NoNewPrivs:\t0\n");
}

#[test]
fn a_nested_user_namespace_mounts_no_proc_without_masks() {
    let script = "unshare -U -r -m -p -f mount -t proc proc /tmp 2> /dev/null && echo mounted; \
                  unshare -U -r -n -m mount -t sysfs sysfs /tmp 2> /dev/null && echo mounted; cat /proc/self/comm";
    let bundle = Bundle::new().sh(script);
    assert_eq!(bundle.says(), "cat\n");
    let said = finish(bundle.command("run", &["--no-pivot"])).ok().stdout;
    assert!(said == "cat\n" || fails(Peer::Crun, "1.8.1 leaves the host's"), "{said}");
    let users = Bundle::new().user_namespace().sh(script);
    let ran = finish(users.command("run", &["--no-pivot"]));
    let words = "leaves the host's in a user namespace";
    assert!(ran.stdout == "cat\n" || fails(Peer::Crun, words) || fails(Peer::Runc, words), "{ran:?}");
    let plain =
        Bundle::new().set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([])).sh(script);
    assert!(plain.says().starts_with("mounted\n"), "without masks there is nothing to keep");
}

#[test]
fn masked_paths_are_empty_and_cannot_be_unmasked() {
    let bundle = Bundle::new()
        .folder("secret/inner")
        .file("secret.txt", "secret\n")
        .set("/linux/maskedPaths", json!(["/secret", "/secret.txt", "/proc/kcore", "/not/there"]))
        .sh("ls /secret; cat /secret.txt; head -c 1 /proc/kcore | wc -c; touch /secret/x 2>/dev/null || echo refused; umount /secret 2>/dev/null || echo refused");
    assert_eq!(bundle.says(), "0\nrefused\nrefused\n");
}

#[test]
fn a_path_that_is_masked_twice_is_covered_once() {
    let twice = json!(["/secret", "/secret.txt", "/secret", "/secret.txt"]);
    let bundle = Bundle::new()
        .folder("secret")
        .file("secret.txt", "secret\n")
        .set("/linux/maskedPaths", twice)
        .sh("grep -c ' /secret' /proc/self/mountinfo");
    let words = "covers it twice";
    assert!(bundle.says() == "2\n" || fails(Peer::Runc, words) || fails(Peer::Crun, words));
}

#[test]
fn read_only_paths_are_read_and_not_written() {
    let bundle = Bundle::new()
        .file("folder/file", "kept\n")
        .file("single", "kept\n")
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/folder", "/single", "/not/there"]))
        .sh("for file in /proc/sys/kernel/hostname /folder/file /single; do (echo x > $file) 2>/dev/null || echo refused; done; cat /folder/file /single");
    assert_eq!(bundle.says(), "refused\nrefused\nrefused\nkept\nkept\n");
}

#[test]
fn a_masked_path_that_is_a_link_does_not_lead_out() {
    // CVE-2025-31133 and its kin: what is masked is in the container.
    let bundle = Bundle::new().folder("real").link("alias", "/real").file("real/file", "seen\n");
    std::fs::write("/run/victim", "victim\n").unwrap();
    let bundle = bundle
        .link("victim", "/run/victim")
        .set("/linux/maskedPaths", json!(["/alias", "/victim"]))
        .sh("ls /real | wc -l");
    bundle.run();
    assert_eq!(read("/run/victim"), "victim\n");
}

#[test]
fn a_working_directory_of_the_host_is_out_of_reach() {
    // CVE-2024-21626: a descriptor of the host that was still open when the runtime changed directory.
    for number in 3..16 {
        let cwd = format!("/proc/self/fd/{number}");
        let bundle = Bundle::new()
            .set("/process/cwd", json!(cwd))
            .sh("ls ../../../../boot 2>/dev/null; cat ../../../../../etc/os-release 2>/dev/null; true");
        let ran = bundle.run();
        assert_eq!(ran.stdout, "", "{cwd}: {ran:?}");
    }
    let container = Bundle::new().long().start();
    for number in 3..16 {
        let cwd = format!("/proc/self/fd/{number}");
        let ran = container.exec_with(&["--cwd", &cwd], ["ls", "../../../../boot"]);
        assert_ne!(ran.code, 0, "{cwd}: {ran:?}");
    }
}

/// Where the host's busybox would be, seen from a folder of the host that is open under this number.
fn by_descriptor(number: u32) -> String {
    format!("/proc/self/fd/{number}/../../../../../../../../run/busybox")
}

#[test]
fn a_program_of_the_host_is_out_of_reach() {
    // CVE-2024-21626, by what is executed: a path of config.json, or a link of the image.
    let bundle = Bundle::new();
    symlink(by_descriptor(9), bundle.rootfs().join("bin/escape")).unwrap();
    let leak = "exec 9< /";
    for program in (3..16).map(by_descriptor).chain(["escape".to_owned()]) {
        let bundle = bundle.clone().args([&program, "echo", "escaped"]);
        let ran = after(leak, &bundle, &[]);
        if ran.stdout.contains("escaped") && fails(Peer::Crun, "1.8.1 closes at the exec") {
            return;
        }
        assert!(ran.code != 0 && !ran.stdout.contains("escaped"), "{program}: {ran:?}");
    }
    let container = bundle.clone().long().start();
    for program in (3..16).map(by_descriptor).chain(["escape".to_owned()]) {
        let inner = container.command("exec", &[]);
        let mut exec = std::process::Command::new("sh");
        exec.args(["-c", &format!("{leak}; exec \"$@\""), "sh"]).arg(inner.get_program());
        exec.args(inner.get_args()).args([&program, "echo", "escaped"]);
        let ran = finish(exec);
        assert!(ran.code != 0 && !ran.stdout.contains("escaped"), "{program}: {ran:?}");
    }
}

#[test]
fn a_working_directory_is_not_made_on_the_host() {
    // CVE-2024-21626: one that is not there is made.
    for number in 3..16 {
        let cwd = format!("/proc/self/fd/{number}/../../../../../../../../run/made");
        after("exec 9< /", &Bundle::new().set("/process/cwd", json!(cwd)), &[]);
        assert!(!std::path::Path::new("/run/made").exists(), "{cwd}");
    }
}

#[test]
fn descriptors_of_the_runtime_are_not_taken_for_the_callers() {
    // The caller says that it gives more than it does.
    for number in 3..16 {
        let bundle = Bundle::new().args([&by_descriptor(number), "echo", "escaped"]);
        let ran = finish(bundle.command("run", &["--preserve-fds", "20"]));
        assert!(ran.code != 0 && !ran.stdout.contains("escaped"), "{number}: {ran:?}");
    }
}

#[test]
fn the_runtime_cannot_be_overwritten_from_inside() {
    // CVE-2019-5736: a program that is /proc/self/exe is the runtime's own file.
    let before = std::fs::metadata(which()).unwrap().len();
    let bundle = Bundle::new().link("bin/self", "/proc/self/exe").args(["self", "--version"]);
    bundle.run();
    let container = Bundle::new()
        .sh("while :; do for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null; done; done")
        .start();
    for _ in 0..10 {
        container.exec(["/proc/self/exe", "--version"]);
        container.exec(["true"]);
    }
    assert_eq!(std::fs::metadata(which()).unwrap().len(), before);
}

#[test]
fn the_runtime_is_no_interpreter_and_no_hook() {
    // CVE-2019-5736: the kernel's name of an interpreter ends at a zero byte, and hooks are executed as well.
    if fails(Peer::Runc, "runs a copy of itself") || fails(Peer::Crun, "runs a copy of itself") {
        return;
    }
    let words = "is the container runtime itself";
    let script = |text: &str, path: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let bundle = Bundle::new().link("bin/self", "/proc/self/exe");
    script("#!/proc/self/exe\0x\n", bundle.rootfs().join("bin/script").to_str().unwrap());
    let error = bundle.clone().args(["script", "--version"]).run().error();
    assert!(error.contains(words), "{error}");
    for path in ["/bin/self", "/bin/script", "/proc/self/exe"] {
        let error = bundle.clone().hook("startContainer", json!({ "path": path })).run().error();
        assert!(error.contains(words), "{path}: {error}");
    }
    script("#!/proc/self/exe\n", "/run/script");
    let first =
        Bundle::new().bind("/run/script", "/dev/init", &["bind", "ro"]).args(["/dev/init", "--", "true"]);
    let error = first.run().error();
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_program_that_is_exchanged_after_it_was_looked_at_is_not_the_runtime() {
    // CVE-2019-5736: between `create` and `start` its path comes to lead to /proc/self/exe.
    if fails(Peer::Runc, "runs a copy of itself") || fails(Peer::Crun, "runs a copy of itself") {
        return;
    }
    let bundle = Bundle::new().file("bin/program", "").args(["program", "--version"]);
    let program = bundle.rootfs().join("bin/program");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let container = bundle.create();
    std::fs::remove_file(&program).unwrap();
    symlink("/proc/self/exe", &program).unwrap();
    finish(container.command("start", &[]));
    container.wait();
    assert!(!container.stdout().contains("runtime"), "{}", container.stdout());
}

#[test]
fn why_a_program_that_was_found_cannot_run_is_told() {
    if fails(Peer::Runc, "1.1.5 lets `start` succeed") || fails(Peer::Crun, "1.8.1 names no program") {
        return;
    }
    let script = |bundle: &Bundle| {
        let path = bundle.rootfs().join("bin/script");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    // Also where a machine wants no programs in memory, or lets none be made.
    for memfd_noexec in ["0", "1", "2"] {
        sh(&format!("echo {memfd_noexec} > /proc/sys/vm/memfd_noexec"));
        for (text, words) in [("#!/no/such\n", "o such file or directory"), ("\u{7f}ELF", "xec format error")]
        {
            let bundle = Bundle::new().file("bin/script", text).args(["script"]);
            script(&bundle);
            let error = bundle.run().error();
            assert!(error.contains("script") && error.contains(words), "{memfd_noexec}: {error}");
            let container = bundle.clone().long().start();
            let error = container.exec(["script"]).error();
            assert!(error.contains("script") && error.contains(words), "{memfd_noexec}: {error}");
            let created = Bundle::new().file("bin/script", text).args(["script"]);
            script(&created);
            let error = created.create().start().error();
            assert!(error.contains("script") && error.contains(words), "{memfd_noexec}: {error}");
        }
        assert_eq!(Bundle::new().args(["echo", "one", "two  three"]).says(), "one two  three\n");
    }
}

#[test]
fn the_runtime_is_a_first_process_where_it_cannot_be_written() {
    if fails(Peer::Runc, "is no first process") || fails(Peer::Crun, "is no first process") {
        return;
    }
    let words = ["/dev/init", "--", "sh", "-c", "cat /proc/1/comm; (echo x >/proc/1/exe) 2>&1; exit 7"];
    let bundle = |how| Bundle::new().bind(&which(), "/dev/init", &["bind", how]).args(words);
    let ran = bundle("ro").run();
    assert!(ran.stdout.starts_with("init\n") && ran.stdout.contains("/proc/1/exe"), "{ran:?}");
    assert_eq!(ran.code, 7, "{ran:?}");
    let refused = bundle("rw").run();
    assert!(refused.stderr.contains("is the container runtime itself"), "{refused:?}");
    let link = Bundle::new().link("bin/first", "/proc/self/exe").args(["first", "--", "true"]).run();
    assert!(link.stderr.contains("is the container runtime itself"), "{link:?}");
}

pub fn which() -> String {
    let program = Peer::program();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "command -v \"$0\"", &program]);
    finish(command).ok().stdout.trim().to_owned()
}

#[test]
fn a_limit_that_the_machine_cannot_set_is_an_error_that_names_the_controller() {
    if fails(Peer::Runc, "1.1.5 names a file") || fails(Peer::Crun, "1.8.1 names a file or the controller") {
        return;
    }
    let limits = [
        ("memory", json!({ "memory": { "limit": 100_000_000 } })),
        ("cpu", json!({ "cpu": { "quota": 50_000, "period": 100_000 } })),
        ("pids", json!({ "pids": { "limit": 100 } })),
        ("cpuset", json!({ "cpu": { "cpus": "0" } })),
    ];
    for (controller, resources) in limits {
        if controllers().split_whitespace().any(|known| known == controller) {
            let _ = writeln!(std::io::stderr(), "left out: this machine has the {controller} controller");
            continue;
        }
        let error = Bundle::new().set("/linux/resources", resources).try_create().error();
        assert!(error.contains(controller), "{error}");
        assert_eq!(leftovers(), [""; 0]);
    }
}
