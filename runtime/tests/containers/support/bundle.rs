//! A bundle: busybox, and a config.json that each test changes.

use super::command::{Ran, Running, begin, finish, runtime};
use super::container::Container;
use super::{config, place};
use serde_json::{Value, json};
use std::fs::{create_dir_all, write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Commands of busybox that the tests' scripts use.
const APPLETS: &str = "awk cat chmod chown cut dd df echo env false find grep head hostname id ip kill ln ls \
    mkdir mknod mount mv nproc od printf ps pwd readlink rm rmdir sed sh sleep sort stat stty tail test touch \
    tr true tty umount unshare uname wc pidof ionice";

/// A folder with `config.json` and `rootfs`. A clone is the same folder with a config.json of its own.
#[derive(Clone)]
pub struct Bundle {
    /// The name of its container, and of its cgroup.
    pub id: String,
    /// What goes into config.json.
    pub config: Value,
}

impl Bundle {
    /// Docker's defaults and busybox.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}{}", place::enter(), COUNT.fetch_add(1, Ordering::Relaxed));
        let bundle = Self { config: config::default(&format!("/{id}")), id };
        for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            create_dir_all(bundle.rootfs().join(folder)).unwrap();
        }
        let busybox = bundle.rootfs().join("bin/busybox");
        std::fs::hard_link("/run/busybox", busybox).expect("Debian's busybox-static is installed");
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", bundle.rootfs().join("bin").join(applet)).unwrap();
        }
        bundle
            .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
            .file("etc/group", "root:x:0:\nuser:x:1000:\nteam:x:2000:user\n")
    }

    /// The folder.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/bundles").join(&self.id)
    }

    /// The container's root.
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The program and its arguments.
    pub fn args<const N: usize>(self, args: [&str; N]) -> Self {
        self.set("/process/args", json!(args.as_slice()))
    }

    /// A line of shell as the program.
    pub fn sh(self, script: &str) -> Self {
        self.args(["sh", "-c", script])
    }

    /// Says "ready" and lives until it is killed, with SIGTERM too.
    pub fn long(self) -> Self {
        self.sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    }

    /// Sets what a JSON pointer names.
    #[track_caller]
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
        parent[key] = value;
        self
    }

    /// Appends to the list that a JSON pointer names.
    #[track_caller]
    pub fn add(mut self, pointer: &str, value: Value) -> Self {
        let list = self.config.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        list.as_array_mut().unwrap().push(value);
        self
    }

    /// One mount more.
    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        let mount = json!({ "destination": destination, "type": kind, "source": source, "options": options });
        self.add("/mounts", mount)
    }

    /// A bind mount more.
    pub fn bind(self, source: &str, destination: &str, options: &[&str]) -> Self {
        self.mount(destination, "bind", source, options)
    }

    /// A new namespace is joined by path, or not made at all.
    pub fn namespace(mut self, kind: &str, namespace: Option<Value>) -> Self {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|entry| entry["type"] != kind);
        list.extend(namespace);
        self
    }

    /// Joins the namespace that a path names.
    pub fn join(self, kind: &str, path: &str) -> Self {
        self.namespace(kind, Some(json!({ "type": kind, "path": path })))
    }

    /// A user namespace in which 0 to 65535 are 100000 to 165535 of the host, and
    /// the rootfs belongs to its root.
    pub fn user_namespace(self) -> Self {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        let mut chown = Command::new("chown");
        chown.args(["-hR", "100000:100000"]).arg(self.rootfs());
        finish(chown).ok();
        self.set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
            .namespace("user", Some(json!({ "type": "user" })))
    }

    /// A program of the host or the container that is told the container's state.
    pub fn hook(mut self, kind: &str, hook: Value) -> Self {
        let list = &mut self.config["hooks"][kind];
        match list.as_array_mut() {
            Some(list) => list.push(hook),
            None => *list = json!([hook]),
        }
        self
    }

    /// A line of shell as a hook, in which `$state` is the container's.
    pub fn hook_sh(self, kind: &str, script: &str) -> Self {
        let path = if kind == "startContainer" { "/bin/sh" } else { "/usr/bin/sh" };
        let script = format!("state=$(cat); {script}");
        let hook = json!({ "path": path, "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] });
        self.hook(kind, hook)
    }

    /// A file of the rootfs.
    pub fn file(self, path: &str, content: &str) -> Self {
        let path = self.rootfs().join(path);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, content).unwrap();
        self
    }

    /// A folder of the rootfs.
    pub fn folder(self, path: &str) -> Self {
        create_dir_all(self.rootfs().join(path)).unwrap();
        self
    }

    /// A symbolic link of the rootfs.
    pub fn link(self, path: &str, to: &str) -> Self {
        symlink(to, self.rootfs().join(path)).unwrap();
        self
    }

    /// Writes config.json.
    pub fn write(&self) {
        write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    /// A verb of the runtime that takes a bundle, with options.
    pub fn command(&self, verb: &str, options: &[&str]) -> Command {
        self.write();
        let mut command = runtime([verb, "--bundle"]);
        command.arg(self.path()).args(options).arg(&self.id);
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self) -> Ran {
        finish(self.command("run", &[]))
    }

    /// What it says on standard output when it runs without a failure.
    #[track_caller]
    pub fn says(&self) -> String {
        self.run().ok().stdout
    }

    /// The line of its own /proc/self/mountinfo about what is mounted there.
    #[track_caller]
    pub fn mountinfo(self, path: &str) -> String {
        let said = self.args(["cat", "/proc/self/mountinfo"]).says();
        let line = said.lines().rfind(|line| line.split(' ').nth(4) == Some(path));
        line.unwrap_or_else(|| panic!("no {path} in {said}")).to_owned()
    }

    /// Creates it, or does not.
    #[track_caller]
    pub fn try_create(&self) -> Ran {
        finish(self.command("create", &[]))
    }

    /// Creates it.
    #[track_caller]
    pub fn create(&self) -> Container {
        self.create_with(&[])
    }

    /// Creates it with options of the command line.
    #[track_caller]
    pub fn create_with(&self, options: &[&str]) -> Container {
        self.created(begin(self.command("create", options)))
    }

    /// What a command that creates it has made.
    #[track_caller]
    pub fn created(&self, mut creator: Running) -> Container {
        creator.wait().ok();
        Container::new(&self.id, creator)
    }

    /// Creates and starts it.
    #[track_caller]
    pub fn start(&self) -> Container {
        let container = self.create();
        container.start().ok();
        container
    }
}
