//! Files that the disk has spoiled, and a disk that takes nothing.

use super::support::{Client, Node, busybox, eventually, programs};
use spec::monitor::{Reply, Request};
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// The file of a container's definition, and the container's key.
fn definition(node: &Node, name: &str) -> (String, String) {
    let key = node.summary(name).id[..12].to_owned();
    (format!("/var/lib/skerry/definitions/{key}.json"), key)
}

#[track_caller]
fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "mount {arguments:?}");
}

#[test]
fn a_definition_that_is_spoiled_is_made_anew_from_its_copy_and_nobody_notices() {
    let node = Node::boot();
    node.create("web", busybox("exec sleep 1000"));
    node.start("web");
    node.becomes("web", "running");
    let (before, (file, _)) = (node.summary("web").status, definition(&node, "web"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, "{\"id\":").unwrap();
    node.kill_monitor();
    assert_eq!(node.summary("web").status, before);
    eventually("the file is well", || fs::read_to_string(&file).unwrap() == text);
}

#[test]
fn a_container_whose_definition_is_lost_is_removed_by_its_key_and_holds_no_volume_until_then() {
    let mut node = Node::boot();
    node.create("web", busybox("touch /written"));
    node.start("web");
    node.wait("web");
    let (file, key) = definition(&node, "web");
    fs::write(&file, "").unwrap();
    node.reboot();
    let other = "other".parse().unwrap();
    fs::create_dir_all(spec::volume::data(&other)).unwrap();
    // It may be that one's.
    assert!(node.failed(&Request::RemoveVolume { name: other.clone() }).message.contains(&file));
    assert!(node.failed(&Request::Start { name: key.clone() }).message.contains("cannot be read"));
    node.done(&Request::Remove { name: key.clone(), force: false, volumes: false });
    assert!(node.list().is_empty() && !fs::exists(&file).unwrap());
    node.done(&Request::RemoveVolume { name: other });
    let written = format!("/var/lib/skerry/containers/{key}");
    eventually("what it wrote is gone", || !fs::exists(&written).unwrap());
}

#[test]
fn a_disk_that_can_only_be_read_stops_no_monitor() {
    let node = Node::boot();
    for name in ["web", "down"] {
        node.create(name, busybox("exec sleep 1000"));
        node.start(name);
        node.becomes(name, "running");
    }
    let pid = node.summary("web").status.pid;
    let folders = ["definitions", "volumes", "containers"].map(|name| format!("/var/lib/skerry/{name}"));
    for folder in &folders {
        mount(&["--bind", folder, folder]);
        mount(&["-o", "remount,bind,ro", folder]);
    }
    node.kill_monitor();
    eventually("the monitor listens", || UnixStream::connect(spec::paths::MONITOR_SOCKET).is_ok());
    assert_eq!(node.summary("web").status.pid, pid);
    node.done(&Request::Stop { name: "down".into(), grace: Some(0), signal: None });
    // What cannot be written now is written when it can be.
    fs::write("/run/skerry/new", "nameserver 192.0.2.8\n").unwrap();
    fs::rename("/run/skerry/new", "/run/skerry/resolv.conf").unwrap();
    let said = |what: &str| fs::read_to_string("/run/keeper.log").unwrap().contains(what);
    eventually("the monitor has tried", || said("resolv.conf: read-only file system"));
    for folder in &folders {
        assert!(Command::new("umount").arg(folder).status().unwrap().success());
    }
    let given = format!("/var/lib/skerry/containers/{}/etc/resolv.conf", definition(&node, "web").1);
    eventually("it has the name server", || fs::read_to_string(&given).unwrap().contains("192.0.2.8"));
}

#[test]
fn who_waits_for_a_removal_that_fails_is_told_why_and_may_ask_again() {
    let node = Node::boot();
    node.create("web", busybox("exit 3"));
    node.start("web");
    node.wait("web");
    // No file, so it cannot be unlinked.
    let (_, key) = definition(&node, "web");
    let in_its_way = format!("/var/log/skerry/containers/{key}.log.1");
    fs::create_dir_all(&in_its_way).unwrap();
    let remove = Request::Remove { name: "web".into(), force: false, volumes: false };
    let failure = node.failed(&remove);
    assert!(failure.message.contains(&in_its_way), "{failure:?}");
    fs::remove_dir(&in_its_way).unwrap();
    node.done(&remove);
    assert!(node.list().is_empty());
}

#[test]
fn who_is_attached_is_told_that_what_is_written_is_lost() {
    let node = Node::boot();
    node.create("web", busybox("echo lost; exec sleep 1000"));
    let logs = "/var/log/skerry/containers";
    fs::create_dir_all(logs).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=4k", "tmpfs", logs]);
    fs::write(format!("{logs}/full"), [0; 4096]).unwrap();
    let attach = Request::Attach { name: "web".into(), input: false, size: None, start: true };
    let said = Client::ask(&attach).unwrap().follow();
    let Some(Reply::Warning { text }) = said.end else { panic!("{said:?}") };
    assert!(text.starts_with("output is being dropped: "), "{text}");
}

#[test]
fn a_record_that_is_noise_keeps_nobody_down() {
    let node = Node::boot();
    for (name, line) in [("web", "exec sleep 1000"), ("over", "exit 3")] {
        node.create(name, busybox(line));
        node.start(name);
    }
    node.wait("over");
    node.becomes("web", "running");
    let before = node.summary("web").status.pid;
    for name in ["web", "over"] {
        let (_, key) = definition(&node, name);
        fs::write(format!("/run/skerry/monitor/containers/{key}/record"), "{\"state\":").unwrap();
    }
    node.kill_monitor();
    eventually("it is made anew", || {
        let now = node.summary("web").status;
        now.state == "running" && now.pid != before
    });
    assert_eq!((node.state("over"), node.wait("over")), ("exited".into(), 3), "that one had ended");
}

#[test]
fn who_looks_into_a_layer_keeps_no_container() {
    let node = Node::boot();
    node.create("web", busybox("exec sleep 1000"));
    node.start("web");
    let layers =
        || fs::read_dir("/run/skerry/layers").unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let held = fs::File::open(layers().first().expect("it has one")).unwrap();
    node.done(&Request::Remove { name: "web".into(), force: true, volumes: false });
    assert_eq!(layers().len(), 1);
    drop(held);
    node.run("next", "true");
    node.done(&Request::Remove { name: "next".into(), force: true, volumes: false });
    assert_eq!(layers(), [""; 0].map(std::path::PathBuf::from), "it goes with the next one");
}

#[test]
fn a_second_monitor_is_refused() {
    let node = Node::boot();
    node.create("web", busybox("exec sleep 1000"));
    node.start("web");
    node.becomes("web", "running");
    let before = node.summary("web").status;
    let mut second = Command::new("timeout");
    let second = second.arg("10").arg(programs().join("skerry-monitor")).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(said, "skerry-monitor: /run/skerry/monitor: another one runs\n");
    assert_eq!(node.summary("web").status, before);
    node.kill_monitor();
    assert_eq!(node.summary("web").status, before, "the next one is let in");
}

#[test]
fn services_that_stand_still_are_ended_as_others_are() {
    let mut node = Node::boot();
    node.create("web", busybox("trap 'echo asked; exit 0' TERM; while :; do sleep 0.1; done"));
    node.start("web");
    node.becomes("web", "running");
    let stopped = format!("kill -STOP {}", node.monitor().unwrap());
    assert!(Command::new("sh").args(["-c", &stopped]).status().unwrap().success());
    let begun = Instant::now();
    node.end();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let log = Command::new("sh").args(["-c", "cat /var/log/skerry/containers/*.log"]).output().unwrap();
    assert!(String::from_utf8_lossy(&log.stdout).contains("asked"), "its containers are asked to end");
}

#[test]
fn what_services_say_is_written_by_a_process_that_comes_back() {
    let node = Node::boot();
    node.create("web", busybox("exec sleep 1000"));
    node.start("web");
    let log = || fs::read_to_string("/var/log/skerry/services/monitor.log").unwrap_or_default();
    eventually("a line is written", || log().contains("web: running"));
    let found = Command::new("pgrep").args(["-xf", "/proc/self/exe log"]).output().unwrap();
    let pid = String::from_utf8(found.stdout).unwrap();
    assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success(), "{pid:?}");
    node.kill_monitor();
    eventually("what follows is written", || log().contains("web: still running"));
}
