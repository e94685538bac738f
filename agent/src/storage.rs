//! What pods have written to the data disk: to the roots of their containers, their logs and their `emptyDir`s.
//!
//! ```text
//! /var/lib/skerry/containers/KEY/                      what a container writes to its root
//! /var/log/skerry/containers/KEY.log, KEY.log.1        its logs
//! /var/lib/kubelet/pods/UID/volumes/kubernetes.io~empty-dir/NAME/
//! ```
//!
//! All of their files must be looked at for that. Each pod's are looked at when somebody asks, and not again for ten
//! seconds, or a hundred times as long as it took: no more than a hundredth of a processor goes there for any pod.

use crate::server::pods::Pod;
use crate::server::stats::snapshot::{Files, files};
use crate::volume::{make, place};
use spec::paths;
use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was measured is good for so long, at least and at most.
const GOOD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes, in whole blocks.
    pub bytes: u64,
    /// Files, folders among them.
    pub inodes: u64,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        (self.bytes, self.inodes) = (self.bytes + other.bytes, self.inodes + other.inodes);
    }
}

/// What a pod has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its `emptyDir`s on the disk, by name.
    pub volumes: BTreeMap<String, Taken>,
    /// Its volumes in memory, which are nothing of the disk's.
    pub in_memory: BTreeMap<String, Files>,
    /// The roots of its containers, by name.
    pub roots: BTreeMap<String, Taken>,
    /// Their logs.
    pub logs: BTreeMap<String, Taken>,
}

impl Written {
    /// All of it.
    pub fn all(&self) -> Taken {
        let mut all = Taken::default();
        let parts = [&self.volumes, &self.roots, &self.logs];
        parts.iter().flat_map(|part| part.values()).for_each(|own| all += *own);
        all
    }

    fn measure(pod: &Pod) -> Self {
        let mut own = Self::default();
        let written = Path::new(paths::DATA).join("lib/skerry/containers");
        for container in &pod.containers {
            let Some(key) = container.instance.as_deref().and_then(|id| id.get(..12)) else { continue };
            own.roots.insert(container.name.clone(), taken(&written.join(key)));
            own.logs.insert(container.name.clone(), taken(&pod.logs.join(&container.name)));
        }
        let volumes = place::pod(&pod.uid).join("volumes");
        own.volumes = parts(&volumes.join("kubernetes.io~empty-dir"));
        own.in_memory = in_memory(&volumes);
        own
    }
}

struct Measured {
    when: Instant,
    took: Duration,
    written: Arc<Written>,
}

impl Measured {
    fn is_good(&self) -> bool {
        self.when.elapsed() < (self.took * 100).clamp(GOOD.0, GOOD.1)
    }
}

/// What was measured of a pod. Who measures it holds it.
type Slot = Arc<Mutex<Option<Measured>>>;

/// What was measured, by the pod's UID.
#[derive(Default)]
pub struct Storage(Mutex<BTreeMap<String, Slot>>);

impl std::fmt::Debug for Storage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Storage")
    }
}

impl Storage {
    /// What a pod has written. It may be looked at for that, so not on the thread that serves; nobody looks at one pod
    /// beside another, and who asks for a pod waits for no other.
    pub fn of(&self, pod: &Pod) -> Arc<Written> {
        let slot = self.slot(&pod.uid);
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.as_ref().filter(|own| own.is_good()) {
            return own.written.clone();
        }
        let when = Instant::now();
        let written = Arc::new(Written::measure(pod));
        *known = Some(Measured { when, took: when.elapsed(), written: written.clone() });
        written
    }

    fn slot(&self, uid: &str) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(uid.to_owned()).or_default().clone()
    }

    /// Forgets pods that are gone.
    pub fn keep(&self, pods: &[Pod]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
    }
}

/// Volumes that lie in memory, of any kind.
fn in_memory(volumes: &Path) -> BTreeMap<String, Files> {
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|one| one.path());
    let all = folders(volumes).flat_map(|kind| folders(&kind).collect::<Vec<_>>());
    // Whatever else is mounted may be on a server that does not answer.
    let here = make::mounts_of(volumes, |kind| matches!(kind, "tmpfs" | "hugetlbfs"));
    let here = all.filter(|path| here.contains(path));
    here.filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), files(&path)?))).collect()
}

/// Folders on the same file system as the one that they are in; what is mounted there is in memory, or not ours.
fn parts(folder: &Path) -> BTreeMap<String, Taken> {
    let Ok(own) = fs::metadata(folder) else { return BTreeMap::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let here = entries.filter(|entry| {
        let path = entry.path();
        fs::symlink_metadata(path).is_ok_and(|one| one.is_dir() && one.dev() == own.dev())
    });
    here.map(|entry| (entry.file_name().to_string_lossy().into_owned(), taken(&entry.path()))).collect()
}

/// What lies below a path, on its own file system.
pub fn taken(path: &Path) -> Taken {
    let Ok(root) = fs::symlink_metadata(path) else { return Taken::default() };
    let mut sum = Taken { bytes: root.blocks() * 512, inodes: 1 };
    sys::tree::walk(path, |own| sum += Taken { bytes: own.st_blocks.unsigned_abs() * 512, inodes: 1 });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    #[test]
    fn what_lies_below_a_path_is_counted() {
        let folder = std::env::temp_dir().join(format!("skerry-taken-{}", std::process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::write(folder.join("a/file"), vec![1; 10_000]).unwrap();
        fs::write(folder.join("beside"), "").unwrap();
        // Deeper than any path may be long.
        let mut at = OwnedFd::from(File::open(folder.join("a")).unwrap());
        let name = &*"x".repeat(255);
        for _ in 0..20 {
            mkdirat(&at, name, Mode::S_IRWXU).unwrap();
            at = openat(&at, name, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        let deep = openat(&at, "deep", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
        File::from(deep).write_all(&[1; 1 << 20]).unwrap();
        let Taken { bytes, inodes } = taken(&folder);
        let parts = parts(&folder);
        sys::tree::remove(&folder).unwrap();
        let most = (1 << 20) + 300_000;
        assert!(((1 << 20) + 10_000..most).contains(&bytes) && inodes == 25, "{bytes} {inodes}");
        assert_eq!(
            parts.iter().map(|(name, own)| (name.as_str(), own.inodes)).collect::<Vec<_>>(),
            [("a", 23)]
        );
        assert_eq!(taken(&folder), Taken::default());
    }

    #[test]
    fn who_asks_for_a_pod_waits_for_no_other() {
        let storage = Storage::default();
        let slow = storage.slot("slow");
        let measured = slow.lock().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            storage.keep(&[]);
            let pod = Pod { uid: "not-there".to_owned(), ..Pod::default() };
            drop(sender.send(Written::clone(&storage.of(&pod))));
        });
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(Written::default()));
        drop(measured);
    }

    #[test]
    fn what_took_long_is_good_for_long() {
        let of = |took| {
            let when = Instant::now() - Duration::from_secs(60);
            Measured { when, took: Duration::from_millis(took), written: Arc::default() }.is_good()
        };
        assert_eq!([0, 500, 700, 100_000].map(of), [false, false, true, true]);
    }
}
