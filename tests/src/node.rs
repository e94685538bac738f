//! A node in a virtual machine, as tests speak of it.

use crate::disk::{Scratch, config_drive};
use crate::probe::{self, Output, Probe};
use crate::slots::Slot;
use crate::{Failure, Image, Result, web};
use qemu::{Accelerator, Board, Console, Disk, Machine, Network, Vm};
use std::path::Path;

/// A node that is not booted yet.
#[derive(Debug)]
pub struct Node {
    image: Image,
    board: Board,
    memory: u32,
    from_memory: bool,
    network: Network,
    config: Option<Vec<u8>>,
    disks: Vec<Disk>,
    append: String,
    free_slots: u32,
    watchdog: bool,
    ends_at_reset: bool,
}

/// A node that runs; it ends with this value. When the test fails, its console is
/// printed.
pub struct Running {
    // In the order in which they end: the machine before its files and its slot.
    probe: Option<Probe>,
    vm: Vm,
    _scratch: Scratch,
    _slot: Slot,
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// A q35 machine of 256 MiB, booted from disk, and a network on which port 80
    /// is forwarded. Its image has the probe and no container image.
    pub fn new() -> Self {
        Self {
            image: Image::empty().probe(),
            board: Board::Q35,
            memory: 256,
            from_memory: false,
            network: Network::user().forward(0, 80),
            config: None,
            disks: Vec::new(),
            append: String::new(),
            free_slots: 0,
            watchdog: false,
            ends_at_reset: false,
        }
    }

    /// The same, with every container image of the tests in the node's image.
    pub fn with_images() -> Self {
        Self::new().image(Image::with_images())
    }

    /// Another image.
    pub fn image(self, image: Image) -> Self {
        Self { image, ..self }
    }

    /// A `node.toml` on a drive labelled `SKERRY`.
    pub fn config(self, toml: impl AsRef<[u8]>) -> Self {
        Self { config: Some(toml.as_ref().to_owned()), ..self }
    }

    /// Memory in MiB.
    pub fn memory(self, memory: u32) -> Self {
        Self { memory, ..self }
    }

    /// Boots with the root in memory and no disk for it.
    pub fn from_memory(self) -> Self {
        Self { from_memory: true, ..self }
    }

    /// Another board.
    pub fn board(self, board: Board) -> Self {
        Self { board, ..self }
    }

    /// Another network.
    pub fn network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// One more disk.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// More words on the kernel's command line.
    pub fn append(self, words: &str) -> Self {
        Self { append: format!("{} {words}", self.append), ..self }
    }

    /// Slots for disks that are plugged in later.
    pub fn free_slots(self, free_slots: u32) -> Self {
        Self { free_slots, ..self }
    }

    /// A hardware watchdog.
    pub fn watchdog(self) -> Self {
        Self { watchdog: true, ..self }
    }

    /// A reset ends the machine.
    pub fn ends_at_reset(self) -> Self {
        Self { ends_at_reset: true, ..self }
    }

    /// Switches the node on. Returns at once; the console tells how far it is.
    ///
    /// # Errors
    ///
    /// When the image cannot be built or the machine not started.
    pub fn boot(&self) -> Result<Running> {
        let folder = self.image.build()?;
        let scratch = Scratch::new()?;
        let slot = Slot::take();
        let vm = self.machine(&folder, &scratch)?.start()?;
        let probe = match self.image.has_probe() {
            true => Some(Probe::new(vm.channel(), Accelerator::detect().patience())?),
            false => None,
        };
        Ok(Running { probe, vm, _scratch: scratch, _slot: slot })
    }

    fn machine(&self, folder: &Path, scratch: &Scratch) -> Result<Machine> {
        let initramfs = if self.from_memory { "initramfs-memory.cpio" } else { "initramfs.cpio" };
        let wait = if self.config.is_some() { " skerry.config=wait" } else { "" };
        let words = format!("console=ttyS0 quiet panic=10{wait}{}", self.append);
        let mut machine = Machine::new(self.board)
            .memory(self.memory)
            .network(self.network.clone())
            .free_slots(self.free_slots)
            .kernel(folder.join("vmlinuz"), folder.join(initramfs), &words);
        if !self.from_memory {
            machine = machine.disk(Disk::new(folder.join("root.erofs")).read_only());
        }
        if let Some(toml) = &self.config {
            let drive = config_drive(scratch.path(), "SKERRY", toml)?;
            machine = machine.disk(Disk::new(drive).read_only());
        }
        if self.image.has_probe() {
            machine = machine.channel(probe::CHANNEL);
        }
        if self.watchdog {
            machine = machine.watchdog();
        }
        if self.ends_at_reset {
            machine = machine.ends_at_reset();
        }
        Ok(self.disks.iter().cloned().fold(machine, Machine::disk))
    }
}

impl Running {
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
        self.vm.blame(web::page(port, path, Accelerator::detect().patience()))
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
        let probe = self.probe.as_ref().ok_or_else(|| Failure::new("the image has no probe"))?;
        self.vm.blame(probe.run(command))
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
        let status = self.run("cat /run/skerry/monitor/status")?;
        let found = status.lines().find_map(|line| Container::read(line, name));
        self.vm.blame(found.ok_or_else(|| Failure::new(format!("no container {name} in {status:?}"))))
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
