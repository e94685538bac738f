//! The two nodes that are compared, and how one looks into them.

use ::tests::{Cluster, Failure, Image, Kubelet, Result, Running, tuned_kernel};
use qemu::Vm;
use std::time::Duration;

/// What the other is measured against.
pub const OURS: &str = "skerry";
/// Kubernetes' own, with containerd 2 and the bridge plugin.
pub const KUBELET: &str = "kubelet";

/// A node that has joined.
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    machine: Machine,
}

enum Machine {
    Skerry(Running),
    Kubelet(Kubelet),
}

impl Node {
    /// Switches one on that joins for the first time; how long it took from then until the API server says
    /// that it is ready. Both are q35 machines of two processors and 2 GiB, on the tuned kernel when it is
    /// ours and there is one.
    ///
    /// # Errors
    ///
    /// When something cannot be built, or the node is not ready in time.
    pub fn start(cluster: &Cluster, kind: &str, round: usize) -> Result<(Self, Duration)> {
        let name = format!("{kind}{round}");
        let ready = cluster.when_ready(&name)?;
        let ready = || ready.join().map_err(|_| Failure::new("who waited for the node panicked"))?;
        if kind == KUBELET {
            let node = Self { name: name.clone(), machine: Machine::Kubelet(cluster.kubelet(&name)?) };
            let took = ready()? - node.vm().begun();
            return Ok((node, took));
        }
        let image = match tuned_kernel("vmlinux") {
            Ok(kernel) => Image::worker().probe().kernel(kernel),
            Err(_) => Image::worker().probe(),
        };
        let machine = cluster.node(&name)?.image(image).memory(2048).cpus(2);
        machine.prepare()?;
        let node = Self { name, machine: Machine::Skerry(machine.boot()?) };
        let took = ready()? - node.vm().begun();
        Ok((node, took))
    }

    /// Runs a shell command in it.
    ///
    /// # Errors
    ///
    /// When it does not exit with status 0 in time.
    pub fn run(&self, command: &str) -> Result<String> {
        match &self.machine {
            Machine::Skerry(node) => node.run(command),
            Machine::Kubelet(node) => node.run(command),
        }
    }

    /// The machine itself.
    pub fn vm(&self) -> &Vm {
        match &self.machine {
            Machine::Skerry(node) => node.machine(),
            Machine::Kubelet(node) => node.machine(),
        }
    }

    /// The names of the programs that make it a node, as pidof(1) takes them: all that is ours with PID 1;
    /// of the other without systemd and whatever else Debian has.
    fn programs(&self) -> &'static str {
        match self.machine {
            Machine::Skerry(_) => "init skerry-agent skerry-monitor skerry-network",
            Machine::Kubelet(_) => "kubelet containerd containerd-shim-runc-v2 pause",
        }
    }

    /// Their memory now, PSS, in bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn memory(&self) -> Result<u64> {
        let said = self.run(&format!(
            "for pid in $({}); do cat /proc/$pid/smaps_rollup 2>/dev/null; done | \
             awk '/^Pss:/ {{ sum += $2 }} END {{ print sum }}'",
            self.pids()
        ))?;
        number(&said).map(|kilobytes| kilobytes << 10)
    }

    /// Their processor time since they began, in ticks of 10 ms.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn ticks(&self) -> Result<u64> {
        // After the name, which may hold spaces: user and system time are 12 and 13.
        let said = self.run(&format!(
            "for pid in $({}); do sed 's/.*) //' /proc/$pid/stat 2>/dev/null; done | \
             awk '{{ sum += $12 + $13 }} END {{ print sum }}'",
            self.pids()
        ))?;
        number(&said)
    }

    fn pids(&self) -> String {
        format!("pidof {}", self.programs())
    }
}

fn number(said: &str) -> Result<u64> {
    said.trim().parse().map_err(|_| Failure::new(format!("not a number: {said:?}")))
}
