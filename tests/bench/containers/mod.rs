//! What a container costs: our runtime beside crun, runc, youki and a floor in C, on the
//! same bundle, in turns.

mod bundle;
mod calls;
mod runtimes;
mod stopwatch;

use crate::guest::{compile, folder};
use crate::measurement::{Measurement, Table, Unit};
use crate::series::{Cost, Series};
use runtimes::{CRUN, OURS, Runtime};
use std::fs;
use std::path::PathBuf;
use stopwatch::{Stopwatch, Words};
use tests::{Failure, Result};

const FLOOR: &str = "C floor";
const ROUNDS: usize = 60;
/// Containers that live at once while somebody looks for processes of the runtime.
const ALIVE: usize = 500;

/// Most resident memory, in bytes.
const MOST_MEMORY: u64 = 2 << 20;
const MOST_CALLS: u64 = 300;
/// Greatest program, in bytes.
const MOST_PROGRAM: u64 = 1_900_000;
/// Most wall time beside a peer's.
const RUN_BARS: [(&str, f64); 2] = [(CRUN, 0.80), (FLOOR, 1.6)];
/// A later crun keeps compiled filters: so much is left of the comparison with it at least.
const UNFILTERED_BARS: [(&str, f64); 1] = [(CRUN, 0.80)];
const EXEC_BARS: [(&str, f64); 1] = [(CRUN, 0.75)];

/// What is there to be measured with.
struct Setting {
    runtimes: Vec<Runtime>,
    floor: PathBuf,
    /// Its program ends at once.
    short: PathBuf,
    /// The same without a filter.
    unfiltered: PathBuf,
    /// Its program lives on.
    long: PathBuf,
    stopwatch: Stopwatch,
}

/// One verb each.
#[derive(Default)]
struct Measured {
    run: Series,
    unfiltered: Series,
    steps: Series,
    exec: Series,
    state: Series,
}

/// A number of each runtime's.
type Each = Vec<(&'static str, u64)>;

/// System calls of one verb each.
struct Calls {
    run: Each,
    exec: Each,
    state: Each,
}

/// Measures all of it.
pub fn measure() -> Result<Table> {
    let mut setting = Setting::new()?;
    let versions: Vec<String> =
        setting.runtimes.iter().map(|runtime| format!("{} {}", runtime.name, runtime.version)).collect();
    println!("{}", versions.join(", "));
    let left = setting.left()?;
    setting.begin_living()?;
    let calls = setting.calls()?;
    let measured = setting.measure()?;
    setting.end_living()?;
    let sizes = setting.runtimes.iter().map(|runtime| Ok((runtime.name, runtime.size()?)));
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    for (verb, series) in [("run", &measured.run), ("exec", &measured.exec)] {
        for name in series.names().filter(|name| series.hung(name) > 0) {
            println!("{name} {verb}: did not end in {} of {ROUNDS} rounds", series.hung(name));
        }
    }
    Ok(Table { name: "containers", title: "A container", rows: rows(&measured, &calls, &sizes, left) })
}

impl Setting {
    fn new() -> Result<Self> {
        bundle::make_rootfs()?;
        Ok(Self {
            runtimes: runtimes::all()?,
            floor: compile("containers/floor", "container-floor", &["-Os", "-static"])?,
            short: bundle::make("short", &["/bin/true"])?,
            unfiltered: bundle::make_unfiltered("unfiltered", &["/bin/true"])?,
            long: bundle::make("long", &["/bin/sleep", "1000000"])?,
            stopwatch: Stopwatch::start()?,
        })
    }

    fn floor(&self) -> Words {
        let rootfs = bundle::rootfs().display().to_string();
        let cgroup = "/sys/fs/cgroup/skerry-bench-floor".to_owned();
        vec![self.floor.display().to_string(), rootfs, cgroup, "/bin/true".to_owned()]
    }

    /// With the containers that `exec` and `state` are about.
    fn calls(&mut self) -> Result<Calls> {
        let each = |words: &dyn Fn(&Runtime) -> Words| {
            self.runtimes.iter().map(|runtime| (runtime.name, words(runtime))).collect::<Vec<_>>()
        };
        let mut run = each(&|runtime| runtime.run(&self.short, "skerry-bench-traced"));
        run.push((FLOOR, self.floor()));
        let exec = each(&|runtime| runtime.exec(&living(runtime)));
        let state = each(&|runtime| runtime.state(&living(runtime)));
        Ok(Calls { run: self.counted(run)?, exec: self.counted(exec)?, state: self.counted(state)? })
    }

    fn counted(&mut self, commands: Vec<(&'static str, Words)>) -> Result<Each> {
        let count = |(name, command)| Ok((name, calls::count(&mut self.stopwatch, &command)?));
        commands.into_iter().map(count).collect()
    }

    fn begin_living(&mut self) -> Result<()> {
        self.runtimes.iter().try_for_each(|runtime| {
            let id = living(runtime);
            self.stopwatch.leave(&[runtime.create(&self.long, &id), runtime.start(&id)])
        })
    }

    fn end_living(&mut self) -> Result<()> {
        let all: Vec<Words> = self.runtimes.iter().map(|runtime| runtime.delete(&living(runtime))).collect();
        self.stopwatch.leave(&all)
    }

    /// How many processes of our runtime there are beside many containers that live.
    fn left(&mut self) -> Result<u64> {
        let ours = &self.runtimes[0];
        let id = |number: usize| format!("skerry-bench-{number}");
        for number in 0..ALIVE {
            let id = id(number);
            self.stopwatch.leave(&[ours.create(&self.long, &id), ours.start(&id)])?;
        }
        let programs = programs_of_all(&mut self.stopwatch)?;
        let of = |end: &str| programs.lines().filter(|line| line.ends_with(end)).count();
        let (left, alive) = (of("/skerry-runtime") as u64, of("/bin/busybox"));
        (0..ALIVE).try_for_each(|number| self.stopwatch.leave(&[ours.delete(&id(number))]))?;
        match alive == ALIVE {
            true => Ok(left),
            false => Err(Failure::new(format!("of {ALIVE} containers {alive} live"))),
        }
    }

    fn measure(&mut self) -> Result<Measured> {
        let mut measured = Measured::default();
        for round in 0..ROUNDS {
            self.round(round, &mut measured)?;
        }
        Ok(measured)
    }

    /// Everyone once; who comes first changes.
    fn round(&mut self, round: usize, measured: &mut Measured) -> Result<()> {
        let floor = self.floor();
        measured.run.push(FLOOR, self.stopwatch.measure(&[floor])?);
        let count = self.runtimes.len();
        for place in 0..count {
            let runtime = &self.runtimes[(round + place) % count];
            let [once, bare, again] = ["a", "b", "c"].map(|each| format!("skerry-bench-{round}{each}"));
            let steps = [runtime.create(&self.short, &again), runtime.start(&again), runtime.delete(&again)];
            let run = [runtime.run(&self.short, &once)];
            measured.run.push(runtime.name, self.stopwatch.measure(&run)?);
            let run = [runtime.run(&self.unfiltered, &bare)];
            measured.unfiltered.push(runtime.name, self.stopwatch.measure(&run)?);
            measured.steps.push(runtime.name, self.stopwatch.measure(&steps)?);
            measured.exec.push(runtime.name, self.stopwatch.measure(&[runtime.exec(&living(runtime))])?);
            measured.state.push(runtime.name, self.stopwatch.measure(&[runtime.state(&living(runtime))])?);
        }
        Ok(())
    }
}

/// The container that `exec` and `state` are about.
fn living(runtime: &Runtime) -> String {
    format!("skerry-bench-{}", runtime.name)
}

/// A line for each process of the stopwatch's namespace, which ends with its program's path.
fn programs_of_all(stopwatch: &mut Stopwatch) -> Result<String> {
    let file = folder().join("programs");
    let script = format!("ls -l /proc/[0-9]*/exe > {:?} 2>&1; true", file.display());
    stopwatch.leave(&[["/bin/sh", "-c", &script].map(str::to_owned).into()])?;
    Ok(fs::read_to_string(file)?)
}

fn rows(measured: &Measured, calls: &Calls, sizes: &[(&'static str, u64)], left: u64) -> Vec<Measurement> {
    let wall = |cost: &Cost| cost.wall;
    let cpu = |cost: &Cost| cost.cpu;
    vec![
        times("run, wall", &measured.run, wall, &RUN_BARS),
        times("run, processor", &measured.run, cpu, &[]),
        memory("run, peak memory", &measured.run).within("the bar", MOST_MEMORY),
        times("run without a filter, wall", &measured.unfiltered, wall, &UNFILTERED_BARS),
        beside(Unit::Count, "run, system calls", &calls.run).within("the bar", MOST_CALLS),
        times("create start delete, wall", &measured.steps, wall, &[]),
        times("create start delete, proc.", &measured.steps, cpu, &[]),
        memory("create start delete, memory", &measured.steps),
        times("exec, wall", &measured.exec, wall, &EXEC_BARS),
        times("exec, processor", &measured.exec, cpu, &[]),
        memory("exec, peak memory", &measured.exec),
        beside(Unit::Count, "exec, system calls", &calls.exec),
        times("state, wall", &measured.state, wall, &[]),
        times("state, processor", &measured.state, cpu, &[]),
        memory("state, peak memory", &measured.state),
        beside(Unit::Count, "state, system calls", &calls.state),
        beside(Unit::Memory, "program", sizes).within("the bar", MOST_PROGRAM),
        Measurement::new("processes beside 500 alive", Unit::Count, left).within("the bar", 0),
    ]
}

fn times(
    name: &'static str,
    series: &Series,
    of: impl Fn(&Cost) -> u64 + Copy,
    bars: &[(&str, f64)],
) -> Measurement {
    let row = Measurement::new(name, Unit::Time, series.median(OURS, of));
    series.names().filter(|name| *name != OURS).fold(row, |row, peer| {
        let most = bars.iter().find(|(name, _)| *name == peer).map(|(_, most)| *most);
        row.paired(peer, series.median(peer, of), series.ratio(OURS, peer, of), most)
    })
}

fn memory(name: &'static str, series: &Series) -> Measurement {
    let greatest = |name: &str| series.greatest(name, |cost| cost.memory);
    let row = Measurement::new(name, Unit::Memory, greatest(OURS));
    series.names().filter(|name| *name != OURS).fold(row, |row, peer| row.beside(peer, greatest(peer)))
}

/// Ours, the first, beside the others.
fn beside(unit: Unit, name: &'static str, all: &[(&'static str, u64)]) -> Measurement {
    let row = Measurement::new(name, unit, all.first().map_or(0, |(_, value)| *value));
    all.iter().skip(1).fold(row, |row, (peer, value)| row.beside(peer, *value))
}
