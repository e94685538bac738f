//! Programs of ours that panic: PID 1, which no released image lets one do, and
//! services, which die by SIGABRT as a Rust program with `panic = "abort"` does.

use tests::{CONTROL, Disk, Image, Node, Result, Scratch};

const CONTAINERS: &str = r#"
[containers.web]
image = "nginx"

[containers.count]
image = "busybox"
args = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.05; done"]
"#;

#[test]
fn a_panic_in_pid_1_is_said_with_its_place_and_restarts_the_machine_with_its_data_saved() -> Result {
    let image = Image::empty().container("python").probe().panic_test();
    // That a released image lacks this is checked in image.rs, in the same way.
    let initramfs = std::fs::read(image.build()?.join("initramfs.cpio"))?;
    assert!(initramfs.windows(10).any(|bytes| bytes == b"panic-test"), "the check in image.rs finds nothing");

    let folder = Scratch::new()?;
    let data = Disk::new(folder.blank_disk(64)?).serial("data");
    let config = format!("[data]\ndisk = \"serial:data\"\n{CONTROL}");
    let node = Node::new().image(image.clone()).config(&config).disk(data.clone()).boot()?;
    node.console().wait_for("control: running")?;
    node.run("echo kept >/var/note")?;
    let later = node.console().from_now();
    node.begin_request("skerry-panic-test")?;

    let line = node.console().wait_for("skerry: PID 1 panicked at ")?;
    assert!(line.contains(" init/src/control.rs:"), "no file and line: {line}");
    assert!(line.ends_with(": skerry-panic-test: asked to by a test; the machine restarts"), "{line}");
    node.machine().wait_for_reset(1)?;
    later.wait_for("probe: ready")?;
    assert_eq!(node.run("cat /var/note")?, "kept\n");
    let said = later.text();
    assert!(!said.contains("formatting") && !said.contains("damaged"), "see the console");
    Ok(())
}

#[test]
fn a_service_that_panics_is_heard_and_started_again_after_longer_and_longer_pauses() -> Result {
    let node = Node::new()
        .config(
            r#"
            [services.fragile]
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "echo thread main panicked at src/main.rs:7:1 >&2; kill -ABRT $$"]
            "#,
        )
        .boot()?;
    node.console().wait_for("fragile: thread main panicked at src/main.rs:7:1")?;
    node.console().wait_for("fragile: ended by signal 6")?;
    node.run_until("[ $(grep -c panicked /var/log/skerry/services/fragile.log) -ge 5 ]")?;
    let log = node.console().text();
    let pauses: Vec<f32> = log.lines().filter_map(pause_of_fragile).collect();
    assert!(pauses.len() >= 4 && pauses[..4].is_sorted_by(|a, b| a < b), "pauses of {pauses:?} s");
    node.console().wait_for("probe: ready")?;
    Ok(())
}

fn pause_of_fragile(line: &str) -> Option<f32> {
    line.split_once("fragile: starts again in ")?.1.split(' ').next()?.parse().ok()
}

#[test]
fn a_monitor_and_a_network_that_panic_come_back_and_no_container_notices() -> Result {
    let node = Node::with_images().config(CONTAINERS).boot()?;
    node.console().wait_for("web: running")?;
    node.console().wait_for("count: running")?;
    node.page("/")?;
    let before = (node.life_of("web")?, node.life_of("count")?);
    for (program, service) in [("skerry-network", "network"), ("skerry-monitor", "monitor")] {
        node.end_service(program, "ABRT")?;
        node.console().wait_for(&format!("{service}: ended by signal 6"))?;
    }
    assert!(node.page("/")?.contains("Skerry"));
    assert_eq!((node.life_of("web")?, node.life_of("count")?), before);
    node.log_is_whole_and_goes_on("count")
}
