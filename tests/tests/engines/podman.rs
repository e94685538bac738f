//! Debian's podman, as root.

use tests::{Debian, Output, Result};

/// podman with the runtime under test, in a machine that has the tests' container images.
struct Podman {
    debian: Debian,
    manager: &'static str,
}

impl Podman {
    fn new(manager: &'static str) -> Result<Self> {
        let debian = Debian::shared()?;
        debian.run("podman image exists busybox || podman load -q -i /given/images/busybox.tar")?;
        Ok(Self { debian, manager })
    }

    /// What `podman WORDS` comes to.
    fn tries(&self, words: &str) -> Result<Output> {
        let runtime = Debian::runtime();
        self.debian.try_run(&format!("podman --runtime {runtime} --cgroup-manager {} {words}", self.manager))
    }
}

#[test]
fn a_container_says_something_and_its_exit_status_is_podmans() -> Result {
    let podman = Podman::new("cgroupfs")?;
    let ran = podman.tries("run --rm --network none busybox sh -c 'echo here; exit 3'")?;
    assert_eq!(ran, Output { status: 3, text: "here\n".into() });
    Ok(())
}
