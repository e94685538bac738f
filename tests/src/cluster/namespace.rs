//! A network namespace with a bridge, the wire between a control plane and its nodes.
//!
//! It has no name and no process of its own: a descriptor of this process holds it, so that it ends
//! with the last program in it. Programs join it through nsenter(1), threads through setns(2).

use crate::image::said;
use crate::{Failure, Result};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// The bridge.
const BRIDGE: &str = "cluster0";

/// The network namespace of a cluster.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// One whose bridge has this address with a prefix of 24 bits, and forwards.
    pub fn new(address: Ipv4Addr) -> Result<Self> {
        let made = thread::spawn(|| -> std::io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let made = made.join().map_err(|_| Failure::new("a thread panicked"))?;
        let file =
            made.map_err(|cause| Failure::new(format!("make a network namespace, as root: {cause}")))?;
        let namespace = Self(file);
        namespace.ip("link set lo up")?;
        namespace.ip(&format!("link add {BRIDGE} type bridge"))?;
        namespace.ip(&format!("address add {address}/24 dev {BRIDGE}"))?;
        namespace.ip(&format!("link set {BRIDGE} up"))?;
        namespace.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
        Ok(namespace)
    }

    /// The same one, held by another descriptor.
    pub fn share(&self) -> Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// A file that stands for it as long as this value is there.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// `program` in it; arguments may be added.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.argument()).arg(program);
        command
    }

    /// `program` in it, which ends with this process.
    pub fn owned(&self, program: &str) -> Command {
        let mut command = qemu::owned("nsenter");
        command.arg(self.argument()).arg(program);
        command
    }

    /// Adds a tap device to the bridge.
    pub fn add_tap(&self, name: &str) -> Result {
        self.ip(&format!("tuntap add dev {name} mode tap"))?;
        self.ip(&format!("link set {name} master {BRIDGE} up"))
    }

    /// An ip(8) command.
    pub fn ip(&self, words: &str) -> Result {
        said(self.command("ip").args(words.split(' '))).map(drop)
    }

    /// What `action` returns on a thread in it, for sockets.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let entered = || setns(&self.0, CloneFlags::CLONE_NEWNET).map(|()| action());
        let done = thread::scope(|scope| scope.spawn(entered).join());
        Ok(done.map_err(|_| Failure::new("a thread in the cluster's network panicked"))??)
    }

    fn argument(&self) -> String {
        format!("--net={}", self.path().display())
    }
}
