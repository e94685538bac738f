//! `info` and `version`.

use super::{Node, list, print, print_all};
use crate::arguments::Info;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::format;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use store::Platform;

/// `skerry version`
pub fn version(node: &Node<'_>, asked: &Info) -> Result<()> {
    let object = json!({ "Version": env!("CARGO_PKG_VERSION"), "Protocol": spec::monitor::VERSION });
    show(asked, object, || both(node.socket))
}

/// Docker's words for this program and the monitor, if there is one.
fn both(socket: &Path) -> Value {
    let one = |version: &str| {
        json!({
            "Version": version,
            "ApiVersion": spec::monitor::VERSION.to_string(),
            "Os": "linux",
            "Arch": Platform::host().architecture,
            "KernelVersion": read("/proc/sys/kernel/osrelease"),
        })
    };
    let mut both = json!({ "Client": one(env!("CARGO_PKG_VERSION")) });
    if let Some(program) = Client::program(socket) {
        both["Server"] = one(program.rsplit(' ').next().unwrap_or_default());
    }
    both
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// `skerry info`
pub fn info(node: &Node<'_>, asked: &Info) -> Result<()> {
    let (containers, monitor) = match list::all(node) {
        Ok(containers) => (containers, "running".to_owned()),
        Err(error) => (Vec::new(), error.message),
    };
    let in_state = |state: &str| containers.iter().filter(|one| one.status.state == state).count();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kibibytes: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let object = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Name": read("/proc/sys/kernel/hostname"),
        "Kernel": read("/proc/sys/kernel/osrelease"),
        "Processors": processors,
        "Memory": crate::human::binary(kibibytes * 1024),
        "Monitor": monitor,
        "Containers": containers.len(),
        "Running": in_state("running"),
        "Paused": in_state("paused"),
        "Images": node.stores().list()?.len(),
        "Store": node.store,
    });
    let dockers = || {
        json!({
            "ServerVersion": Client::program(node.socket).and_then(|text| Some(text.rsplit_once(' ')?.1.to_owned())),
            "ContainersRunning": in_state("running"),
            "ContainersPaused": in_state("paused"),
            "ContainersStopped": containers.len() - in_state("running") - in_state("paused"),
            "Driver": "overlay",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": "2",
            "DockerRootDir": node.store.parent(),
            "OSType": "linux",
            "Architecture": std::env::consts::ARCH,
            "KernelVersion": read("/proc/sys/kernel/osrelease"),
            "NCPU": processors,
            "MemTotal": kibibytes * 1024,
        })
    };
    show(asked, object, dockers)
}

/// For people what there is to know, and for templates Docker's names beside.
fn show(asked: &Info, mut object: Value, dockers: impl FnOnce() -> Value) -> Result<()> {
    match &asked.format {
        Some(format) => {
            if let (Some(own), Value::Object(more)) = (object.as_object_mut(), dockers()) {
                own.extend(more);
            }
            print_all(&format::show(format, &[], std::slice::from_ref(&object)).map_err(Error::new)?)
        }
        None => {
            for (key, value) in object.as_object().into_iter().flatten() {
                print(&format!("{key}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::with_monitor;

    #[test]
    fn a_monitor_has_a_version_where_there_is_one() {
        let hello = r#"{"version":1,"program":"skerry-monitor 9.8.7"}"#;
        let told = with_monitor(&[&[hello]], both);
        assert_eq!((&told["Server"]["Version"], &told["Server"]["Os"]), (&json!("9.8.7"), &json!("linux")));
        let told = both(Path::new("/nowhere/socket"));
        assert_eq!(
            (&told["Client"]["Version"], told.get("Server")),
            (&json!(env!("CARGO_PKG_VERSION")), None)
        );
    }
}
