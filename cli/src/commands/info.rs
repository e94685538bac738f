//! `info`, `version` and `completion`.

use super::{Node, list, print, print_all};
use crate::arguments::{self, Completion, Info};
use crate::error::{Error, Result};
use crate::format;
use serde_json::{Value, json};
use std::fs;

/// `skerry version`
pub fn version(asked: &Info) -> Result<()> {
    let object = json!({ "Version": env!("CARGO_PKG_VERSION"), "Protocol": spec::monitor::VERSION });
    show(asked, &object)
}

/// `skerry info`
pub fn info(node: &Node<'_>, asked: &Info) -> Result<()> {
    let (containers, monitor) = match list::all(node) {
        Ok(containers) => (containers, "running".to_owned()),
        Err(error) => (Vec::new(), error.message),
    };
    let in_state = |state: &str| containers.iter().filter(|one| one.status.state == state).count();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kibibytes: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    let object = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Name": read("/proc/sys/kernel/hostname"),
        "Kernel": read("/proc/sys/kernel/osrelease"),
        "Processors": std::thread::available_parallelism().map_or(1, usize::from),
        "Memory": crate::human::binary(kibibytes * 1024),
        "Monitor": monitor,
        "Containers": containers.len(),
        "Running": in_state("running"),
        "Paused": in_state("paused"),
        "Images": node.stores().list()?.len(),
        "Store": node.store,
    });
    show(asked, &object)
}

fn show(asked: &Info, object: &Value) -> Result<()> {
    match &asked.format {
        Some(format) => {
            print_all(&format::show(format, &[], std::slice::from_ref(object)).map_err(Error::new)?)
        }
        None => {
            for (key, value) in object.as_object().into_iter().flatten() {
                print(&format!("{key}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
        }
    }
    Ok(())
}

/// `skerry completion`
pub fn completion(asked: &Completion) {
    // Words that nobody types are not offered.
    let whole = arguments::command();
    let verbs = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let mut shown = clap::Command::new("skerry").disable_help_subcommand(true).version("").subcommands(verbs);
    clap_complete::generate(asked.shell, &mut shown, "skerry", &mut std::io::stdout());
}
