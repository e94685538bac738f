//! What the image says of itself, and what the machine is.

use crate::error::{Error, Result};
use crate::root::Root;
use spec::manifest::{self, Manifest};
use spec::paths;
use std::fs;
use std::path::{Path, PathBuf};

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

/// A warning when kernel and root are of two builds: the root's modules fit another kernel, and what is a module there,
/// such as the network card's driver, will be missing.
pub fn another_kernels(manifest: &Manifest, running: &str) -> Option<String> {
    let own = manifest.kernel.get("release").filter(|own| **own != running)?;
    Some(format!(
        "the root is for kernel {own} and this is {running}: take kernel, initramfs and root of one build"
    ))
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

/// A host name from the first network card's address, so that one image makes many nodes.
pub fn name_by_address() -> String {
    let address = first_address(Path::new("/sys/class/net")).unwrap_or_default();
    match address.trim().replace(':', "") {
        digits if digits.is_empty() => "skerry".to_owned(),
        digits => format!("skerry-{digits}"),
    }
}

/// Interfaces that no device is behind, which the kernel makes by itself, have a new address at each boot.
fn first_address(interfaces: &Path) -> Option<String> {
    let entries = fs::read_dir(interfaces).ok()?.flatten().map(|entry| entry.path());
    let mut cards: Vec<PathBuf> = entries.filter(|path| path.join("device").exists()).collect();
    cards.sort();
    cards.iter().find_map(|card| fs::read_to_string(card.join("address")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_card_gives_the_address_and_what_the_kernel_made_does_not() {
        let folder = std::env::temp_dir().join(format!("skerry-init-net-{}", std::process::id()));
        for (name, address) in [("bond0", "02:00:00:00:00:01"), ("eth1", "52:01"), ("eth0", "52:00")] {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("address"), format!("{address}\n")).unwrap();
        }
        fs::write(folder.join("bonding_masters"), "bond0\n").unwrap();
        assert_eq!(first_address(&folder), None);
        for card in ["eth0", "eth1"] {
            fs::create_dir(folder.join(card).join("device")).unwrap();
        }
        assert_eq!(first_address(&folder).as_deref(), Some("52:00\n"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_root_of_another_build_is_told_from_its_kernels_own() {
        let text = |kernel| format!("time = 7\n{kernel}\n[least-memory]\ndisk = 96\nmemory = 128\n");
        let says = |kernel| another_kernels(&manifest::read(&text(kernel)).unwrap(), "6.12.2");
        let told = says("[kernel]\nrelease = \"6.12.1\"").unwrap();
        assert!(told.starts_with("the root is for kernel 6.12.1 and this is 6.12.2"), "{told}");
        assert_eq!(says("[kernel]\nrelease = \"6.12.2\""), None);
        assert_eq!(says("[kernel]\nsha256 = \"a kernel that does not tell\""), None);
        assert_eq!(says(""), None);
    }

    #[test]
    fn the_machines_memory_is_the_sum_of_its_ranges() {
        let iomem = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n\
                     00100000-05fdffff : System RAM\n  01000000-01ffffff : Kernel code\n";
        assert_eq!(machine_memory(iomem), 96);
        assert_eq!(machine_memory("00000000-00000000 : System RAM"), 1);
        assert_eq!(machine_memory(""), 0);
    }
}
