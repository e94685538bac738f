//! `-it`: a program on the terminal that the command was typed on.

use super::said::{Terminal, says};
use super::support::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn every_key_is_the_programs() {
    let _node = Node::boot();
    let mut terminal = Terminal::of("run -it --rm busybox sh");
    terminal.wait_for("# ");
    terminal.types("tty; stty size\r");
    terminal.wait_for("/dev/pts/0\r\n24 80\r\n");
    // Ctrl-C ends what runs in it, and nothing else. What says that it waits has the terminal.
    terminal.types("sh -c 'echo wait\"\"ing; exec sleep 1000'\r");
    terminal.wait_for("waiting\r\n");
    terminal.types("\x03");
    terminal.wait_for("^C");
    terminal.types("echo on''ward\r");
    terminal.wait_for("onward\r\n");
    // Where the shell does not read keys yet, this one is lost.
    terminal.wait_for("# ");
    terminal.types("\x04");
    assert_eq!(terminal.end().1, 0);
}

#[test]
fn its_size_is_followed() {
    let _node = Node::boot();
    let line =
        "run -it --rm busybox sh -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done'";
    let mut terminal = Terminal::of(line);
    terminal.wait_for("ready\r\n");
    terminal.resize(33, 101);
    terminal.wait_for("33 101\r\n");
    let mut exec = Terminal::of("exec -it none sh");
    let (said, status) = exec.end();
    assert!(status == 1 && said.contains("container \"none\": there is none"), "{status}: {said}");
    let id = says("ps -q");
    let mut exec = Terminal::of(&format!("exec -it {id} sh"));
    exec.wait_for("# ");
    exec.resize(40, 90);
    exec.types("until stty size | grep '40 90'; do :; done\r");
    exec.wait_for("\r\n40 90\r\n");
    exec.types("exit 6\r");
    assert_eq!(exec.end().1, 6);
}

#[test]
fn detach_keys_leave_it_running() {
    let _node = Node::boot();
    let mut terminal = Terminal::of("run -it --name a busybox sh");
    terminal.wait_for("# ");
    terminal.types("cd /tmp; echo re''ady\r");
    terminal.wait_for("ready\r\n");
    terminal.types("\x10\x11");
    assert_eq!(terminal.end().1, 0);
    assert_eq!(says("ps --format '{{.Names}} {{.State}}'"), "a running");
    let mut terminal = Terminal::of("attach --detach-keys ctrl-x,d a");
    terminal.types("pwd\r");
    terminal.wait_for("/tmp\r\n");
    terminal.types("\x18d");
    assert_eq!(terminal.end().1, 0);
    let mut terminal = Terminal::of("attach a");
    terminal.types("exit 7\r");
    assert_eq!(terminal.end().1, 7);
    assert_eq!(says("inspect --format '{{.State.ExitCode}}' a"), "7");
}

#[test]
fn the_terminal_is_as_it_was_afterwards() {
    let _node = Node::boot();
    let mut terminal = Terminal::of("run -it --name a busybox sh");
    terminal.wait_for("# ");
    assert_ne!(
        terminal.settings().local_flags,
        terminal.before.local_flags,
        "each key goes through as it is"
    );
    terminal.types("\x10\x11");
    terminal.end();
    assert_eq!(terminal.settings().local_flags, terminal.before.local_flags);
    // Whoever ends the command leaves no raw terminal either.
    let mut terminal = Terminal::of("attach a");
    terminal.types("echo at''tached\r");
    terminal.wait_for("attached\r\n");
    kill(Pid::from_raw(terminal.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.end().1, 143);
    assert_eq!(terminal.settings().local_flags, terminal.before.local_flags);
    assert_eq!(says("ps --format '{{.Names}} {{.State}}'"), "a running");
}
