//! Limits as a container feels them.
//!
//! They need cgroup v2's controllers, which a machine that has version 1 beside it lacks: there a test says
//! that it is left out. In the virtual machine of `tests/tests/engines/black_box.rs` all of them run.

use crate::support::{
    Bundle, Container, Peer, begin, controllers, eventually, fails, finish, lacks, leftovers, read, runtime,
};
use serde_json::{Value, json};
use std::path::Path;

/// Takes a process more until it is refused one.
const MANY: &str = "n=0; while [ $n -lt 40 ]; do sleep 1000 & n=$((n + 1)); done; echo all of them";

fn limited(resources: Value) -> Bundle {
    Bundle::new().set("/linux/resources", resources)
}

/// Files of the container's cgroup, as what is in it sees them.
fn holds(container: &Container, files: &[&str]) -> Vec<String> {
    let script = format!("cd /sys/fs/cgroup; cat {}", files.join(" "));
    container.sh(&script).lines().map(str::to_owned).collect()
}

#[test]
fn memory_that_it_may_not_have_ends_the_program_that_takes_it() {
    if lacks(&["memory"]) {
        return;
    }
    let script = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo ended $?; \
        grep -x 'oom_kill 1' /sys/fs/cgroup/memory.events";
    let memory = json!({ "limit": 24 << 20, "swap": 24 << 20 });
    let ran = limited(json!({ "memory": memory })).sh(script).run();
    assert_eq!(ran.stdout, "ended 137\noom_kill 1\n", "{ran:?}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_process_too_many_is_refused() {
    if lacks(&["pids"]) {
        return;
    }
    let ran = limited(json!({ "pids": { "limit": 20 } })).sh(MANY).run();
    assert!(ran.code != 0 && ran.stdout.is_empty() && ran.stderr.contains("can't fork"), "{ran:?}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn processors_are_used_where_and_as_long_as_it_may() {
    if lacks(&["cpu", "cpuset"]) {
        return;
    }
    let script =
        "nproc; until grep -q 'nr_throttled [1-9]' /sys/fs/cgroup/cpu.stat; do :; done; echo throttled";
    let cpu = json!({ "cpus": "0", "quota": 10_000, "period": 100_000 });
    assert_eq!(limited(json!({ "cpu": cpu })).sh(script).says(), "1\nthrottled\n");
}

#[test]
fn limits_hold_in_a_folder_of_folders() {
    if lacks(&["memory", "pids"]) {
        return;
    }
    let bundle = limited(json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 30 } }));
    let path = format!("/{}/above/below", bundle.id);
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let said = bundle.sh("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max").says();
    assert_eq!(said, "67108864\n30\n");
    assert!(!Path::new(&format!("/sys/fs/cgroup{path}")).exists());
}

#[test]
fn folders_above_the_cgroup_of_a_creation_that_failed_go_but_for_those_that_were_there() {
    if fails(Peer::Runc, "leaves them") || fails(Peer::Crun, "leaves them") {
        return;
    }
    let bundle = Bundle::new();
    let folder = format!("/sys/fs/cgroup/{}", bundle.id);
    let path = format!("/{}/above/below", bundle.id);
    let bundle = bundle.set("/linux/cgroupsPath", json!(path)).args(["nosuch"]);
    bundle.try_create().error();
    assert_eq!(leftovers(), [""; 0]);
    std::fs::create_dir(&folder).unwrap();
    bundle.try_create().error();
    let left =
        std::fs::read_dir(&folder).unwrap().filter_map(|entry| entry.ok()?.path().is_dir().then_some(()));
    assert_eq!(left.count(), 0);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn what_exec_adds_is_limited_too() {
    if lacks(&["pids"]) {
        return;
    }
    let bundle = limited(json!({ "pids": { "limit": 20 } })).sh("echo ready; exec sleep 1000");
    let container = bundle.start();
    container.says("ready");
    let ran = container.exec(["sh", "-c", MANY]);
    assert!(ran.code != 0 && ran.stdout.is_empty() && ran.stderr.contains("can't fork"), "{ran:?}");
    assert_eq!(container.status(), "running");
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn an_update_holds_at_once_and_for_what_it_names() {
    if lacks(&["cpu", "cpuset", "memory", "pids"]) {
        return;
    }
    let files = ["memory.max", "pids.max", "cpu.max", "cpuset.cpus"];
    let limits = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 100 }, "cpu": { "cpus": "0" } });
    let container = limited(limits).long().start();
    assert_eq!(holds(&container, &files), ["67108864", "100", "max 100000", "0"]);
    finish(container.command("update", &["--memory", "33554432", "--pids-limit", "50"])).ok();
    assert_eq!(holds(&container, &files), ["33554432", "50", "max 100000", "0"]);
    std::fs::write("/run/limits.json", r#"{"cpu": {"quota": 20000, "period": 50000}}"#).unwrap();
    finish(container.command("update", &["--resources", "/run/limits.json"])).ok();
    assert_eq!(holds(&container, &files), ["33554432", "50", "20000 50000", "0"]);
    // No machine has so many processors.
    let some = fails(Peer::Runc, "leaves what it has set") || fails(Peer::Crun, "leaves what it has set");
    let pids = if some { "50" } else { "60" };
    let wrong = ["--pids-limit", pids, "--memory", "33554432", "--cpuset-cpus", "40000"];
    let error = finish(container.command("update", &wrong)).error();
    assert!(error.contains("cpuset.cpus"), "{error}");
    assert_eq!(holds(&container, &files), ["33554432", "50", "20000 50000", "0"]);
}

#[test]
fn of_an_update_that_fails_nothing_stays() {
    let words = "leaves what it has set";
    if fails(Peer::Crun, words) || fails(Peer::Runc, words) {
        return;
    }
    let before = json!({ "unified": { "cgroup.max.depth": "9" } });
    let container = limited(before).long().start();
    let update = |files: Value| {
        std::fs::write("/run/files.json", json!({ "unified": files }).to_string()).unwrap();
        finish(container.command("update", &["--resources", "/run/files.json"]))
    };
    let holds = || holds(&container, &["cgroup.max.depth", "cgroup.max.descendants"]);
    let wrong = json!({ "cgroup.max.depth": "5", "cgroup.max.descendants": "6", "cgroups.nosuch": "1" });
    assert!(update(wrong).error().contains("cgroups.nosuch"));
    assert_eq!(holds(), ["9", "max"]);
    update(json!({ "cgroup.max.descendants": "7" })).ok();
    assert_eq!(holds(), ["9", "7"]);
}

/// As runc's users may write it.
#[test]
fn a_page_size_may_be_in_other_letters() {
    if lacks(&["hugetlb"]) || fails(Peer::Crun, "1.8.1 does not know it") {
        return;
    }
    let sizes = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    if !sizes.map(|entry| entry.file_name()).any(|name| name == "hugepages-2048kB") {
        return;
    }
    let limits = json!({ "hugepageLimits": [{ "pagesize": "2MB", "limit": 4_194_304 }] });
    let container = limited(limits).long().start();
    assert_eq!(holds(&container, &["hugetlb.2MB.max"]), ["4194304"]);
    finish(container.command("update", &["--pids-limit", "-1"]));
    assert_eq!(holds(&container, &["hugetlb.2MB.max"]), ["4194304"]);
}

#[test]
fn what_is_used_is_looked_at_where_an_update_asks_for_it() {
    if lacks(&["memory"]) {
        return;
    }
    let container = Bundle::new().long().start();
    container.says("ready");
    let update = |limit: i64| {
        let memory = json!({ "limit": limit, "swap": 2 * limit, "checkBeforeUpdate": true });
        std::fs::write("/run/memory.json", json!({ "memory": memory }).to_string()).unwrap();
        finish(container.command("update", &["--resources", "/run/memory.json"]))
    };
    update(64 << 20).ok();
    if fails(Peer::Runc, "1.1.5 does not look") || fails(Peer::Crun, "1.8.1 does not look") {
        return;
    }
    assert!(update(1).error().contains("rejecting memory+swap limit 2, "));
    // Its program may be killed for it.
    let ran = finish(container.command("update", &["--memory", "4096"]));
    assert!(!ran.stderr.contains("rejecting"), "{ran:?}");
}

#[test]
fn of_a_limit_and_a_file_what_is_told_last_holds() {
    if lacks(&["cpu", "memory"]) {
        return;
    }
    let words = "writes the files of config.json again";
    if fails(Peer::Crun, words) || fails(Peer::Runc, words) {
        return;
    }
    let files = ["memory.max", "memory.swap.max", "cpu.max"];
    let container = limited(json!({ "unified": { "memory.max": "64M" } })).long().start();
    container.says("ready");
    let update = |options: &[&str]| {
        finish(container.command("update", options)).ok();
        holds(&container, &files)
    };
    std::fs::write("/run/file.json", json!({ "unified": { "cpu.max": "max 50000" } }).to_string()).unwrap();
    assert_eq!(update(&["--resources", "/run/file.json"]), ["67108864", "max", "max 50000"]);
    assert_eq!(update(&["--memory", "50M"]), ["52428800", "max", "max 50000"]);
    assert_eq!(update(&["--cpu-quota", "30000"]), ["52428800", "max", "30000 100000"]);
    assert_eq!(update(&["--memory-swap", "92M"]), ["52428800", "44040192", "30000 100000"]);
    assert_eq!(update(&["--memory", "-1"]), ["max", "max", "30000 100000"]);
}

#[test]
fn a_limit_that_the_kernel_refuses_is_named_and_leaves_nothing() {
    if lacks(&["cpuset", "memory", "pids"]) || fails(Peer::Crun, "1.8.1 leaves the cgroup") {
        return;
    }
    let wrong = [
        ("cpuset.cpus", json!({ "cpu": { "cpus": "40000" } })),
        ("memory.nosuch", json!({ "unified": { "memory.nosuch": "1" } })),
        ("pids.max", json!({ "unified": { "pids.max": "many" } })),
    ];
    for (file, resources) in wrong {
        let error = limited(resources).try_create().error();
        assert!(error.contains(file), "{error}");
        assert_eq!(leftovers(), [""; 0], "{file}");
    }
}

#[test]
fn events_tell_what_is_used_and_what_may_be() {
    if lacks(&["cpu", "memory", "pids"]) {
        return;
    }
    let limits = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 100 } });
    let container = limited(limits).long().start();
    container.says("ready");
    if fails(Peer::Crun, "1.8.1 has no such command") {
        return;
    }
    let text = finish(runtime(["events", "--stats", &container.id])).ok().stdout;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["type"], &told["id"]), (&json!("stats"), &json!(container.id)), "{told}");
    let (memory, pids, cpu) = (&told["data"]["memory"], &told["data"]["pids"], &told["data"]["cpu"]);
    assert_eq!((&memory["usage"]["limit"], &pids["limit"]), (&json!(64 << 20), &json!(100)), "{told}");
    let some = |value: &Value| value.as_u64().is_some_and(|value| value > 0);
    assert!(
        some(&memory["usage"]["usage"]) && some(&pids["current"]) && some(&cpu["usage"]["total"]),
        "{told}"
    );
    // There are callers who read it as text.
    let start = format!("{{\"type\":\"stats\",\"id\":\"{}\",\"data\":{{", container.id);
    assert!(text.starts_with(&start), "{text}");
    let huge = controllers().contains("hugetlb")
        && std::fs::read_dir("/sys/kernel/mm/hugepages").is_ok_and(|all| all.count() > 0);
    if !fails(Peer::Runc, "1.1.5 does not read them") {
        let counted =
            std::fs::read_to_string(format!("/sys/fs/cgroup/{}/memory.pressure", container.id)).is_ok();
        for part in [cpu, memory, &told["data"]["blkio"]] {
            assert_eq!(part["psi"]["some"]["avg10"].is_number(), counted, "{told}");
        }
        assert_eq!(told["data"]["hugetlb"].as_object().is_some_and(|all| !all.is_empty()), huge, "{told}");
    }
}

#[test]
fn a_kill_for_lack_of_memory_is_an_event_of_two_words() {
    if lacks(&["memory"]) || fails(Peer::Crun, "1.8.1 has no such command") {
        return;
    }
    let memory = json!({ "limit": 24 << 20, "swap": 24 << 20 });
    let container = limited(json!({ "memory": memory })).long().start();
    container.says("ready");
    let events = begin(runtime(["events", "--interval", "50ms", &container.id]));
    eventually("stats", || read(&events.stdout).contains("stats"));
    container.exec(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    let line = format!("{{\"type\":\"oom\",\"id\":\"{}\"}}", container.id);
    eventually("the event", || read(&events.stdout).lines().any(|told| told == line));
}

#[test]
fn it_has_every_controller_of_the_host() {
    if fails(Peer::Crun, "1.8.1 enables neither misc nor rdma") {
        return;
    }
    let container = Bundle::new().long().start();
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    let own = read(format!("/sys/fs/cgroup/{}/cgroup.controllers", container.id));
    assert_eq!(sorted(&own), sorted(&controllers()));
}

#[test]
fn a_quota_below_0_is_none() {
    if lacks(&["cpu"]) {
        return;
    }
    for quota in [-1, -9999] {
        let container = limited(json!({ "cpu": { "quota": quota, "period": 100_000 } })).long().start();
        assert_eq!(holds(&container, &["cpu.max"]), ["max 100000"]);
    }
}

#[test]
fn a_weight_ends_being_idle() {
    if lacks(&["cpu"])
        || fails(Peer::Runc, "1.1.5 does not know idle")
        || fails(Peer::Crun, "1.8.1 is refused")
    {
        return;
    }
    let container = limited(json!({ "cpu": { "idle": 1 } })).long().start();
    assert_eq!(holds(&container, &["cpu.idle"]), ["1"]);
    finish(runtime(["update", "--cpu-share", "1024", &container.id])).ok();
    assert_eq!(holds(&container, &["cpu.idle", "cpu.weight"]), ["0", "100"]);
}
