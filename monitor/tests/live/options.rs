//! What a container can be, seen from inside.

use super::support::{Client, Node, busybox, eventually};
use spec::bundle;
use spec::monitor::{CHECKS, Create, Exec, Health, IDS, Reply, Request, Sandbox};
use spec::node::{Container, ContainerNetwork, HealthOptions, Ipc, Mount, Pid, Security, Sharing};
use spec::quantity::{Bytes, Span};

#[track_caller]
fn says(node: &Node, name: &str, line: &str, change: impl FnOnce(&mut Container)) -> String {
    let mut container = busybox(line);
    change(&mut container);
    node.create(name, container);
    node.start(name);
    node.wait(name);
    node.output(name)
}

#[test]
fn names_limits_and_groups_are_those_that_were_asked_for() {
    let node = Node::boot();
    let line = "hostname; cat /etc/hostname; tail -n 1 /etc/hosts; cat /etc/resolv.conf; ulimit -n; id -G; \
                df -k /dev/shm | awk 'NR==2{print $2}'; cat /proc/sys/kernel/msgmax; grep NoNewPrivs /proc/self/status; \
                cat /proc/self/oom_score_adj";
    let said = says(&node, "a", line, |own| {
        own.hostname = Some("pigeon".into());
        own.add_hosts = vec!["db:10.9.8.7".into()];
        own.dns = vec!["192.0.2.1".parse().unwrap()];
        own.ulimits = [("nofile".to_owned(), "123:456".parse().unwrap())].into();
        own.group_add = vec!["77".into()];
        own.shm_size = Some(Bytes(1 << 20));
        own.sysctls = [("kernel.msgmax".to_owned(), "4321".to_owned())].into();
        own.security = vec![Security::NoNewPrivileges];
        own.oom_score_adj = Some(77);
    });
    let expected =
        "pigeon\npigeon\n10.9.8.7\tdb\nnameserver 192.0.2.1\n123\n0 77\n1024\n4321\nNoNewPrivs:\t1\n77\n";
    assert_eq!(said, expected);
}

#[test]
fn what_it_writes_to_its_etc_is_nobody_elses_and_gives_way_to_the_nodes_name_servers() {
    use std::os::unix::fs::MetadataExt;
    let node = Node::boot();
    let line = "echo nameserver 192.0.2.66 >/etc/resolv.conf
                for server in 66 8 9; do
                    until grep -qx nameserver.192.0.2.$server /etc/resolv.conf; do sleep 0.05; done
                    cat /etc/resolv.conf
                done
                stat -c %d /etc/hosts /etc/hostname /etc/resolv.conf";
    node.create("a", busybox(line));
    node.start("a");
    eventually("it has written", || node.output("a") == "nameserver 192.0.2.66\n");
    let other = says(&node, "other", "cat /etc/resolv.conf", |_| {});
    assert!(!other.contains("192.0.2.66"), "{other}");
    // As the network does it.
    let change = |server: u8| {
        std::fs::write("/run/skerry/new", format!("nameserver 192.0.2.{server}\n")).unwrap();
        std::fs::rename("/run/skerry/new", "/run/skerry/resolv.conf").unwrap();
    };
    // A monitor that comes back leaves alone what it need not change.
    node.kill_monitor();
    assert_eq!(node.output("a"), "nameserver 192.0.2.66\n");
    change(8);
    eventually("it follows", || node.output("a").ends_with(".8\n"));
    node.kill_monitor();
    change(9);
    assert_eq!(node.wait("a"), 0);
    let disk = std::fs::metadata("/var").unwrap().dev();
    let rest = format!(".8\nnameserver 192.0.2.9\n{disk}\n{disk}\n{disk}\n");
    assert!(node.output("a").ends_with(&rest), "{disk} {}", node.output("a"));
    assert_eq!(says(&node, "later", "cat /etc/resolv.conf", |_| {}), "nameserver 192.0.2.9\n");
}

#[test]
fn namespaces_are_its_own_or_the_nodes() {
    let node = Node::boot();
    let line = "ls /sys/class/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; readlink /proc/self/ns/cgroup";
    let own = says(&node, "own", line, |own| own.network = Some(ContainerNetwork::None));
    assert!(own.starts_with("lo\n"), "{own}");
    let shared = says(&node, "shared", line, |own| {
        (own.ipc, own.pid, own.cgroup) = (Ipc::Host, Pid::Host, Sharing::Host);
    });
    for kind in ["ipc", "pid", "cgroup"] {
        let nodes = std::fs::read_link(format!("/proc/{}/ns/{kind}", node.monitor().unwrap())).unwrap();
        let nodes = nodes.display().to_string();
        assert!(shared.contains(&nodes) && !own.contains(&nodes), "{kind}: {nodes} {shared} {own}");
    }
}

#[test]
fn a_host_name_may_have_a_domain_or_be_the_nodes() {
    let node = Node::boot();
    let line = "hostname; cat /proc/sys/kernel/domainname /etc/hostname; grep 127.0.1.1 /etc/hosts";
    let own = says(&node, "own", line, |own| {
        (own.hostname, own.domainname) = (Some("web".into()), Some("lab.example".into()));
    });
    assert_eq!(own, "web\nlab.example\nweb\n127.0.1.1\tweb.lab.example web\n");
    let nodes = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let nodes = nodes.trim();
    let shared =
        says(&node, "shared", "hostname; cat /etc/hostname; echo $HOSTNAME", |own| own.uts = Sharing::Host);
    assert_eq!(shared, format!("{nodes}\n{nodes}\n{nodes}\n"));
}

#[test]
fn a_privileged_one_sees_the_nodes_devices_and_others_those_that_they_were_given() {
    let node = Node::boot();
    let line = "ls /dev/loop-control 2>&1; grep Seccomp: /proc/self/status; mkdir /m; mount -t tmpfs x /m && echo mounted";
    let plain = says(&node, "plain", line, |_| {});
    assert!(
        plain.contains("No such file") && plain.contains("Seccomp:\t2") && !plain.contains("mounted\n"),
        "{plain}"
    );
    let all = says(&node, "all", line, |own| own.privileged = true);
    assert_eq!(all, "/dev/loop-control\nSeccomp:\t0\nmounted\n");
    let given = says(&node, "given", "ls /dev/mine; echo x >/dev/mine && echo written", |own| {
        own.devices = vec!["/dev/null:/dev/mine:rw".into()];
    });
    assert_eq!(given, "/dev/mine\nwritten\n");
}

#[test]
fn a_container_is_told_of_however_long_its_configuration_is() {
    let node = Node::boot();
    let mut container = busybox("exec sleep 1000");
    container.env = (0..700).map(|number| (format!("V{number}"), "\"".repeat(600))).collect();
    node.create("a", container);
    node.start("a");
    let mut client = Client::ask(&Request::Inspect { name: "a".into() }).unwrap();
    let Some(Reply::Container { config: None, config_follows: true, .. }) = client.reply() else {
        panic!("it is told whole")
    };
    let rest = client.follow();
    assert_eq!(rest.end, Some(Reply::Done));
    let config: bundle::Config = serde_json::from_slice(&rest.out).unwrap();
    assert!(config.process.unwrap().env.len() > 700);
}

#[test]
fn a_list_tells_the_images_own_command() {
    let node = Node::boot();
    let mut container = busybox("exec sleep 1000");
    (container.entrypoint, container.args) = (None, None);
    node.create("a", container.clone());
    container.args = Some(["echo", "own"].map(str::to_owned).into());
    node.create("b", container);
    let image = node.summary("a").command;
    assert!(!image.is_empty());
    assert!(node.summary("b").command.ends_with(&["echo".to_owned(), "own".to_owned()]));
    let inspected = |name: &str| node.ask(&Request::Inspect { name: name.into() });
    let Reply::Container { summary, remove: false, stdin_once: false, .. } = inspected("a") else { panic!() };
    assert_eq!(summary.command, image);
    node.create_with_input("c", busybox("cat"));
    assert!(matches!(inspected("c"), Reply::Container { remove: false, stdin_once: true, .. }));
    node.create_as("d", busybox("cat"), true);
    assert!(matches!(inspected("d"), Reply::Container { remove: true, stdin_once: false, .. }));
    node.kill_monitor();
    assert_eq!(node.summary("a").command, image);
}

#[test]
fn a_volume_begins_as_the_images_folder_and_stays() {
    let node = Node::boot();
    let volume = |own: &mut Container| {
        own.mounts = vec![Mount::Volume {
            name: "data".parse().unwrap(),
            target: "/etc".into(),
            read_only: false,
            no_copy: false,
        }];
    };
    let first = says(&node, "first", "ls /etc | head -n 1; echo kept >/etc/mine", volume);
    assert!(!first.is_empty(), "the image's own files are there");
    node.done(&Request::Remove { name: "first".into(), force: false, volumes: false });
    assert_eq!(says(&node, "second", "cat /etc/mine", volume), "kept\n");
    assert!(std::path::Path::new("/var/lib/skerry/volumes/data/data/mine").exists());
}

#[test]
fn a_volume_that_is_filled_for_long_holds_up_nobody() {
    use nix::fcntl::{Flock, FlockArg};
    let node = Node::boot();
    let folder = "/var/lib/skerry/volumes/data";
    std::fs::create_dir_all(folder).unwrap();
    // As if another container's were being filled.
    let lock = Flock::lock(std::fs::File::open(folder).unwrap(), FlockArg::LockExclusive).unwrap();
    let mut container = busybox("ls /etc/passwd");
    container.mounts = vec![Mount::Volume {
        name: "data".parse().unwrap(),
        target: "/etc".into(),
        read_only: false,
        no_copy: false,
    }];
    node.create("first", container.clone());
    node.create("second", container);
    let start = |name: &str| Client::ask(&Request::Start { name: name.into() }).unwrap();
    let (mut first, mut second) = (start("first"), start("second"));
    assert_eq!(node.run("other", "exit 3"), 3);
    assert!(!std::path::Path::new(&format!("{folder}/data")).exists());
    // Who is not wanted any more does not wait.
    node.done(&Request::Remove { name: "first".into(), force: true, volumes: false });
    assert!(matches!(first.reply(), Some(Reply::Failed(_))));
    drop(lock);
    assert_eq!(second.reply(), Some(Reply::Done));
    assert_eq!((node.wait("second"), node.output("second").as_str()), (0, "/etc/passwd\n"));
}

/// A program with a set-user-ID bit, made in a container, would make anybody root.
#[test]
fn what_containers_have_is_for_root_alone() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let node = Node::boot();
    let id = node.create("web", {
        let volume = Mount::Volume {
            name: "data".parse().unwrap(),
            target: "/etc".into(),
            read_only: false,
            no_copy: false,
        };
        Container {
            mounts: vec![volume],
            ..busybox("chmod 4755 /etc/passwd /bin/busybox; echo done; exec sleep 1000")
        }
    });
    let (key, home) = (&id[..12], "/var/lib/skerry");
    let copy = format!("/run/skerry/monitor/containers/{key}/definition");
    let mode = std::fs::metadata(&copy).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600, "its folder is anybody's to look into until it is started");
    node.start("web");
    eventually("it has said all", || node.output("web") == "done\n");
    for path in [
        copy,
        format!("/run/skerry/monitor/containers/{key}/root/bin/busybox"),
        format!("/run/skerry/monitor/containers/{key}/config.json"),
        format!("{home}/volumes/data/data/passwd"),
        format!("{home}/definitions/{key}.json"),
        format!("/var/log/skerry/containers/{key}.log"),
    ] {
        let may =
            |user: u32| std::process::Command::new("head").args(["-c1", &path]).uid(user).gid(user).output();
        assert!(may(0).unwrap().status.success(), "{path} is there");
        let refused = may(65534).unwrap();
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("Permission denied"),
            "{path}: {refused:?}"
        );
    }
    let layers = std::process::Command::new("ls").arg("/run/skerry/layers").uid(65534).output().unwrap();
    assert!(!layers.status.success() && std::fs::read_dir("/run/skerry/layers").unwrap().count() > 0);
}

#[test]
fn a_health_check_tells_whether_it_is_well_also_after_the_monitor_died() {
    let node = Node::boot();
    let mut container = busybox("touch /well; exec sleep 1000");
    container.health = Some(HealthOptions {
        command: Some(["sh", "-c", "echo looked; ls /well >&2"].map(str::to_owned).into()),
        interval: Some("100ms".parse().unwrap()),
        timeout: Some(Span::seconds(10)),
        retries: Some(2),
        start_period: None,
        start_interval: None,
    });
    node.create("a", container);
    node.start("a");
    let is = |health| eventually("its health", || node.summary("a").status.health == Some(health));
    is(Health::Healthy);
    let root =
        std::path::Path::new("/run/skerry/monitor/containers").join(&node.summary("a").id[..12]).join("root");
    std::fs::remove_file(root.join("well")).unwrap();
    is(Health::Unhealthy);
    let checks = || match node.ask(&Request::Inspect { name: "a".into() }) {
        Reply::Container { checks, .. } => *checks.unwrap(),
        other => panic!("{other:?}"),
    };
    eventually("all that is told of is of now", || {
        let checks = checks();
        checks.failures >= 5 && checks.log.len() == CHECKS && checks.log.iter().all(|one| one.exit == 1)
    });
    let before = checks();
    assert_eq!(before.log[0].output, "looked\nls: /well: No such file or directory\n");
    assert!(before.log.iter().all(|one| one.start < one.end));
    assert!(before.log.windows(2).all(|pair| pair[0].end < pair[1].start));
    node.kill_monitor();
    assert_eq!(node.summary("a").status.health, Some(Health::Unhealthy));
    let after = checks();
    assert!(after.failures >= before.failures && after.log.len() == CHECKS);
    assert!(after.log[0].start >= before.log[0].start);
    std::fs::write(root.join("well"), "").unwrap();
    is(Health::Healthy);
}

#[test]
fn a_check_may_write_without_end_and_take_too_long() {
    let node = Node::boot();
    let mut container = busybox("exec sleep 1000");
    container.health = Some(HealthOptions {
        command: Some(["sh", "-c", "yes"].map(str::to_owned).into()),
        interval: Some("100ms".parse().unwrap()),
        timeout: Some("300ms".parse().unwrap()),
        retries: Some(2),
        ..HealthOptions::default()
    });
    node.create("a", container);
    node.start("a");
    eventually("its health", || node.summary("a").status.health == Some(Health::Unhealthy));
    let Reply::Container { checks: Some(checks), .. } = node.ask(&Request::Inspect { name: "a".into() })
    else {
        panic!("no checks")
    };
    let one = &checks.log[0];
    assert_eq!(one.exit, -1);
    let expected = format!("Health check exceeded timeout (300ms): {}...", "y\n".repeat(2048));
    assert!(one.output == expected, "{:?}", one.output);
}

#[test]
fn what_it_uses_and_its_processes_are_told() {
    let node = Node::boot();
    node.create("a", busybox("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000; true"));
    node.start("a");
    eventually("it has worked", || match node.ask(&Request::Stats { names: vec![], follow: false }) {
        Reply::Stats { containers } => {
            containers.len() == 1 && containers[0].cpu > 0 && containers[0].pids == 2
        }
        other => panic!("{other:?}"),
    });
    let Reply::Processes { pids } = node.ask(&Request::Top { name: "a".into() }) else {
        panic!("no processes")
    };
    assert_eq!(pids.len(), 2);
    assert!(pids.contains(&node.summary("a").status.pid.unwrap()));
}

#[test]
fn a_pods_users_are_its_own_and_files_theirs() {
    let node = Node::boot();
    let (first, shared) = (7 * IDS, "/var/shared");
    std::fs::create_dir(shared).unwrap();
    std::fs::write(format!("{shared}/file"), "here\n").unwrap();
    let mount = bundle::Mount {
        destination: "/shared".into(),
        kind: Some("bind".into()),
        source: Some(shared.into()),
        options: ["rbind", "idmap"].map(str::to_owned).into(),
        ..bundle::Mount::default()
    };
    let sandbox =
        Sandbox { cgroup: "pod".into(), mounts: vec![mount], users: Some(first), ..Sandbox::default() };
    let line = "cat /proc/self/uid_map | tr -s ' '; id -u; stat -c %u:%g /bin/busybox /shared/file; echo new >/new; \
                echo new >/shared/new; rm /bin/true; stat -c %u /new; cat /shared/file; exec sleep 1000";
    let container = Container { network: Some(ContainerNetwork::Host), ..busybox(line) };
    for name in ["a", "b"] {
        let (image, sandbox) = (node.digest.clone(), Some(Box::new(sandbox.clone())));
        let name = Some(name.parse().unwrap());
        let (container, remove, stdin_once) = (container.clone(), false, false);
        let create = Create {
            name,
            container,
            image,
            remove,
            stdin_once,
            nameless: Vec::new(),
            seccomp: None,
            sandbox,
        };
        assert!(matches!(node.ask(&Request::Create(Box::new(create))), Reply::Created { .. }));
    }
    // One whose users are the node's has the same layers.
    node.create("plain", busybox("stat -c %u /bin/busybox"));
    for name in ["a", "plain", "b"] {
        node.start(name);
    }
    let expected = format!(" 0 {first} {IDS}\n0\n0:0\n0:0\n0\nhere\n");
    for name in ["a", "b"] {
        eventually("it has said all", || node.output(name).lines().count() >= 6);
        assert_eq!(node.output(name), expected);
    }
    assert_eq!(node.wait("plain"), 0);
    assert_eq!(node.output("plain"), "0\n");
    // Its own pipes belong to a program of `exec`, too.
    let line = "stat -L -c %u /proc/self/fd/1; echo out >/dev/stdout";
    let command = ["sh", "-c", line].map(str::to_owned).into();
    let exec = Exec { name: "a".into(), command, user: Some("7".into()), ..Exec::default() };
    let said = Client::ask(&Request::Exec(Box::new(exec))).expect("the monitor is there").follow();
    assert_eq!((said.text().as_str(), said.status()), ("7\nout\n", Some(0)));
    let pid = node.summary("a").status.pid.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{first}\t")), "{status}");
    let owner = |path: &str| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap());
    assert_eq!(owner(&format!("{shared}/new")), 0);
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", node.monitor().unwrap()));
    let mounts = mounts.unwrap();
    assert!(!mounts.contains("idmapped"), "{mounts}");
}
