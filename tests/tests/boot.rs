//! Power-on to a page: every way in which a node comes up.

use tests::{Board, Image, Network, Node, Result};

const WEB: &str = "[containers.web]\nimage = \"nginx\"\n";

#[test]
fn boots_from_disk_with_96_mib_and_serves_a_page_from_a_container() -> Result {
    let node = Node::with_images().config(WEB).memory(96).boot()?;
    node.console().wait_for("web: running")?;
    assert!(node.page("/")?.contains("<h1>Skerry</h1>"));
    node.power_off()
}

#[test]
fn boots_from_memory_with_128_mib_and_a_root_of_at_most_18_mb() -> Result {
    let image = Image::of_recipe("memory.toml", &["busybox"]);
    let root = std::fs::metadata(image.build()?.join("root.erofs"))?;
    assert!(root.len() <= 18_000_000, "the root has {} bytes", root.len());
    let node = Node::new().image(image).from_memory().memory(128).boot()?;
    assert!(node.page("/")?.contains("Skerry, from memory"));
    node.power_off()
}

#[test]
fn boots_on_a_microvm() -> Result {
    let node = Node::with_images().config(WEB).board(Board::Microvm).boot()?;
    assert!(node.page("/")?.contains("Skerry"));
    node.power_off()
}

#[test]
fn shows_each_boot_step_with_its_time() -> Result {
    let node = Node::new().boot()?;
    for step in ["root", "configuration", "data"] {
        let line = node.console().wait_for(&format!("] {step}"))?;
        let time = line.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
        assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 0.0), "no time in {line:?}");
    }
    Ok(())
}

#[test]
fn boots_without_a_network_card() -> Result {
    let node = Node::with_images().network(Network::None).config(WEB).boot()?;
    node.console().wait_for("web: running")?;
    node.run_until("wget -q -O - http://127.0.0.1/ 2>/dev/null | grep -q Skerry")?;
    node.power_off()
}

#[test]
fn boots_without_a_dhcp_server() -> Result {
    let node = Node::with_images().network(Network::Silent).config(WEB).boot()?;
    node.console().wait_for("web: running")?;
    node.run_until("wget -q -O - http://127.0.0.1/ 2>/dev/null | grep -q Skerry")?;
    node.power_off()
}

#[test]
fn the_root_cannot_be_written() -> Result {
    let node = Node::new().boot()?;
    for path in ["/new", "/etc/skerry/node.toml", "/sbin/skerry-monitor"] {
        let output = node.try_run(&format!("echo >{path}"))?;
        assert!(output.text.contains("Read-only file system"), "{path}: {}", output.text);
    }
    assert_eq!(node.run("awk '$2 == \"/\" { print $3, substr($4, 1, 2) }' /proc/mounts")?, "erofs ro\n");
    Ok(())
}

#[test]
fn says_in_words_that_memory_is_less_than_the_image_needs() -> Result {
    let image = Image::of_recipe("memory.toml", &["busybox"]);
    let node = Node::new().image(image).memory(80).boot()?;
    node.console().wait_for("80 MiB of memory and the image needs 96 MiB")?;
    Ok(())
}
