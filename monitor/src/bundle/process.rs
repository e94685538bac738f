//! `process`: what is run, as whom, in which environment.

use super::{Defaults, Surroundings, capabilities, user};
use spec::bundle::{Process, Rlimit, User};
use spec::node::{Container, Name};
use std::collections::BTreeSet;

/// `PATH` when neither the image nor the configuration gives one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files: a modest soft limit, because some programs walk all up to it.
const FILES: (u64, u64) = (1024, 524_288);

/// The container's `process`.
pub fn process(
    name: &Name,
    container: &Container,
    image: &Defaults,
    around: &Surroundings,
    capabilities: &BTreeSet<String>,
) -> Result<Process, String> {
    let who = container.user.as_deref().unwrap_or(&image.user);
    let user = user::resolve(who, &around.passwd, &around.group)?;
    Ok(Process {
        args: args(container, image)?,
        env: env(name, container, image, &user.home),
        cwd: working_dir(container, image)?,
        capabilities: Some(capabilities::process(capabilities, user.uid == 0)),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: FILES.0, hard: FILES.1 }],
        // The monitor's own, which spares it, must not be inherited.
        oom_score_adj: Some(0),
        user: User { uid: user.uid, gid: user.gid, umask: None, additional_gids: user.groups },
        ..Process::default()
    })
}

/// Who gives an entrypoint of its own means the image's arguments to go.
fn args(container: &Container, image: &Defaults) -> Result<Vec<String>, String> {
    let (entrypoint, cmd) = match &container.entrypoint {
        Some(own) => (own, &[][..]),
        None => (&image.entrypoint, &image.cmd[..]),
    };
    let cmd = container.args.as_deref().unwrap_or(cmd);
    let args: Vec<String> = entrypoint.iter().chain(cmd).cloned().collect();
    if args.is_empty() {
        return Err("no command: neither the image nor \"entrypoint\" and \"args\" name one".to_owned());
    }
    Ok(args)
}

/// `PATH` and `HOSTNAME`, then the image's, then the configuration's; `HOME`
/// when nobody gave it.
fn env(name: &Name, container: &Container, image: &Defaults, home: &str) -> Vec<String> {
    let mut env = vec![format!("PATH={PATH}"), format!("HOSTNAME={name}")];
    let own = container.env.iter().map(|(key, value)| format!("{key}={value}"));
    for variable in image.env.iter().cloned().chain(own) {
        set(&mut env, variable);
    }
    if !env.iter().any(|variable| key(variable) == "HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

fn set(env: &mut Vec<String>, variable: String) {
    match env.iter_mut().find(|other| key(other) == key(&variable)) {
        Some(other) => *other = variable,
        None => env.push(variable),
    }
}

fn key(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(key, _)| key)
}

fn working_dir(container: &Container, image: &Defaults) -> Result<String, String> {
    let folder = container.working_dir.as_deref().unwrap_or(&image.working_dir);
    match folder {
        "" => Ok("/".to_owned()),
        absolute if absolute.starts_with('/') => Ok(absolute.to_owned()),
        relative => Err(format!("working-dir {relative:?} is not absolute")),
    }
}
