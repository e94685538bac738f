//! From start to removal: `stop`, `restart`, `kill`, `pause`, `rename`, `rm`, `exec`, `attach`.

use super::said::{begin, fails, says, skerry, skerry_reads};
use super::support::{Node, eventually};

fn state(name: &str) -> String {
    says(&format!("inspect --type container --format '{{{{.State.Status}}}}' {name}"))
}

#[test]
fn many_are_stopped_at_once() {
    let _node = Node::boot();
    says(
        "run -d --name stays busybox sh -c 'trap \"\" TERM; echo listens; while ! [ -e /enough ]; do sleep 0.05; done'",
    );
    says("run -d --name goes --init busybox sleep 1000");
    eventually("it listens", || says("logs stays") == "listens");
    let stop = begin("stop -t -1 stays goes");
    eventually("one ends while another is waited for", || state("goes") == "exited");
    assert_eq!(says("ps --format '{{.Names}}'"), "stays");
    says("exec stays touch /enough");
    let said = stop.end();
    assert_eq!((said.status, said.out.as_str()), (0, "stays\ngoes\n"), "{said:?}");
}

#[test]
fn a_container_is_stopped_and_started_again() {
    let _node = Node::boot();
    says("run -d --name a busybox sh -c 'trap \"exit 7\" TERM; echo listens; while :; do sleep 0.05; done'");
    // Who is asked to end before that is not there to hear it.
    let listens = |times| eventually("it listens", || says("logs a").matches("listens").count() == times);
    listens(1);
    says("run -d --name deaf --stop-timeout 1 busybox sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'");
    assert_eq!(says("stop a deaf"), "a\ndeaf");
    let statuses = says("ps -a --format '{{.Names}}={{.State}}'");
    assert_eq!(statuses, "deaf=exited\na=exited");
    assert_eq!(says("wait a deaf"), "7\n137");
    assert_eq!(says("start a"), "a");
    listens(2);
    let first = says("inspect --format '{{.State.Pid}}' a");
    assert_eq!(says("restart a"), "a");
    assert_ne!(says("inspect --format '{{.State.Pid}}' a"), first);
    listens(3);
    assert_eq!(says("kill -s TERM a"), "a");
    assert_eq!(says("wait a"), "7");
    let told = fails("kill a", 1);
    assert!(told.contains("kill container \"a\": it does not run"), "{told}");
    assert!(fails("kill -s NONE deaf", 1).contains("--signal"));
    // A signal of its own stops one that hears no other, now or when it is being stopped already.
    says(
        "run -d --name picky busybox sh -c 'trap \"exit 5\" USR1; trap \"exit 6\" USR2; trap \"\" TERM; echo listens; while :; do sleep 0.05; done'",
    );
    let listens = |times| eventually("it listens", || says("logs picky").matches("listens").count() == times);
    listens(1);
    assert_eq!(says("restart -t -1 -s USR1 picky"), "picky");
    listens(2);
    assert_eq!(says("inspect -f '{{.State.Running}}' picky"), "true");
    let patient = begin("stop -t -1 picky");
    eventually("it is being stopped", || {
        says("events --since 1h --until 0s -f container=picky").contains("signal=15")
    });
    assert_eq!(says("stop --time -1 --signal SIGUSR2 picky"), "picky");
    assert_eq!((patient.end().status, says("wait picky")), (0, "6".to_owned()));
    assert!(fails("stop -s NONE picky", 1).contains("--signal: \"NONE\" is not a signal"));
    // One that does not work does not keep the others.
    let said = skerry("start none a");
    assert_eq!((said.out.as_str(), said.status), ("a\n", 1));
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
}

#[test]
fn names_may_be_longer_than_a_hosts() {
    let _node = Node::boot();
    let (name, volume) = ("n".repeat(100), "v".repeat(200));
    says(&format!("run -d --name {name} -v {volume}:/v busybox sleep 1000"));
    assert_eq!(says("ps --format '{{.Names}} {{.Mounts}}' --no-trunc"), format!("{name} {volume}"));
    let longer = "m".repeat(150);
    says(&format!("rename {name} {longer}"));
    says(&format!("exec {longer} touch /v/x"));
    says(&format!("rm -f {longer}"));
    says(&format!("volume rm {volume}"));
    assert!(fails(&format!("run --name {} busybox true", "n".repeat(201)), 125).contains("is not a name"));
}

#[test]
fn a_container_is_frozen_renamed_and_removed() {
    let _node = Node::boot();
    says("run -d --name a busybox sleep 1000");
    assert_eq!(says("pause a"), "a");
    assert!(says("ps").contains("(Paused)"));
    assert!(fails("pause a", 1).contains("it is paused"));
    assert_eq!(says("unpause a"), "a");
    says("rename a b");
    assert_eq!(state("b"), "running");
    assert!(fails("rename b ''", 1).starts_with("skerry: "));
    let told = fails("rm b", 1);
    assert!(told.ends_with("\"b\": it runs; stop it, or rm -f"), "{told}");
    assert_eq!(says("rm -f b"), "b");
    assert_eq!(says("ps -aq"), "");
    says("run --name ended busybox true");
    assert_eq!(says("rm ended"), "ended");
}

#[test]
fn what_belongs_to_node_toml_is_not_removed() {
    let _node = Node::with_config("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    eventually("it runs", || state("own") == "running");
    assert!(fails("rm -f own", 1).contains("it belongs to node.toml"));
    says("stop -t 0 own");
    assert_eq!(state("own"), "exited");
    says("start own");
    assert_eq!(state("own"), "running");
}

#[test]
fn its_restart_policy_is_changed() {
    let node = Node::boot();
    says("run -d -i --name a busybox sh -c 'read word'");
    assert_eq!(says("update --restart always a"), "a");
    node.kill_monitor();
    let said = skerry_reads("attach a", b"go\n");
    assert_eq!(said.status, 0, "{said:?}");
    eventually("it is started again", || says("inspect -f '{{.RestartCount}}' a") == "1");
    assert!(fails("update a", 1).contains("nothing is to be changed"));
    assert!(fails("update --cpus 0.001 a", 1).contains("cpus = 0.001: not between"));
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    if !controllers.contains("memory") {
        // The runtime says so, and all stays as it was.
        let told = fails("update --memory 64m a", 1);
        assert!(told.contains("update container \"a\": ") && told.contains("memory"), "{told}");
        assert_eq!(says("inspect -f '{{.Container.memory}}' a"), "");
    }
    says("run -d --rm --name once busybox sleep 1000");
    assert!(fails("update --restart always once", 1).contains("cannot be restarted"));
}

#[test]
fn other_programs_run_in_it() {
    let _node = Node::boot();
    says("run -d --name a -e A=1 busybox sleep 1000");
    let said = skerry("exec -e B=2 -w /tmp a sh -c 'echo $A$B; pwd; echo wrong >&2; exit 4'");
    assert_eq!((said.out.as_str(), said.err.as_str(), said.status), ("12\n/tmp\n", "wrong\n", 4));
    assert_eq!(skerry_reads("exec -i a wc -c", b"12345").out.trim(), "5");
    for (line, status, told) in [
        ("exec a no-such-program", 127, "executable file not found"),
        ("exec a /etc", 126, "/etc"),
        ("exec none true", 1, "there is none"),
        ("exec -w /none a true", 126, "/none"),
    ] {
        let said = fails(line, status);
        assert!(said.contains(told) && said.lines().count() == 1, "{line}: {said}");
    }
    assert_eq!(says("exec -d a touch /done"), "");
    eventually("it was run", || skerry("exec a test -e /done").status == 0);
    says("stop -t 0 a");
    assert!(fails("exec a true", 1).ends_with("it does not run; skerry start a"));
}

#[test]
fn whoever_attaches_sees_the_end() {
    let _node = Node::boot();
    says(
        "run -d -i --name a busybox sh -c 'while read word; do echo got $word; [ $word = end ] && exit 3; done'",
    );
    let watcher = begin("attach --no-stdin a");
    eventually("it is attached", || says("events --since 1h --until 0s").contains("container attach"));
    let said = skerry_reads("attach a", b"one\nend\n");
    assert_eq!((said.out.as_str(), said.status), ("got one\ngot end\n", 3), "{said:?}");
    let watched = watcher.end();
    assert!(watched.out.ends_with("got end\n") && watched.status == 3, "{watched:?}");
    assert!(fails("attach a", 1).ends_with("it does not run; skerry start a"));
}
