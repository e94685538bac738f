//! How soon a node is Ready, alone, and the road from power-on to there: what the node says on its console, and what is asked of the API server meanwhile.

use super::node::{KUBELET, Node, OURS};
use super::requests::Requests;
use super::{READY_BAR, ROUNDS, times, wall};
use crate::measurement::Table;
use crate::road::steps;
use crate::series::Series;
use ::tests::{Failure, Result, Scratch};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: f64 = 86400.0;

/// Measures how long a node takes to be Ready, alone, and prints the road of one.
pub fn measure() -> Result<Table> {
    let scratch = Scratch::new()?;
    let (cluster, requests) = Requests::of_all(scratch.path().to_owned())?;
    let mut ready = Series::default();
    for round in 0..ROUNDS {
        for place in 0..2 {
            let kind = [OURS, KUBELET][(round + place) % 2];
            let (node, took) = Node::start(&cluster, kind, round)?;
            ready.push(kind, Some(wall(took)));
            if round == 0 && kind == OURS {
                tell(&node, took, &requests)?;
            }
            let name = node.name.clone();
            drop(node);
            cluster.kubectl(&format!("delete node {name} --wait"))?;
        }
    }
    let rows = vec![times("power-on to Ready", &ready, READY_BAR)];
    Ok(Table { name: "ready", title: "A worker that joins", rows })
}

/// Prints each step of a node that was Ready so long after power-on with its seconds since then and since the step before.
///
/// # Errors
///
/// When the node or the log cannot be read.
fn tell(node: &Node, took: Duration, requests: &Requests) -> Result {
    let begin = node.vm().begun();
    let took = took.as_secs_f64();
    // The kernel's clock and the wall's, both of power-on.
    let uptime = node.run("cut -d ' ' -f 1 /proc/uptime")?;
    let uptime: f64 = uptime.trim().parse().map_err(|_| Failure::new(format!("/proc/uptime: {uptime:?}")))?;
    let kernel = begin.elapsed().as_secs_f64() - uptime;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() - begin.elapsed();
    let mut road = vec![(kernel, "the kernel's clock begins".to_owned()), (took, "Ready".to_owned())];
    road.extend(
        steps(&node.vm().console().text())
            .into_iter()
            .map(|(at, words)| (kernel + at as f64 / 1e9, words.to_owned())),
    );
    for (time, words) in requests.all()? {
        let at = of_day(&time).ok_or_else(|| Failure::new(format!("audit log: no time of day: {time:?}")))?;
        road.push(((at - wall.as_secs_f64()).rem_euclid(DAY), format!("    {words}")));
    }
    road.retain(|(at, _)| *at <= took);
    road.sort_by(|one, other| one.0.total_cmp(&other.0));
    println!("{:>7} {:>7}  power-on to Ready, in seconds", "at", "after");
    let mut before = 0.0;
    for (at, words) in road {
        println!("{at:>7.3} {:>7.3}  {words}", at - before);
        before = at;
    }
    Ok(())
}

/// Seconds since midnight of a time of RFC 3339.
fn of_day(time: &str) -> Option<f64> {
    let (_, time) = time.trim_end_matches('Z').split_once('T')?;
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let whole = hours.parse::<u32>().ok()? * 3600 + minutes.parse::<u32>().ok()? * 60;
    Some(f64::from(whole) + seconds.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read() {
        assert_eq!(of_day("2026-11-30T01:02:03.250000Z"), Some(3723.25));
        assert_eq!(of_day("yesterday"), None);
    }
}
