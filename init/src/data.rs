//! Where the node keeps what must survive a reboot: an ext4 found by label,
//! serial number or path, else a tmpfs.
//!
//! | the disk | what happens |
//! |---|---|
//! | is not there | said with the disks seen; memory |
//! | is one of several of that label | said, all left alone; memory |
//! | named by `data.disk`, blank, `format = "blank"` | formatted |
//! | named by `data.disk`, `format = "always"` | formatted |
//! | holds anything but ext4 | said, left alone; memory |
//! | cannot be mounted | said with the cause, left alone; memory |
//! | is larger than its file system | the file system grows |
//! | is full | said; used as it is |

use crate::command_line::{CommandLine, DataFrom, Want};
use crate::disks::{self, Disk};
use crate::error::{Context, Error, Result};
use crate::format;
use crate::modules::Modules;
use crate::uevent::Socket;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use spec::node;
use spec::paths;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

/// A disk with less room for others than this, in bytes, is as good as full.
const LEAST: u64 = 64 << 10;

/// What is mounted at [`paths::DATA`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// Nothing outlives this boot.
    #[default]
    Memory,
    /// A disk, by its name.
    Disk(String),
}

/// `/run` by the name that it had before, as on any host: what is put there is of this boot.
const OLD_RUN: &str = "/var/run";

/// Mounts the data disk, or memory when there is none that can be used, and leads [`OLD_RUN`] to `/run`; says why.
pub fn settle(
    line: &CommandLine,
    config: &node::Data,
    modules: &mut Modules,
    socket: Option<&Socket>,
) -> Result<Data> {
    let data = mounted(line, config, modules, socket)?;
    if let Err(error) = link_run() {
        say!("data: {error}");
    }
    Ok(data)
}

fn link_run() -> Result<()> {
    if fs::read_link(OLD_RUN).is_ok() {
        return Ok(());
    }
    // A container may have had a folder made there; one with something in it is somebody's.
    let _ = fs::remove_dir(OLD_RUN);
    symlink("../run", OLD_RUN).context(|| format!("link {OLD_RUN} to /run"))
}

fn mounted(
    line: &CommandLine,
    config: &node::Data,
    modules: &mut Modules,
    socket: Option<&Socket>,
) -> Result<Data> {
    match on_disk(line, config, modules, socket) {
        Ok(Some(name)) => return Ok(Data::Disk(name)),
        Ok(None) => {}
        Err(error) => say!("data: {error}"),
    }
    let size = config.memory.map_or("50%".to_owned(), |size| size.0.to_string());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("mode=0755,size={size}");
    mount(Some("tmpfs"), paths::DATA, Some("tmpfs"), flags, Some(&*options))
        .or_else(|errno| {
            fs::create_dir_all(paths::DATA).map_err(|_| errno)?;
            mount(Some("tmpfs"), paths::DATA, Some("tmpfs"), flags, Some(&*options))
        })
        .context(|| format!("mount tmpfs on {}", paths::DATA))?;
    Ok(Data::Memory)
}

/// The disk that is asked for, and whether it was named, so that it must come.
fn wanted(line: &CommandLine, config: &node::Data) -> Option<(Want, bool)> {
    if let Some(from) = &line.data {
        return match from {
            DataFrom::Disk(want) => Some((want.clone(), true)),
            DataFrom::Nowhere => None,
        };
    }
    Some(match (&config.disk, &config.label) {
        (Some(node::Disk::Serial(serial)), _) => (Want::Serial(serial.clone()), true),
        (Some(node::Disk::Path(path)), _) => (Want::Path(path.clone()), true),
        (None, Some(label)) => (Want::Label(label.to_string()), true),
        (None, None) => (Want::Label(paths::DATA_LABEL.to_owned()), false),
    })
}

fn on_disk(
    line: &CommandLine,
    config: &node::Data,
    modules: &mut Modules,
    socket: Option<&Socket>,
) -> Result<Option<String>> {
    let Some((want, named)) = wanted(line, config) else { return Ok(None) };
    let mut found = match named {
        true => disks::wait_for(|| disks::find(&want, &["ext4"]), Some(line.timeout), modules, socket),
        false => disks::find(&want, &["ext4"]),
    };
    let mut disk = match found.len() {
        0 if named => {
            return Err(Error(format!("no {want} after {} s; {}", line.timeout.as_secs(), disks::seen())));
        }
        0 => return Ok(None),
        // Several of one serial number are parts of one disk.
        _ if matches!(want, Want::Serial(_)) => found.swap_remove(0),
        _ => only(&want, found)?,
    };
    crate::console::flush();
    if !matches!(want, Want::Label(_)) && format::is_wanted(&disk, config.format)? {
        say!("data: formatting {disk}");
        crate::console::flush();
        let label = config.label.as_deref().unwrap_or(paths::DATA_LABEL);
        format::write_template(&disk, label)?;
        disk = disks::find(&Want::Path(disk.path()), &[]).pop().unwrap_or(disk);
    }
    match &disk.volume {
        Some(volume) if volume.kind == "ext4" => {}
        _ => return Err(Error(format!("{disk} holds no ext4 and is left alone"))),
    }
    mount_disk(&disk, modules)?;
    Ok(Some(disk.name))
}

/// Which of several is the node's nobody can tell, and another node's, or an old copy, must not be written to.
fn only(want: &Want, mut found: Vec<Disk>) -> Result<Disk> {
    match found.pop() {
        Some(disk) if found.is_empty() => Ok(disk),
        last => {
            found.extend(last);
            let (count, names) = (found.len(), disks::names(&found));
            Err(Error(format!(
                "not one {want} but {count}, and all are left alone: {names}; name one by its serial number or path"
            )))
        }
    }
}

fn mount_disk(disk: &Disk, modules: &mut Modules) -> Result<()> {
    modules.load_for_file_system("ext4");
    let device = disk.path();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    let doing = || format!("mount ext4 on {device} at {}", paths::DATA);
    let mounted = mount(Some(&*device), paths::DATA, Some("ext4"), flags, Some("errors=remount-ro"));
    if let Err(errno) = mounted
        && let Some(why) = refusal(errno, format::extent(&device).ok(), disk.bytes)
    {
        return Err(Error(format!("{}: {why}; it is left alone", doing())));
    }
    mounted.context(doing)?;
    if let Err(error) = grow(disk) {
        say!("data: {error}");
    }
    if let Ok(space) = nix::sys::statvfs::statvfs(paths::DATA)
        && space.blocks_available() * space.fragment_size() < LEAST
    {
        say!("data: {device} is full: logs and configurations are not kept until there is room");
    }
    Ok(())
}

/// What ext4 means by an error that reads oddly. `extent` is its own word on its size: bytes in a block, and blocks.
fn refusal(errno: Errno, extent: Option<(u64, u64)>, bytes: u64) -> Option<String> {
    let own = extent.map_or(0, |(block, blocks)| block.saturating_mul(blocks));
    match errno {
        // A wrong checksum or structure.
        Errno::EBADMSG | Errno::EUCLEAN => Some("the file system is damaged".to_owned()),
        Errno::EINVAL if own > bytes => {
            Some(format!("the file system has {} MiB and the disk {} MiB", own >> 20, bytes >> 20))
        }
        // Such as a feature that this kernel lacks.
        Errno::EINVAL => Some("the kernel cannot read this file system, and its log says why".to_owned()),
        _ => None,
    }
}

/// Lets the file system take the whole disk.
fn grow(disk: &Disk) -> Result<()> {
    let (block, blocks) = format::extent(&disk.path())?;
    let most = disk.bytes / block;
    // A few blocks are no gain, and the last partial group cannot be had anyway.
    if most.saturating_sub(blocks) < 1024 {
        return Ok(());
    }
    let doing =
        || format!("grow {} from {} to {} MiB", disk.name, (blocks * block) >> 20, (most * block) >> 20);
    let folder = File::open(paths::DATA).context(doing)?;
    sys::block::grow_ext4(folder.as_fd(), most).context(doing)?;
    status!("data: {} grown from {} to {} MiB", disk.name, (blocks * block) >> 20, (most * block) >> 20);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_disks_with_one_label_none_is_taken() {
        let disk = |name: &str| Disk {
            name: name.to_owned(),
            bytes: 64 << 20,
            serial: Some(format!("of-{name}")),
            volume: None,
        };
        let want = Want::Label("skerry-data".to_owned());
        assert_eq!(only(&want, vec![disk("vda")]).unwrap().name, "vda");
        assert_eq!(
            only(&want, vec![disk("vda"), disk("vdb")]).unwrap_err().0,
            "not one disk labelled \"skerry-data\" but 2, and all are left alone: \
             vda (64 MiB, serial number \"of-vda\"), vdb (64 MiB, serial number \"of-vdb\"); \
             name one by its serial number or path"
        );
    }

    #[test]
    fn only_what_is_damaged_is_called_so() {
        let says = |errno, blocks, mebibytes: u64| refusal(errno, Some((4096, blocks)), mebibytes << 20);
        let damaged = Some("the file system is damaged".to_owned());
        assert_eq!(says(Errno::EUCLEAN, 65_536, 256), damaged);
        assert_eq!(says(Errno::EBADMSG, 131_072, 256), damaged);
        let small = says(Errno::EINVAL, 131_072, 256).unwrap();
        assert_eq!(small, "the file system has 512 MiB and the disk 256 MiB");
        let other = says(Errno::EINVAL, 65_536, 256).unwrap();
        assert!(!other.contains("damaged") && other.contains("log"), "{other}");
        assert_eq!(says(Errno::EIO, 65_536, 256), None);
    }
}
