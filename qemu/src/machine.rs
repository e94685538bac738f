//! A machine, as a value.

use crate::{Accelerator, Disk, Error, Network};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kind of machine that QEMU plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// A PC with PCI Express: hot-plug, a watchdog, everything a server has.
    Q35,
    /// As little as Linux needs: virtio on MMIO, no PCI.
    Microvm,
}

/// The description of a machine that boots a kernel directly.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) board: Board,
    pub(crate) accelerator: Accelerator,
    pub(crate) memory: u32,
    pub(crate) cpus: u32,
    pub(crate) one_thread: bool,
    pub(crate) boot: Option<Boot>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) network: Network,
    pub(crate) rng: bool,
    pub(crate) watchdog: bool,
    pub(crate) free_slots: u32,
    pub(crate) channel: Option<String>,
    pub(crate) ends_at_reset: bool,
    pub(crate) patience: Option<Duration>,
    pub(crate) shown: bool,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) counted: bool,
    /// What the time stamp counter of this machine counts in a millisecond.
    pub(crate) counter_khz: Option<u64>,
}

/// What the machine boots.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub command_line: String,
}

impl Machine {
    /// A PC with PCI Express, 256 MiB of memory and one processor.
    pub fn q35() -> Self {
        Self::new(Board::Q35)
    }

    /// The smallest board, with 256 MiB of memory and one processor.
    pub fn microvm() -> Self {
        Self::new(Board::Microvm)
    }

    /// A machine of this board with 256 MiB of memory, one processor and a
    /// random number generator.
    pub fn new(board: Board) -> Self {
        Self {
            board,
            accelerator: Accelerator::detect(),
            memory: 256,
            cpus: 1,
            one_thread: false,
            boot: None,
            disks: Vec::new(),
            network: Network::None,
            rng: true,
            watchdog: false,
            free_slots: 0,
            channel: None,
            ends_at_reset: false,
            patience: None,
            shown: false,
            options: Vec::new(),
            counted: false,
            counter_khz: crate::accelerator::counter_khz(),
        }
    }

    /// Memory in MiB.
    pub fn memory(self, memory: u32) -> Self {
        Self { memory, ..self }
    }

    /// Number of processors.
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// Processors that QEMU emulates take turns on one thread of the workstation. On threads of their
    /// own, QEMU before 8.1 loses a race now and then with a kernel that changes its own code, as
    /// Linux does for a cgroup's first limit, and the guest ends with `Oops: int3`.
    pub fn one_thread(self) -> Self {
        Self { one_thread: true, ..self }
    }

    /// The accelerator, in place of the one detected.
    pub fn accelerator(self, accelerator: Accelerator) -> Self {
        Self { accelerator, ..self }
    }

    /// Boots this kernel with this initramfs and command line.
    pub fn kernel(self, kernel: impl AsRef<Path>, initrd: impl AsRef<Path>, command_line: &str) -> Self {
        let boot = Boot {
            kernel: kernel.as_ref().to_owned(),
            initrd: initrd.as_ref().to_owned(),
            command_line: command_line.to_owned(),
        };
        Self { boot: Some(boot), ..self }
    }

    /// Adds a disk; the first is `/dev/vda`, the second `/dev/vdb` and so on.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Plugs the network card into `network`.
    pub fn network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// Adds an i6300esb watchdog, which resets the machine.
    pub fn watchdog(self) -> Self {
        Self { watchdog: true, ..self }
    }

    /// Adds PCI Express slots for disks that are plugged in later.
    pub fn free_slots(self, free_slots: u32) -> Self {
        Self { free_slots, ..self }
    }

    /// Adds a virtio-serial port, a raw channel to a program in the guest:
    /// [`Vm::channel`](crate::Vm::channel) here, there the `/dev/NODE` whose
    /// `/sys/class/virtio-ports/NODE/name` is this name.
    pub fn channel(self, name: &str) -> Self {
        Self { channel: Some(name.to_owned()), ..self }
    }

    /// A reset ends the machine instead of booting it again.
    pub fn ends_at_reset(self) -> Self {
        Self { ends_at_reset: true, ..self }
    }

    /// How long each wait lasts at most, in place of a limit that suits the
    /// accelerator.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// One of QEMU's own options, for a device that only a test of the kernel needs.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The console is shown as it comes, so a failure does not print it again.
    pub fn shown(self) -> Self {
        Self { shown: true, ..self }
    }

    /// Time is what the guest's instructions count: one is a nanosecond, and idle time
    /// is skipped. The same machine does the same to the instruction each time, as
    /// long as nothing comes from outside: no random number generator, no disk, no
    /// network that answers. The guest reads the count with `rdtsc`.
    pub fn counted(self) -> Self {
        Self { accelerator: Accelerator::Tcg, rng: false, counted: true, ..self }
    }

    /// Finds what QEMU would refuse with less helpful words.
    pub(crate) fn check(&self) -> Result<&Boot, Error> {
        let boot = self.boot.as_ref().ok_or_else(|| Error::Impossible("the machine has no kernel".into()))?;
        if self.board == Board::Microvm && (self.watchdog || self.free_slots > 0) {
            return Err(Error::Impossible("a microvm has no PCI: neither watchdog nor hot-plug".into()));
        }
        for disk in &self.disks {
            disk.check()?;
        }
        let files = [&boot.kernel, &boot.initrd];
        for file in files.into_iter().chain(self.disks.iter().map(|disk| &disk.file)) {
            File::open(file).map_err(|cause| Error::File(file.clone(), cause))?;
        }
        Ok(boot)
    }
}

impl Disk {
    /// virtio-blk cuts a serial number at 20 bytes (virtio 1.2, 5.2.6); a guest
    /// would then look for one that is not there.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.serial {
            Some(serial) if serial.len() > 20 => {
                Err(Error::Impossible(format!("serial {serial:?} is longer than the 20 bytes of virtio")))
            }
            _ => Ok(()),
        }
    }
}
