//! Power-on to a page: every way in which a node comes up.

use tests::{Board, Disk, Failure, Image, Node, Result, Scratch, repository};

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
fn shows_each_boot_step_with_its_time_and_what_came_up() -> Result {
    let node = Node::with_images().config(WEB).boot()?;
    for up in ["web: running", "network: ready", "monitor: ready", "probe: ready"] {
        node.console().wait_for(up)?;
    }
    let text = node.console().text();
    let steps = steps()?;
    assert!(steps.len() >= 14, "{steps:?}");
    for step in steps {
        let line = text.lines().find(|line| line.contains(&format!("] {step}")));
        let line = line.ok_or_else(|| Failure::new(format!("no step {step:?}")))?;
        let time = line.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
        assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 0.0), "no time in {line:?}");
        assert!(line.ends_with(" ms)"), "how long did it take? {line:?}");
    }
    Ok(())
}

/// As docs/boot.md tells them: the first column of its table of steps.
fn steps() -> Result<Vec<String>> {
    let page = std::fs::read_to_string(repository().join("docs/boot.md"))?;
    let (_, table) =
        page.split_once("\n| step |").ok_or_else(|| Failure::new("docs/boot.md has no table"))?;
    // The rest of the first line, and the line below it, are no steps.
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    Ok(rows.map(str::to_owned).collect())
}

#[test]
fn a_step_that_fails_names_action_object_and_cause_and_the_node_comes_up() -> Result {
    let node = Node::new().config("[data]\ndisk = \"serial:gone\"\n").append("skerry.timeout=1").boot()?;
    let line = node.console().wait_for("] data: no ")?;
    for words in ["serial", "gone", "after 1 s", "vda", "vdb"] {
        assert!(line.contains(words), "no {words:?} in {line:?}");
    }
    node.run("true").map(drop)
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
fn a_damaged_root_gives_way_to_another_of_its_label() -> Result {
    let folder = Scratch::new()?;
    let image = Image::empty().probe();
    let good = image.build()?.join("root.erofs");
    let mut bytes = std::fs::read(&good)?;
    // The size of a block, in the superblock.
    bytes[1024 + 12] = 99;
    let bad = folder.path().join("bad.erofs");
    std::fs::write(&bad, bytes)?;
    let node = Node::new().image(image).from_memory().append("skerry.root=label:skerry-root");
    let node = node.disk(Disk::new(bad).read_only()).disk(Disk::new(good).read_only()).boot()?;
    node.console()
        .wait_for("root: not one disk labelled \"skerry-root\" but 2; the first that can be mounted")?;
    node.console().wait_for("root: mount the root, erofs on /dev/vda: ")?;
    node.console().wait_for("] root: /dev/vdb (")?;
    // And a kernel that is wrong restarts the node.
    assert_eq!(node.run("cat /proc/sys/kernel/panic_on_oops")?, "1\n");
    Ok(())
}

#[test]
fn says_in_words_that_memory_is_less_than_the_image_needs() -> Result {
    // The tuned one has enough of these.
    let image = Image::of_recipe("memory.toml", &["busybox"]).packaged_kernel();
    let node = Node::new().image(image).memory(80).boot()?;
    node.console().wait_for("this machine has 80 MiB of memory and the image needs ")?;
    Ok(())
}
