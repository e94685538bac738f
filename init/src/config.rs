//! Which `node.toml` is in force.
//!
//! Layers, lowest first: the image's own, a drive's, that of QEMU's fw_cfg, `skerry.set=` of the kernel
//! command line. Which of them count is the image's to say (`config.sources`), so that nobody configures a node by a
//! disk that has the label alone. When the whole is good it is in force and is kept on the data
//! disk; when it is bad, the fault is said with line and column, and what was
//! kept last is in force, else the image's own layer alone, else the defaults.

use crate::command_line::{CommandLine, Drive};
use crate::console;
use crate::disks::{self, Disk};
use crate::error::{Context, Error, Result};
use crate::modules::Modules;
use crate::uevent::{self, Socket};
use nix::fcntl::{RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use spec::node::{Layer, Node, Source, load};
use spec::paths;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The greatest `node.toml`, in bytes.
const LIMIT: u64 = 1 << 20;
const DRIVE: &str = "/run/skerry/drive";
/// The name of a drive's layer.
const DRIVES: &str = "10-drive.toml";
const NOT_A_SOURCE: &str = "the image's config.sources does not name it";
/// What whoever starts a machine under QEMU says: `-fw_cfg name=opt/org.skerry/config,file=node.toml`
/// (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg).
const FIRMWARE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.skerry/config/raw";
/// The device that says it, and what a module for that is found by.
const FIRMWARE_DEVICE: (&str, &str) = ("/sys/bus/acpi/devices/QEMU0002:00", "acpi:QEMU0002:");
/// Disks and CD-ROMs, but for those of virtio, NVMe and Xen, are SCSI devices to the kernel.
const SCSI_DEVICES: &str = "/sys/bus/scsi/devices";
const KINDS: [&str; 4] = ["vfat", "iso9660", "ext4", "erofs"];

/// What is in force, and where it came from.
#[derive(Debug, Default)]
pub struct Config {
    /// The node as it is to be.
    pub node: Node,
    /// Its layers, each with the name of its file, lowest first.
    layers: Vec<(String, Layer)>,
    /// Whether that is everything that the sources gave.
    whole: bool,
    /// Whether a drive would have been taken and none is there.
    driveless: bool,
}

impl Config {
    /// Reads every source. Faults are said here; whatever happens, a
    /// configuration comes out.
    pub fn gather(line: &CommandLine, modules: &mut Modules, socket: Option<&Socket>) -> Self {
        let image = read_limited(paths::IMAGE_CONFIG, paths::IMAGE_CONFIG);
        let own: Vec<Layer> = image.iter().flatten().cloned().collect();
        // A bad one says nothing, and what is wrong is told with the whole.
        let taken = load(&own).unwrap_or_default().config.sources;
        let mut sources = vec![("00-image.toml", image)];
        if line.drive != Drive::None && taken.contains(&Source::Drive) {
            sources.push((DRIVES, from_drive(line, modules, socket)));
        }
        if line.drive != Drive::None && taken.contains(&Source::FwCfg) {
            sources.push(("15-fw-cfg.toml", read_firmware(modules)));
        }
        if !line.set.is_empty() {
            match taken.contains(&Source::CommandLine) {
                true => sources.push(("20-set.toml", Ok(Some(set_layer(&line.set))))),
                false => say!("configuration: skerry.set is not taken: {NOT_A_SOURCE}"),
            }
        }
        if line.drive == Drive::Wait && !taken.contains(&Source::Drive) {
            say!("configuration: skerry.config=wait: no drive is looked for: {NOT_A_SOURCE}");
        }
        let driveless = sources.iter().any(|(name, found)| *name == DRIVES && matches!(found, Ok(None)));
        let mut layers = Vec::new();
        let mut unreadable = false;
        for (name, source) in sources {
            match source {
                Ok(found) => layers.extend(found.map(|layer| (name.to_owned(), layer))),
                Err(error) => {
                    say!("configuration: {error}");
                    unreadable = true;
                }
            }
        }
        match load_named(&layers) {
            Ok(node) if node.config.sources != taken => {
                say!("configuration: config.sources: another layer than the image's own says something else");
                Self::image_alone(layers)
            }
            Ok(node) if !unreadable => Self { node, layers, whole: true, driveless },
            result => {
                if let Err(error) = result {
                    say!("configuration: {error}");
                }
                Self::image_alone(layers)
            }
        }
    }

    fn image_alone(mut layers: Vec<(String, Layer)>) -> Self {
        layers.retain(|(name, _)| name.starts_with("00-"));
        match load_named(&layers) {
            Ok(node) => Self { node, layers, ..Self::default() },
            Err(_) => Self::default(),
        }
    }

    /// Once the data disk is there: takes the last good configuration in place
    /// of a bad one, and a drive's layer of it where no drive is there this time. Says which is in force.
    pub fn settle(&mut self) -> String {
        let kept = read_layers(Path::new(paths::LAST_GOOD_CONFIG)).unwrap_or_default();
        if self.whole && self.driveless {
            self.take_drives(&kept);
        }
        if self.whole {
            let origins: Vec<&str> = self.layers.iter().map(|(_, layer)| &*layer.origin).collect();
            return if origins.is_empty() { "defaults".to_owned() } else { origins.join(", ") };
        }
        let taken = &self.node.config.sources;
        if !kept.is_empty()
            && let Ok(node) = load_named(&kept)
            && node.config.sources.iter().all(|source| taken.contains(source))
        {
            (self.node, self.layers) = (node, kept);
            return "the last good one".to_owned();
        }
        match self.layers.is_empty() {
            true => "none is good: the defaults".to_owned(),
            false => "no last good one: the image's own alone".to_owned(),
        }
    }

    /// A drive that was there at an earlier boot and may come late, or was taken out once it was read, as clouds do.
    fn take_drives(&mut self, kept: &[(String, Layer)]) {
        let Some(drives) = kept.iter().find(|(name, _)| name == DRIVES) else { return };
        let place = self.layers.iter().take_while(|(name, _)| **name < *DRIVES).count();
        self.layers.insert(place, drives.clone());
        match load_named(&self.layers) {
            Ok(node) if node.config.sources == self.node.config.sources => {
                say!(
                    "configuration: no drive is there; what an earlier one had stays in force (skerry.config=none ends that)"
                );
                self.node = node;
            }
            told => {
                // It fits no more, and is kept for when the drive comes.
                if let Err(error) = told {
                    say!("configuration: {error}");
                }
                self.layers.remove(place);
                self.whole = false;
            }
        }
    }

    /// Writes the layers in force for the other programs, and, when they are the
    /// whole and `keep` says that the data outlives this boot, as the last good ones.
    pub fn publish(&self, keep: bool) -> Result<()> {
        write_layers(paths::CONFIG_LAYERS, &self.layers)?;
        let kept = read_layers(Path::new(paths::LAST_GOOD_CONFIG));
        if !keep || !self.whole || kept.is_some_and(|kept| same(&kept, &self.layers)) {
            return Ok(());
        }
        let (kept, fresh) = (paths::LAST_GOOD_CONFIG, format!("{}.new", paths::LAST_GOOD_CONFIG));
        let _ = fs::remove_dir_all(&fresh);
        write_layers(&fresh, &self.layers)?;
        // The files must be whole on the disk before the name says so.
        nix::unistd::sync();
        let here = nix::fcntl::AT_FDCWD;
        let flags =
            if Path::new(kept).exists() { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
        renameat2(here, fresh.as_str(), here, kept, flags).context(|| format!("rename {fresh} to {kept}"))?;
        let _ = fs::remove_dir_all(&fresh);
        Ok(())
    }
}

fn load_named(layers: &[(String, Layer)]) -> std::result::Result<Node, spec::node::Error> {
    let layers: Vec<Layer> = layers.iter().map(|(_, layer)| layer.clone()).collect();
    load(&layers)
}

fn same(one: &[(String, Layer)], other: &[(String, Layer)]) -> bool {
    one.iter()
        .map(|(name, layer)| (name, &layer.text))
        .eq(other.iter().map(|(name, layer)| (name, &layer.text)))
}

fn write_layers(folder: &str, layers: &[(String, Layer)]) -> Result<()> {
    fs::create_dir_all(folder).context(|| format!("create {folder}"))?;
    for (name, layer) in layers {
        let path = format!("{folder}/{name}");
        // Passwords of registries may be in it.
        let written = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        let written = written.and_then(|mut file| file.write_all(layer.text.as_bytes()));
        written.context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Nothing when one cannot be read: what is left without it was never in force.
fn read_layers(folder: &Path) -> Option<Vec<(String, Layer)>> {
    let mut layers = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".toml") {
            let path = entry.path().display().to_string();
            let layer = read_limited(&path, &path).map_err(|error| say!("configuration: {error}")).ok()?;
            layers.extend(layer.map(|layer| (name, layer)));
        }
    }
    layers.sort_by(|one: &(String, Layer), other| one.0.cmp(&other.0));
    Some(layers)
}

/// A file's text, or nothing when there is no such file.
fn read_limited(path: &str, origin: &str) -> Result<Option<Layer>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(|| format!("read {origin}")),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).context(|| format!("read {origin}"))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error(format!("{origin}: larger than {} KiB", LIMIT >> 10)));
    }
    text_of(bytes, origin).map(|text| Some(Layer { origin: origin.to_owned(), text }))
}

fn text_of(bytes: Vec<u8>, origin: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let good =
            String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error(format!("{origin}:{line}:{column}: not UTF-8"))
    })
}

/// Reads the first drive that has a `node.toml`. A cloud's own drive of that label has none. That one which is
/// awaited does not come is a fault.
fn from_drive(line: &CommandLine, modules: &mut Modules, socket: Option<&Socket>) -> Result<Option<Layer>> {
    load_for_scsi(modules);
    let awaited = line.drive == Drive::Wait;
    let end = console::now() + if awaited { line.timeout } else { Duration::ZERO };
    let mut empty = Vec::new();
    loop {
        let left = end.saturating_sub(console::now());
        let find = || next_drive(disks::list(), &empty).into_iter().collect();
        let Some(drive) = disks::wait_for(find, Some(left), modules, socket).pop() else { break };
        match read_drive(&drive, modules)? {
            None => empty.push(drive),
            layer => return Ok(layer),
        }
    }
    if !awaited {
        return Ok(None);
    }
    // Less than was asked for: the last good configuration is more.
    let (labels, seconds) = (paths::CONFIG_LABELS.join(" or "), line.timeout.as_secs());
    Err(Error(format!("no drive labelled {labels} with node.toml after {seconds} s; {}", disks::seen())))
}

/// A CD-ROM needs a module that the root alone has, since it does not lie on one. The step that loads
/// everything else comes later: it goes by the configuration.
fn load_for_scsi(modules: &mut Modules) {
    let aliases = uevent::modaliases(SCSI_DEVICES);
    if !aliases.is_empty() {
        modules.load_for(&aliases);
    }
}

/// The drive to read next: by the order of the labels, then of the names.
fn next_drive(disks: Vec<Disk>, empty: &[Disk]) -> Option<Disk> {
    let rank = |disk: &Disk| {
        let volume = disk.volume.as_ref().filter(|volume| KINDS.contains(&volume.kind))?;
        paths::CONFIG_LABELS.iter().position(|label| *label == volume.label)
    };
    let fresh = disks.into_iter().filter(|disk| rank(disk).is_some() && !empty.contains(disk));
    fresh.min_by_key(rank)
}

/// Reads `node.toml` of a drive, which is mounted only for that.
fn read_drive(drive: &Disk, modules: &mut Modules) -> Result<Option<Layer>> {
    let (device, kind) = (drive.path(), drive.volume.as_ref().map_or("", |volume| volume.kind));
    modules.load_for_file_system(kind);
    if kind == "vfat" && modules.any() {
        modules.load_named(&["nls_cp437", "nls_ascii"]);
    }
    // A journal that must be replayed would be a write to somebody else's drive.
    let options = (kind == "ext4").then_some("noload");
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    fs::create_dir_all(DRIVE).context(|| format!("create {DRIVE}"))?;
    mount(Some(&*device), DRIVE, Some(kind), flags, options)
        .context(|| format!("mount the configuration drive {device} ({kind})"))?;
    let layer = read_limited(&format!("{DRIVE}/node.toml"), &format!("{device}/node.toml"));
    umount2(DRIVE, MntFlags::MNT_DETACH).context(|| format!("unmount the configuration drive {device}"))?;
    if let Ok(None) = layer {
        say!("configuration: no node.toml on the drive {drive}");
    }
    layer
}

/// Reads what QEMU was given, if it was.
fn read_firmware(modules: &mut Modules) -> Result<Option<Layer>> {
    if Path::new(FIRMWARE_DEVICE.0).exists() {
        modules.load_for(&[FIRMWARE_DEVICE.1.to_owned()]);
    }
    read_limited(FIRMWARE, "fw_cfg opt/org.skerry/config")
}

/// `KEY=VALUE` as TOML: a value that TOML would not read is a string.
fn set_layer(set: &[(String, String)]) -> Layer {
    let line = |(key, value): &(String, String)| match is_toml(value) {
        true => format!("{key} = {value}\n"),
        false => format!("{key} = \"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    Layer { origin: "skerry.set".to_owned(), text: set.iter().map(line).collect() }
}

fn is_toml(value: &str) -> bool {
    // Any key will do; the name is not a key of ours, so only the form is judged.
    load(&[Layer { origin: String::new(), text: format!("x = {value}") }])
        .err()
        .is_some_and(|error| error.message.contains("unknown field `x`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Volume;

    #[test]
    fn an_empty_drive_leaves_the_next_its_turn() {
        let disk = |name: &str, kind: &'static str, label: &str| {
            let volume = Some(Volume { kind, label: label.to_owned() });
            Disk { name: name.to_owned(), bytes: 1 << 20, serial: None, volume }
        };
        let clouds = disk("vdb", "iso9660", "cidata");
        let own = disk("vdd", "vfat", "SKERRY");
        let all = vec![
            disk("vda", "erofs", "skerry-root"),
            clouds.clone(),
            disk("vdc", "xfs", "SKERRY"),
            own.clone(),
        ];
        assert_eq!(next_drive(all.clone(), &[]), Some(own.clone()), "the label that means us");
        assert_eq!(next_drive(all.clone(), std::slice::from_ref(&own)), Some(clouds.clone()));
        assert_eq!(next_drive(all, &[own, clouds.clone()]), None);
        let other = disk("vdb", "iso9660", "CIDATA");
        assert_eq!(next_drive(vec![other.clone()], &[clouds]), Some(other), "another disc in the same drive");
    }

    #[test]
    fn a_value_of_the_command_line_is_toml_or_a_string() {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let layer = set_layer(&[
            set("hostname", "n1"),
            set("data.memory", "\"64M\""),
            set("watchdog.timeout", "5"),
            set("network.ntp", "['a']"),
            set("data.disk", "serial:A\"1"),
        ]);
        assert_eq!(
            layer.text,
            "hostname = \"n1\"\ndata.memory = \"64M\"\nwatchdog.timeout = 5\nnetwork.ntp = ['a']\n\
             data.disk = \"serial:A\\\"1\"\n"
        );
        assert_eq!(load(&[layer]).unwrap().hostname.as_deref(), Some("n1"));
    }

    #[test]
    fn noise_is_refused_with_line_and_column() {
        let error = text_of(b"a = 1\nb = \xff".to_vec(), "f").unwrap_err();
        assert_eq!(error.0, "f:2:5: not UTF-8");
    }

    #[test]
    fn layers_of_which_one_cannot_be_read_are_none() {
        let folder = std::env::temp_dir().join(format!("skerry-init-layers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in [("10-drive.toml", &b"a = 1"[..]), ("00-image.toml", b""), ("note", b"\xff")] {
            fs::write(folder.join(name), bytes).unwrap();
        }
        let names: Vec<String> = read_layers(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["00-image.toml", "10-drive.toml"]);
        fs::write(folder.join("10-drive.toml"), b"a = \xff").unwrap();
        assert!(read_layers(&folder).is_none());
        fs::remove_dir_all(&folder).unwrap();
        assert!(read_layers(&folder).is_none());
    }

    #[test]
    fn a_bad_whole_leaves_the_image_alone_in_force() {
        let layer =
            |name: &str, text: &str| (name.to_owned(), Layer { origin: name.into(), text: text.into() });
        let config = Config::image_alone(vec![
            layer("00-image.toml", "hostname = \"image\""),
            layer("10-drive.toml", "hostnam = 1"),
        ]);
        assert_eq!(config.node.hostname.as_deref(), Some("image"));
        assert!(!config.whole);
        assert_eq!(config.layers.len(), 1);
    }
}
