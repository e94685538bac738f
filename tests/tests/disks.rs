//! The data disk, and disks that come later.

use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{Disk, Node, Result, Scratch};

const NAMED: &str = "[data]\ndisk = \"serial:data\"\n";

#[test]
fn without_a_data_disk_the_data_lie_in_memory_which_is_said() -> Result {
    let node = Node::new().boot()?;
    node.console().wait_for("data: in memory: nothing outlives this boot")?;
    assert_eq!(node.run("awk '$2 == \"/var\" { print $3 }' /proc/mounts")?, "tmpfs\n");
    Ok(())
}

#[test]
fn a_blank_disk_that_is_named_is_formatted_and_keeps_its_data() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let first = Node::new().config(NAMED).disk(Disk::new(&file).serial("data")).boot()?;
    first.console().wait_for("data: formatting")?;
    first.run("echo kept >/var/note && [ $(df -m /var | awk 'END { print $2 }') -gt 200 ]")?;
    first.power_off()?;
    assert_eq!(state_of(&file)?, "clean");
    let second = Node::new().config(NAMED).disk(Disk::new(&file).serial("data")).boot()?;
    assert_eq!(second.run("cat /var/note")?, "kept\n");
    assert!(!second.console().text().contains("formatting"));
    Ok(())
}

#[test]
fn a_disk_that_nobody_names_or_that_is_not_blank_is_left_alone() -> Result {
    let folder = Scratch::new()?;
    let (blank, used) = (folder.blank_disk(64)?, folder.blank_disk(64)?);
    let mut content = vec![0; 64 << 20];
    content[700] = 1;
    fs::write(&used, &content)?;
    let node = Node::new()
        .config(NAMED)
        .disk(Disk::new(&used).serial("data"))
        .disk(Disk::new(&blank).serial("other"))
        .boot()?;
    node.console().wait_for("is left alone")?;
    assert_eq!(node.run("awk '$2 == \"/var\" { print $3 }' /proc/mounts")?, "tmpfs\n");
    node.power_off()?;
    assert!(fs::read(&used)? == content, "the used disk was written");
    assert!(fs::read(&blank)?.iter().all(|&byte| byte == 0), "the blank disk was written");
    Ok(())
}

#[test]
fn of_two_disks_with_the_nodes_label_none_is_taken() -> Result {
    let folder = Scratch::new()?;
    let drives = [folder.config_drive("skerry-data", None)?, folder.config_drive("skerry-data", None)?];
    let before = [fs::read(&drives[0])?, fs::read(&drives[1])?];
    let disk = |drive, serial| Disk::new(drive).serial(serial);
    let node = Node::new().disk(disk(&drives[0], "own")).disk(disk(&drives[1], "clone")).boot()?;
    let line = node.console().wait_for("] data: not one disk labelled \"skerry-data\" but 2")?;
    assert!(line.contains("serial number \"own\"") && line.contains("serial number \"clone\""), "{line}");
    assert_eq!(node.run("awk '$2 == \"/var\" { print $3 }' /proc/mounts")?, "tmpfs\n");
    node.power_off()?;
    assert!([fs::read(&drives[0])?, fs::read(&drives[1])?] == before, "a disk was written");
    Ok(())
}

#[test]
fn a_full_data_disk_is_said_and_containers_run_all_the_same() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(64)?;
    let web = format!("{NAMED}[containers.web]\nimage = \"nginx\"\n");
    let first = Node::with_images().config(&web).disk(Disk::new(&file).serial("data")).boot()?;
    first.page("/")?;
    first.run("dd if=/dev/zero of=/var/full bs=64k 2>/dev/null; true")?;
    first.power_off()?;
    let second = Node::with_images().config(&web).disk(Disk::new(&file).serial("data")).boot()?;
    second.console().wait_for("data: /dev/vdc is full")?;
    second.console().wait_for("web: the data disk takes nothing: what it writes lies in memory")?;
    assert!(second.page("/")?.contains("Skerry"));
    second.run("rm /var/full")?;
    let before = second.container("web")?.pid;
    second.run(&format!("kill -9 {before}"))?;
    second.run_until("grep -q '^web running .* 1 ' /run/skerry/monitor/status")?;
    second.run("[ -d /var/lib/skerry/containers/web/upper ] && ! grep -q web/memory /proc/mounts")?;
    second.power_off()
}

/// What QEMU's `blkdebug` (`docs/devel/blkdebug.rst`) makes of a disk: so many writes are taken, and none after them.
fn dies_after(writes: u32) -> String {
    let taken =
        |n| format!("[set-state]\nevent = \"write_aio\"\nstate = \"{n}\"\nnew_state = \"{}\"\n", n + 1);
    let dead = format!(
        "[inject-error]\nevent = \"write_aio\"\nstate = \"{writes}\"\nerrno = \"5\"\nonce = \"off\"\n"
    );
    (1..writes).map(taken).collect::<String>() + &dead
}

#[test]
fn a_data_disk_that_dies_takes_no_container_along() -> Result {
    let folder = Scratch::new()?;
    let (file, rules) = (folder.blank_disk(64)?, folder.path().join("rules"));
    fs::write(&rules, dies_after(2000))?;
    let disk = format!("if=none,id=dying,format=raw,file=blkdebug:{}:{}", rules.display(), file.display());
    let web = format!("{NAMED}[containers.web]\nimage = \"nginx\"\n");
    let node = Node::with_images().config(&web).option("-drive", &disk);
    let node = node.option("-device", "virtio-blk-pci,drive=dying,serial=data").boot()?;
    assert!(node.page("/")?.contains("Skerry"));
    let before = node.life_of("web")?;
    node.run("while dd if=/dev/zero of=/var/file bs=4k count=1 conv=fsync 2>/dev/null; do :; done")?;
    node.console().wait_for("Remounting filesystem read-only")?;
    assert!(node.page("/")?.contains("Skerry"));
    node.run("kill -KILL $(pidof skerry-monitor)")?;
    node.console().from_now().wait_for("monitor: ready")?;
    assert_eq!(node.life_of("web")?, before);
    // One that ends begins again, with what it writes in memory.
    let first = node.container("web")?.pid;
    node.run(&format!("kill -9 {first}"))?;
    node.run_until("grep -q '^web running .* 1 ' /run/skerry/monitor/status")?;
    assert!(node.page("/")?.contains("Skerry"));
    node.power_off()
}

#[test]
fn a_disk_that_is_larger_than_its_file_system_is_taken_whole() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(64)?;
    let first = Node::new().config(NAMED).disk(Disk::new(&file).serial("data")).boot()?;
    first.run("true")?;
    first.power_off()?;
    fs::File::options().write(true).open(&file)?.set_len(512 << 20)?;
    let second = Node::new().config(NAMED).disk(Disk::new(&file).serial("data")).boot()?;
    second.console().wait_for("grown from")?;
    second.run("[ $(df -m /var | awk 'END { print $2 }') -gt 400 ]")?;
    Ok(())
}

#[test]
fn a_scsi_controllers_cd_rom_has_the_configuration_and_its_disk_is_found_by_serial_number() -> Result {
    let folder = Scratch::new()?;
    let (disc, data) = (folder.config_drive("CIDATA", Some(NAMED))?, folder.blank_disk(64)?);
    let drive = |id, file: &Path| format!("if=none,id={id},format=raw,file={}", file.display());
    let node = Node::new()
        .option("-device", "virtio-scsi-pci")
        .option("-drive", &format!("media=cdrom,readonly=on,{}", drive("disc", &disc)))
        .option("-device", "scsi-cd,drive=disc")
        .option("-drive", &drive("data", &data))
        .option("-device", "scsi-hd,drive=data,serial=data")
        .boot()?;
    node.console().wait_for("data: formatting sda")?;
    node.console().wait_for(", /dev/sr0/node.toml")?;
    Ok(())
}

#[test]
fn a_disk_is_plugged_in_and_out_while_the_node_runs() -> Result {
    let folder = Scratch::new()?;
    // Nothing here has a virtio disk before, so its module, where the kernel has modules, comes with it.
    let node = Node::new().from_memory().free_slots(1).boot()?;
    node.run("[ ! -e /proc/modules ] || ! grep -q '^virtio_blk ' /proc/modules")?;
    node.machine().plug(0, &Disk::new(folder.blank_disk(8)?).serial("later"))?;
    node.console().wait_for("disk vda: attached")?;
    node.run("grep -qx later /sys/block/vda/serial && [ -d /sys/bus/virtio/drivers/virtio_blk ]")?;
    node.run("[ ! -e /proc/modules ] || grep -q '^virtio_blk ' /proc/modules")?;
    node.machine().unplug(0)?;
    node.console().wait_for("disk vda: gone")?;
    node.run("[ ! -e /sys/block/vda ]").map(drop)
}

/// What ext4 says of itself: `clean` after a clean unmount.
fn state_of(file: &Path) -> Result<String> {
    let output = Command::new("dumpe2fs").arg("-h").arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("needs_recovery"), "the journal was not closed");
    let state = text.lines().find_map(|line| line.strip_prefix("Filesystem state:"));
    Ok(state.unwrap_or("unknown").trim().to_owned())
}
