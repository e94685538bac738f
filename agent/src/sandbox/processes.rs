//! The processes that a pod's containers see (`shareProcessNamespace`): a PID namespace needs a first process, so there
//! is one that only waits ([`sys::pause`]). It stands in the pod's cgroup, outlives agent and monitor, and ends
//! with the pod. Should it be killed the kernel ends the pod's containers, and the pod gets a new sandbox.

use super::namespaces::{keep, open};
use super::words;
use crate::pod::{cgroup, container};
use crate::volume::make;
use k8s_openapi::api::core::v1::Pod;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::cause::cause;
use tokio::signal::unix::{SignalKind, signal};

/// It is spared when memory runs out, as other kubelets spare theirs.
const OOM_SCORE_ADJ: &std::ffi::CStr = c"-998";

/// A pod's containers see each other's processes.
pub fn are_shared(pod: &Pod) -> bool {
    let shares = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.share_process_namespace == Some(true) && spec.host_pid != Some(true)
    };
    pod.spec.as_ref().is_some_and(shares)
}

/// Its own cgroup: the pod's has others below it, so it can have no process.
fn own_cgroup(pod: &Pod) -> PathBuf {
    cgroup::path(&container::cgroup(pod)).join("pause")
}

/// The first process is there.
pub fn is_held(pod: &Pod) -> bool {
    let events = fs::read_to_string(own_cgroup(pod).join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

/// Makes the namespace, of the user namespace at `users` if the pod has one, and keeps it at `path`, or finds it there.
///
/// # Errors
/// What cannot be done, in words.
pub async fn make(pod: &Pod, users: Option<&Path>, path: &Path) -> Result<(), String> {
    if make::is_mounted(path) {
        if is_held(pod) {
            return Ok(());
        }
        umount2(path, MntFlags::MNT_DETACH).map_err(|error| words("unmount", path, &error.into()))?;
    }
    // One that an agent began which was killed.
    end(pod).await?;
    let group = own_cgroup(pod);
    fs::create_dir_all(&group).map_err(|error| words("make", &group, &error))?;
    let folder = File::open(&group).map_err(|error| words("open", &group, &error))?;
    let users = users.map(open).transpose()?;
    let users = users.as_ref().map(AsFd::as_fd);
    let pid = sys::pause::start(users, nix::libc::CLONE_NEWPID, Some(folder.as_fd()), OOM_SCORE_ADJ)
        .map_err(|error| format!("make a PID namespace: {}", cause(&error)))?;
    reap_at_its_end(pid).map_err(|error| format!("watch process {pid}: {}", cause(&error)))?;
    keep(&format!("/proc/{pid}/ns/pid"), path)
}

/// Ends the first process, and with it all others of the namespace.
///
/// # Errors
/// What cannot be done, in words.
pub async fn end(pod: &Pod) -> Result<(), String> {
    let procs = own_cgroup(pod).join("cgroup.procs");
    let pids = fs::read_to_string(&procs).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse().ok()) {
        let ended = async {
            let Ok(process) = sys::pidfd::open(pid) else { return Ok(()) };
            sys::pidfd::signal(process.as_fd(), nix::libc::SIGKILL)?;
            has_ended(process).await
        };
        ended.await.map_err(|error: io::Error| format!("end process {pid}: {}", cause(&error)))?;
    }
    Ok(())
}

/// Returns once it has, in a thread of its own.
async fn has_ended(process: OwnedFd) -> io::Result<()> {
    let wait = move || poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
    tokio::task::spawn_blocking(wait).await?.map(drop).map_err(io::Error::from)
}

/// It is this agent's child as long as this agent lives, and PID 1's then.
fn reap_at_its_end(pid: i32) -> io::Result<()> {
    let mut ends = signal(SignalKind::child())?;
    let pid = Pid::from_raw(pid);
    tokio::spawn(async move {
        while let Ok(WaitStatus::StillAlive) = waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            ends.recv().await;
        }
    });
    Ok(())
}
