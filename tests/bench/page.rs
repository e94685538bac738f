//! From reset to a web page that nginx serves from a container, and whose share each
//! part of that road is.
//!
//! The node boots from memory: a disk's interrupts come when the workstation pleases. A
//! program on the node (`guest/page.c`) asks for the page until it is there. What lies
//! between is read off the console ([`crate::road`]).

use crate::guest::{Programs, folder};
use crate::machine::{repeated, start};
use crate::measurement::{Measurement, Table, Unit};
use crate::pid1::MOST_MEMORY;
use crate::road::{Road, read};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use tests::{Archive, Failure, Image, Result, programs};

/// In MiB: the image lies in memory, once as an archive and once unpacked.
const MEMORY: u32 = 512;

const CONFIG: &str = "[containers.web]\nimage = \"nginx\"\n\n\
                      [services.page]\ncommand = [\"/usr/libexec/bench/page\"]\n";

/// Boots the demonstration with the program that waits for its page.
pub fn measure(guest: &Programs) -> Result<Table> {
    let image = image(guest)?.build()?;
    let initramfs = initramfs(guest, &image)?;
    let kernel = image.join("vmlinuz");
    let road = repeated("web page", || drive(&kernel, &initramfs), |road: &Road| road.page)?;
    Ok(Table { name: "page", title: "From reset to a page of nginx in a container", rows: rows(&road) })
}

/// The demonstration's node and that program.
fn image(guest: &Programs) -> Result<Image> {
    let mut hash = DefaultHasher::new();
    hash.write(&fs::read(&guest.page)?);
    // The comment makes another image of another program.
    let more = format!(
        "\n[files]\n# {:x}\n\"/usr/libexec/bench/page\" = {{ source = {:?} }}\n",
        hash.finish(),
        guest.page
    );
    Ok(Image::empty().container("nginx").with(CONFIG, &more))
}

/// The image's own, and behind it a second archive whose `/init` notes the counter.
fn initramfs(guest: &Programs, image: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(image.join("initramfs-memory.cpio"))?;
    let second = Archive::default().folder("/bench").file("/bench/init", &programs().join("init"))?;
    bytes.extend(second.file("/init", &guest.start)?.finish());
    let path = folder().join("page.cpio");
    fs::write(&path, bytes)?;
    Ok(path)
}

fn drive(kernel: &Path, initramfs: &Path) -> Result<Road> {
    let vm = start(kernel, initramfs, MEMORY)?;
    let first = vm.console().wait_for("bench: ")?;
    let web = vm.console().wait_for("web: ")?;
    if !web.contains("web: running") {
        return Err(Failure::new(format!("web page: {web}")));
    }
    let served = vm.console().wait_for("served: ")?;
    read(&first, &served, &vm.console().text())
        .ok_or_else(|| Failure::new(format!("web page: the console lacks a step after: {first}")))
}

fn rows(road: &Road) -> Vec<Measurement> {
    let instructions = |name, value| Measurement::new(name, Unit::Instructions, value);
    let rest = road.running.saturating_sub(road.pid1 + road.modules + road.root);
    let parts = [
        instructions("kernel", road.pid1),
        instructions("modules for the hardware", road.modules),
        instructions("root", road.root),
        instructions("the rest of ours", rest),
        instructions("container", road.page - road.running),
    ];
    let mut rows: Vec<_> = parts.into_iter().map(|row| row.beside("the whole", road.page)).collect();
    rows.push(instructions("reset to page", road.page));
    let memory = Measurement::new("resident memory of PID 1", Unit::Memory, road.memory);
    rows.push(memory.within("the bar", MOST_MEMORY));
    rows
}
