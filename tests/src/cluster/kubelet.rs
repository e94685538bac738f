//! A node with Kubernetes' own kubelet and containerd, in Debian: what ours is compared with, and what
//! the tests of pods are proven on.

use super::{Cluster, GATEWAY};
use crate::disk::{Scratch, drive};
use crate::image::{repository, said};
use crate::probe::{self, Probe};
use crate::{Result, debian};
use qemu::{Disk, Machine, Network, Vm};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The node; it ends with this value.
pub struct Kubelet {
    // In the order in which they end: the machine before its files.
    probe: Probe,
    vm: Vm,
    _scratch: Scratch,
}

impl Cluster {
    /// Boots a Debian machine that joins the cluster as `name` by a kubelet; it is a node, and ready for
    /// pods, when this returns.
    ///
    /// # Errors
    ///
    /// When something cannot be built, or the node is not ready in time.
    pub fn kubelet(&self, name: &str) -> Result<Kubelet> {
        self.push("tests/control-plane/images/pause")?;
        let (tap, mac) = self.card(name)?;
        let folder = said(&mut Command::new(repository().join("tests/debian/build")))?;
        let folder = PathBuf::from(folder.trim());
        let scratch = Scratch::new()?;
        let given = self.given(scratch.path())?;
        let vm = Machine::q35()
            .memory(2048)
            .cpus(2)
            .kernel(folder.join("vmlinuz"), folder.join("initramfs.cpio"), debian::WORDS)
            .network(Network::tap(self.parts.namespace.path(), &tap, &mac))
            .disk(Disk::new(folder.join("root.ext4")).snapshot())
            .disk(Disk::new(given).read_only())
            .channel(probe::CHANNEL)
            .ends_at_reset()
            .start()?;
        let probe = Probe::new(vm.channel(), debian::LIMIT)?;
        let node = Kubelet { probe, vm, _scratch: scratch };
        let address = self.address_of(name);
        node.run(&format!("/given/kubelet.sh {name} {address} {GATEWAY}"))?;
        let pods =
            self.run_until(&format!("kubectl get node {name} -o jsonpath='{{.spec.podCIDR}}' | grep /"))?;
        node.run(&network_file(pods.trim()))?;
        self.run_until(&format!("kubectl wait --for=condition=Ready node/{name} --timeout=1s"))?;
        Ok(node)
    }

    /// The drive with what does not belong to Debian.
    fn given(&self, scratch: &Path) -> Result<PathBuf> {
        let content = scratch.join("given");
        let bin = content.join("bin");
        fs::create_dir_all(&bin)?;
        fs::copy(repository().join("tests/probe/serve"), content.join("serve"))?;
        fs::copy(repository().join("tests/control-plane/kubelet.sh"), content.join("kubelet.sh"))?;
        fs::write(content.join("ca.crt"), self.ca())?;
        fs::copy(self.config_with_token("bootstrap", &self.token())?, content.join("bootstrap.conf"))?;
        for module in ["kubelet", "containerd"] {
            let folder = said(Command::new(repository().join("tools/control-plane")).arg(module))?;
            said(Command::new("cp").arg("-r").arg(format!("{}/.", folder.trim())).arg(&bin))?;
        }
        let plugins = crate::image::unpacked("containernetworking-plugins")?.join("usr/lib/cni");
        said(Command::new("cp").arg("-r").arg(plugins).arg(content.join("cni")))?;
        drive(scratch, "given", &content, "512M")
    }
}

impl Kubelet {
    /// The machine, for what is about hardware.
    pub fn machine(&self) -> &Vm {
        &self.vm
    }

    /// Runs a command of bash in the machine and returns its output.
    ///
    /// # Errors
    ///
    /// When it exits with another status than 0, or does not end in time.
    pub fn run(&self, command: &str) -> Result<String> {
        let output = self.probe.run(command)?;
        self.vm.blame(match output.status {
            0 => Ok(output.text),
            status => {
                Err(crate::Failure::new(format!("run {command:?}: exit status {status}: {}", output.text)))
            }
        })
    }
}

/// Writes the configuration of the bridge plugin, by which containerd then says that it is ready.
fn network_file(pods: &str) -> String {
    let bridge = format!(
        r#"{{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{pods}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}"#
    );
    let ports = r#"{"type": "portmap", "capabilities": {"portMappings": true}}"#;
    format!(
        "cat >/etc/cni/net.d/10-bridge.conflist <<'JSON'\n\
         {{\"cniVersion\": \"1.0.0\", \"name\": \"pods\", \"plugins\": [{bridge}, {ports}]}}\nJSON"
    )
}
