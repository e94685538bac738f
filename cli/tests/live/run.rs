//! `run` and `create`: statuses, streams, environment.

use super::said::{Terminal, begin, fails, says, skerry, skerry_reads};
use super::support::{Node, eventually};
use nix::sys::signal::Signal;

#[test]
fn it_ends_as_its_program_did() {
    let _node = Node::boot();
    for (line, status) in [
        ("run --rm busybox true", 0),
        ("run --rm busybox sh -c 'exit 3'", 3),
        ("run --rm busybox /etc", 126),
        ("run --rm busybox no-such-program", 127),
        ("run --rm --memory lots busybox true", 125),
        ("run --rm --pull never no-such-image true", 125),
    ] {
        assert_eq!(skerry(line).status, status, "{line}");
    }
    let killed = begin("run --rm --name killed busybox sleep 1000");
    eventually("it runs", || skerry("kill killed").status == 0);
    assert_eq!(killed.end().status, 137);
    assert_eq!(says("ps -aq"), "", "nothing is left of any");
}

#[test]
fn what_cannot_be_run_is_told_once() {
    let _node = Node::boot();
    for (line, status, told) in [
        ("run --rm busybox no-such-program", 127, "executable file not found"),
        ("run --rm busybox /no/such", 127, "no such file or directory"),
        ("run --rm busybox /etc", 126, "/etc"),
        ("run --rm -w /etc/passwd busybox true", 125, "/etc/passwd"),
    ] {
        let said = fails(line, status);
        assert!(said.starts_with("skerry: ") && said.contains(told), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        assert!(!said.contains("os error"), "{said}");
    }
}

#[test]
fn in_the_background_its_id_is_printed() {
    let _node = Node::boot();
    let id = says("run -d --name web busybox sleep 1000");
    assert!(id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert_eq!(says("ps -q"), id[..12]);
    let told = fails("run -d --name web busybox true", 125);
    assert!(told.contains("container \"web\" is there already; rm or rename it"), "{told}");
    assert_eq!(says(&format!("inspect --format {{{{.Id}}}} {}", &id[..6])), id);
    let told = fails("run -d --name none busybox no-such-program", 127);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(says("ps -a --filter name=none --format '{{.State}}'"), "exited", "it stays, as with Docker");
}

#[test]
fn what_is_created_starts_later_and_its_end_is_told() {
    let _node = Node::boot();
    let id = says("create --name later busybox sh -c 'echo here; exit 4'");
    assert_eq!(says("ps -a --format '{{.Names}} {{.State}}'"), "later created");
    let said = skerry("start --attach later");
    assert_eq!((said.out.as_str(), said.status), ("here\n", 4), "{said:?}");
    assert_eq!(says("start later"), "later");
    assert_eq!(says(&format!("wait {id}")), "4");
    assert_eq!(says("logs later"), "here\nhere");
}

#[test]
fn standard_input_is_sent_and_its_end_too() {
    let _node = Node::boot();
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let said = skerry_reads("run --rm -i busybox md5sum", &bytes);
    let expected = md5(&bytes);
    assert_eq!((said.out.trim(), said.status), (format!("{expected}  -").as_str(), 0), "{said:?}");
    // Without -i nothing is sent.
    let said = skerry_reads("run --rm busybox cat", b"lost");
    assert_eq!((said.out.as_str(), said.status), ("", 0), "{said:?}");
    let said = skerry_reads("run --rm -i busybox sh -c 'echo out; echo err >&2; cat'", b"in");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\nin", "err\n"));
}

fn md5(bytes: &[u8]) -> String {
    use std::io::Write;
    let mut sum = std::process::Command::new("md5sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(bytes).unwrap();
    let text = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

#[test]
fn its_environment_comes_from_files_and_words() {
    let _node = Node::boot();
    std::fs::write("/run/env", "# a comment\n\nA=1\nB=two words\nHOME\nA_B='kept'\n").unwrap();
    let said =
        says("run --rm --env-file /run/env -e B=3 -e C -e PATH busybox sh -c 'echo $A/$B/$A_B/$C/$HOME'");
    assert_eq!(said, format!("1/3/'kept'//{}", std::env::var("HOME").unwrap_or("/root".into())));
    let told = fails("run --rm --env-file /run/none busybox true", 125);
    assert_eq!(told, "skerry: --env-file: read /run/none: no such file or directory");
    assert_eq!(
        says("run --rm -w /tmp -u 7:8 --hostname pigeon busybox sh -c 'pwd; id -u; id -g; hostname'"),
        "/tmp\n7\n8\npigeon"
    );
    assert_eq!(says("run --rm --entrypoint echo busybox a b"), "a b");
}

#[test]
fn signals_go_on_to_the_program() {
    let _node = Node::boot();
    let line = "run --name a busybox sh -c 'trap \"echo hung; exit 9\" HUP; echo ready; while :; do sleep 0.05; done'";
    let mut child = begin(line);
    // Who shows output passes signals on; what stands in the log may not be shown yet.
    assert_eq!(child.line(), "ready\n");
    // The signal that timeout(1) gets is passed on to its child, and from there into the container.
    child.signal(Signal::SIGHUP);
    let said = child.end();
    assert_eq!((said.out.as_str(), said.status), ("hung\n", 9), "{said:?}");
    assert!(says("ps -a --format '{{.Status}}'").starts_with("Exited (9) "));
}

#[test]
fn real_time_signals_are_sent_on_and_known_by_name() {
    let _node = Node::boot();
    let program = "trap \"echo three; exit 3\" 37; echo ready; while :; do sleep 0.05; done";
    let mut child = begin(&format!("run --name a busybox sh -c '{program}'"));
    assert_eq!(child.line(), "ready\n");
    child.signal_number(37);
    let said = child.end();
    assert_eq!((said.out.as_str(), said.status), ("three\n", 3), "{said:?}");
    says(&format!("run -d --name b --stop-signal SIGRTMIN+3 busybox sh -c '{program}'"));
    eventually("it is ready", || says("logs b") == "ready");
    says("stop b");
    assert_eq!(says("wait b"), "3");
    says("start b");
    eventually("it is ready", || says("logs b").ends_with("three\nready"));
    says("kill -s RTMIN+3 b");
    assert_eq!(says("wait b"), "3");
}

#[test]
fn it_goes_on_when_the_monitor_is_killed() {
    let node = Node::boot();
    let mut terminal = Terminal::of("run -it --rm --name a busybox sh");
    terminal.wait_for("# ");
    terminal.types("echo be''fore\r");
    terminal.wait_for("before\r\n");
    node.kill_monitor();
    terminal.types("echo af''ter; stty size\r");
    terminal.wait_for("after\r\n24 80\r\n");
    node.kill_monitor();
    terminal.types("exit 5\r");
    assert_eq!(terminal.end().1, 5);
    eventually("it is gone", || says("ps -aq").is_empty());
}

#[test]
fn a_filter_of_ones_own_takes_the_usual_ones_place() {
    let node = Node::boot();
    let file = "/var/profile.json";
    let refusal = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "archMap": [{ "architecture": "SCMP_ARCH_X86_64" }], "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 17, "excludes": { "caps": ["CAP_SYS_TIME"] } }] }"#;
    std::fs::write(file, refusal).unwrap();
    let run = format!("run --security-opt seccomp={file} busybox mkdir /new");
    assert!(skerry(&run).err.contains("File exists"), "{:?}", skerry(&run));
    assert_eq!(says(&run.replace("busybox", "--rm --cap-add SYS_TIME busybox")), "");
    assert_eq!(says(&run.replace("busybox", "--rm --security-opt seccomp=unconfined busybox")), "");
    // It is the container's by now, whatever becomes of the file.
    let id = says(&format!("create -i --security-opt seccomp={file} --name own busybox mkdir /new"));
    std::fs::write(file, refusal.replace("errnoRet", "errno")).unwrap();
    node.kill_monitor();
    assert!(skerry(&format!("start -a {id}")).err.contains("File exists"));
    let told = says("inspect -f '{{index .HostConfig.SecurityOpt 0}}' own");
    assert!(told.starts_with("seccomp={") && told.contains("\"errnoRet\":17"), "{told}");
    std::fs::write(file, refusal.replace("SCMP_ACT_ERRNO", "SCMP_ACT_FLY")).unwrap();
    let told = fails(&run, 125);
    let expected =
        format!("skerry: --security-opt seccomp: {file}: syscalls[0].action: unknown variant `SCMP_ACT_FLY`");
    assert!(told.starts_with(&expected), "{told}");
    let told = fails("run --security-opt seccomp=/nowhere busybox true", 125);
    assert_eq!(told, "skerry: --security-opt seccomp: read /nowhere: no such file or directory");
}
