//! The runtime killed at any of its steps, and two hundred containers at once.
//!
//! A step is a stop at a system call, before or after it, counted by ptrace(2): the same
//! number is the same moment again. `make torture` sets `SKERRY_TORTURE_ROUNDS`;
//! `SKERRY_TORTURE_SEED` repeats what a failure has printed.

use crate::support::{Bundle, Peer, begin, fails, finish, leftovers, read, runtime};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Rounds of an ordinary test.
const USUAL_ROUNDS: u64 = 50;
/// How often the steps of a verb are counted: on a busy machine it waits and asks again, which
/// are steps more.
const COUNTS: usize = 5;
/// Containers at once.
const MANY: usize = 200;

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The one that was called.
    Caller,
    /// The one that it makes in the container.
    Inner,
}

/// A program of the runtime under ptrace(2).
struct Traced {
    caller: Pid,
    /// What it made, and is traced still.
    inner: Vec<Pid>,
    /// The runtime's own program runs, not yet the shell before it or already the container's.
    counts: bool,
    /// Stops of the caller and of what it made.
    steps: [u32; 2],
}

impl Traced {
    /// Begins it, stopped.
    #[expect(clippy::zombie_processes, reason = "until waits for it, as its tracer")]
    fn begin(command: &Command) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let caller = Pid::from_raw(child.id().cast_signed());
        assert!(matches!(waitpid(caller, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(..))));
        let all = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE;
        ptrace::seize(caller, all).unwrap();
        kill(caller, Signal::SIGCONT).unwrap();
        Self { caller, inner: Vec::new(), counts: false, steps: [0; 2] }
    }

    /// Goes on until the caller has ended; kills the victim at its step on the way. Tells
    /// whether it came to that.
    fn until(mut self, victim: Victim, step: u32) -> ([u32; 2], bool) {
        let mut killed = false;
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                    self.inner.retain(|inner| *inner != pid);
                    if pid == self.caller {
                        self.let_go();
                        return (self.steps, killed);
                    }
                }
                Ok(WaitStatus::PtraceSyscall(pid)) if self.counts && !killed => {
                    let place = usize::from(pid != self.caller);
                    self.steps[place] += 1;
                    killed = place == victim as usize && self.steps[place] == step;
                    if killed {
                        kill(pid, Signal::SIGKILL).unwrap();
                    } else {
                        ignore(ptrace::syscall(pid, None));
                    }
                }
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.event(pid, event),
                Ok(WaitStatus::Stopped(pid, signal)) => ignore(ptrace::syscall(pid, signal)),
                Ok(other) => other.pid().map(|pid| ptrace::syscall(pid, None)).into_iter().for_each(ignore),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn event(&mut self, pid: Pid, event: i32) {
        match event {
            nix::libc::PTRACE_EVENT_EXEC if pid == self.caller => self.counts = true,
            // It is the container's program now, or a hook.
            nix::libc::PTRACE_EVENT_EXEC => {
                self.inner.retain(|inner| *inner != pid);
                return ignore(ptrace::detach(pid, None));
            }
            nix::libc::PTRACE_EVENT_STOP => {}
            _ => self.inner.extend(ptrace::getevent(pid).map(|made| Pid::from_raw(made as i32))),
        }
        ignore(ptrace::syscall(pid, None));
    }

    /// Lets the others live on as if nobody had looked.
    fn let_go(&mut self) {
        for pid in std::mem::take(&mut self.inner) {
            ignore(ptrace::interrupt(pid));
            let signal = match waitpid(pid, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Stopped(_, signal)) if signal != Signal::SIGTRAP => Some(signal),
                _ => None,
            };
            ignore(ptrace::detach(pid, signal));
        }
    }
}

/// A process may have ended before it was asked for something.
fn ignore(_: nix::Result<()>) {}

/// xorshift64
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) % u64::from(sides.max(1))) as u32
    }
}

fn of_environment(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise() };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// What is before the verb.
const VERBS: [(&str, &[&str]); 5] = [
    ("create", &[]),
    ("run", &[]),
    ("start", &["create"]),
    ("exec", &["create", "start"]),
    ("delete", &["create"]),
];

fn command(bundle: &Bundle, verb: &str) -> Command {
    match verb {
        "create" => bundle.command(verb, &[]),
        "run" => bundle.command(verb, &["--detach"]),
        "exec" => runtime([verb, "--detach", &bundle.id, "true"]),
        _ => runtime([verb, &bundle.id]),
    }
}

fn prepare(bundle: &Bundle, before: &[&str]) {
    before.iter().for_each(|verb| drop(finish(command(bundle, verb)).ok()));
}

fn clean(bundle: &Bundle, mounts: &str, words: &str) {
    let deleted = finish(runtime(["delete", "--force", &bundle.id]));
    assert_eq!(deleted.code, 0, "{words}: {deleted:?}");
    assert_eq!(leftovers(), [""; 0], "{words}");
    assert_eq!(read("/proc/1/mountinfo"), mounts, "{words}");
}

#[test]
fn a_runtime_killed_at_any_step_leaves_what_a_forced_delete_removes() {
    if fails(Peer::Runc, "is not made for this") || fails(Peer::Crun, "is not made for this") {
        return;
    }
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let (rounds, seed) = (
        of_environment("SKERRY_TORTURE_ROUNDS", || USUAL_ROUNDS),
        of_environment("SKERRY_TORTURE_SEED", now),
    );
    let _ = writeln!(std::io::stderr(), "SKERRY_TORTURE_ROUNDS={rounds} SKERRY_TORTURE_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let bundle = Bundle::new().long();
    let mounts = read("/proc/1/mountinfo");
    let whole = VERBS.map(|(verb, before)| {
        let counts = [(); COUNTS].map(|()| {
            prepare(&bundle, before);
            let (steps, _) = Traced::begin(&command(&bundle, verb)).until(Victim::Caller, 0);
            clean(&bundle, &mounts, verb);
            steps
        });
        let least = |place: usize| counts.map(|steps| steps[place]).into_iter().min().unwrap_or(0);
        let steps = [least(0), least(1)];
        assert!(steps[0] > 40, "{verb} takes {steps:?}");
        steps
    });
    let (mut killed, mut tries) = (0, 0);
    // A last step that does not come this time is no round.
    while killed < rounds {
        let which = dice.roll(VERBS.len() as u32) as usize;
        let (verb, before) = VERBS[which];
        let victim = if whole[which][1] > 0 && dice.roll(2) == 1 { Victim::Inner } else { Victim::Caller };
        let step = 1 + dice.roll(whole[which][victim as usize]);
        prepare(&bundle, before);
        let (_, came) = Traced::begin(&command(&bundle, verb)).until(victim, step);
        (killed, tries) = (killed + u64::from(came), tries + 1);
        clean(&bundle, &mounts, &format!("try {tries}: {victim:?} of {verb} at step {step} of {whole:?}"));
        assert!(tries < 2 * rounds + 10, "{killed} of {tries}: a step is not the same step again");
    }
    let _ = writeln!(std::io::stderr(), "{killed} of {tries} killed; steps of {VERBS:?}: {whole:?}");
}

#[test]
fn two_hundred_at_once_are_created_started_and_deleted() {
    let mut bundle = Bundle::new().long();
    // Each in a cgroup of its own name.
    bundle.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    bundle.write();
    let ids: Vec<String> = (0..MANY).map(|number| format!("{}-{number}", bundle.id)).collect();
    let at_once = |verb: &dyn Fn(&str) -> Command| {
        let all: Vec<_> = ids.iter().map(|id| begin(verb(id))).collect();
        all.into_iter().for_each(|mut one| drop(one.wait().ok()));
    };
    let with_status = |status: &str| {
        let list: Value =
            serde_json::from_str(&finish(runtime(["list", "--format", "json"])).ok().stdout).unwrap();
        list.as_array().map_or(0, |list| list.iter().filter(|one| one["status"] == status).count())
    };
    at_once(&|id| {
        let mut create = runtime(["create", "--bundle"]);
        create.arg(bundle.path()).arg(id);
        create
    });
    assert_eq!(with_status("created"), MANY);
    at_once(&|id| runtime(["start", id]));
    assert_eq!(with_status("running"), MANY);
    at_once(&|id| runtime(["delete", "--force", id]));
    let left = leftovers();
    let known = !left.is_empty() && fails(Peer::Crun, "1.8.1 may leave a cgroup");
    assert!(known || left.is_empty(), "{left:?}");
}
