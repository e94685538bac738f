//! `process`: what is set before its program runs, for a container's first
//! process and for one that `exec` adds.
//!
//! What needs privileges comes before they are given up. Capabilities are dropped
//! after the filter is loaded when the program may gain privileges (the kernel
//! wants `CAP_SYS_ADMIN` for the filter then), and before it when it may not.

use super::{Step, has, memory_policy, personality, refuse, scheduling, selinux};
use crate::error::{Error, Result};
use crate::seccomp;
use spec::bundle::{CAPABILITIES, Capabilities, Linux, NamespaceKind, Process, RLIMITS, Seccomp};
use std::collections::BTreeSet;
use sys::trampoline;

/// A program as execve(2) takes it, not looked for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its arguments, the first being the path or the name to look for in `PATH`.
    pub args: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    /// Its user may run any file that somebody may (`CAP_DAC_OVERRIDE`, which is in effect as it is looked for).
    pub overrides: bool,
}

/// setrlimit(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*`
    pub resource: u32,
    /// In force.
    pub soft: u64,
    /// Ceiling.
    pub hard: u64,
}

/// The steps of a process that `exec` adds, once it is in the container of this name, if it is to have a session keyring.
///
/// # Errors
/// What the process asks for and cannot have, by its JSON path.
pub fn exec(process: &Process, linux: &Linux, preserve_fds: u32, keyring: Option<&str>) -> Result<Vec<Step>> {
    refuse::check_process(process)?;
    let processors = scheduling::affinity(process)?;
    let close = Step::CloseFrom(preserve_fds.saturating_add(3));
    let mut steps = vec![close];
    // Who comes from outside is nobody there, and so is the terminal that it makes.
    steps.extend(has(linux, NamespaceKind::User).then_some(Step::BecomeRoot));
    steps.extend([Step::Signals, Step::Session]);
    steps.extend(keyring.iter().flat_map(|id| selinux::keyring(id, &process.selinux_label)));
    steps.push(Step::Undumpable);
    match (processors.initial.is_empty(), processors.last.is_empty()) {
        (_, false) => steps.push(Step::Affinity(processors.last)),
        (true, true) => steps.push(Step::EveryProcessor),
        (false, true) => {}
    }
    steps.extend(process.terminal.then(|| Step::Terminal { size: size(process), is_console: false }));
    steps.extend(personality::step(linux)?);
    steps.extend(memory_policy::step(linux)?);
    steps.extend(before(process, linux.seccomp.as_ref(), 0)?);
    steps.extend(after(process, linux.seccomp.as_ref())?);
    steps.push(Step::Exec);
    Ok(steps)
}

/// The terminal's size at first.
pub(super) fn size(process: &Process) -> Option<(u16, u16)> {
    let most = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let size = process.console_size?;
    (size.height > 0 && size.width > 0).then(|| (most(size.height), most(size.width)))
}

/// As with runc, whatever the caller's is.
pub(super) const USUAL_UMASK: u32 = 0o022;

/// What `create` still can say that it went wrong.
pub(super) fn before(process: &Process, seccomp: Option<&Seccomp>, listen_fds: u32) -> Result<Vec<Step>> {
    let user = &process.user;
    // Before there may be no file any more, or none so large.
    let mut steps: Vec<Step> =
        has_trampoline(process, seccomp).then_some(Step::Trampoline).into_iter().collect();
    steps.extend(rlimits(process)?.into_iter().map(Step::Rlimit));
    steps.extend(scheduling::steps(process)?);
    steps.push(Step::Umask(user.umask.unwrap_or(USUAL_UMASK)));
    if !process.selinux_label.is_empty() {
        steps.push(Step::Selinux(process.selinux_label.clone()));
    }
    if !process.apparmor_profile.is_empty() {
        steps.push(Step::AppArmor(process.apparmor_profile.clone()));
    }
    let bounding = bits(process, |sets| &sets.bounding);
    steps.extend([
        Step::Undumpable,
        Step::OwnOutputs(user.uid),
        Step::Bound(bounding),
        Step::User(user.clone()),
    ]);
    steps.push(Step::Folder(process.cwd.clone()));
    let mut env = environment(&process.env);
    if listen_fds > 0 {
        env.extend([format!("LISTEN_FDS={listen_fds}"), "LISTEN_PID=1".to_owned()]);
    }
    let overrides = Granted::of(process).effective & DAC_OVERRIDE != 0;
    steps.push(Step::Find(Program { args: process.args.clone(), env, overrides }));
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    Ok(steps)
}

/// AppArmor's profiles of Docker, Podman and containerd, which let every program be executed.
const PERMISSIVE: [&str; 3] = ["docker-default", "containers-default-", "cri-containerd.apparmor.d"];
const DAC_OVERRIDE: u64 = 1 << 1;
/// That, and `CAP_DAC_READ_SEARCH`
const ANY_PATH: u64 = DAC_OVERRIDE | 1 << 2;

/// Whether two execs do what one does: nothing that is entered by the first refuses the second, and no capability
/// ends between them that the path takes or, with `no_new_privs`, the program's file can only keep (capabilities(7)).
fn has_trampoline(process: &Process, seccomp: Option<&Seccomp>) -> bool {
    let profile = process.apparmor_profile.as_str();
    let is_entered = !process.selinux_label.is_empty()
        || !(profile.is_empty() || PERMISSIVE.iter().any(|known| profile.starts_with(known)));
    let passes = |profile| trampoline::CALLS.iter().all(|call| seccomp::lets_through(profile, call));
    let granted = Granted::of(process);
    let of_path = granted.effective & ANY_PATH & !granted.ambient;
    let of_file = granted.permitted & !granted.ambient;
    let keeps = process.user.uid == 0 || of_path == 0 && !(process.no_new_privileges && of_file != 0);
    !is_entered && keeps && seccomp.is_none_or(passes)
}

/// Of a name that is there twice the last value counts, as with runc: `exec --env` is later than the container's.
fn environment(all: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut known = BTreeSet::new();
    let mut env: Vec<String> = all.iter().rev().filter(|entry| known.insert(name(entry))).cloned().collect();
    env.reverse();
    env
}

/// What bounds the program, and hooks of the image's.
pub(super) fn after(process: &Process, seccomp: Option<&Seccomp>) -> Result<Vec<Step>> {
    let Granted { effective, permitted, inheritable, ambient } = Granted::of(process);
    let mut steps = vec![Step::Capabilities { effective, permitted, inheritable, ambient }];
    if let Some(profile) = seccomp {
        let filter = Step::Seccomp(seccomp::compile(profile)?);
        steps.insert(usize::from(process.no_new_privileges), filter);
    }
    Ok(steps)
}

/// What of the sets can be, as bits (capset(2), `PR_CAP_AMBIENT`).
struct Granted {
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Granted {
    fn of(process: &Process) -> Self {
        let permitted = bits(process, |sets| &sets.permitted);
        let effective = bits(process, |sets| &sets.effective) & permitted;
        let inheritable = bits(process, |sets| &sets.inheritable) & bits(process, |sets| &sets.bounding);
        let ambient = bits(process, |sets| &sets.ambient) & permitted & inheritable;
        Self { effective, permitted, inheritable, ambient }
    }
}

fn bits(process: &Process, set: impl Fn(&Capabilities) -> &Vec<String>) -> u64 {
    process.capabilities.as_ref().map_or(0, |sets| capability_bits(set(sets)))
}

/// A set of capabilities as bits.
fn capability_bits(names: &[String]) -> u64 {
    names.iter().filter_map(|name| capability(name)).fold(0, |bits, number| bits | 1 << number)
}

fn capability(name: &str) -> Option<usize> {
    let short = name.strip_prefix("CAP_")?;
    CAPABILITIES.iter().position(|known| *known == short)
}

/// What is left out and the caller should know: capabilities that Linux does not have, and those that another set rules
/// out (`config.md`, Linux Process: such a container should not fail).
pub fn warnings(process: &Process) -> Vec<Error> {
    let mut all = left_out(process, "is not a capability", |name| capability(name).is_none());
    let Some(sets) = &process.capabilities else { return all };
    let granted = Granted::of(process);
    // As capset(2) and capabilities(7) have it; the last in runc's words.
    let cannot = [
        ("effective", &sets.effective, granted.effective, "is not permitted, left out"),
        ("inheritable", &sets.inheritable, granted.inheritable, "is not in the bounding set, left out"),
        ("ambient", &sets.ambient, granted.ambient, "is not permitted and inheritable"),
    ];
    for (set, names, granted, why) in cannot {
        let is_out = |name: &&String| capability(name).is_some_and(|number| granted >> number & 1 == 0);
        all.extend(names.iter().filter(is_out).map(|name| match set {
            "ambient" => {
                Error(format!("process.capabilities.{set}: can't raise ambient capability {name}: it {why}"))
            }
            _ => Error(format!("process.capabilities.{set}: {name:?} {why}")),
        }));
    }
    all
}

/// The same of those that the caller, who holds these, cannot give.
pub fn withheld(process: &Process, held: u64) -> Vec<Error> {
    left_out(process, "is not the caller's to give", |name| {
        capability(name).is_some_and(|number| held >> number & 1 == 0)
    })
}

fn left_out(process: &Process, why: &str, is_out: impl Fn(&str) -> bool) -> Vec<Error> {
    let Some(sets) = &process.capabilities else { return Vec::new() };
    let named = [
        ("bounding", &sets.bounding),
        ("effective", &sets.effective),
        ("inheritable", &sets.inheritable),
        ("permitted", &sets.permitted),
        ("ambient", &sets.ambient),
    ];
    let of_set = |(set, names): (&'static str, &Vec<String>)| {
        let out = names.iter().filter(|name| is_out(name));
        let words = |name: &String| Error(format!("process.capabilities.{set}: {name:?} {why}, left out"));
        out.map(words).collect::<Vec<_>>()
    };
    named.into_iter().flat_map(of_set).collect()
}

fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for (place, limit) in process.rlimits.iter().enumerate() {
        let path = format!("process.rlimits[{place}]");
        let short = limit.kind.strip_prefix("RLIMIT_");
        let Some(number) = short.and_then(|short| RLIMITS.iter().position(|known| *known == short)) else {
            return Err(refuse::at(&format!("{path}.type"), &format!("{:?} is not a limit", limit.kind)));
        };
        if limit.soft > limit.hard {
            return Err(refuse::at(&format!("{path}.soft"), "is above the hard limit"));
        }
        if limits.iter().any(|other| other.resource == number as u32) {
            return Err(refuse::at(&format!("{path}.type"), &format!("{} is there twice", limit.kind)));
        }
        limits.push(Rlimit { resource: number as u32, soft: limit.soft, hard: limit.hard });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts_in_its_place() {
        let env = ["A=1", "B=2", "A=3", "odd", "A=4=5"].map(str::to_owned);
        assert_eq!(environment(&env), ["B=2", "odd", "A=4=5"]);
    }

    #[test]
    fn two_execs_take_the_place_of_one_where_they_do_the_same() {
        let root = Process::default();
        let with = |change: fn(&mut Process)| {
            let mut process = root.clone();
            change(&mut process);
            has_trampoline(&process, None)
        };
        assert!(has_trampoline(&root, None));
        assert!(with(|process| process.apparmor_profile = "docker-default".into()));
        assert!(!with(|process| process.apparmor_profile = "own".into()));
        assert!(!with(|process| process.selinux_label = "label".into()));
        assert!(with(|process| process.user.uid = 1000));
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let sets = |ambient: &[&str]| {
            let (bounding, inheritable) = (own(ambient), own(ambient));
            Capabilities { bounding, inheritable, ambient: own(ambient), ..Capabilities::default() }
        };
        let user = |names: &[&str], ambient: &[&str]| {
            let sets = Capabilities { effective: own(names), permitted: own(names), ..sets(ambient) };
            let mut process = Process { capabilities: Some(sets), ..root.clone() };
            process.user.uid = 1000;
            has_trampoline(&process, None)
        };
        assert!(user(&["CAP_CHOWN"], &[]) && user(&["CAP_DAC_OVERRIDE"], &["CAP_DAC_OVERRIDE"]));
        assert!(!user(&["CAP_DAC_OVERRIDE"], &[]));
        let bound = |ambient: &[&str], no_new_privileges| {
            let sets = Capabilities { permitted: own(&["CAP_NET_BIND_SERVICE"]), ..sets(ambient) };
            let mut process = Process { capabilities: Some(sets), no_new_privileges, ..root.clone() };
            process.user.uid = 1000;
            has_trampoline(&process, None)
        };
        assert!(bound(&[], false) && bound(&["CAP_NET_BIND_SERVICE"], true));
        assert!(!bound(&[], true), "the program's file would give it nothing");
        let refused = |call: &str| {
            let rule = serde_json::json!({ "names": [call], "action": "SCMP_ACT_NOTIFY" });
            let profile = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
            !has_trampoline(&root, Some(&serde_json::from_value(profile).unwrap()))
        };
        assert!(trampoline::CALLS.into_iter().all(refused) && !refused("read"));
    }

    #[test]
    fn exec_leaves_the_callers_session_keyring() {
        let mut process = Process { args: vec!["true".into()], cwd: "/".into(), ..Process::default() };
        let keyrings = |process: &Process, name| {
            let steps = exec(process, &Linux::default(), 0, name).unwrap().into_iter();
            steps.filter(|step| matches!(step, Step::Keyring(_) | Step::KeyLabel(_))).collect::<Vec<_>>()
        };
        let own = Step::Keyring("_ses.abc".into());
        assert!(keyrings(&process, Some("abc")).iter().eq([&own]));
        assert_eq!(keyrings(&process, None), []);
        process.selinux_label = "label".into();
        let labelled = [Step::KeyLabel("label".into()), own, Step::KeyLabel(String::new())];
        assert_eq!(keyrings(&process, Some("abc")), labelled);
    }

    #[test]
    fn capabilities_that_the_caller_lacks_are_told() {
        let names = ["CAP_KILL", "CAP_CHOWN", "CAP_TEST"].map(str::to_owned);
        let sets = Capabilities { permitted: names.into(), ..Capabilities::default() };
        let process = Process { capabilities: Some(sets), ..Process::default() };
        let words = |all: Vec<Error>| all.into_iter().map(|error| error.0).collect::<Vec<_>>();
        assert_eq!(
            words(withheld(&process, !(1 << 5))),
            ["process.capabilities.permitted: \"CAP_KILL\" is not the caller's to give, left out"]
        );
        assert!(words(warnings(&process))[0].contains("CAP_TEST"));
        assert!(withheld(&process, u64::MAX).is_empty());
    }

    #[test]
    fn capabilities_that_another_set_rules_out_are_told_and_left_out() {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let both = own(&["CAP_KILL", "CAP_CHOWN"]);
        let sets = Capabilities {
            bounding: own(&["CAP_KILL"]),
            permitted: own(&["CAP_KILL"]),
            effective: both.clone(),
            inheritable: both.clone(),
            ambient: both,
        };
        let process = Process { capabilities: Some(sets), ..Process::default() };
        let words: Vec<String> = warnings(&process).into_iter().map(|error| error.0).collect();
        let path = "process.capabilities";
        assert_eq!(
            words,
            [
                format!("{path}.effective: \"CAP_CHOWN\" is not permitted, left out"),
                format!("{path}.inheritable: \"CAP_CHOWN\" is not in the bounding set, left out"),
                format!(
                    "{path}.ambient: can't raise ambient capability CAP_CHOWN: it is not permitted and inheritable"
                ),
            ]
        );
        let Granted { effective, inheritable, ambient, .. } = Granted::of(&process);
        assert_eq!((effective, inheritable, ambient), (1 << 5, 1 << 5, 1 << 5));
    }
}
