//! Kubernetes' own end-to-end tests of what a node owes the API, against one of ours: an hour.
//! `SKERRY_TEST_FOCUS` chooses others of them, by a regular expression.

use std::path::PathBuf;
use std::process::Command;
use tests::{Cluster, Failure, Result, repository, said};

/// The images that they ask for, and where.
const IMAGES: [(&str, &str); 6] = [
    ("pause", "pause:3.10.2"),
    ("agnhost", "e2e-test-images/agnhost:2.63.0"),
    ("suite-busybox", "e2e-test-images/busybox:1.37.0-1"),
    ("suite-busybox", "e2e-test-images/glibc-dns-testing:2.0.0"),
    ("suite-nonroot", "e2e-test-images/nonroot:1.5"),
    ("suite-nonewprivs", "e2e-test-images/nonewprivs:1.4"),
];

/// One of them waits half an hour for the longest back-off.
const SKIPPED: &str = "should cap back-off at MaxContainerBackOff";

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
    let focus = std::env::var("SKERRY_TEST_FOCUS").unwrap_or_else(|_| r"\[NodeConformance\]".to_owned());
    let log = repository().join("target/tests/conformance.log");
    let ended = cluster.run(&format!(
        "{} --kubeconfig=$KUBECONFIG --provider=skeleton --ginkgo.focus='{focus}' --ginkgo.skip='{SKIPPED}' \
         --ginkgo.flake-attempts=2 --ginkgo.timeout=3h --ginkgo.v --ginkgo.no-color >{} 2>&1",
        program.display(),
        log.display(),
    ));
    let summary = format!("grep -E '^Ran [1-9]|^ *\\[FAIL\\]|Passed' {}", log.display());
    let summary = said(Command::new("sh").args(["-c", &summary])).unwrap_or_default();
    println!("{summary}");
    let ended = ended.map_err(|_| Failure::new(format!("{summary}more in {}", log.display())));
    node.machine().blame(ended)?;
    assert!(summary.contains(" 0 Failed"), "{summary}");
    Ok(())
}
