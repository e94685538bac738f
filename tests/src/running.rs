//! A node that runs, as tests speak of it.

use crate::disk::Scratch;
use crate::probe::{Output, Probe};
use crate::slots::Slot;
use crate::{Failure, Result, web};
use qemu::{Console, Vm};

/// The monitor's word of every container.
const STATUS: &str = "/run/skerry/monitor/status";

/// A container that may speak to PID 1, for [`Running::begin_request`]. Its image
/// must be in the node's.
pub const CONTROL: &str = r#"
[containers.control]
image = "python"
args = ["-c", "import time; time.sleep(1000000)"]
mounts = [{ type = "bind", source = "/run/skerry", target = "/run/skerry" }]
stop-grace = "1s"
"#;

/// A node that runs; it ends with this value. When the test fails, its console is
/// printed.
pub struct Running {
    // In the order in which they end: the machine before its files and its slot.
    probe: Option<Probe>,
    vm: Vm,
    _scratch: Scratch,
    _slot: Slot,
}

impl Running {
    pub(crate) fn new(probe: Option<Probe>, vm: Vm, scratch: Scratch, slot: Slot) -> Self {
        Self { probe, vm, _scratch: scratch, _slot: slot }
    }

    /// The serial console.
    pub fn console(&self) -> &Console {
        self.vm.console()
    }

    /// The machine, for what is about hardware.
    pub fn machine(&self) -> &Vm {
        &self.vm
    }

    /// The page at `path` of port 80, asked for until something answers there.
    ///
    /// # Errors
    ///
    /// When nothing does in time, or not with status 200.
    pub fn page(&self, path: &str) -> Result<String> {
        let port = self.vm.forwarded(80)?;
        self.vm.blame(web::page_at(port, path))
    }

    /// Runs a command in the node's test shell as root and returns its output.
    ///
    /// # Errors
    ///
    /// When it exits with another status than 0, or does not end in time.
    pub fn run(&self, command: &str) -> Result<String> {
        let Output { status, text } = self.try_run(command)?;
        self.vm.blame(match status {
            0 => Ok(text),
            _ => Err(Failure::new(format!("run {command:?}: exit status {status}: {text}"))),
        })
    }

    /// As [`Running::run`], whatever the exit status is.
    ///
    /// # Errors
    ///
    /// When the command does not end in time, or the image has no probe.
    pub fn try_run(&self, command: &str) -> Result<Output> {
        self.vm.blame(self.probe()?.run(command))
    }

    fn probe(&self) -> Result<&Probe> {
        self.probe.as_ref().ok_or_else(|| Failure::new("the image has no probe"))
    }

    /// Begins a command that ends the node: no answer is awaited, and what it writes
    /// comes on the console.
    ///
    /// # Errors
    ///
    /// When the machine has ended, or the image has no probe.
    pub fn begin(&self, command: &str) -> Result {
        self.vm.blame(self.probe()?.begin(&format!("{{ {command}; }} >/dev/console 2>&1")))
    }

    /// Begins a request at PID 1's control socket, from a [`CONTROL`] that runs.
    ///
    /// # Errors
    ///
    /// When the machine has ended, or the image has no probe.
    pub fn begin_request(&self, request: &str) -> Result {
        let program = format!(
            "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); \
             s.connect('/run/skerry/init.sock'); s.send(b'{request}'); print(s.recv(65536).decode())"
        );
        let exec = "/sbin/skerry-runtime --root /run/skerry/runtime exec control /usr/bin/python3 -c";
        self.begin(&format!("{exec} \"{program}\""))
    }

    /// Looks for these texts on the console, each after the one before it.
    ///
    /// # Errors
    ///
    /// When one is not there (yet), or only before the one before it.
    pub fn said_in_order(&self, texts: &[&str]) -> Result {
        let log = self.console().text();
        let mut rest = log.as_str();
        for text in texts {
            let found = rest.split_once(text);
            rest = self.vm.blame(found.ok_or_else(|| Failure::new(format!("no {text:?} in its place"))))?.1;
        }
        Ok(())
    }

    /// Waits inside the node until a command succeeds. For what no line on the
    /// console tells; it asks five times a second.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub fn run_until(&self, condition: &str) -> Result {
        self.run(&format!("until {condition}; do sleep 0.2; done")).map(drop)
    }

    /// What the monitor says of a container.
    ///
    /// # Errors
    ///
    /// When there is no monitor, or no container of this name.
    pub fn container(&self, name: &str) -> Result<Container> {
        let status = self.run(&format!("cat {STATUS}"))?;
        let found = status.lines().find_map(|line| Container::read(line, name));
        self.vm.blame(found.ok_or_else(|| Failure::new(format!("no container {name} in {status:?}"))))
    }

    /// A container's line once it runs, and when its process started: together they
    /// tell one instance from another.
    ///
    /// # Errors
    ///
    /// When it does not run in time.
    pub fn life_of(&self, name: &str) -> Result<(Container, String)> {
        self.run_until(&format!("grep -q '^{name} running ' {STATUS}"))?;
        let container = self.container(name)?;
        // proc(5): the 22nd field of /proc/PID/stat, the 20th after the name.
        let start = self.run(&format!("sed 's/.*) //' /proc/{}/stat | cut -d ' ' -f 20", container.pid))?;
        Ok((container, start))
    }

    /// Sends a signal that ends one of our services, and waits until another process
    /// is in its place. What [`Running::container`] tells after that of a monitor is
    /// the new one's word.
    ///
    /// # Errors
    ///
    /// When none comes in time.
    pub fn end_service(&self, program: &str, signal: &str) -> Result {
        // Children of PID 1 alone: what a service begins has its name for a moment. A monitor
        // removes old files with another of its kind, which outlives it.
        let all = format!(
            "for p in $(pidof {program}); do \
             [ \"$(sed 's/.*) //' /proc/$p/stat | cut -d ' ' -f 2)\" = 1 ] && \
             ! grep -q -e --remove -e --fill /proc/$p/cmdline && echo $p; done 2>/dev/null"
        );
        let first = self.run(&format!("until {all} | head -n 1 | grep .; do sleep 0.2; done"))?;
        let first = first.trim();
        let status = if program == "skerry-monitor" { format!("rm {STATUS}; ") } else { String::new() };
        self.run(&format!("{status}kill -{signal} {first}"))?;
        self.run_until(&format!("{all} | grep -qvx {first}"))?;
        if status.is_empty() { Ok(()) } else { self.run_until(&format!("[ -e {STATUS} ]")) }
    }

    /// Looks at the log of a container that prints `line 0`, `line 1` and so on: it
    /// has neither hole nor repetition, and goes on.
    ///
    /// # Errors
    ///
    /// When it has, or does not.
    pub fn log_is_whole_and_goes_on(&self, name: &str) -> Result {
        let log = format!("/var/log/skerry/containers/{name}.log");
        let lines: u32 = self.run(&format!("wc -l <{log}"))?.trim().parse()?;
        self.run_until(&format!("[ $(wc -l <{log}) -gt {} ]", lines + 20))?;
        // The last line may be half written.
        let check =
            "{ if (NR > 1 && last != NR - 2) { print NR, last; exit 1 }; sub(/.*line /, \"\"); last = $0 }";
        self.run(&format!("awk '{check}' {log}")).map(drop)
    }

    /// Presses the power button and waits until the node has switched itself off.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub fn power_off(&self) -> Result {
        self.vm.power_button()?;
        Ok(self.vm.wait_off()?)
    }
}

/// A container's line in `/run/skerry/monitor/status`, without name and image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `running`, `absent` and so on.
    pub state: String,
    /// Its first process; 0 when there is none.
    pub pid: u32,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last: an exit status or a word; `-` when it never has.
    pub exit: String,
}

impl Container {
    fn read(line: &str, name: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [its_name, state, pid, restarts, exit, ..] if its_name == name => Some(Self {
                state: state.to_owned(),
                pid: pid.parse().unwrap_or(0),
                restarts: restarts.parse().ok()?,
                exit: exit.to_owned(),
            }),
            _ => None,
        }
    }
}
