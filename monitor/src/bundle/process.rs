//! `process`: what is run, as whom, in which environment.

use super::{Defaults, Surroundings, capabilities, limits, mounts, user};
use spec::bundle::{ConsoleSize, Process, User};
use spec::monitor::Exec;
use spec::node::{Container, Name, Security};
use std::collections::BTreeSet;

/// `PATH` when neither the image nor the configuration gives one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's `process`.
pub fn process(
    name: &Name,
    container: &Container,
    image: &Defaults,
    around: &Surroundings,
    capabilities: &BTreeSet<String>,
) -> Result<Process, String> {
    let who = container.user.as_deref().unwrap_or(&image.user);
    let mut user = user::resolve(who, &around.passwd, &around.group)?;
    if let Some(sandbox) = &around.sandbox {
        user.groups = match sandbox.strict_groups {
            true => Vec::new(),
            false => user::groups(user.uid, &around.passwd, &around.group),
        };
    }
    for group in &container.group_add {
        user.groups.push(user::group_id(group, &around.group)?);
    }
    Ok(Process {
        terminal: container.tty,
        args: args(container, image)?,
        env: env(name, container, image, &user.home),
        cwd: working_dir(container, image)?,
        capabilities: Some(capabilities::process(capabilities, user.uid == 0 || around.sandbox.is_some())),
        rlimits: limits::rlimits(container, around.most_files)?,
        no_new_privileges: container.security.contains(&Security::NoNewPrivileges),
        // The monitor's own, which spares it, must not be inherited.
        oom_score_adj: Some(score(container)?),
        user: User { uid: user.uid, gid: user.gid, umask: None, additional_gids: user.groups },
        ..Process::default()
    })
}

/// A further program of a container whose first one is `first`: what is not said is as there.
///
/// # Errors
/// What cannot be done, in words.
pub fn further(asked: &Exec, first: &Process, passwd: &str, group: &str) -> Result<Process, String> {
    let mut process = Process { args: asked.command.clone(), terminal: asked.tty, ..first.clone() };
    process.console_size = asked
        .size
        .filter(|_| asked.tty)
        .map(|size| ConsoleSize { height: size.rows.into(), width: size.columns.into() });
    if asked.command.is_empty() {
        return Err("no command".to_owned());
    }
    if asked.tty {
        set(&mut process.env, "TERM=xterm".to_owned());
    }
    if let Some(folder) = &asked.working_dir {
        process.cwd = absolute(folder)?;
    }
    if let Some(who) = &asked.user {
        let user = user::resolve(who, passwd, group)?;
        if has_home_of_its_user(first, passwd) {
            set(&mut process.env, format!("HOME={}", user.home));
        }
        process.user = User { uid: user.uid, gid: user.gid, umask: None, additional_gids: user.groups };
    }
    asked.env.iter().for_each(|(key, value)| set(&mut process.env, format!("{key}={value}")));
    // The same user holds the same.
    if asked.privileged || asked.user.is_some() {
        let names = match asked.privileged {
            true => capabilities::set(&["ALL".to_owned()], &[])?,
            false => process.capabilities.unwrap_or_default().bounding.into_iter().collect(),
        };
        process.capabilities = Some(capabilities::process(&names, process.user.uid == 0));
    }
    Ok(process)
}

/// Nobody gave it another `HOME`.
fn has_home_of_its_user(process: &Process, passwd: &str) -> bool {
    let home = user::resolve(&process.user.uid.to_string(), passwd, "").map(|user| user.home);
    let own = process.env.iter().find_map(|variable| variable.strip_prefix("HOME="));
    own.is_none_or(|own| home.is_ok_and(|home| home == own))
}

fn score(container: &Container) -> Result<i32, String> {
    match container.oom_score_adj {
        Some(score) if !(-1000..=1000).contains(&score) => {
            Err(format!("oom-score-adj = {score}: not between -1000 and 1000"))
        }
        score => Ok(score.unwrap_or(0)),
    }
}

/// The program and its arguments.
pub fn command(container: &Container, image: &Defaults) -> Vec<String> {
    let (entrypoint, cmd) = container.words(&image.entrypoint, &image.cmd);
    entrypoint.iter().chain(cmd).cloned().collect()
}

fn args(container: &Container, image: &Defaults) -> Result<Vec<String>, String> {
    let args = command(container, image);
    if args.is_empty() {
        return Err("no command: neither the image nor \"entrypoint\" and \"args\" name one".to_owned());
    }
    match container.init {
        true => Ok([mounts::INIT, "--"].map(str::to_owned).into_iter().chain(args).collect()),
        false => Ok(args),
    }
}

/// `PATH` and `HOSTNAME`, then the image's, then the configuration's; `HOME`
/// when nobody gave it.
fn env(name: &Name, container: &Container, image: &Defaults, home: &str) -> Vec<String> {
    let hostname = container.hostname.as_deref().unwrap_or(name);
    let mut env = vec![format!("PATH={PATH}"), format!("HOSTNAME={hostname}")];
    env.extend(container.tty.then(|| "TERM=xterm".to_owned()));
    container.environment(&image.env).into_iter().for_each(|variable| set(&mut env, variable));
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
    absolute(folder)
}

fn absolute(folder: &str) -> Result<String, String> {
    match folder {
        "" => Ok("/".to_owned()),
        absolute if absolute.starts_with('/') => Ok(absolute.to_owned()),
        relative => Err(format!("working-dir {relative:?} is not absolute")),
    }
}
