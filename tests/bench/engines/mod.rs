//! What a container costs a person: `skerry` beside Debian's docker, podman and containerd, in one
//! Debian machine, in turns.

mod engine;

use crate::measurement::{Measurement, Table, Unit};
use crate::series::{BUSY, Cost, Series, TICK};
use ::tests::{Debian, Failure, Result};
use engine::{ALL, DOCKER, Engine, Keeping, OURS};

/// How often everyone runs a container that ends at once.
const ROUNDS: usize = 10;
/// How often a parent of containers is killed.
const KILLS: usize = 3;
/// How many containers live when somebody looks.
const COUNTS: [usize; 4] = [0, 10, 100, 1000];
/// More than so many are begun with ours alone: others take hours here.
const MOST_OF_OTHERS: usize = 100;
/// How many are begun by one command, which must end in time.
const BATCH: usize = 25;

/// Most wall time beside docker's.
const RUN_BAR: f64 = 0.25;
const KILLED_BAR: f64 = 0.1;
/// Bytes per container that idles.
const MOST_PER_CONTAINER: u64 = 200 << 10;

/// What an engine holds while so many containers idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    containers: usize,
    /// Bytes of its processes (PSS) and of its records in memory.
    memory: u64,
    processes: u64,
}

/// One engine that keeps containers.
struct Kept {
    name: &'static str,
    held: Vec<Held>,
    /// From SIGKILL to full service, among [`MOST_OF_OTHERS`].
    killed: Vec<Cost>,
}

/// Measures all of it.
pub fn measure() -> Result<Table> {
    let debian = Debian::boot()?;
    println!("{}", versions(&debian)?);
    for engine in &ALL {
        debian.run(engine.ready)?;
    }
    let run = runs(&debian)?;
    let keeping = ALL.iter().filter_map(|engine| Some((engine, engine.keeping?)));
    let kept =
        keeping.map(|(engine, keeping)| keep(&debian, engine, &keeping)).collect::<Result<Vec<_>>>()?;
    Ok(Table { name: "engines", title: "A container as a person runs it", rows: rows(&run, &kept)? })
}

fn versions(debian: &Debian) -> Result<String> {
    debian.run("dpkg-query -W -f '${Package} ${Version}  ' docker.io podman containerd runc crun")
}

/// Everyone once a round; who comes first changes.
fn runs(debian: &Debian) -> Result<Series> {
    let mut series = Series::default();
    for round in 0..=ROUNDS {
        for place in 0..ALL.len() {
            let engine = &ALL[(round + place) % ALL.len()];
            let cost = timed(debian, engine.once)?;
            // In the first round each reads its programs from the disk.
            if round > 0 {
                series.push(engine.name, Some(cost));
            }
        }
    }
    Ok(series)
}

/// Begins containers by and by, and kills their parent while there are enough of them.
fn keep(debian: &Debian, engine: &Engine, keeping: &Keeping) -> Result<Kept> {
    let most = if engine.name == OURS { usize::MAX } else { MOST_OF_OTHERS };
    let mut kept = Kept { name: engine.name, held: Vec::new(), killed: Vec::new() };
    let mut begun = 0;
    for count in COUNTS.into_iter().filter(|count| *count <= most) {
        while begun < count {
            let next = count.min(begun + BATCH);
            let one = format!("one() {{ {}; }}", keeping.begin);
            debian.run(&format!(
                "{one}; for number in $(seq {} {next}); do one idle$number >/dev/null || exit; done",
                begun + 1
            ))?;
            begun = next;
        }
        kept.held.push(held(debian, keeping, count)?);
        if count == MOST_OF_OTHERS {
            for _ in 0..KILLS {
                let serves = format!("serves() {{ {}; }}; ", keeping.serves);
                let wait = format!("until serves {count} >/dev/null 2>&1; do :; done");
                kept.killed.push(timed(debian, &format!("{serves}{}; {wait}", keeping.kill))?);
            }
        }
    }
    for first in (1..=begun).step_by(BATCH) {
        let last = begun.min(first + BATCH - 1);
        debian.run(&format!("{} $(seq -f idle%g {first} {last}) >/dev/null", keeping.remove))?;
    }
    Ok(kept)
}

/// Runs a command of bash, which must end well: its time, and the machine's processors'.
fn timed(debian: &Debian, command: &str) -> Result<Cost> {
    let script = format!(
        "{BUSY}; from=$(busy); begin=$EPOCHREALTIME; {{ {command}; }} >/dev/null && end=$EPOCHREALTIME && to=$(busy) && \
         echo $((${{end/./}} - ${{begin/./}})) $((to - from))"
    );
    let said = debian.run(&script)?;
    match numbers(&said)[..] {
        [wall, ticks] => Ok(Cost { wall: wall * 1000, cpu: ticks * TICK, memory: 0 }),
        _ => Err(Failure::new(format!("{command}: {said}"))),
    }
}

fn held(debian: &Debian, keeping: &Keeping, containers: usize) -> Result<Held> {
    let said = debian.run(&format!(
        "for pid in $(pgrep '{}'); do cat /proc/$pid/smaps_rollup; done | \
         awk '/^Pss:/ {{ sum += $2; count++ }} END {{ print sum + 0, count + 0 }}'; \
         du -skxc {} | tail -n 1",
        keeping.processes, keeping.records
    ))?;
    match numbers(&said)[..] {
        [pss, processes, records] => Ok(Held { containers, memory: (pss + records) << 10, processes }),
        _ => Err(Failure::new(format!("memory: {said}"))),
    }
}

/// The words that are numbers.
fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn rows(run: &Series, kept: &[Kept]) -> Result<Vec<Measurement>> {
    let [ours, docker] = kept else { return Err(Failure::new("two engines keep containers")) };
    let mut rows = vec![
        times("run --rm, wall", run, |cost| cost.wall, Some(RUN_BAR)),
        times("run --rm, processor", run, |cost| cost.cpu, None),
    ];
    let names = ["memory of 0", "memory of 10", "memory of 100", "memory of 1000"];
    for (name, held) in names.into_iter().zip(&ours.held) {
        let peer = docker.held.iter().find(|other| other.containers == held.containers);
        let row = Measurement::new(name, Unit::Memory, held.memory);
        rows.push(peer.iter().fold(row, |row, peer| row.beside(docker.name, peer.memory)));
    }
    let each = |kept| Ok::<_, Failure>(more(kept, |held| held.memory)? / MOST_OF_OTHERS as u64);
    let row = Measurement::new("memory per container", Unit::Memory, each(ours)?);
    rows.push(row.within("the bar", MOST_PER_CONTAINER).beside(docker.name, each(docker)?));
    let processes = |kept| more(kept, |held| held.processes);
    let row = Measurement::new("processes of 100", Unit::Count, processes(ours)?);
    rows.push(row.within("the bar", 0).beside(docker.name, processes(docker)?));
    rows.push(killed(ours, docker));
    Ok(rows)
}

fn times(
    name: &'static str,
    series: &Series,
    of: impl Fn(&Cost) -> u64 + Copy,
    bar: Option<f64>,
) -> Measurement {
    let row = Measurement::new(name, Unit::Time, series.median(OURS, of));
    series.names().filter(|name| *name != OURS).fold(row, |row, peer| {
        let most = bar.filter(|_| peer == DOCKER);
        row.paired(peer, series.median(peer, of), series.ratio(OURS, peer, of), most)
    })
}

/// What came with each container, of bytes and of processes, from none to the most that everyone has.
fn more(kept: &Kept, of: impl Fn(&Held) -> u64) -> Result<u64> {
    let at = |count| kept.held.iter().find(|held| held.containers == count).map(&of);
    let both = at(0).zip(at(MOST_OF_OTHERS));
    let (none, all) = both.ok_or_else(|| Failure::new(format!("{} was not looked at", kept.name)))?;
    Ok(all.saturating_sub(none))
}

fn killed(ours: &Kept, docker: &Kept) -> Measurement {
    let mut series = Series::default();
    for kept in [ours, docker] {
        kept.killed.iter().for_each(|cost| series.push(kept.name, Some(*cost)));
    }
    times("killed, to full service", &series, |cost| cost.wall, Some(KILLED_BAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(held: &[(usize, u64, u64)]) -> Kept {
        let held = held.iter().map(|&(containers, memory, processes)| Held { containers, memory, processes });
        Kept { name: "x", held: held.collect(), killed: Vec::new() }
    }

    #[test]
    fn what_a_container_holds_is_what_came_with_it() -> Result {
        let all = kept(&[(0, 5_000_000, 3), (10, 0, 0), (100, 6_000_000, 103)]);
        assert_eq!(more(&all, |held| held.memory)?, 1_000_000);
        assert_eq!(more(&all, |held| held.processes)?, 100);
        assert!(more(&kept(&[(0, 1, 1)]), |held| held.memory).is_err());
        Ok(())
    }
}
