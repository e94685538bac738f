//! Kernel modules: the few of a kernel's thousand that an image carries.
//!
//! A package's modules are compressed and signed, and depmod has not seen them. In
//! an image they are uncompressed (unpacking one costs a boot 10 million
//! instructions), without their signature and types where the recipe says so (48 million),
//! and what depmod would know is derived from each module's `.modinfo`:
//!
//! ```text
//! lib/modules/RELEASE/
//! ├── kernel/…/NAME.ko    the modules
//! ├── kernel/…/NAME.ko.xz those that a node loads only when it is asked for what they do
//! ├── modules.dep         what each needs, by path
//! ├── modules.alias       the hardware that each serves
//! ├── modules.softdep     what each would like beside it
//! └── modules.builtin     the kernel's own, as packaged
//! ```

mod btf;
mod file;
mod info;
mod library;
mod select;
mod text;

pub use library::{Library, Module, Presence};

use crate::error::{Error, Result};
use crate::tree::{Node, Tree};
use info::Info;
use spec::nearest::nearest;
use std::collections::BTreeMap;

/// What reaching the root needs: disks, and the root's file system.
pub const INITRAMFS: [&str; 9] = [
    "erofs",
    "loop",
    "nvme",
    "sd_mod",
    "virtio_blk",
    "virtio_mmio",
    "virtio_pci",
    "virtio_scsi",
    "xen_blkfront",
];

/// What a node needs beside that: containers' roots, data disk, configuration drives,
/// network, entropy, power button, watchdog.
pub const ROOT: [&str; 15] = [
    "af_packet",
    "button",
    "cdrom",
    "ext4",
    "i6300esb",
    "isofs",
    "nls_ascii",
    "nls_cp437",
    "nls_utf8",
    "overlay",
    "qemu_fw_cfg",
    "sr_mod",
    "vfat",
    "virtio_net",
    "virtio_rng",
];

/// The network cards that machines of one cloud have. Most nodes never load them, so they lie compressed where the kernel
/// can unpack them, as what else is loaded by name: `spec::modules`.
pub const CARDS: [&str; 3] = ["ena", "gve", "xen_netfront"];

/// What a cluster's worker loads beside what its network asks for: for the tunnel to other nodes, for NFS volumes, for
/// privileged pods that make interfaces of their own, and for rules about the ports of the pods' bridge.
pub const CLUSTER: [&str; 4] = ["dummy", "nfsv4", "nft_meta_bridge", "vxlan"];

/// A module's name as the kernel writes it: `virtio-rng` is `virtio_rng`.
pub fn normalized(name: &str) -> String {
    name.replace('-', "_")
}

/// Checks a name that a recipe gives.
///
/// # Errors
/// A name that the kernel has neither as a module nor built in, with the nearest one.
pub fn check(library: &Library, name: &str) -> Result<()> {
    let name = normalized(name);
    if library.presence(&name) != Presence::Absent {
        return Ok(());
    }
    let meant =
        nearest(&name, library.names()).map_or(String::new(), |meant| format!(", did you mean {meant}?"));
    Err(Error::new(format!("this kernel has no module {name}{meant}")))
}

/// Reads the modules that these names need, each once.
pub fn collect<'a>(
    library: &Library,
    names: impl IntoIterator<Item = &'a str>,
    missing: &mut dyn FnMut(&str, &str),
) -> Result<BTreeMap<String, Module>> {
    let mut reader = Reader { library, read: BTreeMap::new() };
    select::closure(&mut reader, names, missing)?;
    Ok(reader.read)
}

struct Reader<'a> {
    library: &'a Library,
    read: BTreeMap<String, Module>,
}

impl select::Kernel for Reader<'_> {
    fn presence(&self, name: &str) -> Presence {
        self.library.presence(name)
    }

    fn builtin_serves(&self, alias: &str) -> bool {
        self.library.builtin_serves(alias)
    }

    fn info(&mut self, name: &str) -> Result<Info> {
        let module = self.library.read(name)?;
        let info = module.info.clone();
        self.read.insert(name.to_owned(), module);
        Ok(info)
    }
}

/// Marks modules to lie compressed, but for those that are needed anyway. A kernel
/// whose package has its modules otherwise may not be able to unpack them.
pub fn pack(modules: &mut BTreeMap<String, Module>, needed: &BTreeMap<String, Module>) {
    for (_, module) in modules.iter_mut().filter(|(name, module)| module.xz && !needed.contains_key(*name)) {
        module.packed = true;
        module.path += ".xz";
    }
}

/// Checks that the modules were built for the kernel.
///
/// # Errors
/// A module of another release.
pub fn check_release(modules: &BTreeMap<String, Module>, release: &str) -> Result<()> {
    match modules.values().find(|module| module.info.release != release) {
        None => Ok(()),
        Some(Module { name, info, .. }) => {
            Err(Error::new(format!("module {name} is for kernel {}, not {release}", info.release)))
        }
    }
}

/// Puts modules and what depmod would know of them into a tree.
pub fn install(
    tree: &mut Tree,
    release: &str,
    modules: &BTreeMap<String, Module>,
    builtin: &str,
    strip_signatures: bool,
) -> Result<()> {
    let folder = format!("/lib/modules/{release}");
    for module in modules.values() {
        let bytes = module.bytes.clone();
        // A signature holds for the whole, so both go or none.
        let bytes = if strip_signatures { btf::without_types(file::without_signature(bytes)) } else { bytes };
        let bytes = if module.packed { file::pack(&module.name, &bytes)? } else { bytes };
        tree.insert(&format!("{folder}/{}", module.path), Node::bytes(0o644, bytes))?;
    }
    for (name, content) in [
        ("modules.dep", text::dep(modules)),
        ("modules.alias", text::alias(modules)),
        ("modules.softdep", text::softdep(modules)),
        ("modules.builtin", builtin.to_owned()),
    ] {
        tree.insert(&format!("{folder}/{name}"), Node::bytes(0o644, content))?;
    }
    Ok(())
}
