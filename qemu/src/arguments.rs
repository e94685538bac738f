//! A machine, as QEMU's command line. Pure.

use crate::machine::{Board, Boot, Machine};
use crate::{Accelerator, Disk, Network};

/// Descriptors that QEMU inherits; each is one end of a socket pair.
pub(crate) const QMP: i32 = 3;
pub(crate) const CONSOLE: i32 = 4;
pub(crate) const CHANNEL: i32 = 5;

/// The slot for hot-plugged disk number `index`.
pub(crate) fn slot(index: u32) -> String {
    format!("slot{index}")
}

/// The arguments after the program's name.
pub(crate) fn arguments(machine: &Machine, boot: &Boot) -> Vec<String> {
    let mut line = Line::default();
    line.option("-machine", board(machine.board));
    line.words(&machine.accelerator.arguments(machine.one_thread));
    line.words(&["-nodefaults", "-no-user-config", "-display", "none"]);
    line.option("-m", &format!("{}M", machine.memory));
    line.option("-smp", &machine.cpus.to_string());
    line.option("-chardev", &format!("socket,id=qmp,fd={QMP}"));
    line.option("-mon", "chardev=qmp,mode=control");
    line.option("-chardev", &format!("socket,id=console,fd={CONSOLE}"));
    line.option("-serial", "chardev:console");
    line.option("-kernel", &text(&boot.kernel));
    line.option("-initrd", &text(&boot.initrd));
    line.option("-append", &command_line(machine, boot));
    if machine.ends_at_reset {
        line.words(&["-no-reboot"]);
    }
    if machine.counted {
        line.words(&["-icount", "shift=0,sleep=off", "-seed", "1"]);
        line.words(&["-rtc", "base=2025-01-01T00:00:00,clock=vm"]);
    }
    devices(machine, &mut line);
    machine.options.iter().for_each(|(name, value)| line.option(name, value));
    line.0
}

/// An emulated microvm has nothing but an old timer to measure its time stamp counter by. On a
/// busy workstation that fails, and the kernel stands still before its first line; so it is told.
fn command_line(machine: &Machine, boot: &Boot) -> String {
    let needs =
        machine.board == Board::Microvm && machine.accelerator == Accelerator::Tcg && !machine.counted;
    match machine.counter_khz.filter(|_| needs) {
        Some(khz) => format!("{} tsc_early_khz={khz}", boot.command_line),
        None => boot.command_line.clone(),
    }
}

/// `sata=off`: six empty ports cost a boot 283 ms. `acpi=on`: without it a
/// microvm finds no disk and cannot switch itself off.
fn board(board: Board) -> &'static str {
    match board {
        Board::Q35 => "q35,sata=off",
        Board::Microvm => "microvm,acpi=on,rtc=on",
    }
}

fn devices(machine: &Machine, line: &mut Line) {
    let kind = |device: &str| match machine.board {
        Board::Q35 => format!("virtio-{device}-pci"),
        Board::Microvm => format!("virtio-{device}-device"),
    };
    // A microvm's guest finds the devices of the highest bus first, and QEMU
    // fills the buses from the lowest; so the disks are given last one first.
    let disks: Vec<_> = machine.disks.iter().enumerate().collect();
    let ordered: Vec<_> = match machine.board {
        Board::Q35 => disks,
        Board::Microvm => disks.into_iter().rev().collect(),
    };
    for (index, disk) in ordered {
        line.option("-drive", &drive(index, disk));
        let serial = disk.serial.as_deref().map(|serial| format!(",serial={}", escape(serial)));
        let serial = serial.unwrap_or_default();
        line.option("-device", &format!("{},drive=disk{index}{serial}", kind("blk")));
    }
    if let Some(netdev) = machine.network.netdev() {
        line.option("-netdev", &netdev);
        line.option(
            "-device",
            &format!("{},netdev=net0{}{}", kind("net"), machine.network.mac(), rom(machine)),
        );
    }
    if machine.rng {
        line.option("-device", &kind("rng"));
    }
    if let Some(name) = &machine.channel {
        line.option("-chardev", &format!("socket,id=channel,fd={CHANNEL}"));
        line.option("-device", &kind("serial"));
        line.option("-device", &format!("virtserialport,nr=1,chardev=channel,name={}", escape(name)));
    }
    if machine.watchdog {
        line.option("-device", "i6300esb");
        line.option("-action", "watchdog=reset");
    }
    for index in 0..machine.free_slots {
        line.option("-device", &format!("pcie-root-port,id={},chassis={}", slot(index), index + 1));
    }
}

/// A PCI network card's boot ROM is of no use to a machine that boots a kernel.
fn rom(machine: &Machine) -> &'static str {
    match (machine.board, &machine.network) {
        (Board::Q35, Network::User(_) | Network::Silent | Network::Tap(_)) => ",romfile=",
        _ => "",
    }
}

fn drive(index: usize, disk: &Disk) -> String {
    let switch = |on| if on { "on" } else { "off" };
    format!(
        "if=none,id=disk{index},format=raw,readonly={},snapshot={},file={}",
        switch(disk.read_only),
        switch(disk.snapshot),
        escape(&text(&disk.file))
    )
}

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// A comma within a value of QEMU's options is written twice.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn option(&mut self, name: &str, value: &str) {
        self.words(&[name, value]);
    }

    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|&word| word.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: &Machine) -> String {
        let boot = Boot { kernel: "k".into(), initrd: "i".into(), command_line: "quiet".into() };
        arguments(machine, &boot).join(" ")
    }

    #[test]
    fn a_disk_says_whether_it_is_shared_and_how_it_is_called() {
        let disk = Disk::new("a,b.img").serial("data").snapshot();
        let line = line(&Machine::q35().disk(disk));
        assert!(line.contains("readonly=off,snapshot=on,file=a,,b.img"), "{line}");
        assert!(line.contains("virtio-blk-pci,drive=disk0,serial=data"), "{line}");
    }

    #[test]
    fn an_emulated_microvm_is_told_how_fast_its_counter_is() {
        let told = |machine: Machine, accelerator| {
            let machine = Machine { counter_khz: Some(2_600_000), ..machine.accelerator(accelerator) };
            line(&machine).contains("-append quiet tsc_early_khz=2600000 ")
        };
        assert!(told(Machine::microvm(), Accelerator::Tcg));
        assert!(!told(Machine::microvm(), Accelerator::Kvm) && !told(Machine::q35(), Accelerator::Tcg));
        assert!(!told(Machine::microvm().counted(), Accelerator::Tcg), "it counts instructions");
    }

    #[test]
    fn a_microvm_has_no_pci_device() {
        let machine = Machine::microvm().disk(Disk::new("d")).network(Network::user()).channel("c");
        let line = line(&machine);
        assert!(!line.contains("pci"), "{line}");
        assert!(line.contains("virtio-serial-device"), "{line}");
    }

    #[test]
    fn forwarded_ports_are_bound_to_this_machine_alone() {
        let network = Network::user().forward(8080, 80).forward(0, 443).restricted();
        let line = line(&Machine::q35().network(network));
        let expected = "restrict=on,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:0-:443";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn a_tap_device_is_there_before_the_machine_and_the_card_has_its_own_address() {
        let line =
            line(&Machine::microvm().network(Network::tap("/proc/1/ns/net", "tap1", "52:54:00:00:00:01")));
        assert!(line.contains("-netdev tap,id=net0,ifname=tap1,script=no,downscript=no"), "{line}");
        assert!(line.contains("virtio-net-device,netdev=net0,mac=52:54:00:00:00:01"), "{line}");
    }

    #[test]
    fn emulated_processors_take_turns_where_that_was_asked_for() {
        let machine = Machine::q35().accelerator(Accelerator::Tcg).cpus(2);
        assert!(line(&machine).contains("-accel tcg -cpu"));
        assert!(line(&machine.one_thread()).contains("-accel tcg,thread=single -cpu"));
    }

    #[test]
    fn a_counted_machine_has_no_source_of_chance() {
        let line = line(&Machine::microvm().counted());
        assert!(line.contains("-accel tcg") && line.contains("-icount shift=0,sleep=off"), "{line}");
        assert!(!line.contains("virtio-rng"), "{line}");
    }

    #[test]
    fn slots_for_later_disks_are_told_apart() {
        let line = line(&Machine::q35().free_slots(2));
        assert!(line.contains("pcie-root-port,id=slot0,chassis=1"), "{line}");
        assert!(line.contains("pcie-root-port,id=slot1,chassis=2"), "{line}");
    }
}
