//! Whatever config.json holds, the answer is a container or one line that says why not.

use crate::support::{Bundle, Peer, Ran, fails, finish, leftovers, runtime};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

/// Peers answer in words of their own; runc 1.1.5 with several lines, crun 1.8.1 with the C
/// library's numbers.
fn peers_words_differ() -> bool {
    fails(Peer::Runc, "has words of its own") || fails(Peer::Crun, "has words of its own")
}

/// The one line, without the program's name and the folder of config.json.
#[track_caller]
fn line(ran: Ran, bundle: &Bundle) -> String {
    let said = ran.error();
    assert!(said.ends_with('\n') && said.matches('\n').count() == 1, "{said:?}");
    assert!(said.len() < 20_000, "{} bytes", said.len());
    assert_eq!(leftovers(), [""; 0]);
    let line = said.trim_end().strip_prefix("skerry-runtime: error: ").unwrap_or_else(|| panic!("{said}"));
    line.replace(&format!("{}/", bundle.path().display()), "")
}

/// What is said when the value at a JSON pointer is this.
#[track_caller]
fn refusal(pointer: &str, value: &Value) -> String {
    let bundle = Bundle::new().set(pointer, value.clone());
    line(bundle.try_create(), &bundle)
}

#[track_caller]
fn refuses(wrong: &[(&str, Value, &str)]) {
    if peers_words_differ() {
        return;
    }
    for (pointer, value, words) in wrong {
        assert_eq!(refusal(pointer, value), *words, "{pointer}");
    }
}

/// The verb's command for a bundle whose config.json is these bytes.
fn with_text(verb: &str, bundle: &Bundle, text: &[u8]) -> Command {
    std::fs::write(bundle.path().join("config.json"), text).unwrap();
    let mut command = runtime([verb, "--bundle"]);
    command.arg(bundle.path()).arg(&bundle.id);
    command
}

#[track_caller]
fn refusal_of(text: &[u8]) -> String {
    let bundle = Bundle::new();
    line(finish(with_text("create", &bundle, text)), &bundle)
}

#[test]
fn numbers_beyond_their_bounds_are_refused() {
    let device = |major: i64| json!([{ "path": "/dev/x", "type": "c", "major": major, "minor": 0 }]);
    let memory = |limit: i64, swap: i64| json!({ "memory": { "limit": limit, "swap": swap } });
    let rule = json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": u32::MAX, "value": 0, "op": "SCMP_CMP_EQ" }] });
    refuses(&[
        ("/process/user/uid", json!(u32::MAX), "process.user.uid: 4294967295 is nobody's number"),
        ("/process/user/gid", json!(u32::MAX), "process.user.gid: 4294967295 is nobody's number"),
        (
            "/process/user/additionalGids",
            json!([u32::MAX]),
            "process.user.additionalGids: set [4294967295]: invalid argument",
        ),
        ("/process/oomScoreAdj", json!(i32::MAX), "process.oomScoreAdj: set 2147483647: invalid argument"),
        (
            "/process/execCPUAffinity",
            json!({ "initial": "0-18446744073709551616" }),
            "process.execCPUAffinity.initial: invalid processors \"0-18446744073709551616\", not a list such as 0-3,7",
        ),
        (
            "/linux/devices",
            device(i64::MIN),
            "linux.devices[0].major: -9223372036854775808 is not from 0 to 4095",
        ),
        (
            "/linux/devices",
            device(i64::MAX),
            "linux.devices[0].major: 9223372036854775807 is not from 0 to 4095",
        ),
        (
            "/linux/resources",
            memory(i64::MIN, 0),
            "linux.resources.memory.limit: -9223372036854775808: below -1, which is no limit",
        ),
        (
            "/linux/resources",
            memory(i64::MAX, i64::MIN),
            "linux.resources.memory.swap: -9223372036854775808: below -1, which is no limit",
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": u32::MAX }),
            "linux.seccomp.defaultAction: error number 4294967295 is above 4095",
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }),
            "linux.seccomp.syscalls[0].args[0].index: a system call has arguments 0 to 5",
        ),
    ]);
}

#[test]
fn a_number_that_its_type_cannot_hold_is_named_by_its_path() {
    if peers_words_differ() {
        return;
    }
    for (value, words) in [
        ("18446744073709551616", "invalid type: floating point `1.8446744073709552e+19`, expected u32"),
        ("-1", "invalid value: integer `-1`, expected u32"),
        ("0.5", "invalid type: floating point `0.5`, expected u32"),
        ("1e999", "number out of range"),
    ] {
        let text = format!("{{\"process\": {{\"user\": {{\"uid\": {value}}}}}}}");
        let said = refusal_of(text.as_bytes());
        assert!(
            said.starts_with(&format!("config.json: process.user.uid: {words} at line 1 column ")),
            "{said}"
        );
    }
}

#[test]
fn numbers_that_are_merely_large_are_no_hindrance() {
    let peers_fail = fails(Peer::Runc, "1.1.5 counts it over") || fails(Peer::Crun, "1.8.1 takes 32 bits");
    let longest = if peers_fail { 1000 } else { i64::MAX };
    let hooks =
        json!([{ "path": "/bin/true", "timeout": longest }, { "path": "/bin/true", "timeout": 1000 }]);
    let bundle = Bundle::new()
        .set("/process/user/umask", json!(0o777))
        .set("/hooks", json!({ "prestart": hooks }))
        .set("/process/rlimits", json!([{ "type": "RLIMIT_FSIZE", "soft": u64::MAX, "hard": u64::MAX }]))
        .set(
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["read"], "action": "SCMP_ACT_ERRNO",
            "args": [{ "index": 0, "value": u64::MAX, "valueTwo": u64::MAX, "op": "SCMP_CMP_MASKED_EQ" }],
        }] }),
        );
    bundle.run().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn descriptors_kept_beyond_the_last_are_all() {
    for number in [u32::MAX - 3, u32::MAX] {
        let bundle = Bundle::new().sh("echo here >&2");
        let ran = finish(bundle.command("run", &["--preserve-fds", &number.to_string()]));
        if ran.code != 0 && (fails(Peer::Runc, "1.1.5 needs them open") || fails(Peer::Crun, "1.8.1 too")) {
            return;
        }
        assert_eq!(ran.ok().stderr, "here\n");
    }
}

#[test]
fn a_zero_byte_is_refused_wherever_it_matters() {
    let tmpfs = |key: &str, value: Value| {
        let mut mount = json!({ "destination": "/x", "type": "tmpfs" });
        mount[key] = value;
        json!([mount])
    };
    let hook = |hook: Value| json!({ "prestart": [hook] });
    refuses(&[
        (
            "/process/args",
            json!(["a\0b"]),
            "process.args[0]: exec: \"a\\0b\": executable file not found in $PATH",
        ),
        ("/process/args", json!(["true", "a\0b"]), "process.args: \"a\\0b\" has a zero byte"),
        ("/process/env", json!(["PATH=/bin", "a\0b"]), "process.env: \"a\\0b\" has a zero byte"),
        ("/process/cwd", json!("/a\0b"), "make /a\\u{0}b: file name contained an unexpected NUL byte"),
        ("/hostname", json!("a\0b"), "hostname: has a zero byte"),
        ("/domainname", json!("a\0b"), "domainname: has a zero byte"),
        (
            "/mounts",
            tmpfs("destination", json!("/a\0b")),
            "mounts[0]: open /a\\u{0}b in the container: invalid argument",
        ),
        (
            "/mounts",
            tmpfs("type", json!("a\0b")),
            "mounts[0]: mount a\\u{0}b on /x: data provided contains a nul byte",
        ),
        (
            "/mounts",
            tmpfs("options", json!(["a=b\0c"])),
            "mounts[0]: mount tmpfs on /x: option \"a=b\\0c\": data provided contains a nul byte",
        ),
        ("/linux/maskedPaths", json!(["/a\0b"]), "linux.maskedPaths: cover /a\\u{0}b: invalid argument"),
        ("/linux/readonlyPaths", json!(["/a\0b"]), "linux.readonlyPaths: close /a\\u{0}b: invalid argument"),
        ("/linux/cgroupsPath", json!("/a\0b"), "linux.cgroupsPath: is too long, or has a zero byte"),
        (
            "/linux/sysctl",
            json!({ "net.\0": "1" }),
            "linux.sysctl[\"net.\\0\"]: write \"1\": invalid argument",
        ),
        (
            "/hooks",
            hook(json!({ "path": "/a\0b" })),
            "hooks.prestart[0]: error running prestart hook #0: /a\\u{0}b: nul byte found in provided data",
        ),
        (
            "/hooks",
            hook(json!({ "path": "/bin/true", "env": ["\0=x"] })),
            "hooks.prestart[0]: error running prestart hook #0: /bin/true: nul byte found in provided data",
        ),
    ]);
}

#[test]
fn what_is_empty_is_refused_or_ignored() {
    let mount = json!([{ "destination": "", "type": "tmpfs" }]);
    refuses(&[
        ("/process/args", json!([]), "process.args: is empty"),
        ("/process/args", json!([""]), "process.args: is empty"),
        ("/process/args", Value::Null, "process.args: is empty"),
        ("/process/cwd", json!(""), "process.cwd: \"\" is not an absolute path"),
        ("/root/path", json!(""), "root.path: is missing"),
        ("/root", Value::Null, "root.path: is missing"),
        ("/mounts", mount, "mounts[0].destination: is empty"),
        ("/linux", json!({}), "hostname: there is no uts namespace"),
    ]);
}

#[test]
fn names_that_are_too_long_leave_nothing() {
    if peers_words_differ() {
        return;
    }
    let too_long = "linux.cgroupsPath: is too long, or has a zero byte";
    assert_eq!(refusal("/linux/cgroupsPath", &json!("/x".repeat(5000))), too_long);
    assert_eq!(refusal("/linux/cgroupsPath", &json!(format!("/a/{}", "x".repeat(256)))), too_long);
    assert!(!Path::new("/sys/fs/cgroup/x").exists() && !Path::new("/sys/fs/cgroup/a").exists());
    let destination = json!([{ "destination": "/a".repeat(5000), "type": "tmpfs" }]);
    let said = refusal("/mounts", &destination);
    assert!(said.starts_with("mounts[0]: open /a/a/a"), "{said}");
    let said = refusal("/hostname", &json!("x".repeat(100)));
    assert!(said.starts_with("hostname: set \"xxx") && said.ends_with("\": invalid argument"), "{said}");
}

#[test]
fn a_large_config_json_runs_and_a_large_mistake_is_a_short_line() {
    const LARGE: usize = 10_000_000;
    let bundle = Bundle::new().set("/annotations", json!({ "large": "x".repeat(LARGE) }));
    bundle.hook_sh("prestart", "test ${#state} -gt 10000000").run().ok();
    if peers_words_differ() {
        return;
    }
    let said = refusal("/linux/namespaces", &json!([{ "type": "x".repeat(LARGE) }]));
    assert!(said.starts_with("config.json: linux.namespaces[0].type: unknown variant `xxx"), "{:.90}", said);
    let said = refusal("/process/cwd", &json!("\u{e4}\n".repeat(LARGE / 3)));
    assert!(said.starts_with("process.cwd: \"\u{e4}\\n\u{e4}"), "{:.90}", said);
}

#[test]
fn what_speaks_to_terminals_is_told_in_letters() {
    refuses(&[(
        "/root/path",
        json!("\u{1b}[2J\n"),
        "root.path: mount \\u{1b}[2J\\n: no such file or directory",
    )]);
}

#[test]
fn deep_nesting_is_skipped_where_nobody_reads_it() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"x\": {}0{}, ", open.repeat(100_000), close.repeat(100_000));
        let bundle = Bundle::new().long();
        let text = bundle.config.to_string().replacen('{', &deep, 1);
        if fails(Peer::Runc, "1.1.5 goes no deeper than 10,000") || fails(Peer::Crun, "1.8.1 than 512") {
            return;
        }
        let mut run = with_text("run", &bundle, text.as_bytes());
        run.arg("--detach");
        finish(run).ok();
        let mut update = runtime(["update", "--pids-limit", "9"]);
        update.arg(&bundle.id);
        let said = finish(update).error();
        assert!(said.contains("config.json: recursion limit exceeded at line 1 column "), "{said}");
        finish(runtime(["delete", "--force", &bundle.id])).ok();
    }
}

#[test]
fn a_key_that_is_there_twice_is_an_error() {
    if fails(Peer::Runc, "1.1.5 takes the last") || fails(Peer::Crun, "1.8.1 takes one") {
        return;
    }
    let text = br#"{"ociVersion": "1.0.0", "process": {"cwd": "/", "cwd": "/tmp"}}"#;
    let said = refusal_of(text);
    assert!(said.starts_with("config.json: process.cwd: duplicate field `cwd` at line 1 column "), "{said}");
}

#[test]
fn bytes_that_are_not_utf_8_are_an_error() {
    if peers_words_differ() {
        return;
    }
    let said = refusal_of(b"{\"hostname\": \"\xff\xfe\"}");
    assert!(
        said.starts_with("config.json: hostname: invalid unicode code point at line 1 column "),
        "{said}"
    );
    let said = refusal_of(b"{\"annotations\": {\"\xc3\x28\": \"\"}}");
    assert!(said.starts_with("config.json: annotations") && said.contains(" at line 1 column "), "{said}");
    let said = refusal_of(br#"{"hostname": "\ud800"}"#);
    assert!(said.starts_with("config.json: hostname: "), "{said}");
}

#[test]
fn a_bundle_whose_path_is_not_utf_8_is_refused_in_words() {
    if peers_words_differ() {
        return;
    }
    let bundle = Bundle::new();
    bundle.write();
    let mut path = bundle.path().into_os_string().into_vec();
    path.push(0xff);
    let path = OsString::from_vec(path);
    std::fs::rename(bundle.path(), &path).unwrap();
    let mut command = runtime(["create", "--bundle"]);
    command.arg(&path).arg(&bundle.id);
    let said = line(finish(command), &bundle);
    assert!(
        said.starts_with("open the bundle /run/bundles/") && said.ends_with(": its path is not UTF-8"),
        "{said}"
    );
}

#[test]
fn a_thousand_mounts_are_mounted() {
    let mut bundle = Bundle::new().args(["wc", "-l", "/proc/self/mountinfo"]);
    for number in 0..1000 {
        bundle = bundle.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", &["size=4k"]);
    }
    let said = bundle.says();
    let count: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(count > 1000, "{said}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn an_object_written_as_a_list_does_not_stop_update_in_mid_air() {
    if fails(Peer::Runc, "1.1.5 wants an object") || fails(Peer::Crun, "1.8.1 wants an object") {
        return;
    }
    // The readers of JSON that programs are given take fields in their order for an object as well.
    let container = Bundle::new().long().start();
    let kept = format!("/run/state/{}/config.json", container.id);
    std::fs::write(&kept, br#"{"linux": []}"#).unwrap();
    let ran = finish(container.command("update", &["--pids-limit", "9"]));
    assert_eq!(ran.error(), format!("skerry-runtime: error: read {kept}: linux: not an object\n"));
    container.delete_force().ok();
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = |words: &str, both: bool| {
        let mut command = Command::new("sh");
        let redirect = if both { "> /dev/full 2>&1" } else { "> /dev/full" };
        command.args(["-c", &format!("exec \"$0\" {words} {redirect}"), &Peer::program()]);
        finish(command)
    };
    if fails(Peer::Runc, "1.1.5 does not look") || fails(Peer::Crun, "1.8.1 does not look") {
        return;
    }
    let said = full("features", false).error();
    assert_eq!(said, "skerry-runtime: error: write to standard output: no space left on device\n");
    for words in ["--version", "--help", "list", "state nobody", "nonsense"] {
        assert_eq!(full(words, true).code, 1, "{words}");
    }
}

/// An image may have a FIFO, which nobody writes to, where a file is looked for.
#[test]
fn a_fifo_in_the_image_is_not_waited_for() {
    if fails(Peer::Runc, "1.1.5 waits") || fails(Peer::Crun, "1.8.1 waits") {
        return;
    }
    let fifo = |bundle: &Bundle, path: &str| {
        let path = bundle.rootfs().join(path);
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o755)).unwrap();
    };
    let bundle = Bundle::new().args(["true"]);
    fifo(&bundle, "etc/passwd");
    bundle.run().ok();
    let bundle = Bundle::new().args(["/fifo"]);
    fifo(&bundle, "fifo");
    let said = line(bundle.try_create(), &bundle);
    assert_eq!(said, "process.args[0]: exec: \"/fifo\": permission denied");
    let bundle = Bundle::new().file("script", "#!/fifo\n").args(["/script"]);
    fifo(&bundle, "fifo");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bundle.rootfs().join("script"), executable).unwrap();
    assert_eq!(
        bundle.run().error(),
        "skerry-runtime: error: process.args[0]: exec: \"/script\": permission denied\n"
    );
}
