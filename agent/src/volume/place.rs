//! Where a pod's files are: where kubelets have them, since programs of a cluster look there.
//!
//! ```text
//! /var/lib/kubelet/pods/UID/
//! ├── pod.json                              the pod as it was wanted last
//! ├── resources.json                        what it was allocated
//! ├── services.json                         the environment of Services that its containers had last
//! ├── cni.json                              what plugins gave it
//! ├── etc-hosts, resolv.conf, hostname      mounted into its containers
//! ├── users                                 the first of its own users
//! ├── containers/NAME/ATTEMPT               what a container says when it ends
//! ├── containers/NAME/ATTEMPT.failed        its postStart hook has failed
//! ├── volumes/kubernetes.io~KIND/NAME/      volumes
//! ├── local-volumes/NAME                    a link to a `local` volume that a claim leads to
//! ├── image-volumes/NAME/                   what is known of a volume that is an image
//! └── volume-subpaths/NAME/CONTAINER/N      a part of one, opened beneath it and mounted here
//! /run/skerry/agent/pods/UID/               of this boot: sandbox.json, the namespaces ipc, uts and pid, shm
//! /var/log/pods/NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log    the log itself; the monitor's leads to it
//! /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log        leads to that, too
//! ```

use k8s_openapi::api::core::v1::Pod;
use std::path::{Path, PathBuf};

/// Folders of all pods that survive a reboot.
pub const PODS: &str = "/var/lib/kubelet/pods";
/// Folders of all pods of this boot.
pub const RUN: &str = "/run/skerry/agent/pods";
/// Logs of all pods.
pub const LOGS: &str = "/var/log/pods";
/// Logs of all containers.
pub const CONTAINER_LOGS: &str = "/var/log/containers";

/// The folder of a pod.
pub fn pod(uid: &str) -> PathBuf {
    Path::new(PODS).join(uid)
}

/// The folder of a pod in this boot.
pub fn run(uid: &str) -> PathBuf {
    Path::new(RUN).join(uid)
}

/// A volume of a pod.
pub fn volume(uid: &str, kind: &str, name: &str) -> PathBuf {
    pod(uid).join("volumes").join(format!("kubernetes.io~{kind}")).join(name)
}

/// The folder, in that of a pod, of what is known of its volumes that are images.
pub const IMAGES: &str = "image-volumes";

/// The folder, in that of a pod, of links to its `local` volumes.
pub const LOCAL: &str = "local-volumes";

/// The folders, in that of a pod, that it needs only until it is over. What tells of its volumes that are images is among
/// them; a container's last words are not.
pub const VOLUMES: [&str; 4] = ["volume-subpaths", LOCAL, IMAGES, "volumes"];

/// What is known of a volume that is an image.
pub fn image(uid: &str, volume: &str) -> PathBuf {
    pod(uid).join(IMAGES).join(volume)
}

/// Where a part of a volume is mounted for a container.
pub fn subpath(uid: &str, volume: &str, container: &str, number: usize) -> PathBuf {
    pod(uid).join("volume-subpaths").join(volume).join(container).join(number.to_string())
}

/// The file in which a container says why it ends.
pub fn termination(uid: &str, container: &str, attempt: u32) -> PathBuf {
    pod(uid).join("containers").join(container).join(attempt.to_string())
}

/// The file that says that an instance's postStart hook has failed.
pub fn failed(uid: &str, container: &str, attempt: u32) -> PathBuf {
    termination(uid, container, attempt).with_added_extension("failed")
}

/// The link to a container's log among those of all; `id` is the monitor's.
pub fn container_log(pod: &Pod, container: &str, id: &str) -> PathBuf {
    let metadata = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Path::new(CONTAINER_LOGS).join(format!(
        "{}_{}_{container}-{id}.log",
        text(&metadata.name),
        text(&metadata.namespace)
    ))
}

/// The log of one of a pod's containers.
pub fn log(pod: &Pod, container: &str, attempt: u32) -> PathBuf {
    logs(pod).join(container).join(format!("{attempt}.log"))
}

/// The folder of a pod's logs.
pub fn logs(pod: &Pod) -> PathBuf {
    let metadata = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Path::new(LOGS).join(format!(
        "{}_{}_{}",
        text(&metadata.namespace),
        text(&metadata.name),
        text(&metadata.uid)
    ))
}
