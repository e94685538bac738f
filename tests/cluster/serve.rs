//! The owner of a cluster: sets it up, step by step, and keeps it until it is told to end.

use crate::state::State;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tests::{Cluster, Failure, Image, Result, Running, control_plane, repository};

/// The line after which nobody listens any more: all is well.
pub const READY: &str = "ready";
/// The same when a step went wrong after which the cluster is still worth a look.
pub const UNFINISHED: &str = "unfinished";

/// The nodes.
const NODES: [&str; 3] = ["worker-1", "worker-2", "worker-3"];

/// Sets a cluster up and keeps it. A signal ends this process, and with it everything.
pub fn serve(state: &State) -> Result {
    let lock = state.take()?.ok_or_else(|| Failure::new("another process is setting it up"))?;
    let steps = Steps(Instant::now());
    let programs = steps.take("Kubernetes' programs (built once, in some 7 minutes)", control_plane)?;
    steps.take("the nodes' image, with the example's containers", || Image::example().build())?;
    let cluster = steps.take("control plane", || Cluster::start_in(&state.folder))?;
    symlink(programs, state.folder.join("bin"))?;
    let api_server = cluster.forward(0, vec![SocketAddr::from(([10, 30, 0, 1], 6443))])?;
    fs::rename(cluster.admin_config(&format!("https://127.0.0.1:{api_server}"))?, state.kubeconfig())?;
    let nodes = steps.take("three nodes: power on", || boot(&cluster, state))?;
    let filled = fill(&cluster, &steps);
    let page = cluster.forward(0, NODES.map(|name| (cluster.address_of(name), 30080).into()).to_vec())?;
    let folder = state.folder.display();
    say(&format!(
        "the cluster is up; `make cluster-down` ends it\n\n    export KUBECONFIG={folder}/kubeconfig PATH={folder}/bin:$PATH\n    \
         kubectl get nodes -o wide\n\nthe example's page: http://127.0.0.1:{page}/"
    ))?;
    say(if filled.is_ok() { READY } else { UNFINISHED })?;
    keep((lock, cluster, nodes))
}

/// What there is to see in a cluster.
fn fill(cluster: &Cluster, steps: &Steps) -> Result {
    for name in NODES {
        steps.take(&format!("{name} is Ready"), || wait_until_ready(cluster, name))?;
    }
    cluster.route_to_pods()?;
    steps.take("name server", || name_server(cluster))?;
    steps.take("metrics server", || metrics_server(cluster))?;
    steps.take("example: front end, back end, database, job", || example(cluster))
}

/// What the cluster's names are asked of.
fn name_server(cluster: &Cluster) -> Result {
    let file = repository().join("tests/control-plane/coredns.yaml");
    cluster.kubectl(&format!("apply -f {}", file.display()))?;
    cluster.run_until("kubectl -n kube-system rollout status deployment coredns --timeout=1s").map(drop)
}

/// What `kubectl top` asks.
fn metrics_server(cluster: &Cluster) -> Result {
    let objects = fs::read_to_string(repository().join("tests/control-plane/metrics-server.yaml"))?;
    cluster.apply(&objects.replace("METRICS_SERVER", "skerry.example/metrics-server:1"))?;
    let status = "kubectl -n kube-system rollout status deployment metrics-server --timeout=1s";
    cluster.run_until(status).map(drop)
}

/// The example, until everything of it runs and the job is done.
fn example(cluster: &Cluster) -> Result {
    cluster.kubectl(&format!("apply -f {}", repository().join("examples/shop.yaml").display()))?;
    for name in ["database", "back", "front"] {
        cluster.run_until(&format!("kubectl rollout status deployment {name} --timeout=1s"))?;
    }
    cluster.run_until("kubectl wait --for=condition=complete job/report --timeout=1s").map(drop)
}

/// Keeps what it is given for as long as this process runs.
fn keep<T>(_kept: T) -> ! {
    loop {
        thread::park();
    }
}

/// Switches every node on.
fn boot(cluster: &Cluster, state: &State) -> Result<Vec<Arc<Running>>> {
    NODES.map(|name| boot_one(cluster, state, name)).into_iter().collect()
}

/// Switches a node on; what its console says goes to a file, too.
fn boot_one(cluster: &Cluster, state: &State, name: &str) -> Result<Arc<Running>> {
    let node = Arc::new(cluster.node(name)?.image(Image::example()).memory(1024).boot()?);
    let mut file = File::create(state.folder.join(format!("{name}.console")))?;
    let shown = Arc::clone(&node);
    thread::spawn(move || {
        let mut offset = 0;
        while let Some(bytes) = shown.console().bytes_from(offset) {
            offset += bytes.len();
            let _disk_full = file.write_all(&bytes);
        }
    });
    Ok(node)
}

fn wait_until_ready(cluster: &Cluster, name: &str) -> Result {
    cluster.run_until(&format!("kubectl wait --for=condition=Ready node/{name} --timeout=1s")).map(drop)
}

/// The steps so far, as a person follows them.
struct Steps(Instant);

impl Steps {
    /// Takes a step; its line has the time since the first one began.
    fn take<T>(&self, name: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = action();
        let seconds = self.0.elapsed().as_secs();
        say(&match &done {
            Ok(_) => format!("[{seconds:4} s] {name}"),
            Err(failure) => format!("[{seconds:4} s] {name}: {failure}"),
        })?;
        done
    }
}

/// Says a line to who started this; an error when nobody listens any more.
fn say(line: &str) -> Result {
    let mut output = std::io::stdout().lock();
    Ok(writeln!(output, "{line}").and_then(|()| output.flush())?)
}
