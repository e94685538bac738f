//! A node that is not switched on yet, as tests describe it.

use crate::disk::{Scratch, config_drive, fresh};
use crate::probe::{self, Probe};
use crate::slots::Slot;
use crate::{Image, Result, Running};
use qemu::{Accelerator, Board, Disk, Machine, Network};
use std::path::Path;

/// A node that is not booted yet.
#[derive(Debug)]
pub struct Node {
    image: Image,
    board: Board,
    memory: u32,
    cpus: u32,
    from_memory: bool,
    network: Network,
    config: Option<Vec<u8>>,
    firmware: Option<String>,
    disks: Vec<Disk>,
    append: String,
    options: Vec<(String, String)>,
    free_slots: u32,
    watchdog: bool,
    ends_at_reset: bool,
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
            cpus: 1,
            from_memory: false,
            network: Network::user().forward(0, 80),
            config: None,
            firmware: None,
            disks: Vec::new(),
            append: String::new(),
            options: Vec::new(),
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

    /// A `node.toml` by QEMU's fw_cfg.
    pub fn firmware(self, toml: &str) -> Self {
        Self { firmware: Some(toml.to_owned()), ..self }
    }

    /// More lines of that `node.toml`.
    pub fn more_config(self, toml: &str) -> Self {
        let config = [self.config.as_deref().unwrap_or_default(), b"\n", toml.as_bytes()].concat();
        Self { config: Some(config), ..self }
    }

    /// Memory in MiB.
    pub fn memory(self, memory: u32) -> Self {
        Self { memory, ..self }
    }

    /// So many processors, in place of one.
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
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

    /// One of QEMU's own options, for a device that few tests need.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
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

    /// Builds its image, for who counts the time from the switch alone.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn prepare(&self) -> Result {
        self.image.build().map(drop)
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
        Ok(Running::new(probe, vm, scratch, slot))
    }

    fn machine(&self, folder: &Path, scratch: &Scratch) -> Result<Machine> {
        let initramfs = if self.from_memory { "initramfs-memory.cpio" } else { "initramfs.cpio" };
        let wait = if self.config.is_some() { " skerry.config=wait" } else { "" };
        let words = format!("console=ttyS0 quiet panic=10{wait}{}", self.append);
        let mut machine = Machine::new(self.board)
            .memory(self.memory)
            .cpus(self.cpus)
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
        if let Some(toml) = &self.firmware {
            let file = fresh(scratch.path(), "firmware");
            std::fs::write(&file, toml)?;
            machine =
                machine.option("-fw_cfg", &format!("name=opt/org.skerry/config,file={}", file.display()));
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
        let machine = self.options.iter().fold(machine, |machine, (name, value)| machine.option(name, value));
        Ok(self.disks.iter().cloned().fold(machine, Machine::disk))
    }
}
