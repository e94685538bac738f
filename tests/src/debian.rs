//! A Debian 12 machine with podman, containerd and docker, for the runtime under them.
//!
//! `tests/debian/build` makes its disk, which no run changes. The runtime under test, the container
//! images and whatever else a test program needs come on a second drive: a runtime that was
//! rebuilt does not rebuild Debian. Booting takes a while, so a test leaves its machine to the next
//! one, [`Debian::lent`]; machines end with the test program.

use crate::disk::{Scratch, drive};
use crate::image::{container_archive, repository, said};
use crate::probe::{self, Output, Probe};
use crate::programs::{container_tests, programs};
use crate::{Failure, Result};
use qemu::{Disk, Machine, Network, Vm};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The container images on the drive, as `/given/images/NAME.tar`.
const IMAGES: [&str; 2] = ["busybox", "python"];

/// Everything that services say comes on the console too, for a test that fails.
pub(crate) const WORDS: &str = "console=ttyS0 root=/dev/vda rw quiet panic=10 fsck.mode=skip systemd.show_status=0 \
    systemd.journald.forward_to_console=1";

/// How long a command may take, with the boot before the first one: engines start tens of processes
/// for a container, each of them emulated on a workstation without KVM.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A Debian machine; commands in it are those of its root. A clone is the same machine. When the
/// test fails, what the console said meanwhile is printed.
#[derive(Clone)]
pub struct Debian {
    held: Rc<Held>,
}

/// A machine as long as a test has it.
struct Held {
    /// There until it is handed on.
    machine: Option<Booted>,
    /// Whether the next test gets it.
    lent: bool,
    /// How much the console had said before.
    since: usize,
    failed: Cell<bool>,
}

struct Booted {
    // In the order in which they end: the machine before its files.
    probe: Probe,
    vm: Vm,
    _scratch: Scratch,
}

/// How the machine's two processors work.
#[derive(Clone, Copy, Debug)]
pub enum Processors {
    /// On one thread of the workstation: work divided between them is done no sooner.
    InTurns,
    /// Each on a thread of its own. No cgroup in the machine may have a limit ([`Machine::one_thread`]).
    AtOnce,
}

/// Machines that tests have left, and that no test has just now.
static LEFT: Mutex<Vec<Booted>> = Mutex::new(Vec::new());

impl Debian {
    /// One that takes commands and that nobody else has: what an earlier test left, or else another.
    /// `/given/more/containers` is what [`container_tests`] makes.
    ///
    /// # Errors
    ///
    /// When its disk cannot be built, or it did not come up in time, be it for an earlier test.
    pub fn lent() -> Result<Self> {
        static BROKEN: OnceLock<String> = OnceLock::new();
        let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let booted = match (left, BROKEN.get()) {
            (Some(machine), _) => Ok(machine),
            (None, Some(words)) => Err(words.clone()),
            (None, None) => container_tests()
                .and_then(|tests| Booted::start(Some(&tests), Processors::InTurns))
                .map_err(|failure| BROKEN.get_or_init(|| failure.to_string()).clone()),
        };
        booted
            .map(|machine| Self::of(machine, true))
            .map_err(|words| Failure::new(format!("Debian: {words}")))
    }

    /// Boots one, and waits until it takes commands.
    ///
    /// # Errors
    ///
    /// When its disk cannot be built, or it does not come up in time.
    pub fn boot() -> Result<Self> {
        Booted::start(None, Processors::InTurns).map(|machine| Self::of(machine, false))
    }

    /// As [`Debian::boot`], with a folder's files at `/given/more`; the processors of the others take turns.
    ///
    /// # Errors
    ///
    /// The same, or when the folder cannot be read.
    pub fn boot_with(more: &Path, processors: Processors) -> Result<Self> {
        Booted::start(Some(more), processors).map(|machine| Self::of(machine, false))
    }

    fn of(machine: Booted, lent: bool) -> Self {
        let since = machine.vm.console().text().len();
        let machine = Some(machine);
        Self { held: Rc::new(Held { machine, lent, since, failed: Cell::new(false) }) }
    }

    /// The runtime under test, as a path in the machine: ours, or the `runc`, `crun` or other path of
    /// `SKERRY_TEST_RUNTIME`.
    pub fn runtime() -> String {
        match std::env::var("SKERRY_TEST_RUNTIME").as_deref() {
            Err(_) => "/usr/local/bin/skerry-runtime".to_owned(),
            Ok("runc") => "/usr/sbin/runc".to_owned(),
            Ok("crun") => "/usr/bin/crun".to_owned(),
            Ok(path) => path.to_owned(),
        }
    }

    /// Runs a command of bash and returns its output.
    ///
    /// # Errors
    ///
    /// When it exits with another status than 0, or does not end in time.
    pub fn run(&self, command: &str) -> Result<String> {
        let Output { status, text } = self.try_run(command)?;
        self.blame(match status {
            0 => Ok(text),
            _ => Err(Failure::new(format!("run {command:?}: exit status {status}: {text}"))),
        })
    }

    /// As [`Debian::run`], whatever the exit status is.
    ///
    /// # Errors
    ///
    /// When the command does not end in time.
    pub fn try_run(&self, command: &str) -> Result<Output> {
        let machine = self.held.machine.as_ref().expect("it is there as long as it is held");
        self.blame(machine.probe.run(command))
    }

    fn blame<T>(&self, result: Result<T>) -> Result<T> {
        self.held.failed.set(self.held.failed.get() || result.is_err());
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(machine) = self.machine.take() else { return };
        if thread::panicking() || self.failed.get() {
            let text = machine.vm.console().text();
            let meanwhile = text.get(self.since..).unwrap_or(&text);
            eprintln!("--- serial console ---\n{meanwhile}\n--- end of serial console ---");
        }
        // What a test that failed has left behind is nobody else's.
        if self.lent && !self.failed.get() && !thread::panicking() {
            LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(machine);
        }
    }
}

impl Booted {
    fn start(more: Option<&Path>, processors: Processors) -> Result<Self> {
        let folder = said(&mut Command::new(repository().join("tests/debian/build")))?;
        let folder = PathBuf::from(folder.trim());
        let scratch = Scratch::new()?;
        let machine = Machine::q35().memory(2048).cpus(2);
        let machine = match processors {
            Processors::InTurns => machine.one_thread(),
            Processors::AtOnce => machine,
        };
        let vm = machine
            .kernel(folder.join("vmlinuz"), folder.join("initramfs.cpio"), WORDS)
            .network(Network::user().restricted())
            .disk(Disk::new(folder.join("root.ext4")).snapshot())
            .disk(Disk::new(given(scratch.path(), more)?).read_only())
            .channel(probe::CHANNEL)
            .ends_at_reset()
            .shown()
            .start()?;
        let probe = Probe::new(vm.channel(), LIMIT)?;
        vm.blame(probe.run("true"))?;
        Ok(Self { probe, vm, _scratch: scratch })
    }
}

/// The drive with what does not belong to Debian.
fn given(scratch: &Path, more: Option<&Path>) -> Result<PathBuf> {
    let content = scratch.join("given");
    fs::create_dir_all(content.join("bin"))?;
    fs::create_dir_all(content.join("images"))?;
    fs::copy(repository().join("tests/probe/serve"), content.join("serve"))?;
    for program in ["skerry", "skerry-keeper", "skerry-monitor", "skerry-network", "skerry-runtime"] {
        fs::copy(programs().join(program), content.join("bin").join(program))?;
    }
    for name in IMAGES {
        fs::copy(container_archive(name)?, content.join(format!("images/{name}.tar")))?;
    }
    let Some(more) = more else { return drive(scratch, "given", &content, "64M") };
    said(Command::new("cp").arg("-r").arg(more).arg(content.join("more")))?;
    drive(scratch, "given", &content, "1G")
}
