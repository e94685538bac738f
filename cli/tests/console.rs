//! The console's prompt, on a terminal of the test.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::unistd::ttyname;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The longest that anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

struct Prompt {
    terminal: File,
    seen: String,
    program: Child,
}

impl Prompt {
    fn new(socket: &Path) -> Self {
        let pty = openpty(None, None).unwrap();
        let device = ttyname(&pty.slave).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_skerry"))
            .arg("--socket")
            .arg(socket)
            .args(["--store", "/proc/no-store", "console"])
            .arg(&device)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // The test's own copy of the program's end stays open until the program has opened it.
        let mut prompt = Self { terminal: pty.master.into(), seen: String::new(), program };
        prompt.wait_for("skerry> ");
        prompt
    }

    fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this stands there, and forgets what stands before it.
    fn wait_for(&mut self, words: &str) {
        let mut bytes = [0; 1024];
        while !self.seen.contains(words) {
            let mut events = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
            let said = poll(&mut events, PollTimeout::try_from(PATIENCE).unwrap()).unwrap() > 0;
            let length = if said { self.terminal.read(&mut bytes).unwrap_or(0) } else { 0 };
            assert!(length > 0, "{words:?} does not come; there is {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        let place = self.seen.find(words).unwrap() + words.len();
        self.seen.drain(..place);
    }
}

#[test]
fn a_line_is_a_command_of_skerry() {
    let mut prompt = Prompt::new(Path::new("/proc/no-socket"));
    prompt.types("version\r");
    prompt.wait_for(concat!("Version: ", env!("CARGO_PKG_VERSION")));
    prompt.wait_for("skerry> ");
    prompt.types("inspect 'no such'\r");
    prompt.wait_for("skerry: ");
    prompt.wait_for("no such");
    prompt.wait_for("skerry> ");
    prompt.types("vers\t\r");
    prompt.wait_for("Protocol: 1");
    prompt.wait_for("skerry> ");
    prompt.types("\x1b[A\r");
    prompt.wait_for("Protocol: 1");
    prompt.wait_for("skerry> ");
    prompt.types("half a line\x03");
    prompt.wait_for("^C");
    prompt.types("\x04");
    assert!(prompt.program.wait().unwrap().success());
}

#[test]
fn ctrl_c_ends_a_command_and_not_the_prompt() {
    let folder = std::env::temp_dir().join(format!("skerry-console-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let monitor = UnixListener::bind(folder.join("socket")).unwrap();
    let mut prompt = Prompt::new(&folder.join("socket"));
    prompt.types("events\r");
    // A monitor that never answers: once it is asked, the command runs.
    let _asked = monitor.accept().unwrap();
    prompt.types("\x03");
    prompt.wait_for("skerry> ");
    prompt.types("exit\r");
    assert!(prompt.program.wait().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}
