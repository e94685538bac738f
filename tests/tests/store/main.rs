//! The image store of a node: registries of `node.toml`, power cuts in mid-pull, bits that flip on the disk.
//!
//! `SKERRY_TORTURE_CUTS=100` cuts the power so often in place of three times.

#[path = "../../../store/src/registry/fake.rs"]
#[allow(dead_code)]
mod fake;
mod registry;

use registry::Registry;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use tests::{Disk, Failure, Image, Node, Result, Running, Scratch, given};

const STORE: &str = "/var/lib/skerry/store";

/// A node with `skerry` and a data disk, that may reach the registry by its own configuration's word.
fn node(disk: &Path, registry: &Registry, more: &str) -> Node {
    let host = registry.host();
    let config =
        format!("[data]\ndisk = \"serial:data\"\n[registries.\"{host}\"]\nplain-http = true\n{more}");
    let image = Image::empty().probe().skerry();
    Node::new().image(image).config(config).disk(Disk::new(disk).serial("data"))
}

/// Nothing in the store is damaged, and these images are whole in it.
fn assert_sound(node: &Running, images: &[String]) -> Result {
    node.run("/sbin/skerry store check --no-repair")?;
    let listed = node.run("/sbin/skerry images --format '{{.Repository}}:{{.Tag}}'")?;
    for image in images {
        assert!(listed.lines().any(|line| line == image), "{image} was there: {listed}");
    }
    Ok(())
}

#[test]
fn a_power_cut_in_mid_pull_leaves_a_sound_store() -> Result {
    let rounds = given("SKERRY_TORTURE_CUTS")?.unwrap_or(3);
    let folder = Scratch::new()?;
    let registry = Registry::of(folder.path(), &["busybox", "python"])?;
    let disk = folder.blank_disk(512)?;
    let (small, large) = (registry.image("busybox"), registry.image("python"));
    let size = registry.size("python") >> 10;
    let mut acknowledged = Vec::new();
    let mut state = 7_u64;
    for round in 0..rounds {
        let node = node(&disk, &registry, "").boot()?;
        assert_sound(&node, &acknowledged)?;
        if acknowledged.is_empty() {
            node.run_until(&format!("/sbin/skerry pull --quiet {small}"))?;
            acknowledged.push(small.clone());
        }
        // When all of it came in an earlier round, it comes again.
        if node.try_run(&format!("/sbin/skerry rmi {large}"))?.status == 0 {
            node.run("/sbin/skerry prune --force")?;
            acknowledged.retain(|image| *image != large);
        }
        node.run(&format!(
            "( /sbin/skerry pull --quiet {large} >/run/pull.log 2>&1 && touch /run/pulled ) >/dev/null 2>&1 &"
        ))?;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let some = (state >> 33) % size;
        node.run_until(&format!(
            "[ $(du -sk {STORE}/downloads 2>/dev/null | cut -f1) -ge {some} ] || [ -e /run/pulled ]"
        ))?;
        if node.try_run("[ -e /run/pulled ]")?.status == 0 {
            acknowledged.push(large.clone());
        }
        println!("round {round}: cut after {some} of {size} KiB");
        // QEMU is killed.
        drop(node);
    }
    let node = node(&disk, &registry, "").boot()?;
    assert_sound(&node, &acknowledged)?;
    node.run_until(&format!("/sbin/skerry pull --quiet {large}"))?;
    assert_sound(&node, &[small, large])
}

/// Turns a bit over in the middle of a file of a layer of a data disk, whose node is off: the layer that
/// has this text.
fn flip(disk: &Path, folder: &Path, text: &[u8]) -> Result {
    let debugfs = |command: &str| -> Result<String> {
        let output = Command::new("debugfs").arg("-R").arg(command).arg(disk).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let layers = debugfs("ls -p /lib/skerry/store/layers/sha256")?;
    for name in layers.split('/').filter(|name| name.ends_with(".erofs")) {
        let (path, copy) = (format!("/lib/skerry/store/layers/sha256/{name}"), folder.join("copy.erofs"));
        debugfs(&format!("dump {path} {}", copy.display()))?;
        let bytes = fs::read(&copy)?;
        let Some(at) = bytes.windows(text.len()).position(|window| window == text) else { continue };
        let block = debugfs(&format!("bmap {path} {}", at / 4096))?;
        let block: u64 = block.trim().parse().map_err(|_| Failure::new(format!("bmap {path}: {block:?}")))?;
        let (place, mut byte) = (block * 4096 + at as u64 % 4096, [0]);
        let file = fs::File::options().read(true).write(true).open(disk)?;
        file.read_exact_at(&mut byte, place)?;
        assert_eq!(byte[0], text[0], "the layer's block is another one");
        file.write_all_at(&[byte[0] ^ 1], place)?;
        return Ok(());
    }
    Err(Failure::new(format!("no layer has the text: {layers}")))
}

#[test]
fn a_bit_that_flips_under_a_container_is_told_and_the_layer_fetched_again() -> Result {
    let folder = Scratch::new()?;
    let registry = Registry::of(folder.path(), &["busybox"])?;
    // In the middle of a file of 40 blocks, and some bytes.
    let marker: String = (0..10_245).map(|line| format!("{line:015}\n")).collect();
    registry.insert("busybox", "/marker", marker.as_bytes())?;
    let disk = folder.blank_disk(256)?;
    let config = format!(
        "[containers.web]\nimage = \"{}\"\npull = \"missing\"\nargs = [\"sleep\", \"1000000\"]\nstop-grace = \"1s\"\n",
        registry.image("busybox")
    );
    let first = node(&disk, &registry, &config).boot()?;
    first.console().wait_for("web: running")?;
    first.power_off()?;
    flip(&disk, folder.path(), b"000000000005000\n")?;

    let second = node(&disk, &registry, &config).boot()?;
    second.console().wait_for("web: running")?;
    // Of what came packed nothing is left, so it must come from the registry.
    second.run(&format!("find {STORE}/blobs -type f -size +4k -exec rm {{}} +"))?;
    let asked = registry.asked();
    let read = second.try_run("/sbin/skerry exec web cat /marker >/dev/null")?;
    assert_ne!(read.status, 0, "{}", read.text);
    second.console().wait_for("damaged on disk: what reads it gets an I/O error (web)")?;
    second.console().wait_for("; brought back")?;
    assert!(registry.asked() > asked, "nothing was fetched");
    second.run("/sbin/skerry restart web")?;
    let size = second.run("/sbin/skerry exec web wc -c /marker")?;
    assert!(size.starts_with(&format!("{} ", marker.len())), "{size}");
    second.run("/sbin/skerry store check --no-repair")?;
    second.power_off()
}
