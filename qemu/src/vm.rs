//! A running machine.

use crate::arguments::{CHANNEL, CONSOLE, QMP, arguments, slot};
use crate::machine::{Boot, Machine};
use crate::network::Forward;
use crate::process::{Process, owned};
use crate::qmp::Qmp;
use crate::{Console, Disk, Error, Network};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

const QEMU: &str = "qemu-system-x86_64";

/// A machine that runs, or has ended; dropping it ends it.
#[derive(Debug)]
pub struct Vm {
    process: Process,
    console: Console,
    qmp: Qmp,
    channel: Option<UnixStream>,
    ports: Vec<Forward>,
    patience: Duration,
    shown: bool,
    begun: Instant,
}

impl Machine {
    /// Starts the machine.
    ///
    /// # Errors
    ///
    /// When the description is impossible, a file cannot be read, QEMU is not
    /// installed, or QEMU refuses, for instance because a port is taken.
    pub fn start(&self) -> Result<Vm, Error> {
        let boot = self.check()?;
        installed(QEMU, "qemu-system-x86")?;
        installed("setpriv", "util-linux")?;
        let (qmp, qemu_qmp) = pair()?;
        let (console, qemu_console) = pair()?;
        let (channel, qemu_channel) = pair()?;
        let mut command = command(self, boot);
        command
            .fd_mappings(vec![
                FdMapping { parent_fd: qemu_qmp, child_fd: QMP },
                FdMapping { parent_fd: qemu_console, child_fd: CONSOLE },
                FdMapping { parent_fd: qemu_channel, child_fd: CHANNEL },
            ])
            .map_err(|_| Error::Impossible("two descriptors for one number".into()))?;
        let begun = Instant::now();
        let process = Process::spawn(command)?;
        let patience = self.patience.unwrap_or_else(|| self.accelerator.patience());
        let console = Console::new(console.into(), patience)?;
        let qmp = Qmp::new(qmp.into()).map_err(|error| explain(&process, error))?;
        let ports = self.network.forwarded(&qmp)?;
        let channel = self.channel.is_some().then(|| channel.into());
        Ok(Vm { process, console, qmp, channel, ports, patience, shown: self.shown, begun })
    }
}

fn command(machine: &Machine, boot: &Boot) -> Command {
    let mut command = match machine.network.namespace() {
        Some(namespace) => {
            let mut enter = owned("nsenter");
            enter.arg(format!("--net={}", namespace.display())).arg(QEMU);
            enter
        }
        None => owned(QEMU),
    };
    command.args(arguments(machine, boot)).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    let (ours, theirs) = UnixStream::pair().map_err(|cause| Error::Io("make a socket pair", cause))?;
    Ok((ours.into(), theirs.into()))
}

fn installed(program: &'static str, package: &'static str) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or(Error::NotInstalled { program, package })
}

/// QEMU's own words, when it ended instead of talking to us.
fn explain(process: &Process, error: Error) -> Error {
    match error {
        Error::Ended { .. } => match process.wait(Duration::from_secs(10)) {
            Some(end) => Error::NotStarted(last_line(&end.words)),
            None => error,
        },
        other => other,
    }
}

fn last_line(words: &str) -> String {
    let line = words.lines().last().unwrap_or("it ended without a word");
    line.strip_prefix("qemu-system-x86_64: ").unwrap_or(line).to_owned()
}

impl Network {
    /// The forwarded ports as QEMU bound them.
    fn forwarded(&self, qmp: &Qmp) -> Result<Vec<Forward>, Error> {
        match self {
            Self::User(user) if !user.forwards.is_empty() => {
                let answer =
                    qmp.execute("human-monitor-command", json!({ "command-line": "info usernet" }))?;
                Ok(bound_ports(answer.as_str().unwrap_or_default()))
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Reads `info usernet`, whose rows are
/// `TCP[HOST_FORWARD]  14  127.0.0.1 34567  10.0.2.15  80  0  0`.
fn bound_ports(table: &str) -> Vec<Forward> {
    let row = |line: &str| {
        let mut words = line.trim().strip_prefix("TCP[HOST_FORWARD]")?.split_whitespace().skip(2);
        let host = words.next()?.parse().ok()?;
        let guest = words.nth(1)?.parse().ok()?;
        Some(Forward { host, guest })
    };
    table.lines().filter_map(row).collect()
}

impl Vm {
    /// The serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The channel that [`Machine::channel`] asked for.
    ///
    /// # Panics
    ///
    /// When the machine was built without one.
    pub fn channel(&self) -> &UnixStream {
        self.channel.as_ref().expect("a machine built with a channel")
    }

    /// When it was switched on: QEMU was started.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// QEMU's process ID.
    pub fn id(&self) -> i32 {
        self.process.id()
    }

    /// The port of 127.0.0.1 that leads to the guest's `port`.
    ///
    /// # Errors
    ///
    /// When the machine was built without that port.
    pub fn forwarded(&self, port: u16) -> Result<u16, Error> {
        let found = self.ports.iter().find(|forward| forward.guest == port);
        found
            .map(|forward| forward.host)
            .ok_or_else(|| Error::Impossible(format!("port {port} of the guest is not forwarded")))
    }

    /// Presses the power button (ACPI).
    ///
    /// # Errors
    ///
    /// When the machine has ended.
    pub fn power_button(&self) -> Result<(), Error> {
        self.blame(self.qmp.execute("system_powerdown", json!({}))).map(drop)
    }

    /// Waits until the guest has switched the machine off.
    ///
    /// # Errors
    ///
    /// When it does not within the machine's patience.
    pub fn wait_off(&self) -> Result<(), Error> {
        self.wait_off_within(self.patience)
    }

    /// As [`Vm::wait_off`] with another limit.
    ///
    /// # Errors
    ///
    /// When it does not within `limit`, or QEMU itself failed.
    pub fn wait_off_within(&self, limit: Duration) -> Result<(), Error> {
        let end = self.process.wait(limit);
        self.blame(match end {
            Some(end) if end.status.success() => Ok(()),
            Some(end) => Err(Error::Ended { what: format!("it was switched off: qemu: {}", end.words) }),
            None => Err(Error::Late { what: "switching off".into(), limit }),
        })
    }

    /// Waits for the `nth` reset since power-on, counted from 1, whoever asked
    /// for it: the guest, or its watchdog.
    ///
    /// # Errors
    ///
    /// When the machine's patience or the machine itself ends first.
    pub fn wait_for_reset(&self, nth: usize) -> Result<(), Error> {
        let what = format!("reset {nth}");
        let event = self.qmp.wait_for_event(&what, nth, self.patience, |event| event["event"] == "RESET");
        self.blame(event).map(drop)
    }

    /// Plugs `disk` into free slot number `index` of [`Machine::free_slots`].
    ///
    /// # Errors
    ///
    /// When the slot is not there or not free, or the file cannot be opened.
    pub fn plug(&self, index: u32, disk: &Disk) -> Result<(), Error> {
        disk.check()?;
        let node = format!("plugged{index}");
        let file = json!({ "driver": "file", "filename": absolute(&disk.file)? });
        let block = json!({
            "driver": "raw", "node-name": node, "read-only": disk.read_only, "file": file,
        });
        self.blame(self.qmp.execute("blockdev-add", block))?;
        let mut device =
            json!({ "driver": "virtio-blk-pci", "id": device(index), "bus": slot(index), "drive": node });
        if let Some(serial) = &disk.serial {
            device["serial"] = json!(serial);
        }
        self.blame(self.qmp.execute("device_add", device)).map(drop)
    }

    /// Takes out the disk in slot `index`, and waits until the guest let go of it.
    ///
    /// # Errors
    ///
    /// When the slot is empty, or the guest holds on.
    pub fn unplug(&self, index: u32) -> Result<(), Error> {
        let is_ours =
            |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == device(index);
        self.blame(self.qmp.execute("device_del", json!({ "id": device(index) })))?;
        let gone = self.qmp.wait_for_event("the guest letting go of the disk", 1, self.patience, is_ours);
        self.blame(gone)?;
        let node = json!({ "node-name": format!("plugged{index}") });
        self.blame(self.qmp.execute("blockdev-del", node)).map(drop)
    }

    /// Cuts the power. Returns when QEMU is gone.
    pub fn cut_power(&self) {
        self.process.end();
    }

    /// Passes a result on; an error makes the machine print its console when it is
    /// dropped, as a failed wait does.
    ///
    /// # Errors
    ///
    /// The one in `result`.
    pub fn blame<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        self.console.blame(result)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.process.end();
        if !self.shown && (thread::panicking() || self.console.failed()) {
            eprintln!("--- serial console ---\n{}\n--- end of serial console ---", self.console.text());
        }
    }
}

fn device(index: u32) -> String {
    format!("plugged-disk{index}")
}

fn absolute(file: &Path) -> Result<PathBuf, Error> {
    file.canonicalize().map_err(|cause| Error::File(file.to_owned(), cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_that_qemu_bound_are_read_from_its_table() {
        let table = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                     TCP[HOST_FORWARD]  14       127.0.0.1 34567       10.0.2.15    80     0     0\r\n";
        assert_eq!(bound_ports(table), [Forward { host: 34567, guest: 80 }]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Machine::q35().kernel("no/vmlinuz", "no/initrd", "").start().unwrap_err();
        assert_eq!(error.to_string(), "open no/vmlinuz: no such file or directory");
    }

    #[test]
    fn a_board_without_pci_has_no_slots() {
        let machine = Machine::microvm().free_slots(1).kernel("k", "i", "");
        assert!(matches!(machine.start(), Err(Error::Impossible(_))));
    }
}
