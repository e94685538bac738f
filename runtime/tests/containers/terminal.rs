//! `process.terminal` and `--console-socket`.

use crate::support::{Bundle, Console, Peer, Ran, fails, finish, leftovers, read};
use serde_json::json;
use std::process::Command;

fn with_terminal() -> Bundle {
    Bundle::new().set("/process/terminal", json!(true))
}

#[test]
fn the_terminal_comes_over_the_socket_before_the_program_starts() {
    let console = Console::new();
    let bundle =
        with_terminal().sh("tty; test -t 0 && test -t 1 && test -t 2 && echo all three; exec sleep 1000");
    let container = bundle.create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    let said = terminal.says("all three");
    assert!(said.contains("/dev/pts/0") || said.contains("/dev/console"), "{said}");
}

#[test]
fn it_is_the_controlling_terminal_and_dev_console() {
    let console = Console::new();
    let script = "echo through the console > /dev/console; echo through tty > /dev/tty; stat -c '%t:%T' /dev/console /dev/pts/0; echo end; exec sleep 1000";
    let container = with_terminal().sh(script).create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    let said = terminal.says("end");
    assert!(said.contains("through the console") && said.contains("through tty"), "{said}");
    assert_eq!(said.matches("88:0").count(), 2, "both are the same: {said}");
}

#[test]
fn what_is_typed_is_read_and_control_c_interrupts() {
    let console = Console::new();
    let script =
        "trap 'echo interrupted; exit 3' INT; read line; echo read $line; while :; do sleep 0.05; done";
    let container = with_terminal().sh(script).create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    terminal.types("words");
    terminal.says("read words");
    terminal.types("\u{3}");
    terminal.says("interrupted");
    container.wait();
}

#[test]
fn it_has_the_size_that_is_asked_for() {
    let console = Console::new();
    let bundle = with_terminal()
        .set("/process/consoleSize", json!({ "height": 33, "width": 77 }))
        .sh("stty size; exec sleep 1000");
    let container = bundle.create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    terminal.says("33 77");
}

#[test]
fn it_belongs_to_the_user() {
    let console = Console::new();
    let bundle = with_terminal()
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .sh("stat -c 'owner %u %g' /dev/pts/0; echo x > /dev/stdout; exec sleep 1000");
    let container = bundle.create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    terminal.says("owner 1000 5");
}

#[test]
fn it_works_in_a_user_namespace() {
    let console = Console::new();
    let container = with_terminal()
        .user_namespace()
        .sh("echo x > /dev/console; tty; echo end; exec sleep 1000")
        .create_with(&["--console-socket", &console.path]);
    let mut terminal = console.terminal();
    container.start().ok();
    let said = terminal.says("end");
    assert!(said.contains("x\r\n"), "{said}");
}

#[test]
fn a_terminal_and_a_console_socket_go_together() {
    let error = with_terminal().try_create().error();
    assert!(error.contains("console"), "{error}");
    let console = Console::new();
    if !fails(Peer::Crun, "1.8.1 ignores a socket that nobody needs") {
        finish(Bundle::new().command("create", &["--console-socket", &console.path])).error();
    }
    finish(with_terminal().command("create", &["--console-socket", "/run/no-such-socket"])).error();
    if !fails(Peer::Crun, "1.8.1 leaves the cgroup") {
        assert_eq!(leftovers(), [""; 0]);
    }
}

#[test]
fn dev_console_that_is_a_link_in_the_rootfs_does_not_lead_out() {
    // Without a tmpfs at /dev the rootfs's own is used, and an image may have left a link in it.
    let console = Console::new();
    std::fs::write("/run/victim", "untouched\n").unwrap();
    let mut bundle = with_terminal().args(["sleep", "1000"]).link("dev/console", "/run/victim");
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    let created = finish(bundle.command("create", &["--console-socket", &console.path]));
    assert!(created.code == 0 || !created.stderr.is_empty());
    assert_eq!(read("/run/victim"), "untouched\n");
}

#[test]
fn exec_has_one_of_its_own() {
    let container = Bundle::new().long().start();
    let console = Console::new();
    let options = ["--tty", "--detach", "--console-socket", &*console.path, "--pid-file", "/run/exec-pid"];
    container.exec_with(&options, ["sh", "-c", "tty; test -t 1 && echo yes; exec sleep 1000"]).ok();
    let mut terminal = console.terminal();
    let said = terminal.says("yes");
    assert!(said.contains("/dev/pts/"), "{said}");
}

#[test]
fn that_of_exec_belongs_to_the_user_in_a_user_namespace_too() {
    if wants_a_terminal() {
        return;
    }
    let container = Bundle::new().user_namespace().long().start();
    for (user, owner) in [("0", "0 5"), ("1000", "1000 5")] {
        let script = "stat -c '%u %g' $(tty); echo through stdout > /dev/stdout; exit 0";
        let said = container.exec_with(&["--tty", "--user", user], ["sh", "-c", script]).ok().stdout;
        assert!(said.contains(owner) && said.contains("through stdout"), "{user}: {said}");
    }
}

#[test]
fn exec_can_take_it_from_the_process_file() {
    if fails(Peer::Crun, "1.8.1 sets the size when the program may have begun") {
        return;
    }
    let container = Bundle::new().long().start();
    let console = Console::new();
    let process = json!({
        "terminal": true,
        "consoleSize": { "height": 12, "width": 34 },
        "args": ["sh", "-c", "stty size; exec sleep 1000"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": { "uid": 0, "gid": 0 },
    });
    std::fs::write("/run/process.json", process.to_string()).unwrap();
    let options = ["--detach", "--console-socket", &*console.path, "--process", "/run/process.json"];
    finish(container.command("exec", &options)).ok();
    console.terminal().says("12 34");
}

#[test]
fn exec_has_none_that_the_process_file_does_not_ask_for() {
    if fails(Peer::Crun, "1.8.1 waits for one") {
        return;
    }
    let container = Bundle::new().long().start();
    let process = json!({
        "args": ["sh", "-c", "echo here; exit 3"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
    });
    std::fs::write("/run/process.json", process.to_string()).unwrap();
    let ran = finish(container.command("exec", &["--tty", "--process", "/run/process.json"]));
    assert_eq!((ran.code, &*ran.stdout), (3, "here\n"), "{ran:?}");
}

/// Who play the terminal's other side only when they have one themselves.
fn wants_a_terminal() -> bool {
    let words = "wants a terminal itself";
    fails(Peer::Runc, words) || fails(Peer::Crun, words)
}

#[test]
fn in_the_foreground_what_the_program_writes_is_said_as_it_is() {
    if wants_a_terminal() {
        return;
    }
    assert_eq!(with_terminal().args(["printf", "a\\nb\\n"]).says(), "a\nb\n");
    let container = Bundle::new().long().start();
    assert_eq!(container.exec_with(&["--tty"], ["printf", "a\\nb\\n"]).ok().stdout, "a\nb\n");
}

#[test]
fn on_a_terminal_of_ours_a_line_ends_as_it_does_there() {
    let run = with_terminal().args(["printf", "a\\nb\\n"]).command("run", &[]);
    let mut with_terminal = Command::new("python3");
    with_terminal.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    with_terminal.arg(run.get_program()).args(run.get_args());
    assert_eq!(finish(with_terminal).ok().stdout, "a\r\nb\r\n");
}

/// Runs it with what is typed as standard input, in a shell that then tells the time of its own processes (`times`).
fn typed(typed: &str, command: &Command) -> Ran {
    std::fs::write("/run/typed", typed).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" < /run/typed; code=$?; times; exit $code", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    finish(shell)
}

#[test]
fn much_that_is_pasted_into_what_says_it_again_is_handed_on() {
    if wants_a_terminal() {
        return;
    }
    let lines = 3000;
    let text = format!("{}\n", "x".repeat(79)).repeat(lines) + "\u{4}";
    let ran = typed(&text, &with_terminal().args(["tr", "x", "y"]).command("run", &[])).ok();
    // The terminal's echo says x, and may be cut, in the middle of a line too.
    assert_eq!(ran.stdout.matches('y').count(), 79 * lines);
}

#[test]
fn a_terminal_that_the_program_has_closed_takes_no_time() {
    if wants_a_terminal() {
        return;
    }
    let run = |line: &str| {
        let ran = typed("", &with_terminal().sh(line).command("run", &[])).ok();
        // 0m0.010000s 0m0.020000s
        let times = ran.stdout.lines().next_back().unwrap();
        let seconds = times.split([' ', 'm', 's']).filter_map(|number| number.parse::<f64>().ok());
        (seconds.sum::<f64>(), ran)
    };
    let (open, _) = run("sleep 2");
    let (closed, ran) = run("exec < /dev/null > /dev/null 2>&1; sleep 2; exec > /dev/console; echo again");
    // Who looks all the time takes two seconds more.
    assert!(closed < 1.5 * open + 0.5, "{open} s, {closed} s closed");
    assert!(ran.stdout.contains("again"), "{ran:?}");
}

#[test]
fn it_ends_with_the_program_whoever_writes_on() {
    if wants_a_terminal() {
        return;
    }
    let container = Bundle::new().long().start();
    let script =
        "(trap '' HUP; while :; do head -c 100000000 /dev/zero > /dev/pts/0; done) & sleep 0.1; exit 3";
    let ran = container.exec_with(&["--tty"], ["sh", "-c", script]);
    assert_eq!(ran.code, 3);
}
