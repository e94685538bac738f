//! A folder that `skerry-image build` wrote, as a machine.

use crate::options::Run;
use qemu::{Disk, Machine, Network};
use std::fs;
use std::path::Path;

/// Memory in MiB when the command line names none.
const USUAL_MEMORY: u32 = 256;

/// Describes the machine, after a look at what the image says it needs.
pub fn machine(run: &Run) -> Result<Machine, String> {
    let manifest = read_manifest(&run.image)?;
    let least = least_memory(&manifest, run.from_memory)?;
    let memory = run.memory.unwrap_or(USUAL_MEMORY.max(least));
    if memory < least {
        return Err(format!("this image needs at least {least}M of memory, not {memory}M"));
    }
    let initramfs = if run.from_memory { "initramfs-memory.cpio" } else { "initramfs.cpio" };
    let mut machine = Machine::new(run.board).memory(memory).cpus(run.cpus).shown().kernel(
        run.image.join("vmlinuz"),
        run.image.join(initramfs),
        &command_line(run),
    );
    if !run.from_memory {
        machine = machine.disk(Disk::new(run.image.join("root.erofs")).read_only());
    }
    if let Some(file) = &run.data {
        machine = machine.disk(Disk::new(file).serial("data"));
    }
    if let Some(file) = &run.config {
        machine = machine.disk(Disk::new(file).read_only());
    }
    if run.network {
        let ports = run.ports.iter();
        machine =
            machine.network(ports.fold(Network::user(), |net, port| net.forward(port.host, port.guest)));
    }
    Ok(machine)
}

/// The kernel's command line. A disk that this command line names is awaited.
fn command_line(run: &Run) -> String {
    let mut words = vec!["console=ttyS0", "quiet", "panic=10"];
    if run.data.is_some() {
        words.push("skerry.data=serial:data");
    }
    if run.config.is_some() {
        words.push("skerry.config=wait");
    }
    words.extend(run.append.iter().map(String::as_str));
    words.join(" ")
}

fn read_manifest(image: &Path) -> Result<toml::Table, String> {
    let file = image.join("manifest.toml");
    let text = fs::read_to_string(&file).map_err(|cause| {
        format!("read {}: {}; is it an image of skerry-image?", file.display(), qemu::words(&cause))
    })?;
    text.parse().map_err(|fault: toml::de::Error| format!("{}: {}", file.display(), fault.message()))
}

/// MiB that a boot of this kind needs, as the builder recorded it
/// (`spec::manifest` has the shape).
fn least_memory(manifest: &toml::Table, from_memory: bool) -> Result<u32, String> {
    let key = if from_memory { "memory" } else { "disk" };
    let value = manifest.get("least-memory").and_then(|table| table.get(key));
    value
        .and_then(toml::Value::as_integer)
        .and_then(|memory| u32::try_from(memory).ok())
        .ok_or_else(|| format!("manifest.toml has no whole number least-memory.{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_boot_has_its_least_memory() {
        let manifest = "[least-memory]\ndisk = 96\nmemory = 128\n".parse().unwrap();
        assert_eq!(least_memory(&manifest, false), Ok(96));
        assert_eq!(least_memory(&manifest, true), Ok(128));
    }

    #[test]
    fn disks_that_are_given_are_awaited() {
        let mut run = Run { data: Some("d".into()), append: vec!["debug".into()], ..Run::default() };
        assert_eq!(command_line(&run), "console=ttyS0 quiet panic=10 skerry.data=serial:data debug");
        run = Run { config: Some("c".into()), ..Run::default() };
        assert_eq!(command_line(&run), "console=ttyS0 quiet panic=10 skerry.config=wait");
    }

    #[test]
    fn a_manifest_that_says_nothing_is_refused() {
        for text in ["", "least-memory = 3", "[least-memory]\ndisk = \"96M\"", "[least-memory]\ndisk = -1"] {
            let error = least_memory(&text.parse().unwrap(), false).unwrap_err();
            assert!(error.contains("least-memory.disk"), "{text}: {error}");
        }
    }
}
