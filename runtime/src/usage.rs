//! `ps`, `pause`, `resume`, `events` and `update`: what a container that runs uses,
//! and may use.

use crate::bundle;
use crate::cgroup::scope::{Scope, properties};
use crate::cgroup::{Write, before, folder, freezer, resources, stats, systemd};
use crate::error::{Cause, Context, Error, Result};
use crate::output;
use crate::record::Place;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spec::bundle::{Memory, Resources, Status};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, stdin};
use std::mem;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use sys::file::replace;

/// A line of `events`, in runc's order: there are callers who read it as text.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// The cgroup of a container that has not stopped.
fn cgroup(root: &Path, id: &str) -> Result<String> {
    running(root, id).map(|(cgroup, _)| cgroup)
}

/// The same, and the scope that it may be.
fn running(root: &Path, id: &str) -> Result<(String, Option<Scope>)> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    let none = || Error(format!("container {id:?}: it has no cgroup"));
    match record.status(&place) {
        Status::Stopped => Err(Error(format!("container {id:?}: container not running"))),
        _ if !record.has_own_cgroup(&place) => Err(none()),
        _ => Ok((record.cgroup.ok_or_else(none)?, record.scope)),
    }
}

/// Freezes every process of the container.
///
/// # Errors
/// It does not run.
pub fn pause(root: &Path, id: &str) -> Result<()> {
    freezer::set(&cgroup(root, id)?, true).context(|| format!("container {id:?}"))
}

/// Lets them go on.
///
/// # Errors
/// It is not paused.
pub fn resume(root: &Path, id: &str) -> Result<()> {
    let cgroup = cgroup(root, id)?;
    if !folder::is_frozen(&cgroup) {
        return Err(Error(format!("container {id:?}: it is not paused")));
    }
    freezer::set(&cgroup, false).context(|| format!("container {id:?}"))
}

/// The container's processes: their numbers as JSON, or the lines that ps(1) has of them; none once all have ended.
///
/// # Errors
/// It has no cgroup; there is no `ps`.
pub fn ps(root: &Path, id: &str, json: bool, options: &[String]) -> Result<String> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    let members = match &record.cgroup {
        Some(path) if record.has_own_cgroup(&place) => folder::processes(path),
        _ => folder::processes(&cgroup(root, id)?),
    };
    if json {
        return serde_json::to_string(&members).context(|| "write the list".into());
    }
    let usual = ["-ef".to_owned()];
    let options = if options.is_empty() { &usual } else { options };
    let output = Command::new("ps").args(options).output().context(|| "run ps".into())?;
    if !output.status.success() {
        return Err(Error(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    select(&String::from_utf8_lossy(&output.stdout), &members)
}

/// The heading and the lines of these processes.
fn select(table: &str, members: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::new("ps: its options leave out the column PID"))?;
    let pid = |line: &str| line.split_whitespace().nth(column).and_then(|word| word.parse::<i32>().ok());
    let own = lines.filter(|line| pid(line).is_some_and(|pid| members.contains(&pid)));
    Ok([heading].into_iter().chain(own).collect::<Vec<_>>().join("\n"))
}

/// Prints what the container uses, once or every so often, and each time the kernel
/// has killed for lack of memory, until it has stopped.
///
/// # Errors
/// It does not run.
pub fn events(root: &Path, id: &str, every: Option<Duration>) -> Result<()> {
    let print = |kind, data| {
        let line = serde_json::to_string(&Event { kind, id, data }).context(|| "write the event".into())?;
        output::print(&(line + "\n"))
    };
    let group = cgroup(root, id)?;
    let Some(every) = every else {
        return print("stats", Some(stats::read(&group)));
    };
    let place = Place::of(root, id);
    let process = place.read(id)?.process.and_then(|process| process.open());
    let process = process.ok_or_else(|| Error(format!("container {id:?}: container not running")))?;
    let interval = PollTimeout::try_from(every).unwrap_or(PollTimeout::MAX);
    let mut killed = stats::out_of_memory(&group);
    loop {
        let ended = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], interval) == Ok(1);
        let now = stats::out_of_memory(&group);
        if now > killed {
            print("oom", None)?;
            killed = now;
        }
        if ended {
            return Ok(());
        }
        print("stats", Some(stats::read(&group)))?;
    }
}

/// Changes limits: what is given, over what the container has. What is left out of it is returned for the log.
///
/// # Errors
/// The limit and why it cannot be had; nothing is kept then.
pub fn update(root: &Path, id: &str, file: Option<&Path>, given: &Resources) -> Result<Vec<Error>> {
    let (group, scope) = running(root, id)?;
    let place = Place::of(root, id);
    let path = place.file("config.json");
    let words = || format!("read {}", path.display());
    let mut config: Value = serde_json::from_slice(&fs::read(&path).context(words)?).context(words)?;
    let mut given = file.map_or_else(|| Ok(given.clone()), read)?;
    // Devices stay as they were created, as with runc: engines hand the old ones over again.
    given.devices.clear();
    let warnings = resources::warnings(&given);
    let is_checked = given.memory.as_ref().is_some_and(|memory| memory.check_before_update);
    let kept = member(&mut config, "linux").and_then(|linux| member(linux, "resources"));
    let kept = kept.ok_or_else(|| Error(format!("{}: linux: not an object", words())))?;
    let merged = merged(kept, given)?;
    if is_checked {
        check_memory(&group, &merged)?;
    }
    let writes = resources::writes(&merged)?;
    let text = serde_json::to_vec(&config).context(words)?;
    if scope.is_none() {
        folder::enable_all(&group);
    }
    let before = before::read(&group, &writes);
    let keep = |()| replace(&path, &text).context(|| format!("write {}", path.display()));
    set(&group, scope.as_ref(), &writes).and_then(keep).inspect_err(|_| {
        // What is kept still says so. One by one: a limit that was never there cannot be had back either.
        before.chunks(1).rev().for_each(|one| drop(folder::set(&group, one)));
        scope.iter().for_each(|scope| drop(systemd::set(scope, &properties(&before))));
    })?;
    Ok(warnings)
}

fn set(group: &str, scope: Option<&Scope>, writes: &[Write]) -> Result<()> {
    scope.map_or(Ok(()), |scope| systemd::set(scope, &properties(writes)))?;
    folder::set(group, writes)
}

/// Changes lines of the container's class of resctrl.
///
/// # Errors
/// It has none; the kernel refuses one.
pub fn update_classes(root: &Path, id: &str, schemata: &[String]) -> Result<()> {
    if schemata.is_empty() {
        return Ok(());
    }
    match Place::of(root, id).read(id)?.rdt {
        Some(held) => held.write(schemata),
        None => Err(Error(format!("container {id:?}: linux.intelRdt: it has no class of resctrl"))),
    }
}

fn read(path: &Path) -> Result<Resources> {
    let mut text = Vec::new();
    match path.to_str() {
        Some("-") => stdin().read_to_end(&mut text).map(drop),
        _ => fs::read(path).map(|read| text = read),
    }
    .map_err(|error| Error(format!("--resources: read {}: {}", path.display(), error.cause())))?;
    bundle::parse(&text, path)
}

/// What an object has under a key; null if it has nothing.
fn member<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    if object.is_null() {
        *object = json!({});
    }
    Some(object.as_object_mut()?.entry(key).or_insert(Value::Null))
}

/// What holds from now on, which is kept: what is given, over what was. Of a file that `unified` named before, a limit
/// that is given now tells.
fn merged(kept: &mut Value, mut given: Resources) -> Result<Resources> {
    let words = || "linux.resources".to_owned();
    let read = |kept: &Value| {
        let kept = Some(kept).filter(|kept| !kept.is_null());
        kept.map_or_else(|| Ok(Resources::default()), |kept| Resources::deserialize(kept).context(words))
    };
    // In the letters that are merged with.
    *kept = serde_json::to_value(read(kept)?).context(words)?;
    // Without a limit of memory there is none of swap, unless it is given, too.
    if let Some(memory) = given.memory.as_mut().filter(|memory| memory.limit == Some(-1)) {
        memory.swap.get_or_insert(0);
    }
    // A weight ends being idle, as with systemd; what had none before has no other way back to one.
    if let Some(cpu) = given.cpu.as_mut().filter(|cpu| cpu.shares.is_some_and(|shares| shares > 0)) {
        cpu.idle.get_or_insert(0);
    }
    merge(kept, serde_json::to_value(&given).context(words)?);
    let unified = mem::take(&mut given.unified);
    let told = match resources::writes(&given) {
        Ok(told) => told,
        // A limit that cannot stand alone stands with the others.
        Err(_) => resources::writes(&Resources { unified: BTreeMap::new(), ..read(kept)? })?,
    };
    if let Some(old) = kept.get_mut("unified").and_then(Value::as_object_mut) {
        let told = told.iter().map(|one| &one.file).filter(|file| !unified.contains_key(*file));
        told.for_each(|file| drop(old.remove(file)));
    }
    read(kept)
}

/// Objects are merged, everything else is replaced.
fn merge(kept: &mut Value, given: Value) {
    match (kept, given) {
        (Value::Object(kept), Value::Object(given)) => {
            given.into_iter().for_each(|(key, value)| merge(kept.entry(key).or_insert(Value::Null), value));
        }
        (kept, given) => *kept = given,
    }
}

/// `checkBeforeUpdate`: a limit below what is in use would have the kernel kill.
fn check_memory(group: &str, resources: &Resources) -> Result<()> {
    let current = fs::read_to_string(folder::of(group).join("memory.current")).unwrap_or_default();
    let memory = resources.memory.clone().unwrap_or_default();
    is_enough(&memory, current.trim().parse().unwrap_or(0))
}

/// In runc's words and order.
fn is_enough(memory: &Memory, current: i64) -> Result<()> {
    let limits = [("swap", "memory+swap", memory.swap), ("limit", "memory", memory.limit)];
    let low = limits.into_iter().find_map(|(key, what, limit)| {
        Some((key, what, limit.filter(|limit| (1..=current).contains(limit))?))
    });
    low.map_or(Ok(()), |(key, what, limit)| {
        let words = format!("rejecting {what} limit {limit}, below the {current} bytes in use");
        Err(Error(format!("linux.resources.memory.{key}: {words}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_column_of_the_number() {
        let table = "UID   PID CMD\nroot  7 a 9\nroot  9 b\n";
        assert_eq!(select(table, &[9]).unwrap(), "UID   PID CMD\nroot  9 b");
        assert!(select("CMD\na\n", &[9]).is_err());
    }

    #[test]
    fn what_is_given_last_of_a_file_tells() {
        let mut kept = json!({ "memory": { "limit": 50, "swap": 92 }, "unified": { "memory.max": "64", "cpu.max": "max" } });
        let mut update = |given: Value| {
            let merged = merged(&mut kept, serde_json::from_value(given).unwrap()).unwrap();
            let writes = resources::writes(&merged).unwrap().into_iter();
            writes.map(|write| format!("{} {}", write.file, write.value)).collect::<Vec<_>>()
        };
        let given = json!({ "pids": { "limit": 3 } });
        assert_eq!(
            update(given),
            ["pids.max 3", "memory.swap.max 42", "memory.max 50", "cpu.max max", "memory.max 64"]
        );
        let given = json!({ "memory": { "limit": 70 } });
        assert_eq!(update(given), ["pids.max 3", "memory.swap.max 22", "memory.max 70", "cpu.max max"]);
        let given = json!({ "unified": { "memory.swap.max": "1" } });
        assert_eq!(update(given).last().unwrap(), "memory.swap.max 1");
        let given = json!({ "memory": { "swap": 80 } });
        assert_eq!(update(given), ["pids.max 3", "memory.swap.max 10", "memory.max 70", "cpu.max max"]);
        let given = json!({ "memory": { "limit": -1 } });
        assert_eq!(update(given), ["pids.max 3", "memory.swap.max max", "memory.max max", "cpu.max max"]);
    }

    #[test]
    fn a_limit_that_is_used_up_is_rejected_by_its_name() {
        let of = |limit, swap| {
            let memory = Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() };
            is_enough(&memory, 100).map_err(|error| error.0)
        };
        assert!(of(101, 0).is_ok() && of(-1, -1).is_ok() && of(0, 101).is_ok());
        let path = "linux.resources.memory";
        let end = "limit 100, below the 100 bytes in use";
        assert_eq!(of(100, 0), Err(format!("{path}.limit: rejecting memory {end}")));
        assert_eq!(of(100, 100), Err(format!("{path}.swap: rejecting memory+swap {end}")));
    }

    #[test]
    fn names_in_other_letters_are_the_same_ones() {
        let mut kept =
            json!({ "CPU": { "Cpus": "0" }, "hugepageLimits": [{ "pagesize": "2MB", "limit": 1 }] });
        let given = serde_json::from_value(json!({ "cpu": { "cpus": "1" } })).unwrap();
        let cpu = merged(&mut kept, given).unwrap().cpu.unwrap();
        assert_eq!(cpu.cpus, "1");
        assert_eq!(
            kept,
            json!({ "cpu": { "cpus": "1" }, "hugepageLimits": [{ "pageSize": "2MB", "limit": 1 }] })
        );
    }

    #[test]
    fn a_weight_ends_being_idle() {
        let mut kept = json!({ "cpu": { "idle": 1 } });
        let given = serde_json::from_value(json!({ "cpu": { "shares": 1024 } })).unwrap();
        assert_eq!(merged(&mut kept, given).unwrap().cpu.unwrap().idle, Some(0));
        let given = serde_json::from_value(json!({ "cpu": { "shares": 0, "idle": 1 } })).unwrap();
        assert_eq!(merged(&mut kept, given).unwrap().cpu.unwrap().idle, Some(1));
    }

    #[test]
    fn what_is_not_given_stays() {
        let mut kept = json!({ "memory": { "limit": 1, "swap": 2 }, "pids": { "limit": 3 } });
        merge(&mut kept, json!({ "memory": { "limit": 9 }, "cpu": { "shares": 4 } }));
        assert_eq!(
            kept,
            json!({ "memory": { "limit": 9, "swap": 2 }, "pids": { "limit": 3 }, "cpu": { "shares": 4 } })
        );
    }
}
