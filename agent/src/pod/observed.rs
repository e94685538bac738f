//! What there is of a pod: its sandbox and its containers, read from the monitor and the disk alone, so
//! that an agent which was killed knows as much as before.

use super::resize::Amounts;
use serde::{Deserialize, Serialize};
use spec::monitor::Summary;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Labels of a pod's container, by which it is found again. The first three are what kubelets write.
pub mod label {
    /// The pod's UID.
    pub const UID: &str = "io.kubernetes.pod.uid";
    /// The pod's name.
    pub const POD: &str = "io.kubernetes.pod.name";
    /// The pod's namespace.
    pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// The container's name in the pod.
    pub const CONTAINER: &str = "io.kubernetes.container.name";
    /// How many of that name were made before it.
    pub const ATTEMPT: &str = "io.kubernetes.container.restartCount";
    /// Restarts in a row so far that came too soon, for the next one's delay.
    pub const STREAK: &str = "io.skerry.pod.streak";
    /// The sandbox it stands in.
    pub const SANDBOX: &str = "io.skerry.pod.sandbox";
    /// The image as the pod asked for it.
    pub const IMAGE: &str = "io.skerry.pod.image";
    /// The image as the status tells it.
    pub const IMAGE_ID: &str = "io.skerry.pod.image-id";
    /// The resources that it began with.
    pub const RESOURCES: &str = "io.skerry.pod.resources";
}

/// What a pod's containers share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sandbox {
    /// Another for each one that is made.
    pub id: String,
    /// The pod's addresses; none on the node's own network.
    pub addresses: Vec<IpAddr>,
    /// Path of its network namespace; none on the node's own.
    pub network: Option<String>,
    /// Path of its IPC namespace; none in the node's own.
    pub ipc: Option<String>,
    /// Path of its UTS namespace; none in the node's own.
    pub uts: Option<String>,
    /// Path of its PID namespace; none when each container has its own, or the node's.
    pub pid: Option<String>,
    /// The first of the node's users that are its own; none with the node's.
    pub users: Option<u32>,
    /// Path of its user namespace; none with the node's users.
    pub user: Option<String>,
    /// A container has ended in a way that has all of them begin anew in it, however they had ended: those that stand in
    /// one of another ID are of the time before.
    #[serde(default)]
    pub renewed: bool,
}

impl Sandbox {
    /// A container is of the time before all of them began anew.
    pub fn has_left(&self, one: &Instance) -> bool {
        self.renewed && one.sandbox != self.id
    }
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was made, and has not run.
    Created,
    /// It runs since then, in seconds since 1970.
    Running {
        /// Since when.
        started: i64,
    },
    /// It has ended.
    Exited {
        /// Exit status, 128 and the signal when it was killed.
        code: i32,
        /// The kernel killed a process of it for lack of memory.
        out_of_memory: bool,
        /// When it was started, in seconds since 1970.
        started: i64,
        /// When it ended, in seconds since 1970.
        finished: i64,
        /// Why it could not be started.
        error: Option<String>,
    },
}

/// One container that was made for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The monitor's ID of it.
    pub id: String,
    /// The monitor's name of it.
    pub name: String,
    /// The container's name in the pod.
    pub container: String,
    /// How many were made before it.
    pub attempt: u32,
    /// Restarts in a row that came too soon before it.
    pub streak: u32,
    /// The sandbox it stands in.
    pub sandbox: String,
    /// The image as the pod asked for it.
    pub image: String,
    /// The image by its whole name without a tag, and the digest that the registry has for that name:
    /// `docker.io/library/busybox@sha256:…`, of the index where there is one.
    pub image_id: String,
    /// The resources that it began with, where that is known.
    pub resources: Option<Amounts>,
    /// Where it is.
    pub state: State,
}

impl Instance {
    /// What the monitor says of a container, if it is a pod's.
    pub fn of(summary: &Summary) -> Option<Self> {
        let label = |key: &str| summary.labels.get(key).cloned();
        let number = |key: &str| label(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        label(label::UID)?;
        Some(Self {
            id: summary.id.clone(),
            name: summary.name.to_string(),
            container: label(label::CONTAINER)?,
            attempt: number(label::ATTEMPT),
            streak: number(label::STREAK),
            sandbox: label(label::SANDBOX).unwrap_or_default(),
            image: label(label::IMAGE).unwrap_or_default(),
            image_id: label(label::IMAGE_ID).unwrap_or_default(),
            resources: label(label::RESOURCES).and_then(|text| text.parse().ok()),
            state: state(summary),
        })
    }

    /// It runs.
    pub fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Since when it runs, in seconds since 1970.
    pub fn started(&self) -> Option<i64> {
        match self.state {
            State::Running { started } => Some(started),
            _ => None,
        }
    }

    /// It has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Exited { .. })
    }

    /// Its exit status, when it has ended.
    pub fn code(&self) -> Option<i32> {
        match self.state {
            State::Exited { code, .. } => Some(code),
            _ => None,
        }
    }
}

fn state(summary: &Summary) -> State {
    let own = &summary.status;
    let seconds = |time: Option<u64>| time.and_then(|time| i64::try_from(time).ok());
    match own.state.as_str() {
        "running" | "paused" | "stopping" => State::Running { started: seconds(own.started).unwrap_or(0) },
        _ => match (own.exit, seconds(own.finished)) {
            (Some(code), finished) => State::Exited {
                code: code.into(),
                out_of_memory: own.out_of_memory,
                started: seconds(own.ran).or(finished).unwrap_or(0),
                finished: finished.unwrap_or(0),
                error: own.error.clone(),
            },
            // The machine went down before anybody saw its end.
            (None, _) if own.state == "exited" => {
                State::Exited { code: 137, out_of_memory: false, started: 0, finished: 0, error: None }
            }
            (None, _) => State::Created,
        },
    }
}

/// The containers of a pod, each with all that were made of it, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containers(BTreeMap<String, Vec<Instance>>);

impl Containers {
    /// Sorts them.
    pub fn of(instances: impl IntoIterator<Item = Instance>) -> Self {
        let mut all: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
        for one in instances {
            all.entry(one.container.clone()).or_default().push(one);
        }
        all.values_mut().for_each(|list| list.sort_by_key(|one| std::cmp::Reverse(one.attempt)));
        Self(all)
    }

    /// The latest of a name.
    pub fn latest(&self, container: &str) -> Option<&Instance> {
        self.0.get(container)?.first()
    }

    /// The one before the latest.
    pub fn previous(&self, container: &str) -> Option<&Instance> {
        self.0.get(container)?.get(1)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Instance> {
        self.0.values().flatten()
    }

    /// Those that nobody asks for any more: all but the latest two of each name, and none that runs.
    pub fn outlived(&self) -> impl Iterator<Item = &Instance> {
        self.0.values().flat_map(|list| list.iter().skip(2)).filter(|one| !one.runs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::monitor::Status;

    fn summary(attempt: &str, status: Status) -> Summary {
        let labels =
            [(label::UID, "u"), (label::CONTAINER, "web"), (label::ATTEMPT, attempt), (label::STREAK, "3")];
        Summary {
            id: "ab".into(),
            name: "web.0".parse().unwrap(),
            image: "nginx".into(),
            digest: Some("sha256:1".into()),
            command: Vec::new(),
            created: 0,
            configured: false,
            status,
            ports: Vec::new(),
            exposed: Vec::new(),
            networks: BTreeMap::new(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            tty: false,
            volumes: Vec::new(),
            images: Vec::new(),
        }
    }

    #[test]
    fn a_container_is_found_again_by_what_the_monitor_tells() {
        let ended = Status {
            state: "exited".into(),
            exit: Some(3),
            finished: Some(9),
            ran: Some(7),
            ..Status::default()
        };
        let running = Status { state: "running".into(), started: Some(8), ..Status::default() };
        let created = Status { state: "created".into(), ..Status::default() };
        let all = [summary("0", ended.clone()), summary("2", created), summary("1", running)];
        let containers = Containers::of(all.iter().filter_map(Instance::of));
        let latest = containers.latest("web").unwrap();
        assert_eq!((latest.attempt, latest.streak, &latest.state), (2, 3, &State::Created));
        assert!(containers.previous("web").unwrap().runs());
        let outlived: Vec<_> = containers.outlived().collect();
        assert_eq!((outlived.len(), outlived[0].code()), (1, Some(3)));
        assert!(matches!(outlived[0].state, State::Exited { started: 7, finished: 9, .. }));
        let mut other = summary("0", ended);
        other.labels.clear();
        assert_eq!(Instance::of(&other), None, "a person's container is no pod's");
    }
}
