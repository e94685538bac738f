//! Containers that a person asks for, on a node: what outlives the monitor and the boot.

use tests::{Disk, Image, Node, Result, Running, Scratch, given, programs};

const NAMED: &str = "[data]\ndisk = \"serial:data\"\n";

/// An image with the command that a person types; made again when that is.
fn image() -> Result<Image> {
    let command = programs().join("skerry");
    let age =
        std::fs::metadata(&command)?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let file = format!(
        "# {}\n\"/usr/libexec/skerry\" = {{ source = {command:?}, mode = \"0755\" }}\n",
        age.as_nanos()
    );
    Ok(Image::empty().container("busybox").with("", &file).probe())
}

fn skerry(node: &Running, words: &str) -> Result<String> {
    node.run(&format!("/usr/libexec/skerry {words}"))
}

#[test]
fn a_persons_container_outlives_monitor_and_boot_with_what_it_wrote() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let node = || Node::new().image(image()?).config(NAMED).disk(Disk::new(&file).serial("data")).boot();
    let first = node()?;
    skerry(
        &first,
        "run -d --name kept --restart unless-stopped busybox sh -c 'echo begun >>/log; exec sleep 1000000'",
    )?;
    skerry(&first, "run -d --name over --memory 16m busybox sh -c 'exit 5'")?;
    assert_eq!(skerry(&first, "wait over")?, "5\n");
    first.end_service("skerry-monitor", "KILL")?;
    assert_eq!(skerry(&first, "exec kept cat /log")?, "begun\n");
    assert_eq!(skerry(&first, "run --rm --memory 24m busybox cat /sys/fs/cgroup/memory.max")?, "25165824\n");
    first.power_off()?;
    let second = node()?;
    second.console().wait_for("kept: running")?;
    second.run_until("/usr/libexec/skerry exec kept grep -c begun /log | grep -qx 2")?;
    assert_eq!(skerry(&second, "exec kept cat /log")?, "begun\nbegun\n");
    assert_eq!(
        skerry(&second, "ps -a --filter name=over --format '{{.Names}} {{.State}}'")?,
        "over exited\n"
    );
    assert_eq!(skerry(&second, "wait over")?, "5\n");
    second.power_off()?;
    Ok(())
}

#[test]
fn a_process_that_is_killed_for_lack_of_memory_is_told_of_however_its_container_ends() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let node = || Node::new().image(image()?).config(NAMED).disk(Disk::new(&file).serial("data")).boot();
    let first = node()?;
    skerry(&first, "run -d --name lacks --memory 32m busybox sh -c 'tail /dev/zero; exit 3'")?;
    assert_eq!(skerry(&first, "wait lacks")?, "3\n");
    let told = |node: &Running| skerry(node, "inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' lacks");
    assert_eq!(told(&first)?, "true 3\n");
    let events = "events --since 0 --until 0s --filter container=lacks --format '{{.Action}}'";
    assert_eq!(skerry(&first, events)?, "create\nstart\noom\ndie\n");
    first.end_service("skerry-monitor", "KILL")?;
    assert_eq!(told(&first)?, "true 3\n");
    first.power_off()?;
    let second = node()?;
    assert_eq!(told(&second)?, "true 3\n");
    second.power_off()
}

/// What the kernel holds a container to.
fn limits(node: &Running) -> Result<String> {
    let files = ["memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max"];
    skerry(node, &format!("exec held sh -c 'cd /sys/fs/cgroup; cat {}'", files.join(" ")))
        .map(|text| text.lines().collect::<Vec<_>>().join(", "))
}

#[test]
fn update_changes_what_a_running_container_may_use_at_once_and_for_good() -> Result {
    let node = Node::new().image(image()?).boot()?;
    skerry(
        &node,
        "run -d --name held --memory 48m --cpus 0.5 --pids-limit 20 --stop-signal KILL busybox sleep 1000000",
    )?;
    assert_eq!(limits(&node)?, "50331648, 50331648, 0, 50000 100000, 100, 20");
    assert_eq!(
        skerry(&node, "update --memory 64m --memory-swap 80m --memory-reservation 16m held")?,
        "held\n"
    );
    assert_eq!(limits(&node)?, "67108864, 16777216, 16777216, 50000 100000, 100, 20");
    skerry(&node, "update --cpus 1.5 --cpu-shares 2048 --pids-limit 30 held")?;
    assert_eq!(limits(&node)?, "67108864, 16777216, 16777216, 150000 100000, 174, 30");
    // The kernel would have to kill to come down to so little: it is refused, and nothing has changed.
    let refused = node.try_run("/usr/libexec/skerry update --memory 4k --pids-limit 40 held 2>&1")?;
    assert!(refused.status == 1 && refused.text.contains("memory"), "{refused:?}");
    let unchanged = "67108864, 16777216, 16777216, 150000 100000, 174, 30";
    assert_eq!(limits(&node)?, unchanged);
    skerry(&node, "restart held")?;
    assert_eq!(limits(&node)?, unchanged);
    node.power_off()
}

#[test]
fn what_was_acknowledged_counts_though_the_power_goes_at_once() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let node = || Node::new().image(image()?).config(NAMED).disk(Disk::new(&file).serial("data")).boot();
    let first = node()?;
    skerry(&first, "run -d --name once busybox sleep 1000000")?;
    skerry(&first, "run -d --name filled -v filled:/bin busybox sleep 1000000")?;
    skerry(&first, "run -d --name up --restart unless-stopped busybox sleep 1000000")?;
    // It has ended with 0 once, and runs on since.
    let again = "sh -c 'test -e /again && exec sleep 1000000; touch /again'";
    skerry(&first, &format!("run -d --name well --restart on-failure busybox {again}"))?;
    assert_eq!(skerry(&first, "wait well")?, "0\n");
    skerry(&first, "start well")?;
    skerry(&first, "volume create made")?;
    assert_eq!(first.try_run("/usr/libexec/skerry run --name over busybox sh -c 'exit 7'")?.status, 7);
    // QEMU is killed.
    drop(first);
    let second = node()?;
    second.console().wait_for("up: running")?;
    second.console().wait_for("well: running")?;
    // Nobody saw how it ended.
    let said = skerry(&second, "ps -a --filter name=once --format '{{.State}} {{.Status}}'")?;
    assert!(said.starts_with("exited Exited (255)"), "{said}");
    assert_eq!(skerry(&second, "wait once")?, "255\n");
    assert_eq!(skerry(&second, "wait over")?, "7\n");
    assert_eq!(skerry(&second, "volume ls --quiet --filter name=made")?, "made\n");
    // The volume has what the image has.
    let same = "run --rm -v filled:/v busybox sh -c 'for one in /bin/*; do cmp $one /v/${one##*/} || exit 1; done; ls /v | wc -l'";
    assert!(skerry(&second, same)?.trim().parse::<u32>()? > 0);
    second.power_off()
}

/// What persons do, again and again, until the power goes; what was done is noted once it is acknowledged.
const DEEDS: &str = r#"
S=/usr/libexec/skerry; n=0
while n=$((n + 1)); do
    $S run -d --name up-ROUND-$n --restart unless-stopped busybox sleep 1000000 && echo up up-ROUND-$n >>/run/acknowledged
    $S run -d --name down-ROUND-$n --restart unless-stopped --stop-signal KILL busybox sleep 1000000 &&
        $S stop down-ROUND-$n && echo down down-ROUND-$n >>/run/acknowledged
    $S create --name gone-ROUND-$n busybox && $S rm gone-ROUND-$n && echo gone gone-ROUND-$n >>/run/acknowledged
    $S tag busybox tagged:ROUND-$n && echo tag tagged:ROUND-$n >>/run/acknowledged
done
"#;

/// Appends numbers to a file of a volume and says each once it is on the disk.
const WRITER: &str = "run -d --name writer --restart always -v kept:/data busybox sh -c \
    'touch /data/log; i=$(wc -l </data/log); \
     while i=$((i + 1)); do echo $i >>/data/log; sync; echo $i; sleep 0.1; done'";

/// All that was acknowledged is so.
fn assert_as_acknowledged(node: &Running, deeds: &[String], written: u64) -> Result {
    skerry(node, "store check --no-repair")?;
    let images = skerry(node, "images --format '{{.Repository}}:{{.Tag}}'")?;
    for deed in deeds {
        match deed.split_once(' ') {
            Some(("up", name)) => node.run_until(&format!(
                "/usr/libexec/skerry ps --format '{{{{.Names}}}} {{{{.State}}}}' | grep -q '^{name} running$'"
            ))?,
            Some(("tag", name)) => assert!(images.lines().any(|line| line == name), "{deed}: {images}"),
            Some((what, name)) => {
                let listed = skerry(node, "ps -a --format '{{.Names}} {{.State}}'")?;
                let state = listed.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
                assert_eq!(state, (what == "down").then_some("exited"), "{deed}: {listed}");
            }
            None => return Err(tests::Failure::new(format!("half a line was noted: {deed:?}"))),
        }
    }
    if written > 0 {
        node.run_until("/usr/libexec/skerry exec writer true")?;
        let there: u64 = skerry(node, "exec writer sh -c 'wc -l </data/log'")?.trim().parse()?;
        assert!(there >= written, "{there} numbers are there, {written} were on the disk");
        // In their order; the last one may be half written.
        let check = "n=0; while read -r i; do n=$((n + 1)); [ $i = $n ] || exit 1; done </data/log";
        skerry(node, &format!("exec writer sh -c '{check}'"))?;
    }
    Ok(())
}

#[test]
fn a_power_cut_in_mid_run_takes_nothing_that_was_acknowledged() -> Result {
    let rounds = given("SKERRY_TORTURE_CUTS")?.unwrap_or(3);
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let node = || Node::new().image(image()?).config(NAMED).disk(Disk::new(&file).serial("data")).boot();
    let (mut deeds, mut written, mut state) = (Vec::<String>::new(), 0, 11_u64);
    for round in 0..rounds {
        let node = node()?;
        assert_as_acknowledged(&node, &deeds, written)?;
        // So that no round has more containers than the one before; tags stay.
        deeds.retain(|deed| deed.starts_with("tag "));
        let names = "$S ps -a --format '{{.Names}}' | grep -v '^writer$'";
        node.run(&format!("S=/usr/libexec/skerry; for name in $({names}); do $S rm -f $name; done"))?;
        if written == 0 {
            skerry(&node, WRITER)?;
            node.run_until("/usr/libexec/skerry logs writer | grep -q .")?;
        }
        let script = DEEDS.replace("ROUND", &round.to_string());
        node.run(&format!("( {script} ) >/run/deeds.log 2>&1 </dev/null &"))?;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let some = 1 + (state >> 33) % 9;
        node.run_until(&format!("[ $(cat /run/acknowledged 2>/dev/null | wc -l) -ge {some} ]"))?;
        written = skerry(&node, "logs --tail 1 writer")?.trim().parse()?;
        let noted = node.run("cat /run/acknowledged")?;
        // QEMU is killed, in the middle of what comes next.
        drop(node);
        println!("round {round}: cut after {} deeds and {written} numbers", noted.lines().count());
        deeds.extend(noted.lines().map(str::to_owned));
    }
    let node = node()?;
    assert_as_acknowledged(&node, &deeds, written)?;
    node.power_off()
}
