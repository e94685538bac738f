//! Limits in a hierarchy with every controller, through the runtime alone.

use crate::bundle::Bundle;
use crate::engine::crun_fails;
use serde_json::{Value, json};
use tests::{Debian, Result};

/// A container of these resources, started, whose files then hold these lines.
fn holds(debian: &Debian, id: &str, resources: &Value, expected: &[(&str, &str)]) -> Result {
    let bundle = Bundle::new(debian, id, &["sleep", "1000"], resources)?;
    bundle.says("create </dev/null >/dev/null 2>&1")?;
    bundle.says("start")?;
    for (file, value) in expected {
        let text = bundle.limit(file)?;
        assert!(text.lines().any(|line| line == *value), "{file}: {text}, not {value}");
    }
    bundle.says("delete --force")?;
    assert_eq!(
        debian.run(&format!("ls -d /sys/fs/cgroup/bundles/{id} 2>&1 || true"))?.matches("No such").count(),
        1
    );
    Ok(())
}

#[test]
fn memory() -> Result {
    let memory = json!({ "limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20 });
    let resources =
        json!({ "memory": memory, "unified": { "memory.high": "50331648", "memory.oom.group": "1" } });
    let expected = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "33554432"),
        ("memory.high", "50331648"),
        ("memory.oom.group", "1"),
    ];
    holds(&Debian::lent()?, "memory", &resources, &expected)
}

#[test]
fn processors() -> Result {
    if crun_fails("does not know burst") {
        return Ok(());
    }
    let cpu =
        json!({ "shares": 1024, "quota": 25000, "period": 50000, "burst": 5000, "cpus": "1", "mems": "0" });
    let expected = [
        ("cpu.max", "25000 50000"),
        ("cpu.max.burst", "5000"),
        ("cpuset.cpus", "1"),
        ("cpuset.cpus.effective", "1"),
        ("cpuset.mems", "0"),
        ("pids.max", "33"),
    ];
    holds(&Debian::lent()?, "processors", &json!({ "cpu": cpu, "pids": { "limit": 33 } }), &expected)
}

#[test]
fn huge_pages() -> Result {
    if crun_fails("limits what is used, not what is reserved") {
        return Ok(());
    }
    let resources = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] });
    holds(
        &Debian::lent()?,
        "huge",
        &resources,
        &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")],
    )
}

#[test]
fn disks() -> Result {
    let debian = Debian::lent()?;
    let number = debian.run("cat /sys/block/vda/dev")?;
    let (major, minor) = number.trim().split_once(':').expect("MAJOR:MINOR");
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let device = |rate: u32| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let io = json!({
        "throttleReadBpsDevice": device(1 << 20),
        "throttleWriteBpsDevice": device(2 << 20),
        "throttleReadIOPSDevice": device(100),
        "throttleWriteIOPSDevice": device(200),
    });
    let line = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200");
    holds(&debian, "disks", &json!({ "blockIO": io }), &[("io.max", &line)])?;
    // A weight is BFQ's where that is there, and otherwise one of every scheduler.
    holds(&debian, "weight", &json!({ "blockIO": { "weight": 500 } }), &[("io.weight", "default 4950")])?;
    debian.run("modprobe bfq && echo bfq >/sys/block/vda/queue/scheduler")?;
    holds(&debian, "bfq", &json!({ "blockIO": { "weight": 500 } }), &[("io.bfq.weight", "default 500")])?;
    debian.run("echo none >/sys/block/vda/queue/scheduler && rmmod bfq").map(drop)
}

/// The machine has the controller and no device that it counts for.
#[test]
fn remote_memory() -> Result {
    if crun_fails("leaves such a limit out of an update without a word") {
        return Ok(());
    }
    let rdma = |device: &str| json!({ "rdma": { device: { "hcaHandles": 3 } } });
    let told = |text: &str| {
        text.contains("linux.resources: write \"mlx5_1 hca_handle=3\" to rdma.max: no such device")
    };
    // One that has lost the controller meanwhile gets it back when it is to have such a limit.
    let bundle = Bundle::new(&Debian::lent()?, "remote", &["sleep", "1000"], &json!({}))?;
    bundle.says("create </dev/null >/dev/null 2>&1")?;
    bundle.says("start")?;
    bundle.debian.run("echo -rdma >/sys/fs/cgroup/bundles/cgroup.subtree_control")?;
    bundle.debian.run("test ! -e /sys/fs/cgroup/bundles/remote/rdma.max")?;
    bundle.debian.run(&format!("echo '{}' >/tmp/rdma.json", rdma("mlx5_1")))?;
    let ran = bundle.tries("update --resources /tmp/rdma.json")?;
    assert!(ran.status != 0 && told(&ran.text), "{ran:?}");
    assert_eq!(bundle.limit("rdma.max")?, "");
    bundle.says("update --pids-limit 9")?;
    assert_eq!(bundle.limit("pids.max")?, "9", "what was refused is not kept");
    bundle.says("delete --force")?;
    let refused = Bundle::new(&bundle.debian, "remote-new", &["sleep", "1000"], &rdma("mlx5_1"))?;
    let ran = refused.tries("create </dev/null")?;
    assert!(ran.status != 0 && told(&ran.text), "{ran:?}");
    refused.debian.run("test ! -e /sys/fs/cgroup/bundles/remote-new").map(drop)
}

#[test]
fn devices_open_for_what_their_rules_allow() -> Result {
    let rule = |minor: u32, access: &str| json!({ "allow": true, "type": "c", "major": 10, "minor": minor, "access": access });
    let rules = json!([{ "allow": false, "access": "rwm" }, rule(237, "w"), rule(229, "r")]);
    let script = "cd /tmp; mknod loop c 10 237; mknod fuse c 10 229; mknod kmsg c 1 11; \
        for device in loop fuse kmsg /dev/null; do \
            (: <$device) 2>/tmp/why && echo $device read || sed s/^.*:.// /tmp/why; \
            (: >$device) 2>/tmp/why && echo $device written || sed s/^.*:.// /tmp/why; \
        done";
    let bundle =
        Bundle::new(&Debian::lent()?, "devices", &["sh", "-c", script], &json!({ "devices": rules }))?;
    let no = "Operation not permitted";
    let expected = [no, "loop written", "fuse read", no, no, no, "/dev/null read", "/dev/null written"];
    assert_eq!(bundle.says("run")?.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
#[ignore = "long"]
fn two_hundred_containers_at_once_leave_nothing() -> Result {
    let resources = json!({ "memory": { "limit": 16 << 20 }, "pids": { "limit": 10 } });
    let bundle = Bundle::new(&Debian::lent()?, "crowd", &["sleep", "1000"], &resources)?;
    let runtime = Debian::runtime();
    let each = |verb: &str| {
        format!(
            "for n in $(seq 200); do {runtime} --root /run/crowd {verb} crowd$n </dev/null >/dev/null & pids+=($!); done; \
            for pid in ${{pids[@]}}; do wait $pid || exit 1; done; unset pids"
        )
    };
    let configs = "for n in $(seq 200); do mkdir -p /bundles/crowd$n; \
        sed s:bundles/crowd:bundles/crowd$n: /bundles/crowd/config.json >/bundles/crowd$n/config.json; done";
    bundle.debian.run(configs)?;
    bundle.debian.run(&each("create --bundle /bundles/crowd$n"))?;
    bundle.debian.run(&each("start"))?;
    let running = format!(
        "{runtime} --root /run/crowd list | grep -c running; cat /sys/fs/cgroup/bundles/crowd*/memory.max | sort | uniq -c"
    );
    let running = bundle.debian.run(&running)?;
    assert_eq!(running.split_whitespace().collect::<Vec<_>>(), ["200", "200", "16777216"]);
    bundle.debian.run(&each("delete --force"))?;
    // A cgroup that is gone had no process.
    let left = "ls -A /run/crowd; find /sys/fs/cgroup -name 'crowd*'; grep -s ' /rootfs ' /proc/self/mountinfo || true";
    assert_eq!(bundle.debian.run(left)?, "");
    Ok(())
}
