//! What a change of one Service costs where there are five thousand: our agent beside kube-proxy in nftables mode, each on
//! a node of its own, under one control plane.

mod proxy;

use crate::measurement::{Measurement, Table, Unit};
use crate::series::{Cost, Series, TICK};
use ::tests::{Bare, Cluster, Failure, Result};
use nix::time::{ClockId, clock_gettime};
use proxy::Proxy;
use std::fmt::Write;
use std::thread;

/// Services, and endpoints of each.
const SERVICES: usize = 5_000;
const ENDPOINTS: usize = 10;
/// Changes that are measured.
const ROUNDS: usize = 15;
/// kubectl's that create at once: each is held to 50 requests a second by itself.
const AT_ONCE: usize = 4;

/// The two that are compared.
const OURS: &str = "skerry";
const PROXY: &str = "kube-proxy";

/// Where something answers: the cluster's registry.
const SERVER: (&str, u16) = ("10.30.0.1", 5000);

/// Who keeps Services on a node, and how much the processors have worked for it.
struct Keeper<'a> {
    name: &'static str,
    node: &'a Bare,
    /// Its process, in the node.
    process: String,
}

impl Keeper<'_> {
    /// Ticks of the processors for it and what it started.
    fn ticks(&self) -> Result<u64> {
        // After the name, which may hold spaces: user and system time, and those of its children, are 12 to 15.
        let said = self.node.run(&format!(
            "sed 's/.*) //' /proc/{}/stat | awk '{{ print $12 + $13 + $14 + $15 }}'",
            self.process
        ))?;
        said.trim().parse().map_err(|_| Failure::new(format!("not a number: {said:?}")))
    }

    /// When the address took a connection, asked for a hundred times a second.
    fn connects(&self, address: &str) -> Result<u64> {
        let said = self.node.run(&format!("python3 -c '{CONNECT}' {address}"))?;
        said.trim().parse().map_err(|_| Failure::new(format!("not a time: {said:?}")))
    }
}

/// Tells CLOCK_MONOTONIC in nanoseconds once port 80 of an address takes a connection; gives up after ten minutes.
const CONNECT: &str = r#"
import socket, sys, time
end = time.monotonic() + 600
while time.monotonic() < end:
    try:
        socket.create_connection((sys.argv[1], 80), 0.2).close()
    except OSError:
        time.sleep(0.01)
    else:
        print(time.monotonic_ns())
        break
else:
    sys.exit("no connection")
"#;

/// Measures all of it.
pub fn measure() -> Result<Table> {
    let cluster = Cluster::start()?;
    // What answers is there once something was pushed.
    cluster.push("busybox")?;
    let own = cluster.bare("ours", cluster.server())?;
    let other = cluster.bare_with("theirs", "services = \"cluster\"\n")?;
    fill(&cluster)?;
    for round in 0..=ROUNDS {
        cluster.apply(&service(&format!("changed-{round}"), Some(&changed(round))))?;
    }
    let proxy = Proxy::start(&cluster, &other)?;
    let keepers = [
        Keeper { name: OURS, node: &own, process: own.run("pidof -s skerry-agent")?.trim().to_owned() },
        Keeper { name: PROXY, node: &other, process: proxy.process },
    ];
    let mut series = Series::default();
    // The first is not counted: each has read all there is once it answers.
    for round in 0..=ROUNDS {
        let costs = change(&cluster, &keepers, round)?;
        for (keeper, cost) in keepers.iter().zip(costs).filter(|_| round > 0) {
            series.push(keeper.name, Some(cost));
        }
    }
    let rows = vec![
        row("to the first connection", &series, |cost| cost.wall),
        row("processor, a change", &series, |cost| cost.cpu),
        memory(&keepers)?,
    ];
    Ok(Table { name: "services", title: "A change of one Service among 5,000 with 50,000 endpoints", rows })
}

/// Gives a Service its first endpoint, and waits until it answers on both nodes.
fn change(cluster: &Cluster, keepers: &[Keeper<'_>; 2], round: usize) -> Result<Vec<Cost>> {
    let before = [keepers[0].ticks()?, keepers[1].ticks()?];
    let slice = cluster
        .scratch_file("slice", &slice(&format!("changed-{round}"), &[SERVER.0.to_owned()], SERVER.1))?;
    let address = changed(round);
    let (begun, ends) = thread::scope(|scope| -> Result<(u64, Vec<u64>)> {
        let waiting = keepers.each_ref().map(|keeper| scope.spawn(|| keeper.connects(&address)));
        let begun = now();
        cluster.kubectl(&format!("create --validate=false -f {}", slice.display()))?;
        let ends = waiting.map(|one| one.join().map_err(|_| Failure::new("a thread panicked"))?);
        Ok((begun, ends.into_iter().collect::<Result<_>>()?))
    })?;
    let cost = |(index, end): (usize, &u64)| {
        let cpu = (keepers[index].ticks()? - before[index]) * TICK;
        Ok(Cost { wall: end - begun, cpu, memory: 0 })
    };
    ends.iter().enumerate().map(cost).collect()
}

/// The clock of [`CONNECT`].
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

fn row(name: &'static str, series: &Series, of: impl Fn(&Cost) -> u64 + Copy) -> Measurement {
    // Ticks are coarse: what is compared is the sum of all rounds.
    Measurement::new(name, Unit::Time, series.mean(OURS, of)).paired(
        PROXY,
        series.mean(PROXY, of),
        series.mean(OURS, of) as f64 / series.mean(PROXY, of) as f64,
        Some(1.0),
    )
}

fn memory(keepers: &[Keeper<'_>; 2]) -> Result<Measurement> {
    let [ours, theirs] = keepers.each_ref().map(|keeper| -> Result<u64> {
        let said = keeper
            .node
            .run(&format!("awk '/^Pss:/ {{ print $2 }}' /proc/{}/smaps_rollup", keeper.process))?;
        said.trim()
            .parse::<u64>()
            .map(|kib| kib << 10)
            .map_err(|_| Failure::new(format!("not a number: {said:?}")))
    });
    let (ours, theirs) = (ours?, theirs?);
    Ok(Measurement::new("memory (PSS), then", Unit::Memory, ours).beside(PROXY, theirs))
}

/// The address of a Service that is changed.
fn changed(round: usize) -> String {
    // Of those that nobody is given by itself.
    format!("10.96.0.{}", round + 100)
}

/// Creates all that is only there.
fn fill(cluster: &Cluster) -> Result {
    let mut files = Vec::new();
    for part in 0..AT_ONCE {
        let mut text = String::new();
        for number in (part..SERVICES).step_by(AT_ONCE) {
            let name = format!("there-{number}");
            let endpoints: Vec<String> = (0..ENDPOINTS)
                .map(|one| format!("10.244.{}.{}", 100 + number % 100, 1 + (number / 100 * 5 + one) % 250))
                .collect();
            let _ = write!(text, "{}\n---\n{}\n---\n", service(&name, None), slice(&name, &endpoints, 8080));
        }
        files.push(cluster.scratch_file("many", &text)?);
    }
    let all: Vec<String> = files
        .iter()
        .map(|file| {
            format!("kubectl create --validate=false -f {} >/dev/null & all=\"$all $!\"", file.display())
        })
        .collect();
    cluster.run(&format!("{}; for one in $all; do wait $one || exit 1; done", all.join("; "))).map(drop)
}

fn service(name: &str, address: Option<&str>) -> String {
    let address = address.map(|address| format!(r#""clusterIP": "{address}", "#)).unwrap_or_default();
    format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "{name}"}},
            "spec": {{{address}"ports": [{{"name": "p", "port": 80, "targetPort": 8080}}]}}}}"#
    )
}

fn slice(name: &str, endpoints: &[String], port: u16) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|address| format!(r#"{{"addresses": ["{address}"], "conditions": {{"ready": true}}}}"#))
        .collect();
    format!(
        r#"{{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {{"name": "{name}",
            "labels": {{"kubernetes.io/service-name": "{name}"}}}}, "addressType": "IPv4",
            "endpoints": [{}], "ports": [{{"name": "p", "port": {port}, "protocol": "TCP"}}]}}"#,
        endpoints.join(", ")
    )
}
