//! When a process gets processors and disks: `process.scheduler`, `process.ioPriority`
//! and, for what `exec` adds, `process.execCPUAffinity`.

use super::{Step, refuse};
use crate::error::Result;
use spec::bundle::{IoPriority, Process, Scheduler};
use std::collections::BTreeSet;
use sys::scheduling::Attributes;

const FIFO: u32 = 1;
const RR: u32 = 2;
const DEADLINE: u32 = 6;

/// Policies by the kernel's numbers (sched(7)). Linux has only the name of `SCHED_ISO`.
const POLICIES: [(&str, u32); 6] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", FIFO),
    ("SCHED_RR", RR),
    ("SCHED_BATCH", 3),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", DEADLINE),
];

/// sched_setattr(2)
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// ioprio_set(2)
const CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

/// As many processors as `cpu_set_t` of sched_setaffinity(2) has room for.
const MOST_PROCESSORS: usize = 1024;

/// Processors that `exec` asks for; none means that nothing changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Of the runtime, before the new process is born into the container's cgroup.
    pub initial: Vec<usize>,
    /// Of the process, once it is there.
    pub last: Vec<usize>,
}

/// The steps that set scheduler and I/O priority.
pub(super) fn steps(process: &Process) -> Result<Vec<Step>> {
    let scheduler = process.scheduler.as_ref().map(attributes).transpose()?.map(Step::Scheduler);
    let io_priority = process.io_priority.as_ref().map(io_priority).transpose()?;
    Ok(scheduler.into_iter().chain(io_priority).collect())
}

fn attributes(asked: &Scheduler) -> Result<Attributes> {
    let policy = number(&POLICIES, &asked.policy, "process.scheduler.policy", "scheduler policy")?;
    let flags = asked.flags.iter().enumerate().map(|(place, name)| {
        number(&FLAGS, name, &format!("process.scheduler.flags[{place}]"), "scheduler flag")
    });
    let flags = flags.collect::<Result<Vec<u64>>>()?;
    within(asked.nice, -20, 19, "process.scheduler.nice")?;
    let (least, most) = if matches!(policy, FIFO | RR) { (1, 99) } else { (0, 0) };
    within(asked.priority, least, most, "process.scheduler.priority")?;
    for (name, value) in [("runtime", asked.runtime), ("deadline", asked.deadline), ("period", asked.period)]
    {
        if value != 0 && policy != DEADLINE {
            let path = format!("process.scheduler.{name}");
            return Err(refuse::at(&path, &format!("{} has none", asked.policy)));
        }
    }
    Ok(Attributes {
        policy,
        flags: flags.into_iter().fold(0, |all, flag| all | flag),
        nice: asked.nice,
        priority: asked.priority.unsigned_abs(),
        runtime: asked.runtime,
        deadline: asked.deadline,
        period: asked.period,
    })
}

fn io_priority(asked: &IoPriority) -> Result<Step> {
    let class = number(&CLASSES, &asked.class, "process.ioPriority.class", "I/O priority class")?;
    within(asked.priority, 0, 7, "process.ioPriority.priority")?;
    Ok(Step::IoPriority { class, priority: asked.priority.unsigned_abs() })
}

/// Processors by `process.execCPUAffinity`.
///
/// # Errors
/// A list that cannot be read, by its JSON path.
pub fn affinity(process: &Process) -> Result<Affinity> {
    let Some(asked) = &process.exec_cpu_affinity else { return Ok(Affinity::default()) };
    let list =
        |text, name| list(text, MOST_PROCESSORS, &format!("process.execCPUAffinity.{name}"), "processors");
    Ok(Affinity { initial: list(&asked.initial, "initial")?, last: list(&asked.last, "final")? })
}

/// Reads `0-3,7` (cpuset(7), List format), numbers below `most`.
pub(super) fn list(text: &str, most: usize, path: &str, what: &str) -> Result<Vec<usize>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last && last < most).then_some((first, last))
    };
    let ranges: Option<BTreeSet<(usize, usize)>> =
        text.split(',').filter(|_| !text.is_empty()).map(range).collect();
    match ranges {
        Some(ranges) => {
            // Each once, however often it is named.
            let mut all = Vec::new();
            for (first, last) in ranges {
                all.extend(first.max(all.last().map_or(0, |last| last + 1))..=last);
            }
            Ok(all)
        }
        None => Err(refuse::at(path, &format!("invalid {what} {text:?}, not a list such as 0-3,7"))),
    }
}

pub(super) fn number<N: Copy>(known: &[(&str, N)], name: &str, path: &str, what: &str) -> Result<N> {
    match known.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => Ok(*number),
        None => Err(refuse::at(path, &format!("invalid {what} {name:?}"))),
    }
}

fn within(value: i32, least: i32, most: i32, path: &str) -> Result<()> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(refuse::at(path, &format!("{value} is not from {least} to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Step>> {
        steps(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn names_become_the_kernels_numbers() {
        let text = r#"{"scheduler": {"policy": "SCHED_RR", "priority": 9, "nice": -3,
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_KEEP_PARAMS"]},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7}}"#;
        let attributes =
            Attributes { policy: 2, flags: 0x11, nice: -3, priority: 9, ..Attributes::default() };
        let expected = [Step::Scheduler(attributes), Step::IoPriority { class: 2, priority: 7 }];
        assert_eq!(of(text).unwrap(), expected);
    }

    #[test]
    fn what_linux_does_not_have_is_refused_by_its_path() {
        for (scheduler, words) in [
            (r#"{"policy": "SCHED_ISO"}"#, "policy: invalid scheduler policy \"SCHED_ISO\""),
            (r#"{"policy": "SCHED_OTHER", "nice": 20}"#, "nice: 20 is not from -20 to 19"),
            (r#"{"policy": "SCHED_FIFO"}"#, "priority: 0 is not from 1 to 99"),
            (r#"{"policy": "SCHED_IDLE", "priority": 1}"#, "priority: 1 is not from 0 to 0"),
            (r#"{"policy": "SCHED_BATCH", "period": 1}"#, "period: SCHED_BATCH has none"),
            (
                r#"{"policy": "SCHED_RR", "priority": 1, "flags": ["X"]}"#,
                "flags[0]: invalid scheduler flag \"X\"",
            ),
        ] {
            let error = of(&format!("{{\"scheduler\": {scheduler}}}")).unwrap_err().0;
            assert!(error.starts_with(&format!("process.scheduler.{words}")), "{error}");
        }
        let error = of(r#"{"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}"#).unwrap_err().0;
        assert_eq!(error, "process.ioPriority.priority: 8 is not from 0 to 7");
    }

    #[test]
    fn processors_are_listed_as_in_cpusets() {
        let list = |text| list(text, MOST_PROCESSORS, "process.execCPUAffinity.initial", "processors");
        assert_eq!(list("0-3,7").unwrap(), [0, 1, 2, 3, 7]);
        assert_eq!(list("").unwrap(), [0; 0]);
        assert_eq!(list("7,0-3,2-4,7").unwrap(), [0, 1, 2, 3, 4, 7]);
        let often = format!("{}0", "0-1023,".repeat(100_000));
        assert_eq!(list(&often).unwrap().len(), 1024);
        for text in ["3-1", "a", "1,", "0-1024", "-"] {
            let error = list(text).unwrap_err().0;
            assert!(error.starts_with("process.execCPUAffinity.initial: "), "{error}");
        }
    }
}
