//! The block devices of this machine: listed, found by name, awaited.

use crate::command_line::Want;
use crate::modules::Modules;
use crate::uevent::Socket;
use crate::volume::{HEAD, Volume, identify, label_in, root_directory};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How much of a vfat's root directory is looked at.
const ROOT_DIRECTORY: usize = 64 << 10;

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name below `/dev`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The serial number that it reports, where it reports one.
    pub serial: Option<String>,
    /// What lies on it, when that is known to us.
    pub volume: Option<Volume>,
}

impl Disk {
    /// Its device node.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// Whether this is the disk that is wanted; a label counts only on these
    /// kinds of file system.
    pub fn is(&self, want: &Want, kinds: &[&str]) -> bool {
        match want {
            Want::Path(path) => *path == self.path(),
            Want::Serial(serial) => self.serial.as_ref() == Some(serial),
            Want::Label(label) => self
                .volume
                .as_ref()
                .is_some_and(|volume| volume.label == *label && kinds.contains(&volume.kind)),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} MiB", self.name, self.bytes >> 20)?;
        if let Some(serial) = &self.serial {
            write!(out, ", serial number {serial:?}")?;
        }
        if let Some(Volume { kind, label }) = &self.volume {
            write!(out, ", {kind} {label:?}")?;
        }
        out.write_str(")")
    }
}

impl fmt::Display for Want {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(out, "disk labelled {label:?}"),
            Self::Serial(serial) => write!(out, "disk with serial number {serial:?}"),
            Self::Path(path) => write!(out, "disk {path}"),
        }
    }
}

/// Every disk and partition that has a size, by name. Devices of memory and
/// files (`loop`, `ram`, `zram`) are not disks.
pub fn list() -> Vec<Disk> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names.iter().filter_map(|name| look(name)).collect()
}

fn look(name: &str) -> Option<Disk> {
    if ["loop", "ram", "zram"].iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let sectors: u64 =
        fs::read_to_string(format!("/sys/class/block/{name}/size")).ok()?.trim().parse().ok()?;
    // '/' in a device's name is '!' in its folder's. What has no node, as each path to an NVMe disk, is none.
    let file = File::open(format!("/dev/{}", name.replace('!', "/")));
    let hidden = file.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    (sectors > 0 && !hidden).then(|| Disk {
        name: name.replace('!', "/"),
        bytes: sectors * 512,
        serial: serial_of(name),
        volume: file.ok().and_then(read_volume),
    })
}

/// What a disk reports: as text (virtio, NVMe), or in a page of SCSI's, as do SATA and USB.
fn serial_of(name: &str) -> Option<String> {
    let read = |file| fs::read(format!("/sys/class/block/{name}/{file}")).ok();
    let text = ["serial", "device/serial"].into_iter().find_map(read);
    let serial = text.map(|text| text_of(&text)).or_else(|| serial_of_page(&read("device/vpd_pg80")?));
    serial.filter(|serial| !serial.is_empty())
}

/// SCSI's page of the unit's serial number (SPC-4, page 80h): four bytes, the last two the length of what follows.
fn serial_of_page(page: &[u8]) -> Option<String> {
    let (head, rest) = page.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    Some(text_of(&rest[..length.min(rest.len())]))
}

/// Without what it is filled up with.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_matches(|filler: char| filler.is_whitespace() || filler == '\0')
        .to_owned()
}

/// The beginning and the sector of iso9660 alone: what lies between is not looked at.
fn read_volume(mut file: File) -> Option<Volume> {
    let mut head = vec![0; HEAD];
    file.read_exact(&mut head[..4096]).ok()?;
    let second = 32 * 1024;
    let _ = file.seek(SeekFrom::Start(second as u64)).and_then(|_| file.read_exact(&mut head[second..]));
    let volume = identify(&head)?;
    let own = (volume.kind == "vfat").then(|| read_root_label(&file, &head)).flatten();
    Some(Volume { label: own.unwrap_or(volume.label), ..volume })
}

/// The label in a vfat's root directory.
fn read_root_label(file: &File, head: &[u8]) -> Option<String> {
    let (offset, length) = root_directory(head)?;
    let mut directory = vec![0; length.min(ROOT_DIRECTORY)];
    file.read_exact_at(&mut directory, offset).ok()?;
    label_in(&directory)
}

/// The disks that are wanted, by name: several may have one label, as a disk and its copy.
pub fn find(want: &Want, kinds: &[&str]) -> Vec<Disk> {
    let mut disks = list();
    disks.retain(|disk| disk.is(want, kinds));
    disks
}

/// Waits until `find` finds something, loading modules for what comes meanwhile;
/// nothing when the time is over.
pub fn wait_for(
    find: impl Fn() -> Vec<Disk>,
    timeout: Option<Duration>,
    modules: &mut Modules,
    socket: Option<&Socket>,
) -> Vec<Disk> {
    let deadline = timeout.map(|timeout| crate::console::now().saturating_add(timeout));
    loop {
        let found = find();
        if !found.is_empty() {
            return found;
        }
        let Some(left) = left(deadline, crate::console::now()) else { return found };
        crate::console::flush();
        let mut polled: Vec<PollFd<'_>> =
            socket.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut polled, left);
        let events = socket.map(Socket::drain).unwrap_or_default();
        let aliases: Vec<String> = events.into_iter().filter_map(|event| event.modalias).collect();
        if !aliases.is_empty() {
            modules.load_for(&aliases);
        }
    }
}

/// How long to wait at once; `None` when the time is over.
fn left(deadline: Option<Duration>, now: Duration) -> Option<PollTimeout> {
    let Some(deadline) = deadline else { return Some(PollTimeout::NONE) };
    // poll(2) waits for 24 days at most.
    Some(PollTimeout::try_from(deadline.checked_sub(now)?).unwrap_or(PollTimeout::MAX))
}

/// A line of what is there, for a message about what is not.
pub fn seen() -> String {
    match &*list() {
        [] => "no disk at all was seen".to_owned(),
        disks => format!("disks seen: {}", names(disks)),
    }
}

/// All of them in one line.
pub fn names(disks: &[Disk]) -> String {
    disks.iter().map(Disk::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_scsi_holds_the_serial_number() {
        assert_eq!(serial_of_page(b"\0\x80\0\x08  AB 12\0rest"), Some("AB 12".to_owned()));
        assert_eq!(serial_of_page(b"\0\x80\0\x14AB12"), Some("AB12".to_owned()), "cut short");
        assert_eq!(serial_of_page(b"\0\x80\0"), None);
    }

    #[test]
    fn a_long_wait_is_made_of_several() {
        let seconds = Duration::from_secs;
        assert_eq!(left(Some(seconds(9)), seconds(7)), Some(PollTimeout::from(2000_u16)));
        assert_eq!(left(Some(seconds(7)), seconds(9)), None);
        assert_eq!(left(None, seconds(9)), Some(PollTimeout::NONE));
        assert_eq!(left(Some(seconds(u32::MAX.into())), seconds(9)), Some(PollTimeout::MAX));
    }
}
