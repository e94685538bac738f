//! A place of its own for one test: namespaces in which the node's interface
//! `eth9` is a cable away from `srv0`, where servers run; or one in which the node's
//! `up0` is a cable away from the world.
//!
//! The first process of the place ends when the test's end of its standard input
//! closes, and takes every other with it, however the test ended.

#![allow(dead_code, reason = "each test program uses its share")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The longest that anything here takes: a DHCP server that looks whether an
/// address is free, a lease that ends, a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

const MOUNTS: &str = "
    set -e
    mount --make-rprivate /
    mount -t tmpfs run /run
    mount -t sysfs sys /sys
    mkdir -p /run/skerry/config /run/netns
";

const CABLE: &str = "
    ip netns add srv
    ip link add eth9 type veth peer name srv0 netns srv
    ip -n srv address add 10.9.0.1/24 dev srv0
    ip -n srv address add 2001:db8:9::1/64 dev srv0 nodad
    ip -n srv link set lo up
    ip -n srv link set srv0 up
";

/// The node has addresses of both families and a way to the world, which knows the
/// node and nothing behind it.
const WORLD: &str = "
    mount -t tmpfs var /var
    ip netns add world
    ip link add up0 type veth peer name world0 netns world
    ip -n world address add 192.0.2.1/24 dev world0
    ip -n world address add 2001:db8::1/64 dev world0 nodad
    ip -n world link set lo up
    ip -n world link set world0 up
    ip address add 192.0.2.2/24 dev up0
    ip address add 2001:db8::2/64 dev up0 nodad
    ip link set lo up
    ip link set up0 up mtu 1400 addrgenmode none
    ip route add default via 192.0.2.1
    ip -6 route add default via 2001:db8::1
";

/// The namespaces.
pub struct Place {
    holder: Child,
    pid: u32,
}

/// Where `cargo build -p network --examples` has put them: beside the tests.
fn examples() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples")
}

impl Place {
    /// Makes the namespaces; the node's configuration there is `node_toml`.
    pub fn new(node_toml: &str) -> Self {
        Self::made_by(CABLE, node_toml)
    }

    /// Makes namespaces in which the node has a world.
    pub fn in_the_world(node_toml: &str) -> Self {
        Self::made_by(WORLD, node_toml)
    }

    fn made_by(script: &str, node_toml: &str) -> Self {
        let mut holder = Command::new("unshare")
            .args([
                "--map-root-user",
                "--net",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", &format!("{MOUNTS}{script}\necho here\nexec cat")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut lines = BufReader::new(holder.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "here\n", "the namespaces are set up");
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let place = Self { holder, pid };
        place.run(&format!("cat > /run/skerry/config/00-image.toml <<'END'\n{node_toml}\nEND"));
        place
    }

    /// A script in the place, which finds the room's examples by name.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.env("PATH", format!("{}:{}", examples().display(), std::env::var("PATH").unwrap()));
        command.args(["--target", &self.pid.to_string(), "--user", "--preserve-credentials"]);
        command.args(["--net", "--mount", "--uts", "--pid", "sh", "-c", script]);
        command
    }

    /// Runs a script to its end; gives what it said.
    pub fn run(&self, script: &str) -> String {
        let output = self.command(script).stderr(Stdio::inherit()).output().expect("nsenter runs");
        assert!(output.status.success(), "{script}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script to its end; gives what it said on both outputs when it failed.
    pub fn fails(&self, script: &str) -> String {
        let output = self.command(&format!("exec 2>&1\n{script}")).output().expect("nsenter runs");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{script} succeeded: {said}");
        said
    }

    /// Waits until a script says something that holds the words.
    pub fn wait_for(&self, script: &str, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.run(script);
            if said.contains(words) {
                return said;
            }
            assert!(Instant::now() < end, "{script}: no {words:?} in {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts a program beside the node.
    pub fn server(&self, command: &str) -> Program {
        self.start(&format!("exec ip netns exec srv {command} 2>&1"))
    }

    /// Starts a program in the world.
    pub fn world(&self, command: &str) -> Program {
        self.start(&format!("exec ip netns exec world {command} 2>&1"))
    }

    /// Starts the node's network service.
    pub fn node(&self) -> Program {
        self.start(&format!("exec {} 2>&1", env!("CARGO_BIN_EXE_skerry-network")))
    }

    /// Starts a program on the node.
    pub fn start(&self, script: &str) -> Program {
        let mut child =
            self.command(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nsenter runs");
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Program { child, lines, said: String::new() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A program that runs in a place.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Program {
    /// Waits for a line that holds these words, and gives it.
    pub fn says(&mut self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {words:?} in:\n{}", self.said);
            };
            writeln!(self.said, "{line}").unwrap();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What it has said, as far as it was waited for.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Ends it at once, wherever it is (`SIGKILL`), and waits until it is gone.
    pub fn kill(mut self) -> String {
        // nsenter waits for its child; both go.
        let script = format!("kill -KILL $(cat /proc/{0}/task/{0}/children) {0}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            writeln!(self.said, "{line}").unwrap();
        }
        std::mem::take(&mut self.said)
    }

    /// Asks it to end (`SIGTERM`) and gives its exit status.
    pub fn terminate(mut self) -> Option<i32> {
        let script = format!("kill -TERM $(cat /proc/{0}/task/{0}/children)", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}
