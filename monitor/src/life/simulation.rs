//! A node in memory, whose monitor is killed between any two of its effects.
//!
//! The world holds what outlives a monitor: the record, the container, its
//! root's mount, the pipes that PID 1 keeps. [`Monitor`] does to it, in the same
//! order, what `crate::node` does to a node. A seeded die decides what happens
//! next and when the monitor dies.

use super::*;
use spec::node::Restart;
use std::collections::BTreeSet;

/// A linear congruential generator; its upper bits are good enough for a die.
struct Die(u64);

impl Die {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `create` was killed half way.
    Half,
    Created,
    Running,
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Container {
    process: Process,
    phase: Phase,
}

/// What outlives the monitor.
#[derive(Default)]
struct World {
    now: Time,
    record: Option<Observed>,
    container: Option<Container>,
    mounted: bool,
    /// On a network: a namespace, addresses, ports.
    attached: bool,
    pipes: BTreeSet<u64>,
    /// What PID 1 has seen end, or the monitor may still reap.
    ends: BTreeSet<Process>,
    last_pid: i32,
    /// Effects until the monitor is killed.
    fuse: Option<u64>,
    programs_killed: u32,
    restart: Restart,
}

/// The monitor was killed.
struct Killed;

impl World {
    /// Stands before every effect.
    fn may_die(&mut self) -> Result<(), Killed> {
        match &mut self.fuse {
            Some(0) => Err(Killed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn create(&mut self) {
        assert!(self.container.is_none(), "two instances");
        assert!(self.mounted && self.pipes.len() == 1, "an instance without its root or its pipes");
        assert!(self.attached, "an instance without its network");
        self.last_pid += 1;
        let process = Process { pid: self.last_pid, start_time: self.now.as_secs() };
        self.container = Some(Container { process, phase: Phase::Created });
    }

    fn end_program(&mut self) {
        if let Some(container) = self.container.as_mut().filter(|one| one.phase == Phase::Running) {
            container.phase = Phase::Dead;
            self.ends.insert(container.process);
        }
    }

    fn delete(&mut self, wanted_up: bool) {
        let Some(container) = self.container.take() else { return };
        self.ends.insert(container.process);
        self.programs_killed += u32::from(container.phase == Phase::Running && wanted_up);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Create,
    Start,
    Delete,
}

struct Monitor {
    observed: Observed,
    verb: Option<Verb>,
}

const STOP: Stop = Stop { signal: 15, grace: Duration::from_secs(10) };

impl Monitor {
    fn start(world: &mut World) -> Result<Self, Killed> {
        // A verb of the runtime under way dies with its monitor.
        let mut monitor = Self { observed: world.record.clone().unwrap_or_default(), verb: None };
        let generation = monitor.observed.generation;
        world.pipes.retain(|kept| *kept == generation);
        if let Some(process) = monitor.observed.state.process() {
            if world.ends.contains(&process) {
                monitor.tell(world, &Event::Ended(End::Exited(1)))?;
            } else if matches!(monitor.observed.state, State::Created(_))
                && world.container.is_some_and(|container| container.phase == Phase::Running)
            {
                monitor.tell(world, &Event::Started(Ok(())))?;
            }
        }
        Ok(monitor)
    }

    fn tell(&mut self, world: &mut World, event: &Event) -> Result<(), Killed> {
        apply(&mut self.observed, event, world.now);
        if *event != Event::Busy {
            world.may_die()?;
            // As it is read back from the disk.
            let text = serde_json::to_string(&self.observed).unwrap();
            world.record = Some(serde_json::from_str(&text).unwrap());
        }
        world.may_die()
    }

    fn begin(&mut self, world: &mut World, verb: Verb) -> Result<(), Killed> {
        world.may_die()?;
        self.verb = Some(verb);
        self.tell(world, &Event::Busy)
    }

    /// One step towards what is wanted; gives the time of the next one.
    fn step(&mut self, world: &mut World, up: bool) -> Result<Option<Time>, Killed> {
        let up = up && self.observed.wanted != Some(false);
        let desired = Desired { up, restart: world.restart, turn: true };
        match next(&desired, &self.observed, world.now) {
            Action::Wait(until) => return Ok(until),
            Action::Create => {
                self.tell(world, &Event::Creating(STOP))?;
                world.attached = true;
                world.may_die()?;
                world.mounted = true;
                world.may_die()?;
                world.pipes.insert(self.observed.generation);
                self.begin(world, Verb::Create)?;
            }
            Action::Start => self.begin(world, Verb::Start)?,
            Action::Delete => self.begin(world, Verb::Delete)?,
            Action::Signal => {
                assert!(!up || self.observed.renew);
                world.may_die()?;
                self.tell(world, &Event::Asked)?;
            }
            Action::Kill => {
                world.end_program();
                self.tell(world, &Event::Killed)?;
            }
        }
        Ok(Some(world.now))
    }

    /// The verb under way comes to its end.
    fn finish(&mut self, world: &mut World, works: bool, up: bool) -> Result<(), Killed> {
        let event = match self.verb.take() {
            None => return Ok(()),
            Some(Verb::Create) if works => {
                world.create();
                Event::Created(Ok(world.container.unwrap().process))
            }
            Some(Verb::Create) => {
                world.create();
                world.container.as_mut().unwrap().phase = Phase::Half;
                Event::Created(Err(End::NotStarted("no".into())))
            }
            Some(Verb::Start) if works => {
                let container = world.container.as_mut().unwrap();
                assert_eq!(container.phase, Phase::Created);
                container.phase = Phase::Running;
                Event::Started(Ok(()))
            }
            Some(Verb::Start) => Event::Started(Err("no".into())),
            Some(Verb::Delete) if works => {
                world.delete(up);
                world.may_die()?;
                world.attached = false;
                world.may_die()?;
                world.mounted = false;
                world.may_die()?;
                world.pipes.remove(&self.observed.generation);
                Event::Deleted(Ok(()))
            }
            Some(Verb::Delete) => Event::Deleted(Err("busy".into())),
        };
        world.may_die()?;
        self.tell(world, &event)
    }

    /// Takes in the end of the program, if it has come.
    fn reap(&mut self, world: &mut World) -> Result<(), Killed> {
        match self.observed.state.process() {
            Some(process) if world.ends.contains(&process) => {
                world.may_die()?;
                self.tell(world, &Event::Ended(End::Exited(1)))
            }
            _ => Ok(()),
        }
    }
}

/// One thing that happens, with a monitor there or not.
fn happen(world: &mut World, monitor: &mut Option<Monitor>, die: &mut Die, up: bool) -> Result<(), Killed> {
    let Some(alive) = monitor else {
        if die.below(2) == 0 {
            *monitor = Some(Monitor::start(world)?);
        } else if die.below(3) == 0 {
            world.end_program();
        }
        return Ok(());
    };
    match die.below(8) {
        0 => world.now += Duration::from_millis(die.below(30_000)),
        1 => world.end_program(),
        2 => alive.reap(world)?,
        3 | 4 => alive.finish(world, die.below(4) != 0, up)?,
        _ => drop(alive.step(world, up)?),
    }
    Ok(())
}

/// No more faults: the world must come to what is wanted.
fn settle(world: &mut World, mut monitor: Option<Monitor>, up: bool) -> Observed {
    world.fuse = None;
    if monitor.is_none() {
        monitor = Monitor::start(world).ok();
    }
    let mut monitor = monitor.expect("nothing kills it any more");
    for _ in 0..100 {
        let _ = monitor.reap(world);
        let _ = monitor.finish(world, true, up);
        match monitor.step(world, up) {
            Ok(Some(time)) => world.now = world.now.max(time),
            Ok(None) => {}
            Err(Killed) => unreachable!("there is no fuse"),
        }
    }
    monitor.observed
}

/// The monitor dies, and with it the verb under way: too early, too late or half
/// way.
fn die_with(verb: Option<Verb>, world: &mut World, die: &mut Die) {
    let Some(verb) = verb.filter(|_| die.below(2) == 0) else { return };
    match (verb, &mut world.container) {
        (Verb::Create, None) => {
            world.create();
            let phase = if die.below(2) == 0 { Phase::Half } else { Phase::Created };
            world.container.as_mut().unwrap().phase = phase;
        }
        (Verb::Start, Some(container)) if container.phase == Phase::Created => {
            container.phase = Phase::Running;
        }
        (Verb::Delete, _) => world.delete(false),
        _ => {}
    }
}

fn chaos(seed: u64, world: &mut World, up: bool) -> Option<Monitor> {
    let mut die = Die(seed);
    let mut monitor = None;
    world.fuse = Some(die.below(20));
    for _ in 0..400 {
        if happen(world, &mut monitor, &mut die, up).is_err() {
            die_with(monitor.take().and_then(|dead| dead.verb), world, &mut die);
            world.fuse = Some(die.below(20));
        }
    }
    monitor
}

#[test]
fn whenever_the_monitor_is_killed_there_is_one_instance_and_none_notices() {
    for seed in 0..500 {
        let mut world = World::default();
        let monitor = chaos(seed, &mut world, true);
        assert_eq!(world.programs_killed, 0, "seed {seed}: a running program was killed");
        let observed = settle(&mut world, monitor, true);
        assert!(matches!(observed.state, State::Running { .. }), "seed {seed}: {observed:?}");
        assert_eq!(world.container.unwrap().phase, Phase::Running, "seed {seed}");
        assert_eq!(world.pipes, BTreeSet::from([observed.generation]), "seed {seed}");
    }
}

/// A person says something; it counts once the record has it.
fn say(world: &mut World, monitor: &mut Monitor, die: &mut Die) -> Result<(), Killed> {
    let event = match die.below(4) {
        0 => Event::Wanted(false, How::ITS_OWN),
        1 => Event::Renewed(How::ITS_OWN),
        _ => Event::Wanted(true, How::ITS_OWN),
    };
    monitor.tell(world, &event)
}

#[test]
fn whenever_the_monitor_is_killed_a_persons_last_word_is_done() {
    for seed in 0..500 {
        let mut world = World { restart: Restart::No, ..World::default() };
        let (mut die, mut monitor) = (Die(seed + 9000), None);
        world.fuse = Some(die.below(20));
        for _ in 0..300 {
            let happened = match &mut monitor {
                Some(alive) if die.below(8) == 0 => say(&mut world, alive, &mut die),
                _ => happen(&mut world, &mut monitor, &mut die, true),
            };
            if happened.is_err() {
                die_with(monitor.take().and_then(|dead| dead.verb), &mut world, &mut die);
                world.fuse = Some(die.below(20));
            }
        }
        world.fuse = None;
        let mut monitor = monitor.or_else(|| Monitor::start(&mut world).ok()).unwrap();
        let up = die.below(2) == 0;
        // Who runs already is not started; so nobody may have ended unseen.
        assert!(monitor.reap(&mut world).is_ok());
        assert!(monitor.tell(&mut world, &Event::Wanted(up, How::ITS_OWN)).is_ok());
        let observed = settle(&mut world, None, true);
        assert_eq!(observed.wanted, Some(up), "seed {seed}");
        assert_eq!(matches!(observed.state, State::Running { .. }), up, "seed {seed}: {observed:?}");
        assert_eq!(observed.state == State::Absent, !up, "seed {seed}: {observed:?}");
    }
}

#[test]
fn whenever_the_monitor_is_killed_while_it_stops_a_container_nothing_is_left() {
    for seed in 0..500 {
        let mut world = World::default();
        settle(&mut world, None, true);
        let monitor = chaos(seed, &mut world, false);
        let observed = settle(&mut world, monitor, false);
        assert_eq!(observed.state, State::Absent, "seed {seed}");
        let left = world.container.is_some() || world.mounted || world.attached;
        assert!(!left && world.pipes.is_empty(), "seed {seed}");
    }
}
