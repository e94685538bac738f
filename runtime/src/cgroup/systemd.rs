//! Scopes made, changed and stopped by systemd (org.freedesktop.systemd1(5)).

use super::folder;
use super::scope::{NewScope, Scope};
use crate::bus::{Answer, Bus, In, Out, Property, Value};
use crate::error::{Context, Error, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The system's bus, and the socket of its manager.
const SYSTEM: [&str; 2] = ["/run/dbus/system_bus_socket", "/run/systemd/private"];

/// Starts a scope that begins with this process; returns its cgroup's path in the hierarchy.
///
/// # Errors
/// systemd is not there, or refuses.
pub fn start(new: &NewScope, pid: i32) -> Result<String> {
    let unit = &new.scope.unit;
    let words = || format!("start the scope {unit}");
    let first = ("PIDs".to_owned(), Value::Numbers(vec![pid.cast_unsigned()]));
    let mut body = Out::default();
    body.text(unit);
    body.text("replace");
    body.properties(&[&[first], &new.properties[..]].concat());
    let others = body.array(8);
    body.end(others);
    let mut bus = connect(&new.scope).context(words)?;
    job(&mut bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body).and_then(accepted).context(words)?;
    path_of(pid, unit).ok_or_else(|| Error(format!("{}: its cgroup is not in cgroup v2", words())))
}

/// Changes properties until the scope ends.
///
/// # Errors
/// systemd is not there, or refuses.
pub fn set(scope: &Scope, properties: &[Property]) -> Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    let words = || format!("change the scope {}", scope.unit);
    let mut body = Out::default();
    body.text(&scope.unit);
    // Not beyond the next boot.
    body.u32(1);
    body.properties(properties);
    let mut bus = connect(scope).context(words)?;
    bus.call("SetUnitProperties", "sba(sv)", &body).and_then(accepted).context(words)
}

/// Moves a process into the scope, from where its user may not.
///
/// # Errors
/// systemd is not there, or refuses.
pub fn attach(scope: &Scope, pid: i32) -> Result<()> {
    let words = || format!("move a process into the scope {}", scope.unit);
    let mut body = Out::default();
    body.text(&scope.unit);
    body.text("");
    let pids = body.array(4);
    body.u32(pid.cast_unsigned());
    body.end(pids);
    let mut bus = connect(scope).context(words)?;
    bus.call("AttachProcessesToUnit", "ssau", &body).and_then(accepted).context(words)
}

/// Stops the scope, whose processes have ended; one that has gone by itself is gone.
///
/// # Errors
/// systemd is not there, or refuses.
pub fn stop(scope: &Scope) -> Result<()> {
    let words = || format!("stop the scope {}", scope.unit);
    let mut body = Out::default();
    body.text(&scope.unit);
    let failed = Out(body.0.clone());
    body.text("replace");
    let mut bus = connect(scope).context(words)?;
    match job(&mut bus, "StopUnit", "ss", &body).context(words)? {
        Answer::Refused(name, _) if name.ends_with(".NoSuchUnit") => return Ok(()),
        answer => accepted(answer).context(words)?,
    }
    // One that has failed would keep its name; most are gone by now.
    bus.call("ResetFailedUnit", "s", &failed).map(drop).context(words)
}

/// Stops the scope of a container whose creation was cut short, unless something lives in it:
/// it is another container's then. systemd does not see that a scope is empty when its
/// first process has ended before it was there.
///
/// # Errors
/// systemd is not there, or refuses.
pub fn stop_empty(scope: &Scope) -> Result<()> {
    let words = || format!("look at the scope {}", scope.unit);
    let mut body = Out::default();
    body.text(&scope.unit);
    let mut bus = connect(scope).context(words)?;
    let Answer::Done(unit) = bus.call("GetUnit", "s", &body).context(words)? else { return Ok(()) };
    let unit = In::new(&unit).text().unwrap_or_default();
    let path = bus.control_group(unit).context(words)?;
    match path.trim_start_matches('/') {
        path if !path.is_empty() && !folder::processes(path).is_empty() => Ok(()),
        _ => stop(scope),
    }
}

/// Calls a method that gives a job, and waits for its end.
fn job(bus: &mut Bus, method: &str, signature: &str, body: &Out) -> Result<Answer> {
    let answer = bus.call(method, signature, body)?;
    let Answer::Done(reply) = &answer else { return Ok(answer) };
    let job = In::new(reply).text().unwrap_or_default().to_owned();
    match bus.await_job(&job)?.as_str() {
        "done" => Ok(answer),
        result => Err(Error(format!("its job ended in {result:?}"))),
    }
}

fn accepted(answer: Answer) -> Result<()> {
    match answer {
        Answer::Done(_) => Ok(()),
        Answer::Refused(name, text) => Err(Error(format!("{name}: {text}"))),
    }
}

fn connect(scope: &Scope) -> Result<Bus> {
    let address = env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let folder = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    Bus::connect(&sockets(scope.user, &address, folder.as_deref()))
}

/// Where to connect, and whether a bus is there rather than systemd alone.
fn sockets(user: bool, address: &str, folder: Option<&Path>) -> Vec<(PathBuf, bool)> {
    if !user {
        return vec![(SYSTEM[0].into(), true), (SYSTEM[1].into(), false)];
    }
    let of_session = address
        .split([';', ','])
        .find_map(|part| part.strip_prefix("unix:path="))
        .map(|path| (PathBuf::from(path), true));
    let of_user = folder.map(|folder| [(folder.join("bus"), true), (folder.join("systemd/private"), false)]);
    of_session.into_iter().chain(of_user.into_iter().flatten()).collect()
}

/// Where systemd has put the process.
fn path_of(pid: i32, unit: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Path::new(path).file_name().is_some_and(|name| name == unit).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_bus_of_the_session_or_below_the_runtime_folder() {
        let paths = |user, address, folder: Option<&str>| {
            let sockets = sockets(user, address, folder.map(Path::new));
            sockets.iter().map(|(path, bus)| format!("{} {bus}", path.display())).collect::<Vec<_>>()
        };
        assert_eq!(
            paths(false, "unix:path=/other", Some("/run/user/0")),
            ["/run/dbus/system_bus_socket true", "/run/systemd/private false"]
        );
        assert_eq!(
            paths(true, "unix:path=/run/user/1/bus,guid=7", Some("/run/user/1")),
            ["/run/user/1/bus true", "/run/user/1/bus true", "/run/user/1/systemd/private false"]
        );
        assert_eq!(paths(true, "unix:abstract=x", None), [""; 0]);
    }
}
