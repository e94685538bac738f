//! Kubernetes' own end-to-end tests of what a node owes the API, against one of ours: an hour.
//! `SKERRY_TEST_FOCUS` chooses others of them, by a regular expression.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use tests::{Cluster, Failure, Result, repository, said};

/// The images that they ask for, and where.
const IMAGES: [(&str, &str); 7] = [
    ("pause", "pause:3.10.2"),
    ("agnhost", "e2e-test-images/agnhost:2.63.0"),
    ("suite-busybox", "e2e-test-images/busybox:1.37.0-1"),
    ("suite-busybox", "e2e-test-images/glibc-dns-testing:2.0.0"),
    // It is asked for its shell alone.
    ("suite-busybox", "e2e-test-images/nginx:1.15-4"),
    ("suite-nonroot", "e2e-test-images/nonroot:1.5"),
    ("suite-nonewprivs", "e2e-test-images/nonewprivs:1.4"),
];

/// What is chosen of them, and left out of that, in runs beside each other: those of probes and the slow ones wait for
/// minutes each, and one half an hour, for the longest back-off.
const RUNS: [(&str, &str); 3] = [
    (r"\[NodeConformance\]", r"\[Slow\]|Probing"),
    (r"Probing.*\[NodeConformance\]", r"\[Slow\]"),
    (r"\[Slow\] \[NodeConformance\]", "should cap back-off at MaxContainerBackOff"),
];

fn program() -> Result<PathBuf> {
    let folder = said(Command::new(repository().join("tools/control-plane")).arg("e2e"))?;
    Ok(PathBuf::from(folder.trim()).join("e2e"))
}

#[test]
#[ignore = "long"]
fn kubernetes_own_tests_of_a_node_pass() -> Result {
    let program = program()?;
    let cluster = Cluster::start()?;
    for (name, tagged) in IMAGES {
        cluster.push_as(&format!("tests/control-plane/images/{name}"), tagged)?;
    }
    let mirror = cluster.mirror_of("registry.k8s.io");
    let node = cluster.node("worker")?.memory(2048).cpus(2).more_config(&mirror).boot()?;
    let ready = cluster.run_until("kubectl wait --for=condition=Ready node/worker --timeout=1s");
    node.machine().blame(ready)?;
    let chosen = std::env::var("SKERRY_TEST_FOCUS");
    let runs = chosen.as_ref().map_or(RUNS.to_vec(), |focus| vec![(focus.as_str(), "nothing")]);
    let results: Vec<Result<String>> = thread::scope(|scope| {
        let (cluster, program) = (&cluster, &program);
        let run = |(number, &(focus, skip))| {
            let log = repository().join(format!("target/tests/conformance-{number}.log"));
            scope.spawn(move || suite(cluster, program, focus, skip, &log))
        };
        let running: Vec<_> = runs.iter().enumerate().map(run).collect();
        running.into_iter().map(|run| run.join().expect("it does not panic")).collect()
    });
    for result in results {
        println!("{}", node.machine().blame(result)?);
    }
    Ok(())
}

/// Runs those whose names fit `focus` and not `skip`, and tells how many passed. One that fails is tried once more.
fn suite(cluster: &Cluster, program: &Path, focus: &str, skip: &str, log: &Path) -> Result<String> {
    let ended = cluster.run(&format!(
        "{} --kubeconfig=$KUBECONFIG --provider=skeleton --ginkgo.focus='{focus}' --ginkgo.skip='{skip}' \
         --ginkgo.flake-attempts=2 --ginkgo.timeout=3h --ginkgo.v --ginkgo.no-color >{} 2>&1",
        program.display(),
        log.display(),
    ));
    let lines = format!("grep -E '^Ran [1-9]|^ *\\[FAIL\\]|Passed' {}", log.display());
    let told = said(Command::new("sh").args(["-c", &lines])).unwrap_or_default();
    match ended.is_ok() && told.contains(" 0 Failed") {
        true => Ok(told),
        false => Err(Failure::new(format!("{focus}: {told}more in {}", log.display()))),
    }
}
