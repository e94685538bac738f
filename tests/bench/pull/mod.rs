//! What an image costs that comes from a registry: `skerry pull` beside containerd and podman, in one
//! Debian machine with Debian's registry, in turns.

mod image;
mod puller;

use crate::guest::compile;
use crate::measurement::{Measurement, Table, Unit};
use crate::series::{BUSY, Cost, Series, TICK};
use ::tests::{Debian, Failure, Processors, Result, Scratch, repository, said, unpacked};
use puller::{ALL, CONTAINERD, OURS, Puller};
use std::fs;
use std::process::Command;

/// How often everyone pulls.
const ROUNDS: usize = 5;
/// Seconds that a pull may take.
const PATIENCE: u32 = 500;

/// Most wall time beside containerd's.
const WALL_BAR: f64 = 0.7;
/// Most resident memory, in bytes.
const MOST_MEMORY: u64 = 32 << 20;

/// The registry, and our image in it.
const REGISTRY: &str = "mkdir -p /var/lib/registry && \
    printf 'version: 0.1\\nstorage:\\n  filesystem:\\n    rootdirectory: /var/lib/registry\\n\
            http:\\n  addr: 127.0.0.1:5000\\n' >/run/registry.yml && \
    systemd-run -q -u registry /given/more/docker-registry serve /run/registry.yml && \
    until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do :; done && \
    skerry import --name 127.0.0.1:5000/big:1 /given/more/layout && skerry push 127.0.0.1:5000/big:1";

/// Measures all of it.
pub fn measure() -> Result<Table> {
    let scratch = Scratch::new()?;
    let more = scratch.path().join("more");
    fs::create_dir(&more)?;
    image::write(&more)?;
    fs::copy(compile("containers/stopwatch", "stopwatch", &["-Os", "-static"])?, more.join("stopwatch"))?;
    fs::copy(unpacked("docker-registry")?.join("usr/bin/docker-registry"), more.join("docker-registry"))?;
    let containerd = said(Command::new(repository().join("tools/control-plane")).arg("containerd"))?;
    let containerd = containerd.lines().last().unwrap_or_default().to_owned();
    said(Command::new("cp").args(["-r", &containerd]).arg(more.join("containerd")))?;

    // Layers are fetched and unpacked beside each other.
    let debian = Debian::boot_with(&more, Processors::AtOnce)?;
    println!("{}", debian.run("dpkg-query -W -f '${Package} ${Version}  ' podman containerd")?);
    println!("{}", debian.run("/given/more/containerd/containerd --version")?);
    for puller in &ALL {
        debian.run(puller.ready)?;
    }
    debian.run(REGISTRY)?;
    debian.run(ALL[0].remove)?;
    let mut series = Series::default();
    for round in 0..=ROUNDS {
        for place in 0..ALL.len() {
            let puller = &ALL[(round + place) % ALL.len()];
            let cost = pull(&debian, puller)?;
            debian.run(puller.remove)?;
            // In the first round each reads its programs from the disk.
            if round > 0 {
                series.push(puller.name, Some(cost));
            }
        }
    }
    Ok(Table { name: "pull", title: "An image of 200 MB from a registry", rows: rows(&series) })
}

/// One pull: its time, the machine's processors' and the memory of who worked, which is that of a
/// command's greatest process and its service's.
fn pull(debian: &Debian, puller: &Puller) -> Result<Cost> {
    let reset =
        puller.service.map_or(String::new(), |pid| format!("echo 5 >/proc/$(cat {pid})/clear_refs; "));
    let peak = puller.service.map_or("echo 0".to_owned(), |pid| {
        format!("awk '/^VmHWM:/ {{ print $2 }}' /proc/$(cat {pid})/status")
    });
    let said = debian.run(&format!(
        "{BUSY}; {reset}from=$(busy); printf 'work\\t{}\\n' | /given/more/stopwatch {PATIENCE}; \
         echo $(($(busy) - from)); {peak}",
        puller.pull.join("\\t")
    ))?;
    read(&said).ok_or_else(|| Failure::new(format!("{}: {said}", puller.pull.join(" "))))
}

/// Reads the stopwatch's line, the processors' ticks and the service's KiB: the last three lines, after what the
/// command itself said.
fn read(said: &str) -> Option<Cost> {
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.get(lines.len().checked_sub(3)?..)?.join(" ");
    let numbers: Option<Vec<u64>> = last.split_whitespace().map(|word| word.parse().ok()).collect();
    match numbers?[..] {
        [0, wall, _, own, ticks, service] => {
            Some(Cost { wall, cpu: ticks * TICK, memory: (own + service) << 10 })
        }
        _ => None,
    }
}

fn rows(series: &Series) -> Vec<Measurement> {
    let peers = || series.names().filter(|name| *name != OURS);
    let wall = |cost: &Cost| cost.wall;
    let cpu = |cost: &Cost| cost.cpu;
    let memory = |cost: &Cost| cost.memory;
    let bar = |peer| (peer == CONTAINERD).then_some(WALL_BAR);
    let row = Measurement::new("pull, wall", Unit::Time, series.median(OURS, wall));
    let row = peers().fold(row, |row, peer| {
        row.paired(peer, series.median(peer, wall), series.ratio(OURS, peer, wall), bar(peer))
    });
    let busy = Measurement::new("pull, processor", Unit::Time, series.median(OURS, cpu));
    let busy = peers().fold(busy, |row, peer| {
        row.paired(peer, series.median(peer, cpu), series.ratio(OURS, peer, cpu), None)
    });
    let held = Measurement::new("pull, peak memory", Unit::Memory, series.greatest(OURS, memory));
    let held = held.within("the bar", MOST_MEMORY);
    vec![row, busy, peers().fold(held, |row, peer| row.beside(peer, series.greatest(peer, memory)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_costs_what_its_command_and_its_service_cost() {
        let cost = Cost { wall: 5, cpu: 30_000_000, memory: 3072 };
        assert_eq!(read("0 5 4 1\n3\n2\n"), Some(cost));
        assert_eq!(read("a warning 7\n0 5 4 1\n3\n2\n"), Some(cost));
        assert_eq!(read("1 5 4 1\n3\n2\n"), None);
        assert_eq!(read("0 5 4 1\n3\n"), None);
    }
}
