use super::*;
use spec::bundle::Mount;

fn made(text: &str, image: &Defaults) -> Result<Config, String> {
    let text = format!("[containers.web]\nimage = \"i\"\n{text}");
    let layer = spec::node::Layer { origin: "test".into(), text };
    let node = spec::node::load(&[layer]).unwrap();
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
    assert!(bind.options.contains(&"ro".to_owned()));
    assert!(options(&config, "/dev/shm").options.contains(&"size=1048576".to_owned()));
    assert_eq!(config.mounts.iter().filter(|mount| mount.destination == "/dev/shm").count(), 1);
    assert_eq!(options(&config, "/etc/hosts").kind.as_deref(), Some("bind"));
}

#[test]
fn it_has_namespaces_of_its_own_but_the_nodes_network() {
    let linux = made("", &image()).unwrap().linux.unwrap();
    let kinds: Vec<&str> = linux.namespaces.iter().map(|namespace| namespace.kind.name()).collect();
    assert_eq!(kinds, ["pid", "mount", "ipc", "uts", "cgroup"]);
}
