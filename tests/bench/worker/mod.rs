//! What a worker costs: our node beside Kubernetes' own kubelet with containerd 2, under one control plane.

mod node;
pub mod ready;
mod requests;

use crate::measurement::{Measurement, Table, Unit};
use crate::series::{Cost, Series, TICK};
use ::tests::{Cluster, Result, Scratch};
use node::{KUBELET, Node, OURS};
use requests::Requests;
use std::thread;
use std::time::{Duration, Instant};

/// How often each is switched on, and how often nine pods are created.
const ROUNDS: usize = 3;
/// Pods that idle while somebody looks.
const COUNTS: [usize; 3] = [0, 10, 110];
/// How long a node is left alone for its idle figures, with [`COUNTS`]' second.
const IDLE: Duration = Duration::from_secs(300);

const READY_BAR: f64 = 0.15;
const NINE_PODS_BAR: f64 = 0.35;
const MEMORY_BAR: f64 = 0.1;
const IDLE_BAR: f64 = 0.5;
/// Most memory with ten idle pods, in bytes.
const MOST_MEMORY: u64 = 20 << 20;

/// What a node was found to take.
#[derive(Debug, Default)]
struct Found {
    /// Bytes at [`COUNTS`].
    memory: [u64; 3],
    /// Of [`IDLE`]: nanoseconds of the processors, requests to the API server.
    processor: u64,
    requests: u64,
}

/// Measures all of it.
pub fn measure() -> Result<Table> {
    let scratch = Scratch::new()?;
    let (cluster, requests) = Requests::of_cluster(scratch.path().to_owned())?;
    let image = cluster.push("busybox")?;
    let mut ready = Series::default();
    let mut pods = Series::default();
    let mut found = [Found::default(), Found::default()];
    for round in 0..ROUNDS {
        for place in 0..2 {
            let which = (round + place) % 2;
            let kind = [OURS, KUBELET][which];
            let (node, took) = Node::start(&cluster, kind, round)?;
            ready.push(kind, Some(wall(took)));
            let many = Pods { cluster: &cluster, image: &image, node: &node.name };
            // Whoever creates the first pod reads the programs from the disk, and the image.
            many.create(1)?;
            many.remove()?;
            pods.push(kind, Some(wall(many.create(9)?)));
            many.remove()?;
            if round + 1 == ROUNDS {
                found[which] = look(&node, &many, &requests)?;
            }
            let name = node.name.clone();
            drop(node);
            cluster.kubectl(&format!("delete node {name} --wait"))?;
        }
    }
    Ok(Table { name: "worker", title: "A worker of a cluster", rows: rows(&ready, &pods, &found) })
}

fn wall(took: Duration) -> Cost {
    Cost { wall: took.as_nanos() as u64, cpu: 0, memory: 0 }
}

/// Fills a node with pods, and looks at it meanwhile.
fn look(node: &Node, pods: &Pods, requests: &Requests) -> Result<Found> {
    let mut found = Found::default();
    for (index, count) in COUNTS.into_iter().enumerate() {
        let took = pods.create(count)?;
        println!("{}: {count} pods after {:.1} s", node.name, took.as_secs_f64());
        found.memory[index] = node.memory()?;
        if index == 1 {
            let before = (node.ticks()?, requests.of_node(&node.name)?);
            // Idling is what is measured.
            thread::sleep(IDLE);
            found.processor = (node.ticks()? - before.0) * TICK;
            found.requests = requests.of_node(&node.name)? - before.1;
        }
    }
    pods.remove()?;
    Ok(found)
}

/// Pods of a node, which do nothing.
struct Pods<'a> {
    cluster: &'a Cluster,
    image: &'a str,
    node: &'a str,
}

impl Pods<'_> {
    /// Until there are so many that run: how long it took.
    fn create(&self, count: usize) -> Result<Duration> {
        if count == 0 {
            return Ok(Duration::ZERO);
        }
        let pods: Vec<String> = (0..count).map(|number| self.pod(number)).collect();
        let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{}]}}"#, pods.join(","));
        let file = self.cluster.scratch_file("pods", &list)?;
        let begin = Instant::now();
        self.cluster.run(&format!(
            "kubectl apply -f {} && kubectl wait --for=condition=Ready pod -l idle={} --timeout=3600s",
            file.display(),
            self.node
        ))?;
        Ok(begin.elapsed())
    }

    fn remove(&self) -> Result {
        self.cluster.kubectl(&format!("delete pod -l idle={} --wait", self.node)).map(drop)
    }

    fn pod(&self, number: usize) -> String {
        let Self { image, node, .. } = self;
        format!(
            r#"{{"apiVersion": "v1", "kind": "Pod",
                "metadata": {{"name": "{node}-{number}", "labels": {{"idle": "{node}"}}}},
                "spec": {{"nodeName": "{node}", "terminationGracePeriodSeconds": 0, "containers": [
                    {{"name": "idle", "image": "{image}", "imagePullPolicy": "IfNotPresent",
                      "command": ["sleep", "1000000"]}}]}}}}"#
        )
    }
}

fn rows(ready: &Series, pods: &Series, found: &[Found; 2]) -> Vec<Measurement> {
    let [ours, theirs] = found;
    let mut rows = vec![
        times("power-on to Ready", ready, READY_BAR),
        times("nine pods, to all running", pods, NINE_PODS_BAR),
    ];
    for (index, count) in COUNTS.into_iter().enumerate() {
        let (own, peer) = (ours.memory[index], theirs.memory[index]);
        let row = Measurement::new(format!("memory, {count} pods"), Unit::Memory, own);
        let row = row.paired(KUBELET, peer, own as f64 / peer as f64, (count == 10).then_some(MEMORY_BAR));
        rows.push(if count == 10 { row.within("the bar", MOST_MEMORY) } else { row });
    }
    let idle = |name, unit, own: u64, peer: u64| {
        Measurement::new(name, unit, own).paired(KUBELET, peer, own as f64 / peer as f64, Some(IDLE_BAR))
    };
    rows.push(idle(
        "processor, idle, a minute",
        Unit::Time,
        minute(ours.processor),
        minute(theirs.processor),
    ));
    rows.push(idle("requests, idle, five minutes", Unit::Count, ours.requests, theirs.requests));
    rows
}

/// Of [`IDLE`]'s sum.
fn minute(sum: u64) -> u64 {
    sum * 60 / IDLE.as_secs()
}

fn times(name: &'static str, series: &Series, bar: f64) -> Measurement {
    let wall = |cost: &Cost| cost.wall;
    Measurement::new(name, Unit::Time, series.median(OURS, wall)).paired(
        KUBELET,
        series.median(KUBELET, wall),
        series.ratio(OURS, KUBELET, wall),
        Some(bar),
    )
}
