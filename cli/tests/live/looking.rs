//! Looking at containers: `ps`, `logs`, `inspect`, `stats`, `top`, `events`.

use super::said::{Said, begin, fails, says, skerry, skerry_reads};
use super::support::{Node, eventually};

#[test]
fn ps_lists_what_runs_and_what_is_asked_for() {
    let _node = Node::with_config("[containers.own]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000\"]\n");
    says("run -d --name web -l tier=front busybox sleep 1000");
    says("run --name done busybox true");
    says("create --name new busybox true");
    eventually("node.toml's runs", || says("ps --format '{{.Names}}'").contains("own"));
    let names = |line: &str| {
        let said = says(&format!("{line} --format '{{{{.Names}}}}'"));
        let mut names: Vec<String> = said.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names("ps"), "own web");
    assert_eq!(names("ps -a"), "done new own web");
    assert_eq!(names("ps -a --filter status=exited"), "done");
    assert_eq!(names("ps --filter status=created"), "new");
    assert_eq!(names("ps -a --filter label=tier=front"), "web");
    assert_eq!(names("ps -a --filter origin=node.toml"), "own");
    assert_eq!(names("ps -a --filter name=e"), "done new web");
    assert_eq!(names("ps -a --filter name=e --filter status=running"), "web");
    assert_eq!(names("ps -l"), "new");
    let table = says("ps");
    let heading: Vec<&str> =
        table.lines().next().unwrap().split("   ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(heading.join(","), "CONTAINER ID,IMAGE,COMMAND,CREATED,STATUS,PORTS,NAMES,ORIGIN");
    let line = table.lines().find(|line| line.contains("web")).unwrap();
    assert!(line.contains("busybox") && line.contains("\"sleep 1000\"") && line.contains(" Up "), "{line}");
    for line in says("ps -a --format json").lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["ID"].is_string() && object["Names"].is_string(), "{object}");
    }
    assert!(fails("ps --filter colour=red", 1).contains("not KEY=VALUE with one of ancestor, "));
    assert!(fails("ps --filter status=runing", 1).contains("none of created, running, "));
    assert_eq!(names("ps -a --filter ancestor=busybox"), "done new own web");
    assert_eq!(names("ps -a --filter ancestor=nothing"), "");
    assert_eq!(names("ps -a --filter since=web --filter name=ne"), "done new");
    assert_eq!(names("ps --filter volume=/nowhere"), "");
    let sizes = says("ps -s --filter name=web");
    assert!(sizes.lines().next().unwrap().contains("SIZE") && sizes.contains("B (virtual "), "{sizes}");
    assert!(fails("ps --format '{{.Colour}}'", 1).contains("there is no field \"Colour\""));
}

#[test]
fn logs_give_back_what_was_written() {
    let _node = Node::boot();
    says("run -d --name a -i busybox sh -c 'echo one; echo wrong >&2; read line; echo two; echo three'");
    // What is written together may be read, and stamped, together.
    eventually("the first lines are there", || {
        let said = skerry("logs a");
        said.out == "one\n" && said.err == "wrong\n"
    });
    skerry_reads("attach a", b"go\n");
    let said = skerry("logs a");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("one\ntwo\nthree\n", "wrong\n"));
    assert_eq!(says("logs --tail 1 a"), "three");
    assert_eq!(says("logs -n 0 a"), "");
    let stamped = says("logs --timestamps a");
    let first: Vec<&str> = stamped.lines().next().unwrap().split(' ').collect();
    assert!(first[0].starts_with("20") && first[0].ends_with('Z') && first[1] == "one", "{stamped}");
    let second = stamped.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(says(&format!("logs --since {second} a")), "two\nthree");
    assert_eq!(says(&format!("logs --until {} a", first[0])), "one");
    assert_eq!(says("logs --since 1h a"), "one\ntwo\nthree");
    assert!(fails("logs --tail few a", 1).contains("--tail \"few\""));
    assert_eq!(fails("logs x", 1), "skerry: container \"x\": there is none (did you mean \"a\"?)");
}

#[test]
fn logs_follow_until_the_container_ends() {
    let node = Node::boot();
    says("run -d --name a -i busybox sh -c 'echo first; read line; echo last'");
    let mut follower = begin("logs -f a");
    assert_eq!(follower.line(), "first\n");
    node.kill_monitor();
    let said = skerry_reads("attach a", b"go\n");
    assert!(said.out.ends_with("last\n"), "{said:?}");
    let Said { out, err, status } = follower.end();
    assert_eq!((out.as_str(), status), ("last\n", 0), "{err}");
}

#[test]
fn inspect_tells_what_docker_tells() {
    let _node = Node::boot();
    says("run -d --name web -e A=1 -l x=y -v /tmp:/t:ro busybox sleep 1000");
    let object: serde_json::Value = serde_json::from_str(&says("inspect web")).unwrap();
    let own = &object[0];
    assert_eq!(own["Name"], "/web");
    assert_eq!(own["State"]["Status"], "running");
    assert_eq!(own["Config"]["Labels"]["x"], "y");
    assert_eq!(own["Config"]["Cmd"], serde_json::json!(["sleep", "1000"]));
    assert!(own["Config"]["Env"].as_array().unwrap().contains(&"A=1".into()));
    assert_eq!(own["HostConfig"]["Binds"], serde_json::json!(["/tmp:/t:ro"]));
    assert_eq!(says("inspect -f '{{range .Mounts}}{{.Source}}:{{.RW}}{{end}}' web"), "/tmp:false");
    assert_eq!(says("inspect -f '{{index .Config.Labels \"x\"}} {{join .Args \"|\"}}' web"), "y 1000");
    assert!(says("inspect -f json web").starts_with("[{"));
    let pid = says("inspect -f '{{.State.Pid}}' web");
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "sleep\n");
    let image: serde_json::Value = serde_json::from_str(&says("inspect busybox")).unwrap();
    assert_eq!(image[0]["RepoTags"][0], "busybox:latest");
    assert_eq!(fails("inspect nothing", 1), "skerry: \"nothing\": there is no such container or image");
    let said = skerry("inspect -f '{{.Name}}' nothing web no-such bridge none");
    let told = "skerry: \"nothing\": there is no such container or image\n\
                skerry: \"no-such\": there is no such container or image\n";
    assert_eq!((said.out.as_str(), said.err.as_str(), said.status), ("/web\nbridge\nnone\n", told, 1));
    let config = says("inspect -f '{{json .Config}}' web");
    says("stop -t 0 web");
    assert_eq!(says("inspect -f '{{json .Config}}' web"), config, "it is the same when it does not run");
    assert_eq!(says("inspect -f '{{.State.Running}}{{if .State.Health}} ill{{end}}' web"), "false");
    assert_ne!(says("inspect -f '{{.State.StartedAt}}' web"), "0001-01-01T00:00:00Z");
}

#[test]
fn what_it_uses_and_its_processes_are_shown() {
    let _node = Node::boot();
    says("run -d --name web busybox sh -c 'sleep 1000; true'");
    super::support::eventually("both run", || says("top web").lines().count() == 3);
    let table = says("stats --no-stream");
    assert!(table.starts_with("CONTAINER ID   NAME"), "{table}");
    let line = table.lines().nth(1).unwrap();
    assert!(line.contains("web") && line.contains('%') && line.ends_with('2'), "{table}");
    let top = says("top web");
    assert!(top.lines().count() == 3 && top.contains("sleep 1000"), "{top}");
    says("stop -t 0 web");
    assert!(fails("top web", 1).contains("web"));
    assert_eq!(says("stats --no-stream").lines().count(), 1);
    assert_eq!(says("stats --no-stream --format '{{.Container}} {{.CPUPerc}}' web"), "web --");
    assert_eq!(says("stats --all --no-stream --format '{{.Name}} {{.CPUPerc}}'"), "web --");
}

#[test]
fn events_of_images_volumes_and_networks_are_told() {
    let (_node, busybox) = super::images::without_images();
    says(&format!("import {}", busybox.display()));
    says("tag busybox mine:1");
    says("rmi mine:1");
    says("volume create v");
    says("volume create v");
    says("volume rm v");
    says("network create back");
    says("run --rm -v w:/w --network back busybox true");
    says("network rm back");
    let kinds = "-f type=image -f type=volume -f type=network";
    let line = format!(
        "events --since 1h --until 0s {kinds} --format '{{{{.Type}}}} {{{{.Action}}}} {{{{.Name}}}}'"
    );
    let told = says(&line);
    let expected = [
        "image load busybox:latest",
        "image tag mine:1",
        "image untag mine:1",
        "volume create v",
        "volume destroy v",
        "network create back",
        "network connect back",
        "volume create w",
        "network disconnect back",
        "network destroy back",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert_eq!(says(&format!("{line} -f event=create -f volume=w")), "volume create w");
    let id = says("inspect -f '{{.Id}}' busybox");
    says("rmi busybox");
    let told = says("events --since 1h --until 0s -f event=delete --format '{{.Type}} {{.Actor.ID}}'");
    assert_eq!(told, format!("image {id}"));
}

#[test]
fn events_tell_of_programs_and_restarts() {
    let _node = Node::boot();
    says("run -d --name b busybox sleep 1000");
    assert_eq!(skerry("exec b sh -c 'exit 3'").status, 3);
    says("restart -t 0 b");
    let past = "events --since 1h --until 0s -f container=b";
    let exec = "-f event=exec_create -f event=exec_start -f event=exec_die --format '{{.Attributes.execID}} {{.Action}}'";
    let told = says(&format!("{past} {exec}"));
    let (ids, actions): (Vec<_>, Vec<_>) = told.lines().filter_map(|line| line.split_once(' ')).unzip();
    assert_eq!(actions, ["exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die"]);
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 16), "{ids:?}");
    let told = says(&format!("{past} --format '{{{{.Action}}}}'"));
    assert!(told.ends_with("\ndie\nstop\nstart\nrestart"), "{told}");
}

#[test]
fn events_are_told_and_waits_end() {
    let _node = Node::boot();
    says("run -d -i --name a --label tier=front busybox sh -c 'read word; exit 3'");
    let waits = begin("wait a");
    let line =
        "events --since 1h --filter event=die --format '{{.Action}} {{.Name}} {{.Attributes.exitCode}}'";
    let mut events = begin(line);
    assert_eq!(skerry_reads("attach a", b"go\n").status, 3);
    assert_eq!(waits.end().out, "3\n");
    assert_eq!(events.line(), "die a 3\n");
    let past = says("events --since 1h --until 0s -f type=container --format '{{.Action}}'");
    assert_eq!(past, "create\nstart\nattach\ndie");
    assert!(says("events --since 1h --until 0s").contains(" container die "), "in words too");
    let ends =
        "events --since 1h --until 0s --filter image=busybox --filter event=die --filter type=container";
    let words = "{{.Actor.Attributes.name}} {{.Attributes.tier}} {{.From}} {{.Scope}}";
    let told = says(&format!("{ends} --filter label=tier=front --format '{words}'"));
    assert_eq!(told, "a front busybox local");
    assert_eq!(says(&format!("{ends} --filter label=none")), "");
    assert_eq!(says("wait a"), "3");
    let said = skerry("wait none a");
    assert_eq!((said.out.as_str(), said.status), ("3\n", 1));
    assert!(said.err.contains("\"none\": there is none"), "{said:?}");
}
