//! `make cluster` and `make cluster-down`, without make, and beside a cluster that somebody made by them.

use std::path::PathBuf;
use std::process::Command;
use tests::{Failure, Result, page_at, repository, said};

/// Where this test's cluster is, not theirs.
fn folder() -> PathBuf {
    repository().join("target/tests/made-cluster")
}

/// The program that both verbs call.
fn cluster(verb: &str) -> Result<String> {
    said(Command::new(env!("CARGO_BIN_EXE_cluster")).arg(verb).env("SKERRY_CLUSTER", folder()))
}

/// Ends the cluster, whatever becomes of the test.
struct Up;

impl Drop for Up {
    fn drop(&mut self) {
        let _gone_already = cluster("down");
    }
}

#[test]
#[ignore = "long"]
fn the_example_runs_on_three_nodes_and_nothing_is_left() -> Result {
    let folder = folder();
    // What a test left that was killed.
    cluster("down")?;
    let up = Up;
    let words = cluster("up")?;
    let kubectl = |words: &str| {
        let mut kubectl = Command::new(folder.join("bin/kubectl"));
        said(kubectl.env("KUBECONFIG", folder.join("kubeconfig")).args(words.split(' ')))
    };
    let nodes = kubectl("get nodes --no-headers")?;
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    let report = kubectl("logs job/report")?;
    assert!(report.contains("visits: 0 before, 10 after"), "{report}");
    let port = words.rsplit_once("http://127.0.0.1:").and_then(|(_, rest)| rest.trim().strip_suffix('/'));
    let port = port.and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| Failure::new(format!("no page's address in {words}")))?;
    assert!(page_at(port, "/")?.contains("The shop"));
    drop(up);
    assert!(!folder.exists());
    // It would be in the arguments of the control plane's programs, and of QEMU; these do not match themselves.
    let folder = folder.display().to_string().replace("cluster", "cluste[r]");
    let left = format!("grep -l '{folder}/' /proc/[0-9]*/cmdline 2>/dev/null || true");
    assert_eq!(said(Command::new("sh").args(["-c", &left]))?, "");
    Ok(())
}
