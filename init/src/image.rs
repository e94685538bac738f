//! What the image says of itself, and what the machine is.

use crate::error::{Error, Result};
use crate::root::Root;
use spec::manifest::{self, Manifest};
use spec::paths;
use std::fs;

/// The image's manifest; a tiny image may have none.
pub fn manifest() -> Result<Option<Manifest>> {
    let Ok(text) = fs::read_to_string(paths::IMAGE_MANIFEST) else { return Ok(None) };
    manifest::read(&text).map(Some).map_err(|error| Error(format!("{}: {error}", paths::IMAGE_MANIFEST)))
}

/// A warning when the machine has less memory than the image needs.
pub fn too_little_memory(manifest: &Manifest, root: Root) -> Option<String> {
    let least = if root == Root::Disk { manifest.least_memory.disk } else { manifest.least_memory.memory };
    let have = machine_memory(&fs::read_to_string("/proc/iomem").ok()?);
    (have > 0 && have < least).then(|| {
        format!("this machine has {have} MiB of memory and the image needs {least} MiB: programs may be killed for lack of it")
    })
}

/// The machine's memory in MiB, as QEMU's `-m` gives it: what the kernel calls
/// free (`MemTotal`) lacks its own share, `/proc/iomem` a few hundred KiB of the firmware's.
fn machine_memory(iomem: &str) -> u64 {
    let size = |line: &str| {
        let (start, end) = line.strip_suffix(" : System RAM")?.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        Some(end.checked_sub(start)? + 1)
    };
    iomem.lines().filter_map(size).sum::<u64>().div_ceil(1 << 20)
}

/// A host name from the first interface's address, so that one image makes many nodes.
pub fn name_by_address() -> String {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "lo")
        .collect();
    names.sort();
    let address = |name: &String| fs::read_to_string(format!("/sys/class/net/{name}/address")).ok();
    let address = names.iter().find_map(address).unwrap_or_default();
    match address.trim().replace(':', "") {
        digits if digits.is_empty() => "skerry".to_owned(),
        digits => format!("skerry-{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_the_sum_of_its_ranges() {
        let iomem = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n\
                     00100000-05fdffff : System RAM\n  01000000-01ffffff : Kernel code\n";
        assert_eq!(machine_memory(iomem), 96);
        assert_eq!(machine_memory("00000000-00000000 : System RAM"), 1);
        assert_eq!(machine_memory(""), 0);
    }
}
