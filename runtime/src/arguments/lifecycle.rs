//! Commands that make, change and remove a container.

use super::*;

/// The arguments of `create`, and of `run`.
pub fn create(parser: &mut Parser, run: bool) -> Result<Command> {
    let mut create = Create { bundle: ".".into(), ..Create::default() };
    let (mut detach, mut keep, mut id) = (false, false, None);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('b') | Arg::Long("bundle") => create.bundle = path(parser)?,
            Arg::Short('f') | Arg::Long("config") => create.config = Some(path(parser)?),
            Arg::Long("pid-file") => create.pid_file = Some(path(parser)?),
            Arg::Long("pidfd-socket") => create.pidfd_socket = Some(path(parser)?),
            Arg::Long("console-socket") => create.console_socket = Some(path(parser)?),
            Arg::Long("no-pivot") => create.no_pivot = flag(parser)?,
            Arg::Long("no-new-keyring") => create.no_new_keyring = flag(parser)?,
            Arg::Long("preserve-fds") => create.preserve_fds = number(parser, "--preserve-fds")?,
            Arg::Short('d') | Arg::Long("detach") if run => detach = flag(parser)?,
            Arg::Long("keep") if run => keep = flag(parser)?,
            // A subreaper adopts what the program leaves; we wait for the program alone.
            Arg::Long("no-subreaper") if run => drop(flag(parser)?),
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    create.id = needed(id)?;
    Ok(if run { Command::Run { create, detach, keep } } else { Command::Create(create) })
}

/// The arguments of `kill`.
pub fn kill(parser: &mut Parser) -> Result<Command> {
    let (mut id, mut signal, mut all) = (None, None, false);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('a') | Arg::Long("all") => all = flag(parser)?,
            Arg::Short('s') | Arg::Long("signal") => signal = Some(text(parser)?),
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            Arg::Value(value) if signal.is_none() => signal = Some(word(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Kill { id: needed(id)?, signal: signal.unwrap_or_else(|| "SIGTERM".into()), all })
}

/// The arguments of `delete`.
pub fn delete(parser: &mut Parser) -> Result<Command> {
    let (mut id, mut force) = (None, false);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('f') | Arg::Long("force") => force = flag(parser)?,
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Delete { id: needed(id)?, force })
}

/// The arguments of `exec`.
pub fn exec(parser: &mut Parser) -> Result<Command> {
    let (mut exec, mut id) = (Exec::default(), None);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('p') | Arg::Long("process") => exec.process = Some(path(parser)?),
            Arg::Short('t') | Arg::Long("tty") => exec.tty = flag(parser)?,
            Arg::Short('u') | Arg::Long("user") => exec.user = Some(text(parser)?),
            Arg::Short('g') | Arg::Long("additional-gids") => {
                exec.additional_gids.push(number(parser, "--additional-gids")?);
            }
            Arg::Long("cwd") => exec.cwd = Some(text(parser)?),
            Arg::Short('e') | Arg::Long("env") => exec.env.push(text(parser)?),
            Arg::Short('c') | Arg::Long("cap") => exec.cap.push(text(parser)?),
            Arg::Long("no-new-privs") => exec.no_new_privs = flag(parser)?,
            Arg::Long("apparmor") => exec.apparmor = Some(text(parser)?),
            Arg::Long("process-label") => exec.process_label = Some(text(parser)?),
            Arg::Long("cgroup") => exec.cgroup = Some(text(parser)?),
            Arg::Short('d') | Arg::Long("detach") => exec.detach = flag(parser)?,
            Arg::Long("ignore-paused") => exec.ignore_paused = flag(parser)?,
            Arg::Long("pid-file") => exec.pid_file = Some(path(parser)?),
            Arg::Long("pidfd-socket") => exec.pidfd_socket = Some(path(parser)?),
            Arg::Long("console-socket") => exec.console_socket = Some(path(parser)?),
            Arg::Long("preserve-fds") => exec.preserve_fds = number(parser, "--preserve-fds")?,
            Arg::Value(value) if id.is_none() => {
                id = Some(identity(value)?);
                if exec.process.is_none() {
                    exec_arguments(parser, &mut exec)?;
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    exec.id = needed(id)?;
    if exec.process.is_none() && exec.args.is_empty() {
        return Err(Error::new("exec: no program is given"));
    }
    Ok(Command::Exec(Box::new(exec)))
}

/// What follows the ID is the program's, unless it is the `--process` of a caller that
/// puts options last.
fn exec_arguments(parser: &mut Parser, exec: &mut Exec) -> Result<()> {
    let rest = parser.raw_args().context(|| "exec".to_owned())?;
    let first = rest.as_slice().first().and_then(|word| word.to_str()).unwrap_or("");
    if first.starts_with('-') && first != "--" {
        return Ok(());
    }
    let skip = usize::from(first == "--");
    exec.args = rest.skip(skip).map(word).collect::<Result<_>>()?;
    Ok(())
}
