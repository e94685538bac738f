use super::*;
use spec::bundle::Mount;

fn made(text: &str, image: &Defaults) -> Result<Config, String> {
    let text = format!("[containers.web]\nimage = \"i\"\n{text}");
    let layer = spec::node::Layer { origin: "test".into(), text };
    // Not judged, so that what is judged here is seen.
    let node: spec::node::Node = spec::node::load_part(&[layer]).unwrap();
    let (name, container) = node.containers.first_key_value().unwrap();
    let around = Surroundings {
        root: "/run/root".into(),
        passwd: "root:x:0:0::/root:\nwww:x:33:34::/var/www:\n".into(),
        ..Surroundings::default()
    };
    config(name, container, image, &around)
}

fn image() -> Defaults {
    Defaults {
        entrypoint: vec!["/entry".into()],
        cmd: vec!["serve".into(), "-v".into()],
        env: vec!["PATH=/bin".into(), "A=image".into()],
        working_dir: "/srv".into(),
        user: "www".into(),
        stop_signal: "SIGQUIT".into(),
        health: None,
        exposed: Vec::new(),
        labels: BTreeMap::new(),
    }
}

fn options<'a>(config: &'a Config, at: &str) -> &'a Mount {
    config.mounts.iter().find(|mount| mount.destination == at).unwrap()
}

#[test]
fn the_image_speaks_where_the_configuration_is_silent() {
    let process = made("", &image()).unwrap().process.unwrap();
    assert_eq!(process.args, ["/entry", "serve", "-v"]);
    assert_eq!(process.env, ["PATH=/bin", "HOSTNAME=web", "A=image", "HOME=/var/www"]);
    assert_eq!((process.cwd.as_str(), process.user.uid, process.user.gid), ("/srv", 33, 34));
    assert!(process.capabilities.unwrap().effective.is_empty());
}

#[test]
fn the_configuration_has_the_last_word() {
    let text = "args = [\"other\"]\nenv = { A = \"own\", HOME = \"/h\" }\nuser = \"0\"\nworking-dir = \"/\"";
    let process = made(text, &image()).unwrap().process.unwrap();
    assert_eq!(process.args, ["/entry", "other"]);
    assert_eq!(process.env, ["PATH=/bin", "HOSTNAME=web", "A=own", "HOME=/h"]);
    assert_eq!((process.cwd.as_str(), process.user.uid), ("/", 0));
    assert_eq!(process.capabilities.unwrap().effective.len(), 14);
}

#[test]
fn an_entrypoint_of_ones_own_drops_the_images_arguments() {
    let args = |text: &str| made(text, &image()).unwrap().process.unwrap().args;
    assert_eq!(args("entrypoint = [\"/sh\"]"), ["/sh"]);
    assert_eq!(args("entrypoint = [\"/sh\"]\nargs = [\"-c\"]"), ["/sh", "-c"]);
    assert_eq!(args("entrypoint = []\nargs = [\"top\"]"), ["top"]);
}

#[test]
fn what_cannot_be_done_is_refused_in_words() {
    for (text, words) in [
        ("entrypoint = []", "no command"),
        ("user = \"ghost\"", "\"ghost\""),
        ("cap-add = [\"FLY\"]", "\"FLY\""),
        ("cpus = 0.001", "cpus = 0.001"),
        ("working-dir = \"srv\"", "not absolute"),
        ("mounts = [{ type = \"bind\", source = \"data\", target = \"/data\" }]", "\"data\""),
        ("mounts = [{ type = \"tmpfs\", target = \"tmp\" }]", "\"tmp\""),
        ("ulimits = { fly = \"1\" }", "ulimits.fly"),
        ("oom-score-adj = 1001", "oom-score-adj = 1001"),
        ("cpu-shares = 1", "cpu-shares = 1"),
        ("memory-swap = \"1M\"", "memory-swap without memory"),
        ("memory = \"2M\"\nmemory-swap = \"1M\"", "memory-swap = 1048576"),
        ("memory = \"2M\"\nmemory-reservation = \"3M\"", "memory-reservation"),
        ("sysctls = { \"net.ipv4.ip_forward\" = \"1\" }", "sysctls.net.ipv4.ip_forward"),
        ("sysctls = { \"kernel.panic\" = \"1\" }", "sysctls.kernel.panic"),
        ("ipc = \"host\"\nsysctls = { \"kernel.sem\" = \"1\" }", "sysctls.kernel.sem"),
        ("ipc = \"container:db\"\nsysctls = { \"kernel.sem\" = \"1\" }", "sysctls.kernel.sem"),
        ("group-add = [\"ghosts\"]", "\"ghosts\""),
    ] {
        let error = made(text, &image()).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn limits_become_resources_of_the_containers_own_cgroup() {
    let config = made("memory = \"64M\"\ncpus = 1.5\npids = 20\nread-only = true", &image()).unwrap();
    assert!(config.root.unwrap().readonly);
    let linux = config.linux.unwrap();
    assert_eq!(linux.cgroups_path, "/containers/web");
    let resources = linux.resources.unwrap();
    assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
    let cpu = resources.cpu.unwrap();
    assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    assert_eq!(resources.pids.unwrap().limit, Some(20));
    assert!(!resources.devices[0].allow);
}

#[test]
fn mounts_are_dockers_then_ones_own_which_may_take_a_place() {
    let text = "mounts = [{ type = \"bind\", source = \"/var/d\", target = \"/data\", read-only = true },\
                { type = \"tmpfs\", target = \"/dev/shm\", size = \"1M\" }]";
    let config = made(text, &image()).unwrap();
    let bind = options(&config, "/data");
    assert_eq!(bind.source.as_deref(), Some("/var/d"));
    assert_eq!(bind.options, ["rbind", "rprivate", "rro"]);
    assert!(options(&config, "/dev/shm").options.contains(&"size=1048576".to_owned()));
    assert_eq!(config.mounts.iter().filter(|mount| mount.destination == "/dev/shm").count(), 1);
    assert_eq!(options(&config, "/etc/hosts").kind.as_deref(), Some("bind"));
}

#[test]
fn a_mount_that_reaches_the_node_has_a_root_that_does() {
    let with = |propagation: &str| {
        let mounts = format!(
            "mounts = [{{ type = \"bind\", source = \"/a\", target = \"/b\", propagation = \"{propagation}\" }}]"
        );
        let config = made(&mounts, &image()).unwrap();
        (options(&config, "/b").options.join(","), config.linux.unwrap().rootfs_propagation)
    };
    assert_eq!(with("rslave"), ("rbind,rslave".to_owned(), String::new()));
    assert_eq!(with("shared"), ("rbind,shared".to_owned(), "shared".to_owned()));
}

#[test]
fn a_file_system_in_memory_is_what_was_asked_for() {
    let options = |keys: &str| {
        let mounts = format!("mounts = [{{ type = \"tmpfs\", target = \"/t\"{keys} }}]");
        options(&made(&mounts, &image()).unwrap(), "/t").options.join(",")
    };
    assert_eq!(options(""), "nosuid,nodev,mode=1777,noexec");
    assert_eq!(options(", size = 4096, exec = true"), "nosuid,nodev,mode=1777,size=4096");
    assert_eq!(options(", mode = 0o750, read-only = true"), "nosuid,nodev,mode=750,noexec,ro");
    assert_eq!(options(", uid = 5, gid = 6"), "nosuid,nodev,mode=1777,uid=5,gid=6,noexec");
}

#[test]
fn no_mount_hides_one_that_lies_in_it() {
    let places = |mounts: &str| {
        let config = made(&format!("mounts = [{mounts}]"), &image()).unwrap();
        config.mounts.into_iter().map(|mount| mount.destination).collect::<Vec<_>>()
    };
    let order = |mounts: &str, outer: &str, inner: &str| {
        let places = places(mounts);
        let at = |place: &str| places.iter().position(|other| other == place).unwrap();
        at(outer) < at(inner)
    };
    let volume = |at: &str| format!("{{ type = \"volume\", name = \"v\", target = \"{at}\" }}");
    let tmpfs = |at: &str| format!("{{ type = \"tmpfs\", target = \"{at}\" }}");
    assert!(order(&format!("{}, {}", volume("/run/app"), tmpfs("/run")), "/run", "/run/app"));
    assert!(order(&format!("{}, {}", volume("/x/y"), volume("/x/")), "/x/", "/x/y"));
    assert!(order(&volume("/etc"), "/etc", "/etc/hosts"));
    // Of one depth the order stays.
    assert!(order(&format!("{}, {}", volume("/b"), volume("/a")), "/b", "/a"));
    let devices = places("{ type = \"bind\", source = \"/dev\", target = \"/dev/\" }");
    let within: Vec<&String> = devices.iter().filter(|at| at.starts_with("/dev")).collect();
    assert_eq!(within, ["/dev/"]);
}

#[test]
fn it_has_namespaces_of_its_own_but_the_nodes_network() {
    let linux = made("", &image()).unwrap().linux.unwrap();
    let kinds: Vec<&str> = linux.namespaces.iter().map(|namespace| namespace.kind.name()).collect();
    assert_eq!(kinds, ["pid", "mount", "ipc", "uts", "cgroup"]);
}

#[test]
fn on_a_network_of_its_own_ports_and_pings_are_for_every_user() {
    let (port, ping) = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range");
    let sysctl = |text: &str| made(text, &image()).unwrap().linux.unwrap().sysctl;
    for network in ["bridge", "none"] {
        let usual = sysctl(&format!("network = \"{network}\""));
        assert_eq!((usual[port].as_str(), usual[ping].as_str()), ("0", "0 2147483647"));
    }
    assert!(sysctl("network = \"host\"").is_empty() && sysctl("network = \"container:db\"").is_empty());
    let own = sysctl(&format!("network = \"bridge\"\nsysctls = {{ \"{port}\" = \"1024\" }}"));
    assert_eq!((own[port].as_str(), own.len()), ("1024", 2));
}

#[test]
fn what_is_shared_with_the_node_is_no_namespace_of_its_own() {
    let text = "pid = \"host\"\nipc = \"host\"\ncgroup = \"host\"\nnetwork = \"none\"\nhostname = \"h\"\ndomainname = \"d.example\"\n\
                annotations = { a = \"b\" }";
    let config = made(text, &image()).unwrap();
    assert_eq!((config.domainname.as_str(), config.annotations["a"].as_str()), ("d.example", "b"));
    assert_eq!(config.hostname, "h");
    assert!(config.process.as_ref().unwrap().env.contains(&"HOSTNAME=h".to_owned()));
    assert_eq!(options(&config, "/dev/shm").source.as_deref(), Some("/dev/shm"));
    let linux = config.linux.unwrap();
    let kinds: Vec<&str> = linux.namespaces.iter().map(|namespace| namespace.kind.name()).collect();
    assert_eq!(kinds, ["network", "mount", "uts"]);
    let config = made("uts = \"host\"", &image()).unwrap();
    let kinds: Vec<&str> =
        config.linux.as_ref().unwrap().namespaces.iter().map(|one| one.kind.name()).collect();
    assert_eq!((config.hostname.as_str(), &kinds[..]), ("", &["pid", "mount", "ipc", "cgroup"][..]));
}

#[test]
fn limits_shares_and_groups_are_what_was_asked_for() {
    let text = "memory = \"64M\"\nmemory-swap = \"80M\"\nmemory-reservation = \"32M\"\ncpu-shares = 512\n\
                cpuset-cpus = \"0-1\"\noom-score-adj = -5\ngroup-add = [\"7\"]\nulimits = { nofile = \"9:-1\" }\n\
                shm-size = \"1M\"\nsysctls = { \"kernel.sem\" = \"1 2 3 4\" }\nsecurity = [\"no-new-privileges\"]";
    let config = made(text, &image()).unwrap();
    assert!(options(&config, "/dev/shm").options.contains(&"size=1048576".to_owned()));
    let process = config.process.unwrap();
    assert_eq!((process.oom_score_adj, process.no_new_privileges), (Some(-5), true));
    assert_eq!(process.user.additional_gids, [7]);
    assert_eq!((process.rlimits.len(), process.rlimits[0].soft, process.rlimits[0].hard), (1, 9, u64::MAX));
    let linux = config.linux.unwrap();
    assert_eq!(linux.sysctl["kernel.sem"], "1 2 3 4");
    let resources = linux.resources.unwrap();
    let memory = resources.memory.unwrap();
    assert_eq!((memory.swap, memory.reservation), (Some(80 << 20), Some(32 << 20)));
    let cpu = resources.cpu.unwrap();
    assert_eq!((cpu.shares, cpu.cpus.as_str(), cpu.quota), (Some(512), "0-1", None));
}

#[test]
fn a_privileged_one_is_held_by_nothing_and_a_device_is_opened_alone() {
    let config = made("privileged = true\ntty = true", &image()).unwrap();
    assert!(options(&config, "/sys").options.contains(&"rw".to_owned()));
    let process = config.process.unwrap();
    assert!(process.terminal && process.env.contains(&"TERM=xterm".to_owned()));
    assert_eq!(process.capabilities.unwrap().bounding.len(), 41);
    let linux = config.linux.unwrap();
    assert!(linux.seccomp.is_none() && linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert_eq!(linux.resources.unwrap().devices.len(), 1);
    let fuse = spec::bundle::Device {
        path: "/dev/fuse".into(),
        kind: "c".into(),
        major: Some(10),
        minor: Some(229),
        file_mode: None,
        uid: None,
        gid: None,
    };
    let devices = vec![HostDevice { device: fuse, access: "rw".into() }];
    let around = Surroundings { devices, passwd: "www:x:33:34::/:\n".into(), ..Surroundings::default() };
    let container = Container::of("i");
    let linux = config_of(&container, &around).linux.unwrap();
    let last = linux.resources.unwrap().devices.pop().unwrap();
    assert_eq!((last.major, last.minor, last.access.as_deref()), (Some(10), Some(229), Some("rw")));
    assert_eq!(linux.devices[0].path, "/dev/fuse");
    assert!(made("security = [\"seccomp=unconfined\"]", &image()).unwrap().linux.unwrap().seccomp.is_none());
    let linux = made("security = [\"systempaths=unconfined\"]", &image()).unwrap().linux.unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty() && linux.seccomp.is_some());
}

#[test]
fn a_profile_takes_the_usual_filters_place_and_knows_capabilities() {
    let profile = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
        { "names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "includes": { "minKernel": "6.0" } }] }"#;
    let around = Surroundings {
        profile: Some(Box::new(serde_json::from_str(profile).unwrap())),
        kernel: Kernel(6, 12),
        passwd: "www:x:33:34::/:\n".into(),
        ..Surroundings::default()
    };
    let refused = |container: &Container| {
        let filter = config_of(container, &around).linux.unwrap().seccomp.unwrap();
        filter.syscalls.into_iter().flat_map(|rule| rule.names).collect::<Vec<_>>()
    };
    assert_eq!(refused(&Container::of("i")), ["mkdir", "rmdir"]);
    assert_eq!(refused(&Container { cap_add: vec!["SYS_ADMIN".into()], ..Container::of("i") }), ["rmdir"]);
    assert_eq!(refused(&Container { privileged: true, ..Container::of("i") }), ["rmdir"]);
}

#[test]
fn what_is_shared_with_another_container_is_joined_and_bound() {
    let kinds = [NamespaceKind::Network, NamespaceKind::Pid, NamespaceKind::Ipc];
    let joined = kinds.map(|kind| Namespace { kind, path: Some(format!("/proc/7/ns/{}", kind.name())) });
    let around = Surroundings {
        joined: joined.to_vec(),
        shm: "/run/shm".into(),
        passwd: "www:x:33:34::/:\n".into(),
        ..Surroundings::default()
    };
    let other: Name = "db".parse().unwrap();
    let shared = Container {
        network: Some(ContainerNetwork::Container(other.clone())),
        pid: Pid::Container(other.clone()),
        ipc: Ipc::Container(other),
        ..Container::of("i")
    };
    let config = config_of(&shared, &around);
    assert_eq!(options(&config, "/dev/shm").source.as_deref(), Some("/run/shm"));
    let namespaces = config.linux.unwrap().namespaces;
    assert!(joined.iter().all(|one| namespaces.contains(one)), "{namespaces:?}");
    let lends = Container { ipc: Ipc::Shareable, ..Container::of("i") };
    let own = Surroundings { joined: Vec::new(), ..around };
    let config = config_of(&lends, &own);
    assert_eq!(options(&config, "/dev/shm").source.as_deref(), Some("/run/shm"));
    assert!(config.linux.unwrap().namespaces.contains(&Namespace { kind: NamespaceKind::Ipc, path: None }));
    let config = config_of(&Container { ipc: Ipc::None, ..lends }, &own);
    assert!(config.mounts.iter().all(|mount| mount.destination != "/dev/shm"));
}

fn config_of(container: &Container, around: &Surroundings) -> Config {
    config(&"web".parse().unwrap(), container, &image(), around).unwrap()
}

#[test]
fn a_further_program_has_what_the_first_one_has_but_for_what_is_said() {
    let first = made("", &image()).unwrap().process.unwrap();
    let asked = spec::monitor::Exec {
        command: vec!["id".into()],
        env: [("A".to_owned(), "own".to_owned())].into(),
        user: Some("root".into()),
        tty: true,
        size: Some(spec::monitor::Size { rows: 24, columns: 80 }),
        ..Default::default()
    };
    let passwd = "root:x:0:0::/root:\nwww:x:33:34::/var/www:\n";
    let made = further(&asked, &first, passwd, "").unwrap();
    assert_eq!((made.args.join(" "), made.cwd.as_str(), made.user.uid), ("id".into(), "/srv", 0));
    assert!(made.terminal && made.console_size.is_some_and(|size| size.width == 80));
    for variable in ["A=own", "HOME=/root", "TERM=xterm", "PATH=/bin"] {
        assert!(made.env.contains(&variable.to_owned()), "{variable}: {:?}", made.env);
    }
    // Root has in force what the first program's bound allows.
    assert_eq!(made.capabilities.unwrap().effective.len(), 14);
    assert!(further(&spec::monitor::Exec::default(), &first, "", "").is_err());
}

#[test]
fn a_further_program_of_another_user_has_that_users_home_unless_somebody_said_which() {
    let passwd = "root:x:0:0::/root:\nwww:x:33:34::/var/www:\n";
    let home = |text: &str, env: &[(&str, &str)]| {
        let first = made(text, &image()).unwrap().process.unwrap();
        let env = env.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let command = vec!["id".into()];
        let asked = spec::monitor::Exec { command, env, user: Some("0".into()), ..Default::default() };
        let env = further(&asked, &first, passwd, "").unwrap().env;
        env.into_iter().filter(|variable| variable.starts_with("HOME=")).collect::<Vec<_>>()
    };
    assert_eq!(home("", &[]), ["HOME=/root"]);
    assert_eq!(home("", &[("HOME", "/srv")]), ["HOME=/srv"]);
    assert_eq!(home("env = { HOME = \"/own\" }", &[]), ["HOME=/own"]);
    assert_eq!(home("env = { HOME = \"/own\" }", &[("HOME", "/srv")]), ["HOME=/srv"]);
}

#[test]
fn a_pods_container_stands_in_its_pod() {
    let name: Name = "abc".parse().unwrap();
    let joined = |kind, path: &str| Namespace { kind, path: Some(path.into()) };
    let hosts =
        Mount { destination: "/etc/hosts".into(), source: Some("/pod/hosts".into()), ..Mount::default() };
    let own = NamespaceKind::Network;
    let sandbox = Sandbox {
        cgroup: "kubepods/pod7".into(),
        namespaces: vec![
            joined(own, "/ns/net"),
            joined(NamespaceKind::Uts, "/ns/uts"),
            joined(NamespaceKind::User, "/ns/user"),
            Namespace { kind: NamespaceKind::Pid, path: None },
        ],
        mounts: vec![hosts.clone(), Mount { options: vec!["rshared".into()], ..Mount::default() }],
        seccomp: None,
        unmasked: true,
        users: Some(3 * IDS),
        strict_groups: false,
        unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
        log: None,
        images: Vec::new(),
    };
    let around = Surroundings { sandbox: Some(Box::new(sandbox)), ..Surroundings::default() };
    let container = Container {
        network: Some(ContainerNetwork::Host),
        args: Some(vec!["a".into()]),
        ..Container::of("i")
    };
    let made = config(&name, &container, &Defaults::default(), &around).unwrap();
    let linux = made.linux.as_ref().unwrap();
    assert_eq!(linux.cgroups_path, "/kubepods/pod7/abc");
    let path = |kind| linux.namespaces.iter().find(|one| one.kind == kind).map(|one| one.path.as_deref());
    assert_eq!(path(own), Some(Some("/ns/net")));
    assert_eq!((path(NamespaceKind::Pid), path(NamespaceKind::Ipc)), (None, Some(None)));
    assert_eq!(path(NamespaceKind::User), Some(Some("/ns/user")));
    let ids = [IdMapping { container_id: 0, host_id: 3 * IDS, size: IDS }];
    assert_eq!((&linux.uid_mappings[..], &linux.gid_mappings[..]), (&ids[..], &ids[..]));
    assert_eq!(made.hostname, "", "the pod has named it");
    assert_eq!(linux.rootfs_propagation, "shared");
    assert_eq!(linux.resources.as_ref().unwrap().unified["memory.oom.group"], "1");
    assert!(linux.masked_paths.is_empty() && linux.seccomp.is_some());
    assert_eq!(options(&made, "/etc/hosts"), &hosts);
    assert!(made.mounts.iter().all(|mount| mount.destination != "/etc/resolv.conf"));
}

/// The bundle of a pod's container with these mounts of the pod's.
fn of_pod(container: Container, users: Option<u32>, mounts: &[&str]) -> Config {
    let at = |at: &&str| Mount { destination: (*at).to_owned(), ..Mount::default() };
    let sandbox = Sandbox {
        cgroup: "kubepods/pod7".into(),
        namespaces: Vec::new(),
        mounts: mounts.iter().map(at).collect(),
        seccomp: None,
        unmasked: false,
        users,
        strict_groups: false,
        unified: BTreeMap::new(),
        log: None,
        images: Vec::new(),
    };
    let around = Surroundings { sandbox: Some(Box::new(sandbox)), ..Surroundings::default() };
    let container = Container { args: Some(vec!["a".into()]), ..container };
    config(&"abc".parse().unwrap(), &container, &Defaults::default(), &around).unwrap()
}

#[test]
fn who_is_not_root_in_a_pod_holds_its_capabilities_in_further_programs_too() {
    let web = Container {
        user: Some("65532".into()),
        cap_drop: vec!["ALL".into()],
        cap_add: vec!["NET_BIND_SERVICE".into()],
        ..Container::of("i")
    };
    let process = of_pod(web, None, &[]).process.unwrap();
    let held = process.capabilities.clone().unwrap();
    assert_eq!((&held.permitted[..], held.effective.len()), (&["CAP_NET_BIND_SERVICE".to_owned()][..], 1));
    assert!(held.inheritable.is_empty() && held.ambient.is_empty(), "a plain program gets none of it");
    let asked = |user: Option<&str>| spec::monitor::Exec {
        command: vec!["b".into()],
        user: user.map(str::to_owned),
        ..Default::default()
    };
    assert_eq!(further(&asked(None), &process, "", "").unwrap().capabilities, Some(held));
    let other = further(&asked(Some("7")), &process, "", "").unwrap().capabilities.unwrap();
    assert_eq!((other.permitted.len(), other.bounding.len()), (0, 1));
}

#[test]
fn no_mount_of_a_pod_hides_one_that_lies_in_it() {
    let volume = spec::node::Mount::Volume {
        name: "v".parse().unwrap(),
        target: "/data/of-the-image".into(),
        read_only: false,
        no_copy: false,
    };
    let container = Container { mounts: vec![volume], ..Container::of("i") };
    let asked = ["/dev/shm", "/etc/hosts", "/data/conf/deep", "/data/conf", "/data/", "/etc", "/dev"];
    let made = of_pod(container, Some(IDS), &asked);
    let order: Vec<&str> = made.mounts.iter().map(|one| one.destination.as_str()).collect();
    let nested = order.iter().position(|at| *at == "/data/").unwrap();
    assert_eq!(
        order[nested..],
        [
            "/data/",
            "/etc",
            "/dev",
            "/data/of-the-image",
            "/dev/shm",
            "/etc/hosts",
            "/data/conf",
            "/data/conf/deep"
        ]
    );
    let volume = options(&made, "/data/of-the-image");
    assert!(
        !volume.options.contains(&"idmap".to_owned()),
        "it belongs to the pod's own users on the disk, too"
    );
}
