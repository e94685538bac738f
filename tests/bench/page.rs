//! From reset to a web page that nginx serves from a container, and whose share each
//! part of that road is.
//!
//! The node boots from memory: a disk's interrupts come when the workstation pleases. A
//! program on the node (`guest/page.c`) asks for the page until it is there. What lies
//! between is read off the console ([`crate::road`]).

use crate::archive::Archive;
use crate::guest::{Programs, folder};
use crate::machine::{repeated, start};
use crate::measurement::{Measurement, Table, Unit};
use crate::pid1::MOST_MEMORY;
use crate::road::{Road, read};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use tests::{Failure, Image, Result, programs};

/// In MiB: the image lies in memory, once as an archive and once unpacked.
const MEMORY: u32 = 512;

const CONFIG: &str = "[containers.web]\nimage = \"nginx\"\n\n\
                      [services.page]\ncommand = [\"/usr/libexec/bench/page\"]\n";

/// Boots the demonstration with the program that waits for its page.
pub fn measure(guest: &Programs) -> Result<Table> {
    let image = image(guest)?.build()?;
    let initramfs = initramfs(guest, &image)?;
    let kernel = image.join("vmlinuz");
    let last = |road: &Road| road.container.as_ref().map_or(road.services, |served| served.page);
    let road = repeated("web page", || drive(&kernel, &initramfs), last)?;
    if let Err(words) = &road.container {
        println!("web page: the road ends at the services, since there is no container: {words}");
    }
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
    let served = match web.contains("web: running") {
        true => Ok(vm.console().wait_for("served: ")?),
        false => Err(web),
    };
    read(&first, served, &vm.console().text())
        .ok_or_else(|| Failure::new(format!("web page: the console lacks a step after: {first}")))
}

/// Without a container, the road ends at the services.
fn rows(road: &Road) -> Vec<Measurement> {
    let instructions = |name, value| Measurement::new(name, Unit::Instructions, value);
    let (running, end) = road
        .container
        .as_ref()
        .map_or((road.services, road.services), |served| (served.running, served.page));
    let mut rows = vec![
        instructions("kernel", road.pid1),
        instructions("modules for the hardware", road.modules),
        instructions("root", road.root),
        instructions("the rest of ours", running.saturating_sub(road.pid1 + road.modules + road.root)),
    ];
    if road.container.is_ok() {
        rows.push(instructions("container", end - running));
    }
    let mut rows: Vec<_> = rows.into_iter().map(|row| row.beside("the whole", end)).collect();
    match &road.container {
        Ok(served) => {
            rows.push(instructions("reset to page", end));
            rows.push(
                Measurement::new("resident memory of PID 1", Unit::Memory, served.memory)
                    .within("the bar", MOST_MEMORY),
            );
        }
        Err(_) => rows.push(instructions("reset to services", end)),
    }
    rows
}
