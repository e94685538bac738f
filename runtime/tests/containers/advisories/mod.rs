//! What went wrong in other runtimes, each shown first to work on a step done naively, then
//! tried on the runtime: in races for ten times as many rounds as the naive step held out.

mod naive;

use crate::descriptors::after;
use crate::security::which;
use crate::support::{Bundle, Peer, Running, begin, eventually, fails, finish, leftovers, read, runtime, sh};
use naive::{act_says, begin_act, command, this_program};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// A folder of the host that nothing may reach.
const OUTSIDE: &str = "/run/outside";
const VICTIM: &str = "/run/victim";
/// Tries on one container.
const AT_ONCE: usize = 40;

/// Begins to exchange two names, and waits until it does.
fn begin_swap(one: &str, other: &str) -> Running {
    let swapper = begin_act(&["swap", one, other]);
    eventually("swapping", || read(&swapper.stdout).contains("naive: swapping"));
    swapper
}

/// A bundle in whose `/swap` a folder and a link that leads out change places all the time.
struct Race {
    bundle: Bundle,
    _swapper: Running,
}

impl Race {
    fn new() -> Self {
        let bundle = Bundle::new().folder("swap/one").folder(&OUTSIDE[1..]).link("swap/other", OUTSIDE);
        fs::create_dir_all(OUTSIDE).unwrap();
        let path = |name: &str| bundle.rootfs().join("swap").join(name).display().to_string();
        let swapper = begin_swap(&path("one"), &path("other"));
        Self { bundle, _swapper: swapper }
    }

    /// How many rounds the naive step holds out.
    #[track_caller]
    fn naive(&self, step: &str) -> usize {
        let root = self.bundle.rootfs().display().to_string();
        let rounds = act_says(&[step, &root, "/swap/one"]).parse().unwrap();
        assert_ne!(rounds, 0, "the attack does not work, so nothing is shown");
        rounds
    }

    /// Containers that try ten times as often together, but 400 times at least and 2,400 at most; in `make torture`
    /// ten times as many.
    fn containers(&self, held: usize) -> usize {
        let usual = (held * 10).div_ceil(AT_ONCE).clamp(10, 60);
        if std::env::var_os("SKERRY_TORTURE_ROUNDS").is_some() { usual * 10 } else { usual }
    }
}

fn tmpfs(destination: &str) -> Value {
    json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"] })
}

#[test]
fn a_mount_on_what_is_swapped_for_a_link_stays_in_the_container() {
    // CVE-2021-30465
    let race = Race::new();
    let rounds = race.containers(race.naive("mount"));
    let hook = "cut -d ' ' -f 5 /proc/self/mountinfo >> /run/mounted";
    let mut bundle = race.bundle.clone().hook_sh("createContainer", hook);
    for _ in 0..AT_ONCE {
        bundle = bundle.add("/mounts", tmpfs("/swap/one"));
    }
    for _ in 0..rounds {
        bundle.run();
    }
    let mounted = read("/run/mounted");
    assert!(!mounted.lines().any(|point| point == OUTSIDE), "{mounted}");
    if !fails(Peer::Runc, "1.1.5 gives up") {
        let inside = bundle.rootfs().display().to_string() + OUTSIDE;
        assert!(mounted.lines().any(|point| point == inside), "the link was met, and led here");
    }
}

#[test]
fn a_folder_is_not_made_through_what_is_swapped_for_a_link() {
    // CVE-2024-45310
    let race = Race::new();
    let rounds = race.containers(race.naive("make folder"));
    fs::remove_dir_all(OUTSIDE).unwrap();
    fs::create_dir(OUTSIDE).unwrap();
    for round in 0..rounds {
        let mut bundle = race.bundle.clone();
        for number in 0..AT_ONCE {
            bundle = bundle.add("/mounts", tmpfs(&format!("/swap/one/{round}-{number}")));
        }
        bundle.run();
    }
    let made = fs::read_dir(OUTSIDE).unwrap().count();
    if made > 0 && fails(Peer::Runc, "1.1.5 is affected") {
        return;
    }
    assert_eq!(made, 0);
    let inside = race.bundle.rootfs().join(&OUTSIDE[1..]);
    assert!(fs::read_dir(inside).unwrap().next().is_some(), "the link was met, and led here");
}

#[test]
fn a_link_in_place_of_proc_is_refused() {
    // CVE-2019-16884, CVE-2023-28642: masks and profiles went where /proc was not.
    for name in ["proc", "sys"] {
        let bundle = Bundle::new().folder("elsewhere");
        fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        let bundle = bundle.link(name, "/elsewhere");
        let ran = bundle.run();
        let left_out = fails(Peer::Crun, "1.8.1 follows it within the root");
        assert!(left_out || ran.error().contains(name));
    }
    let bundle = Bundle::new().folder("elsewhere");
    let root = bundle.rootfs();
    fs::write(root.join("elsewhere/mark"), "there\n").unwrap();
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("elsewhere", root.join("proc")).unwrap();
    let root = root.display().to_string();
    assert_eq!(act_says(&["bind", &root, "/etc/group", "/proc/mark"]), "root:x:0:", "a path followed it");
}

#[test]
fn a_volume_on_a_link_to_proc_is_refused() {
    // CVE-2019-16884: what is mounted on the image's link stands for what the runtime writes to.
    let linked = |to: &str| Bundle::new().link("p", to);
    sh("mkdir -p /run/volume/attr; echo volume > /run/volume/file");
    let inside = "is inside /proc";
    let cases = [
        ("/proc", "not of type proc", linked("/proc").bind("/run/volume", "/p", &["bind"])),
        ("proc/self", inside, linked("proc/self").bind("/run/volume/attr", "/p/attr", &["bind"])),
        ("/proc", inside, linked("/proc").mount("/p/tty", "tmpfs", "tmpfs", &[])),
        ("/proc/version", inside, linked("/proc/version").bind("/run/volume/file", "/p", &["bind"])),
        ("..", inside, linked("..").bind("/run/volume", "/p/proc/tty", &["bind"])),
    ];
    if !fails(Peer::Crun, "1.8.1 mounts it") && !fails(Peer::Runc, "1.1.5 mounts what a link leads to") {
        for (to, words, bundle) in cases {
            let ran = bundle.try_create();
            assert!(ran.code != 0 && ran.stderr.contains(words), "{to}: {ran:?}");
        }
        let whole = Bundle::new().bind("/run/volume", "/proc", &["bind"]).try_create();
        assert!(whole.error().contains("not of type proc"));
        assert_eq!(leftovers(), [""; 0]);
    }
    let may_be = linked("/proc/meminfo").bind("/run/volume/file", "/p", &["bind"]);
    assert_eq!(may_be.sh("cat /proc/meminfo").says(), "volume\n");
    let elsewhere = linked("/tmp").bind("/run/volume", "/p/new/folder", &["bind"]);
    assert_eq!(elsewhere.sh("cat /tmp/new/folder/file").says(), "volume\n");
    Bundle::new().bind("/proc", "/proc", &["rbind"]).run().ok();
    if fails(Peer::Crun, "1.8.1 finds nothing there") || fails(Peer::Runc, "1.1.5 refuses it") {
        return;
    }
    // The kernel forgets it at once, since it makes the name up anew.
    Bundle::new().bind("/run/volume/file", "/proc/net/dev", &["bind"]).run().ok();
}

#[test]
fn what_covers_a_masked_path_is_the_hosts_null() {
    // CVE-2025-31133
    let prepare = || {
        let mut bundle = Bundle::new().file("masked", "secret\n");
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        bundle.link("dev/null", VICTIM).set("/linux/maskedPaths", json!(["/masked"]))
    };
    let root = prepare().rootfs().display().to_string();
    fs::write(VICTIM, "victim").unwrap();
    assert_eq!(act_says(&["bind", &root, "/dev/null", "/masked"]), "victim");
    let bundle = prepare().sh("cat /masked; echo x > /masked; stat -c %t:%T /masked");
    if fails(Peer::Runc, "1.1.5 takes the image's") || fails(Peer::Crun, "1.8.1 refuses the link") {
        return;
    }
    assert_eq!(bundle.says(), "1:3\n");
    assert_eq!(read(VICTIM), "victim");
}

#[test]
fn the_console_is_the_terminal_whatever_its_name_leads_to() {
    // CVE-2025-52565: /dev is a volume in which somebody else exchanges folders.
    let bundle = Bundle::new();
    fs::write(VICTIM, "victim").unwrap();
    let volume = "/run/volume";
    for folder in ["pts", "other"] {
        fs::create_dir_all(format!("{volume}/{folder}")).unwrap();
    }
    for number in 0..4 {
        symlink("/victim", format!("{volume}/other/{number}")).unwrap();
    }
    let bundle = bundle.file("victim", "victim").file("dev/console", "").folder("dev/pts");
    symlink(VICTIM, bundle.rootfs().join("dev/pts/0")).unwrap();
    let root = bundle.rootfs().display().to_string();
    assert_eq!(act_says(&["bind", &root, "/dev/pts/0", "/dev/console"]), "victim");

    let mut bundle = bundle.set("/process/terminal", json!(true)).sh("stat -c %t:%T /dev/console");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| {
        mount["destination"].as_str().is_none_or(|path| path == "/dev/pts" || !path.starts_with("/dev"))
    });
    let at = mounts.iter().position(|mount| mount["destination"] == "/dev/pts").unwrap();
    mounts
        .insert(at, json!({ "destination": "/dev", "type": "bind", "source": volume, "options": ["rbind"] }));
    for file in ["console", "null", "tty"] {
        fs::write(format!("{volume}/{file}"), "").unwrap();
    }
    let _swapper = begin_swap(&format!("{volume}/pts"), &format!("{volume}/other"));
    let mut seen = 0;
    for _ in 0..40 {
        let ran = bundle.run();
        let terminal = ran.stdout.starts_with("88:");
        // Else it could not be made in a folder that is no devpts.
        assert!(terminal || ran.code != 0, "{ran:?}");
        seen += usize::from(terminal);
    }
    let peer = fails(Peer::Runc, "1.1.5 may give up each time") || fails(Peer::Crun, "1.8.1 too");
    assert!(seen > 0 || peer, "no terminal was made, so nothing is shown");
}

#[test]
fn a_descriptor_of_the_host_is_no_working_directory() {
    // CVE-2024-21626
    let bundle = Bundle::new();
    fs::write(VICTIM, "victim").unwrap();
    let root = bundle.rootfs().display().to_string();
    assert_eq!(act_says(&["run with a leak", &root]), "victim");

    let bundle = bundle.set("/process/cwd", json!("/proc/self/fd/9")).sh("cat run/victim");
    let ran = after("exec 9< /", &bundle, &[]);
    if ran.stdout.contains("victim") && fails(Peer::Crun, "1.8.1 closes the caller's too late") {
        return;
    }
    assert!(ran.code != 0 && !ran.stdout.contains("victim"), "{ran:?}");
    let container = Bundle::new().long().start();
    let inner = container.command("exec", &["--cwd", "/proc/self/fd/9"]);
    let mut exec = Command::new("sh");
    exec.args(["-c", "exec 9< /; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    exec.args(["cat", "run/victim"]);
    let ran = finish(exec);
    assert!(ran.code != 0 && !ran.stdout.contains("victim"), "{ran:?}");
}

/// Looks at all processes again and again for one whose program is not in the container, opens
/// that program, and writes to it when it does not run any more.
const OVERWRITE: &str = r#"
    echo ready
    while :; do
        for folder in /proc/[0-9]*; do
            case $(readlink $folder/exe) in /bin/busybox|"") continue ;; esac
            exec 3< $folder/exe || continue
            touch /seen
            for try in $(seq 600); do
                (echo owned > /proc/self/fd/3) && break
                sleep 0.05
            done
            exec 3<&-
        done
        echo looked >> /looked
    done 2>/dev/null
"#;

/// A runtime's process in the container's sight, with the container's rights and the host's
/// program, stopped shortly before it executes the container's: an agent that decides on execve(2)
/// says nothing.
fn stopped_before_exec(program: &str) -> (Bundle, Running) {
    let notify = json!([{ "names": ["execve"], "action": "SCMP_ACT_NOTIFY" }]);
    let profile =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": notify });
    let bundle = Bundle::new()
        .namespace("pid", None)
        .set("/process/noNewPrivileges", json!(true))
        .set("/linux/seccomp", profile);
    let usual = bundle.command("run", &["--detach"]);
    let mut run = Command::new(program);
    run.args(usual.get_args());
    let run = begin(run);
    let filtered = || {
        let state = finish(runtime(["state", &bundle.id])).stdout;
        let pid = serde_json::from_str::<Value>(&state).map_or(0, |state| state["pid"].as_i64().unwrap_or(0));
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("Seccomp:\t2"))
    };
    eventually("stopped", filtered);
    (bundle, run)
}

#[test]
fn the_hosts_program_is_not_overwritten_from_inside() {
    // CVE-2019-5736. Both programs are copies.
    let attackers = Bundle::new().namespace("pid", None).sh(OVERWRITE);
    let root = attackers.rootfs();
    let container = attackers.start();
    container.says("ready");
    // By another process: what this one writes another test's child may still have open.
    sh(&format!("cp {} /run/naive", this_program().display()));
    // With no more rights than the container has, as a runtime shortly before its exec.
    let naive = command("/run/naive", &["be seen", &root.display().to_string()]);
    let mut fewer = Command::new("setpriv");
    fewer
        .args(["--bounding-set", "-all", "--inh-caps", "-all"])
        .arg(naive.get_program())
        .args(naive.get_args());
    fewer.envs(naive.get_envs().filter_map(|(name, value)| Some((name, value?))));
    finish(fewer);
    eventually("overwritten", || fs::read("/run/naive").unwrap().starts_with(b"owned"));

    if fails(Peer::Runc, "runs a copy of itself") || fails(Peer::Crun, "runs a copy of itself") {
        return;
    }
    fs::remove_file(root.join("seen")).unwrap();
    sh(&format!("cp {} /run/runtime", which()));
    let before = fs::read("/run/runtime").unwrap();
    let _agent = UnixListener::bind("/run/agent").unwrap();
    let (stopped, _run) = stopped_before_exec("/run/runtime");
    let looked = || read(root.join("looked")).lines().count();
    let until_now = looked();
    eventually("looked", || looked() > until_now + 3);
    assert!(!root.join("seen").exists(), "the program was opened");
    finish(runtime(["delete", "--force", &stopped.id])).ok();
    assert!(fs::read("/run/runtime").unwrap() == before);
}

#[test]
fn inheritable_capabilities_of_the_caller_stay_with_it() {
    // CVE-2022-29162
    let all = |command: Command| {
        let mut with = Command::new("setpriv");
        with.args(["--inh-caps", "+net_admin"]).arg(command.get_program()).args(command.get_args());
        finish(with).ok().stdout
    };
    let bundle = Bundle::new().args(["grep", "CapInh", "/proc/self/status"]);
    let mut naive = Command::new("chroot");
    naive.args(["/", "grep", "CapInh", "/proc/self/status"]);
    assert_ne!(
        all(naive),
        "CapInh:\t0000000000000000\n",
        "a program that thinks nothing of it hands them on"
    );
    assert_eq!(all(bundle.command("run", &[])), "CapInh:\t0000000000000000\n");
    let container = Bundle::new().long().start();
    let mut exec = container.command("exec", &["--cap", "CAP_NET_ADMIN"]);
    exec.args(["grep", "CapInh", "/proc/self/status"]);
    assert_eq!(all(exec), "CapInh:\t0000000000000000\n");
}

#[test]
fn the_hosts_cgroups_are_read_only_in_a_user_namespace() {
    // CVE-2023-25809: a user's own cgroup, in a container of theirs without a cgroup namespace.
    let bundle = Bundle::new();
    let delegated = format!("/sys/fs/cgroup/{}", bundle.id);
    fs::create_dir(&delegated).unwrap();
    std::os::unix::fs::chown(&delegated, Some(100_000), Some(100_000)).unwrap();
    let make = format!("mkdir {delegated}/made 2>&1 && rmdir {delegated}/made && echo made");
    let with = |mount: Value| {
        let mut bundle = Bundle::new().namespace("cgroup", None).user_namespace().sh(&make);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        bundle.add("/mounts", mount).run().stdout
    };
    let of = |kind: &str, source: &str, options: &[&str]| json!({ "destination": "/sys/fs/cgroup", "type": kind, "source": source, "options": options });
    assert_eq!(with(of("bind", "/sys/fs/cgroup", &["rbind"])), "made\n", "a bind mount as it is");
    let said = with(of("cgroup", "cgroup", &["nosuid", "noexec", "nodev"]));
    fs::remove_dir(&delegated).unwrap();
    let words = "does so for callers who are not root alone";
    let peer = fails(Peer::Runc, words) || fails(Peer::Crun, words);
    assert!(said.contains("Read-only file system") || peer, "{said}");
}
