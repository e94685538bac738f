//! `node.toml`: where it comes from, and what a bad one does.

use tests::{Disk, Image, Node, Result};

/// Boots with a bad configuration on the drive, over an image whose own names the
/// node; returns what the console says of it.
fn fault_of(toml: &[u8], words: &str) -> Result<String> {
    let image = Image::empty().with("hostname = \"from-the-image\"\n", "").probe();
    let node = Node::new().image(image).config(toml).boot()?;
    let line = node.console().wait_for(words)?;
    assert_eq!(node.run("hostname")?, "from-the-image\n");
    node.console().wait_for("configuration in force: no last good one: the image's own alone")?;
    Ok(line)
}

#[test]
fn a_drive_is_merged_over_the_image() -> Result {
    let image = Image::empty().with("hostname = \"image\"\n[watchdog]\ntimeout = \"77s\"\n", "").probe();
    let node = Node::new().image(image).config("hostname = \"drive\"\n").boot()?;
    assert_eq!(node.run("hostname")?, "drive\n");
    let layers = node.run("cat /run/skerry/config/*")?;
    assert!(layers.contains("77s") && layers.contains("drive"), "{layers}");
    Ok(())
}

#[test]
fn a_drive_without_one_does_not_hide_the_one_that_has_it() -> Result {
    let folder = tests::Scratch::new()?;
    let clouds = folder.config_drive("SKERRY", None)?;
    let own = folder.config_drive("cidata", Some("hostname = \"own\"\n"))?;
    for how in ["auto", "wait"] {
        let drives = Node::new().disk(Disk::new(&clouds).read_only()).disk(Disk::new(&own).read_only());
        let node = drives.append(&format!("skerry.config={how}")).boot()?;
        assert_eq!(node.run("hostname")?, "own\n");
    }
    Ok(())
}

#[test]
fn what_qemu_is_given_is_over_the_drive_and_below_the_command_line() -> Result {
    let given = "hostname = \"given\"\n[watchdog]\ntimeout = \"66s\"\n";
    let drive = "hostname = \"drive\"\n[watchdog]\ntimeout = \"77s\"\n[data]\nmemory = \"33M\"\n";
    let node = Node::new().config(drive).firmware(given).append("skerry.set=hostname=line").boot()?;
    node.console().wait_for("configuration in force: ")?;
    assert_eq!(node.run("hostname")?, "line\n");
    let text = node.console().text();
    assert!(text.contains("fw_cfg opt/org.skerry/config, skerry.set"), "{text}");
    let layers = node.run("ls /run/skerry/config; cat /run/skerry/config/15-fw-cfg.toml")?;
    assert!(layers.contains("10-drive.toml\n15-fw-cfg.toml\n20-set.toml\nhostname"), "{layers}");
    let bad = Node::new().firmware("hostnam = 1\n").boot()?;
    bad.console().wait_for("fw_cfg opt/org.skerry/config:1:1: ")?;
    // Whoever starts the machine may say that nobody is to look there.
    let blind = Node::new().firmware("hostname = \"given\"\n").append("skerry.config=none").boot()?;
    assert_ne!(blind.run("hostname")?, "given\n");
    Ok(())
}

#[test]
fn a_key_on_the_command_line_is_over_the_drive() -> Result {
    let node = Node::new().config("hostname = \"drive\"\n").append("skerry.set=hostname=line").boot()?;
    assert_eq!(node.run("hostname")?, "line\n");
    Ok(())
}

#[test]
fn an_image_takes_only_what_it_names() -> Result {
    let image = |sources: &str| {
        Image::empty().with(&format!("hostname = \"image\"\n[config]\nsources = {sources}\n"), "").probe()
    };
    let from = |sources: &str| {
        let node = Node::new().image(image(sources)).config("hostname = \"drive\"\n");
        node.firmware("hostname = \"given\"\n").append("skerry.config=auto skerry.set=hostname=line").boot()
    };
    let node = from("['fw-cfg']")?;
    assert_eq!(node.run("hostname")?, "given\n");
    node.console().wait_for("skerry.set is not taken: the image's config.sources does not name it")?;
    let node = from("[]")?;
    assert_eq!(node.run("hostname; ls /run/skerry/config")?, "image\n00-image.toml\n");
    // Nobody else widens it.
    let wider = "[config]\nsources = ['drive', 'command-line']\n";
    let node = Node::new().image(image("['drive']")).config(wider).boot()?;
    node.console().wait_for("config.sources: another layer than the image's own says something else")?;
    assert_eq!(node.run("ls /run/skerry/config")?, "00-image.toml\n");
    Ok(())
}

#[test]
fn an_unknown_key_is_named_with_line_and_column() -> Result {
    let line = fault_of(b"hostname = \"x\"\nhosttname = \"y\"\n", "hosttname")?;
    assert!(line.contains(":2:1"), "{line}");
    Ok(())
}

#[test]
fn a_wrong_type_is_named_with_line_and_column() -> Result {
    let line = fault_of(b"[watchdog]\ntimeout = [1]\n", "node.toml:2:")?;
    assert!(line.contains(":2:11"), "{line}");
    Ok(())
}

#[test]
fn a_mebibyte_of_noise_is_refused_in_one_line() -> Result {
    let mut state = 1u32;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let line = fault_of(&noise, "node.toml:1:")?;
    assert!(line.len() < 300, "{} bytes", line.len());
    Ok(())
}

#[test]
fn an_empty_one_changes_nothing() -> Result {
    let image = Image::empty().with("hostname = \"from-the-image\"\n", "").probe();
    let node = Node::new().image(image).config("").boot()?;
    assert_eq!(node.run("hostname")?, "from-the-image\n");
    node.console().wait_for("configuration in force: /etc/skerry/node.toml, /dev/vdb/node.toml")?;
    assert_eq!(node.run("stat -c %a /etc/skerry/node.toml")?, "600\n", "passwords may be in it");
    Ok(())
}

#[test]
fn the_last_good_one_is_used_when_the_new_one_is_bad() -> Result {
    let image = Image::empty().with("[data]\ndisk = \"serial:data\"\n", "").probe();
    let folder = tests::Scratch::new()?;
    let data = Disk::new(folder.blank_disk(64)?).serial("data");
    let good = Node::new().image(image.clone()).disk(data.clone()).config("hostname = \"good\"\n").boot()?;
    assert_eq!(good.run("hostname")?, "good\n");
    good.power_off()?;
    let bad = Node::new().image(image).disk(data).config("hostname = 7\n").boot()?;
    bad.console().wait_for("configuration in force: the last good one")?;
    assert_eq!(bad.run("hostname")?, "good\n");
    Ok(())
}

#[test]
fn a_drive_that_is_awaited_in_vain_leaves_the_last_good_one_in_force() -> Result {
    let image = Image::empty().with("[data]\ndisk = \"serial:data\"\n", "").probe();
    let folder = tests::Scratch::new()?;
    let data = Disk::new(folder.blank_disk(64)?).serial("data");
    let good = Node::new().image(image.clone()).disk(data.clone()).config("hostname = \"good\"\n").boot()?;
    assert_eq!(good.run("hostname")?, "good\n");
    good.power_off()?;
    // Twice: the first must not have kept anything in its place.
    for _ in 0..2 {
        let node = Node::new().image(image.clone()).disk(data.clone());
        let node = node.append("skerry.config=wait skerry.timeout=2").boot()?;
        node.console().wait_for("configuration: no drive labelled SKERRY")?;
        node.console().wait_for("configuration in force: the last good one")?;
        assert_eq!(node.run("hostname")?, "good\n");
        node.power_off()?;
    }
    // One that is not awaited may have been taken out once it was read.
    let node = Node::new().image(image.clone()).disk(data.clone()).boot()?;
    node.console().wait_for("no drive is there; what an earlier one had stays in force")?;
    node.console().wait_for("in force: /etc/skerry/node.toml, /var/lib/skerry/config/10-drive.toml")?;
    assert_eq!(node.run("hostname")?, "good\n");
    node.power_off()?;
    let node = Node::new().image(image).disk(data).append("skerry.config=none").boot()?;
    node.console().wait_for("configuration in force: /etc/skerry/node.toml (")?;
    assert_eq!(node.run("ls /var/lib/skerry/config")?, "00-image.toml\n");
    Ok(())
}
