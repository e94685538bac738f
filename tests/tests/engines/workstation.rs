//! Skerry's own containers on a machine whose PID 1 is systemd.

use tests::{Debian, Result};

/// The unit that is shipped.
const UNIT: &str = include_str!("../../../examples/skerry-keeper.service");

#[test]
fn containers_outlive_the_unit_that_was_first_and_come_with_their_own_at_boot() -> Result {
    let debian = Debian::lent()?;
    let run = |line: &str| debian.run(line);
    let until =
        |line: &str| debian.run(&format!("for i in $(seq 600); do {line} && exit; sleep 0.1; done; exit 9"));
    run("skerry load --name kept /given/images/busybox.tar")?;
    let made = "skerry run -d --name kept --restart always --network none kept sleep 1000";
    run(&format!(
        "systemd-run --quiet --unit first --property RemainAfterExit=yes --property Type=oneshot {made}"
    ))?;
    until("skerry ps -q --filter name=kept | grep -q .")?;
    run("systemctl stop first")?;
    assert_eq!(run("skerry inspect -f '{{.State.Status}} {{.RestartCount}}' kept")?, "running 0\n");
    // As after a boot: nobody keeps containers, and nobody types a command.
    run("kill $(grep -l skerry-keeper /proc/[0-9]*/comm | cut -d/ -f3)")?;
    until("! grep -q skerry-keeper /proc/[0-9]*/comm")?;
    run("rm -r /run/skerry")?;
    run(&format!("cat >/etc/systemd/system/skerry-keeper.service <<'END'\n{UNIT}\nEND"))?;
    run("systemctl daemon-reload && systemctl start skerry-keeper")?;
    until("grep -q '^kept running' /run/skerry/monitor/status")?;
    run("skerry rm -f kept && systemctl stop skerry-keeper && rm /etc/systemd/system/skerry-keeper.service")?;
    Ok(())
}
