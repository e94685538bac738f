//! Commands that look at containers, or change their limits.

use super::*;

/// The arguments of `list`.
pub fn list(parser: &mut Parser) -> Result<Command> {
    let (mut json, mut quiet) = (false, false);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('f') | Arg::Long("format") => json = format_is_json(parser)?,
            Arg::Short('q') | Arg::Long("quiet") => quiet = flag(parser)?,
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::List { json, quiet })
}

/// The arguments of `spec`.
pub fn spec(parser: &mut Parser) -> Result<Command> {
    let (mut bundle, mut rootless) = (PathBuf::from("."), false);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('b') | Arg::Long("bundle") => bundle = path(parser)?,
            Arg::Long("rootless") => rootless = flag(parser)?,
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Spec { bundle, rootless })
}

/// The arguments of `ps`; what follows the ID is for ps(1).
pub fn ps(parser: &mut Parser) -> Result<Command> {
    let (mut id, mut json, mut options) = (None, false, Vec::new());
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('f') | Arg::Long("format") => json = format_is_json(parser)?,
            Arg::Value(value) if id.is_none() => {
                id = Some(identity(value)?);
                let rest = parser.raw_args().context(|| "ps".to_owned())?;
                if rest.as_slice().first().is_none_or(|word| !word.to_string_lossy().starts_with("--format"))
                {
                    options = rest.map(word).collect::<Result<_>>()?;
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Ps { id: needed(id)?, json, options })
}

/// The arguments of `events`.
pub fn events(parser: &mut Parser) -> Result<Command> {
    let (mut id, mut once, mut every) = (None, false, 5000);
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Long("stats") => once = flag(parser)?,
            Arg::Long("interval") => every = interval(&text(parser)?)?,
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Events { id: needed(id)?, every: (!once).then(|| Duration::from_millis(every)) })
}

/// Milliseconds, as Go writes durations: `100ms`, `5s`, `1m`.
fn interval(text: &str) -> Result<u64> {
    let (number, unit) =
        text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(milliseconds @ 1..) => Ok(milliseconds),
        _ => Err(Error(format!("--interval {text:?}: not whole ms, s, m or h above zero"))),
    }
}

/// The arguments of `update`: a file of `linux.resources`, or an option for each limit.
pub fn update(parser: &mut Parser) -> Result<Command> {
    let (mut id, mut file, mut resources, mut schemata) = (None, None, Resources::default(), Vec::new());
    while let Some(argument) = next(parser)? {
        match argument {
            Arg::Short('r') | Arg::Long("resources") => file = Some(path(parser)?),
            Arg::Long("l3-cache-schema") | Arg::Long("mem-bw-schema") => schemata.push(text(parser)?),
            Arg::Long(name) => {
                let name = name.to_owned();
                limit(&name, parser, &mut resources)?;
            }
            Arg::Value(value) if id.is_none() => id = Some(identity(value)?),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(Command::Update { id: needed(id)?, file, resources: Box::new(resources), schemata })
}

fn limit(name: &str, parser: &mut Parser, resources: &mut Resources) -> Result<()> {
    let option = format!("--{name}");
    let cpu = resources.cpu.get_or_insert_default();
    let memory = resources.memory.get_or_insert_default();
    match name {
        "cpu-period" => cpu.period = Some(number(parser, &option)?),
        "cpu-quota" => cpu.quota = Some(number(parser, &option)?),
        "cpu-burst" => cpu.burst = Some(number(parser, &option)?),
        "cpu-share" | "cpu-shares" => cpu.shares = Some(number(parser, &option)?),
        "cpu-rt-period" => cpu.realtime_period = Some(number(parser, &option)?),
        "cpu-rt-runtime" => cpu.realtime_runtime = Some(number(parser, &option)?),
        "cpu-idle" => cpu.idle = Some(number(parser, &option)?),
        "cpuset-cpus" => cpu.cpus = text(parser)?,
        "cpuset-mems" => cpu.mems = text(parser)?,
        "memory" => memory.limit = Some(bytes(parser, &option)?),
        "memory-reservation" => memory.reservation = Some(bytes(parser, &option)?),
        "memory-swap" => memory.swap = Some(bytes(parser, &option)?),
        // No file of cgroup v2 has them; callers of runc give them all the same.
        "kernel-memory" | "kernel-memory-tcp" => drop(text(parser)?),
        "pids-limit" => resources.pids.get_or_insert_default().limit = Some(number(parser, &option)?),
        "blkio-weight" => resources.block_io.get_or_insert_default().weight = Some(number(parser, &option)?),
        _ => return Err(unexpected(&Arg::Long(name))),
    }
    Ok(())
}

/// A number of bytes, with `k`, `m`, `g` or `t` behind it or not.
fn bytes(parser: &mut Parser, option: &str) -> Result<i64> {
    let text = text(parser)?;
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches('b').trim_end_matches('i');
    let (number, shift) = match digits.char_indices().next_back() {
        Some((end, 'k')) => (&digits[..end], 10),
        Some((end, 'm')) => (&digits[..end], 20),
        Some((end, 'g')) => (&digits[..end], 30),
        Some((end, 't')) => (&digits[..end], 40),
        _ => (digits, 0),
    };
    let bytes = number.parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| Error(format!("{option} {text:?}: not a number of bytes")))
}

fn format_is_json(parser: &mut Parser) -> Result<bool> {
    match text(parser)?.as_str() {
        "json" => Ok(true),
        "table" => Ok(false),
        other => Err(Error(format!("--format {other:?}: neither table nor json"))),
    }
}
