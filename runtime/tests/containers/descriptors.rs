//! What the program has open when it begins.

use crate::support::{Bundle, Peer, Ran, fails, finish, read};
use std::process::Command;

#[test]
fn no_descriptor_but_the_first_three_is_open() {
    // The fourth is the folder that ls reads.
    let said = Bundle::new().args(["ls", "/proc/self/fd"]).says();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let container = Bundle::new().long().start();
    container.says("ready");
    assert_eq!(container.exec(["ls", "/proc/self/fd"]).ok().stdout, said);
    assert_eq!(container.exec(["ls", "/proc/1/fd"]).ok().stdout, "0\n1\n2\n");
}

/// Runs it after the caller has done this in its shell.
pub fn after(script: &str, bundle: &Bundle, options: &[&str]) -> Ran {
    let inner = bundle.command("run", options);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script}; exec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    finish(command)
}

#[test]
fn a_descriptor_that_the_caller_left_open_is_closed() {
    let bundle = Bundle::new().args(["ls", "/proc/self/fd"]);
    let said = after("exec 3< /etc/passwd 5< / 9< /dev/null", &bundle, &[]).ok().stdout;
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn what_the_caller_has_closed_is_dev_null() {
    let bundle = Bundle::new().sh("kinds=$(cd /proc/$$/fd; stat -L -c %t:%T 0 1 2); echo $kinds > /kinds");
    if fails(Peer::Runc, "1.1.5's Go opens them for itself") || fails(Peer::Crun, "1.8.1 leaves them closed")
    {
        return;
    }
    after("exec <&- >&- 2>&-", &bundle, &[]).ok();
    assert_eq!(read(bundle.rootfs().join("kinds")), "1:3 1:3 1:3\n");
}

#[test]
fn preserved_descriptors_are_handed_over() {
    let bundle =
        Bundle::new().sh("cat <&3; cat <&4; ls /proc/self/fd | tr '\\n' ' '; echo ${LISTEN_FDS-none}");
    let open = "echo three > /run/3; echo four > /run/4; exec 3< /run/3 4< /run/4 5< /run/4";
    let said = after(open, &bundle, &["--preserve-fds", "2"]).ok().stdout;
    assert_eq!(said, "three\nfour\n0 1 2 3 4 5 none\n", "the last one is what ls reads");
}

#[test]
fn sockets_of_listen_fds_are_handed_over() {
    let bundle = Bundle::new().sh("cat <&3; echo $LISTEN_FDS $LISTEN_PID");
    let open = "echo three > /run/3; exec 3< /run/3; export LISTEN_FDS=1 LISTEN_PID=$$";
    let said = after(open, &bundle, &[]).ok().stdout;
    let pid = if fails(Peer::Crun, "1.8.1 leaves LISTEN_PID out") { "" } else { " 1" };
    assert_eq!(said, format!("three\n1{pid}\n"));
}

#[test]
fn those_that_are_meant_for_another_process_are_not() {
    if fails(Peer::Crun, "1.8.1 does not look whom they are for") {
        return;
    }
    let bundle = Bundle::new().sh("[ -e /proc/self/fd/3 ] && echo open; echo ${LISTEN_FDS-none}");
    for whose in ["LISTEN_PID=1", "LISTEN_PID=x", "NOBODY=$$"] {
        let open = format!("exec 3< /etc/passwd; export LISTEN_FDS=1 {whose}");
        assert_eq!(after(&open, &bundle, &[]).ok().stdout, "none\n", "{whose}");
    }
}
