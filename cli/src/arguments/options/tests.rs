//! Words of the command line, and what `node.toml` would say.

use super::*;
use crate::arguments::{Arguments, Command};
use clap::Parser;
use spec::node::Mount;

fn run(words: &str) -> Options {
    let words = ["skerry", "run"].into_iter().chain(words.split(' '));
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Run(run) => run.options,
        other => panic!("{other:?}"),
    }
}

fn container(words: &str) -> Result<Container> {
    run(words).container(|name| (name == "HERE").then(|| "yes".into()))
}

#[test]
fn what_follows_the_image_is_the_programs() {
    let options = run("-it --rm -e A=1 busybox ls -l --rm");
    assert!(options.interactive && options.tty && options.rm);
    assert_eq!((options.image(), options.command().join(" ")), ("busybox", "ls -l --rm".into()));
    for words in ["-c echo", "-v /a:/b", "--help", "-- x", "-la --privileged", "-d --rm --nosuch"] {
        let options = run(&format!("--entrypoint sh busybox {words}"));
        assert_eq!((options.image(), options.command().join(" ")), ("busybox", words.into()));
        assert!(!options.rm && options.label.is_empty());
    }
    let exec = "skerry exec -t web -- ls --user -c";
    match Arguments::try_parse_from(exec.split(' ')).unwrap().command {
        Command::Exec(exec) => {
            assert_eq!((exec.container(), exec.command().join(" ")), ("web", "-- ls --user -c".into()))
        }
        other => panic!("{other:?}"),
    }
    for words in ["run --nosuch busybox", "run", "exec web", "exec --nosuch web ls"] {
        let words = ["skerry"].into_iter().chain(words.split(' '));
        assert!(Arguments::try_parse_from(words).is_err());
    }
}

#[test]
fn options_become_what_node_toml_would_say() {
    let container = container(
        "-e A=1 -e HERE -e NOT_HERE -v /a:/b:ro --tmpfs /t:size=1m -m 64m --cpus 0.5 --restart on-failure:3 x",
    )
    .unwrap();
    assert_eq!(container.env, BTreeMap::from([("A".into(), "1".into()), ("HERE".into(), "yes".into())]));
    assert_eq!(
        container.mounts,
        [
            Mount::Bind {
                source: "/a".into(),
                target: "/b".into(),
                read_only: true,
                propagation: Default::default()
            },
            Mount::Tmpfs {
                target: "/t".into(),
                size: Some(Bytes(1 << 20)),
                mode: None,
                uid: None,
                gid: None,
                exec: false,
                read_only: false
            }
        ]
    );
    assert_eq!((container.memory, container.cpus), (Some(Bytes(64 << 20)), Some(0.5)));
    assert_eq!(container.restart, Restart::OnFailure(Some(3)));
}

#[test]
fn a_wrong_option_is_named() {
    for (words, told) in [
        ("-v a x", "--volume \"a\": \"a\" is not an absolute path"),
        ("-v /a:b x", "--volume \"/a:b\": \"b\" is not an absolute path"),
        ("-v /a:/b:rx x", "--volume \"/a:/b:rx\": \"rx\" is none of ro, rw, nocopy"),
        ("--memory lots x", "--memory: \"lots\" is not a size"),
        ("--restart maybe x", "--restart: \"maybe\" is none of always"),
    ] {
        let error = container(words).unwrap_err().message;
        assert!(error.starts_with(told), "{error}");
    }
    assert!(run("--name a/b x").name().unwrap_err().message.starts_with("--name: \"a/b\" is not a name"));
}

#[test]
fn every_key_of_node_toml_has_an_option() {
    let words = "-it --label a=b --hostname h --domainname d --annotation a=b --uts host --network back --network-alias b -p 80:80 -P --expose 81 --init --add-host x:1.2.3.4 --dns 1.1.1.1 --dns-search a.b --dns-opt rotate --group-add 7 \
        --shm-size 1m --device /dev/fuse --memory-swap 128m --memory-reservation 32m --cpu-shares 512 \
        --cpuset-cpus 0-1 --ulimit nofile=5:6 --oom-score-adj 9 --sysctl net.a=1 --privileged \
        --security-opt no-new-privileges --cgroupns host --pid host --ipc host -v data:/d \
        --health-cmd true --health-retries 2 --stop-timeout 3 --entrypoint /x -w /w -u 1:2 -e A=1 --read-only \
        -m 64m --cpus 2 --pids-limit 5 --cap-add ALL --cap-drop KILL --restart no --stop-signal INT --log-opt max-size=1m x y";
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = serde_json::to_value(container(&words).unwrap()).unwrap();
    let usual = serde_json::to_value(Container::of("x")).unwrap();
    // Pulling is done by this program, before a container is made.
    let ours = ["image", "after", "console", "pull"];
    for (key, value) in told.as_object().unwrap() {
        assert!(ours.contains(&key.as_str()) || usual[key] != *value, "{key} has no option");
    }
}

#[test]
fn what_docker_takes_is_taken() {
    let swap = Bytes(i64::MAX as u64);
    let said =
        container("-h web -m 1.5g --memory-swap -1 --cpus 0 --pids-limit -1 --stop-timeout -1 x").unwrap();
    assert_eq!(said.hostname.as_deref(), Some("web"));
    assert_eq!((said.memory, said.memory_swap), (Some(Bytes(3 << 29)), Some(swap)));
    assert_eq!((said.cpus, said.pids), (None, None));
    assert_eq!(said.stop_grace, Span::seconds(u64::from(u32::MAX)));
    for (text, bytes) in [("512b", 512), ("512kb", 512 << 10), ("512MB", 512 << 20), ("0.5gib", 1 << 29)] {
        assert_eq!(size("--memory", text).unwrap(), Bytes(bytes), "{text}");
    }
    for text in ["-1m", "1e3m", "m", "1.5.5g", "99999999tb", "infg", "nang"] {
        assert!(size("--memory", text).unwrap_err().message.starts_with("--memory: "), "{text}");
    }
    let said = container("--health-interval 1m30s x").unwrap().health.unwrap();
    assert_eq!((said.command, said.interval), (None, Some(Span::seconds(90))));
    let said = container("--health-start-interval 500ms x").unwrap().health.unwrap();
    assert_eq!(said.start_interval, Some("500ms".parse().unwrap()));
    assert_eq!(
        container("-v a:/b:cached,rw --mount type=bind,src=/a,dst=/b,bind-propagation=rprivate x")
            .unwrap()
            .mounts
            .len(),
        2
    );
}

#[test]
fn update_takes_a_limit_back() {
    let words = ["skerry", "update", "--cpus", "0", "--pids-limit", "-1", "web"];
    let Command::Update(update) = Arguments::try_parse_from(words).unwrap().command else { panic!() };
    let change = update.resources.change(Container::of("-")).unwrap();
    assert_eq!((change.cpus, change.pids), (Some(8192.0), Some(4_194_304)));
}

#[test]
fn memory_alone_brings_as_much_swap() {
    let swap = |words: &str| container(words).unwrap().memory_swap;
    if std::path::Path::new("/proc/swaps").exists() {
        assert_eq!(swap("-m 64m x"), Some(Bytes(128 << 20)));
        assert_eq!(swap("-m 64m --memory-swap 0 x"), Some(Bytes(128 << 20)));
        assert_eq!(swap_that_follows(&Container::of("x"), Bytes(5)), Some(Bytes(10)));
    }
    assert_eq!(swap("-m 64m --memory-swap 64m x"), Some(Bytes(64 << 20)));
    assert_eq!(swap("-m 64m --memory-swap -1 x"), Some(Bytes(i64::MAX as u64)));
    assert_eq!(swap("--memory-swap -1 x"), None, "as it is without");
    let none = container("-m 0 --memory-reservation 0 --cpu-shares 0 x").unwrap();
    assert_eq!((none.memory, none.memory_swap, none.memory_reservation), (None, None, None));
    assert_eq!(none.cpu_shares, None);
}

#[test]
fn other_memory_brings_other_swap_unless_that_was_spoken_of() {
    let of = |memory, swap: Option<u64>| Container {
        memory: Some(Bytes(memory)),
        memory_swap: swap.map(Bytes),
        ..Container::of("x")
    };
    assert_eq!(swap_that_follows(&of(7, Some(14)), Bytes(5)), Some(Bytes(10)));
    assert_eq!(swap_that_follows(&of(7, Some(20)), Bytes(5)), None);
    assert_eq!(swap_that_follows(&of(7, None), Bytes(5)), None);
}

#[test]
fn what_a_container_may_is_said_in_dockers_ways() {
    use spec::node::Security::{NoNewPrivileges, SeccompUnconfined, SystemPathsUnconfined};
    for (text, expected) in [
        ("no-new-privileges", vec![NoNewPrivileges]),
        ("no-new-privileges:true", vec![NoNewPrivileges]),
        ("no-new-privileges=true", vec![NoNewPrivileges]),
        ("no-new-privileges=false", vec![]),
        ("seccomp=unconfined", vec![SeccompUnconfined]),
        ("seccomp:unconfined", vec![SeccompUnconfined]),
        ("systempaths=unconfined", vec![SystemPathsUnconfined]),
        ("apparmor=unconfined", vec![]),
        ("label:disable", vec![]),
        ("seccomp=builtin", vec![]),
        ("seccomp=/profile.json", vec![]),
        ("seccomp=unconfined --security-opt seccomp=/profile.json", vec![]),
        ("seccomp=/profile.json --security-opt seccomp=unconfined", vec![SeccompUnconfined]),
    ] {
        assert_eq!(container(&format!("--security-opt {text} x")).unwrap().security, expected, "{text}");
    }
    for text in ["apparmor=mine", "no-new-privileges=maybe", "seccomp=", "fly"] {
        let told = container(&format!("--security-opt {text} x")).unwrap_err().message;
        assert!(told.starts_with("--security-opt: ") && told.contains("is none of"), "{told}");
    }
    let said = container("--cap-add net_admin --cap-add CAP_CHOWN --cap-drop all x").unwrap();
    assert_eq!(
        (said.cap_add.join(" "), said.cap_drop.join(" ")),
        ("NET_ADMIN CAP_CHOWN".into(), "ALL".into())
    );
}

#[test]
fn labels_come_from_files_too_and_a_log_has_a_size() {
    let file = std::env::temp_dir().join(format!("skerry-labels-{}", std::process::id()));
    std::fs::write(&file, "# ours\n  a=file\n\nb=two words\nc\n").unwrap();
    let said = container(&format!("-l a=own --label-file {} x", file.display())).unwrap();
    std::fs::remove_file(&file).unwrap();
    let labels: Vec<_> = said.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["a=own", "b=two words", "c="]);
    let told = container("--label-file /nowhere x").unwrap_err().message;
    assert_eq!(told, "--label-file: read /nowhere: no such file or directory");
    let said = container("--log-driver json-file --log-opt max-size=10m --log-opt max-file=3 x").unwrap();
    assert_eq!(said.log_size, Bytes(10 << 20));
    assert!(container("--log-opt mode=non-blocking --log-opt tag=web --log-opt compress=true x").is_ok());
    assert!(Arguments::try_parse_from(["skerry", "run", "--log-driver", "syslog", "x"]).is_err());
    for text in ["max-size=0", "max-size=lots", "max-file=x", "colour=red", "max-size"] {
        let told = container(&format!("--log-opt {text} x")).unwrap_err().message;
        assert!(told.starts_with("--log-opt "), "{told}");
    }
}

#[test]
fn a_quota_is_another_way_to_say_processors() {
    let cpus = |words: &str| container(words).unwrap().cpus;
    assert_eq!(cpus("--cpu-quota 50000 x"), Some(0.5));
    assert_eq!(cpus("--cpu-quota 50000 --cpu-period 25000 x"), Some(2.0));
    assert_eq!(cpus("--cpu-quota -1 --cpu-period 25000 x"), None);
    assert_eq!(cpus("--cpu-period 25000 --userns host x"), None);
}
