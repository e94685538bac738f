//! What is left in claimed volumes: the file systems of those on NFS servers and of `local` ones. The kubelet measures
//! no others of this node's kinds.
//!
//! A server that does not answer holds whoever asks for ever. So a thread of its own asks for each volume; it is waited
//! for a short time, and nobody asks for the volume again before it has ended.

use super::exposition::{Family, Kind::Gauge};
use super::snapshot::{Files, files};
use crate::server::pods::Pod;
use crate::volume::{make, nfs, place};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long volumes are waited for, all together.
const LIMIT: Duration = Duration::from_secs(2);

/// What was measured is good for so long: the kubelet measures once a minute.
const GOOD: Duration = Duration::from_secs(60);

/// A thread's stack, in bytes.
const STACK: usize = 128 * 1024;

/// A volume that a claim leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its name in the pod.
    pub volume: String,
    /// The claim's name.
    pub claim: String,
    /// Its file system.
    pub files: Files,
}

/// Those of pods, by their UIDs.
pub type OfPods = BTreeMap<String, Vec<Claimed>>;

/// What was measured, and who is asked.
#[derive(Debug)]
pub struct Volumes {
    /// Where pods' folders are.
    pods: PathBuf,
    limit: Duration,
    look: fn(&Path) -> Option<Files>,
    known: Mutex<BTreeMap<PathBuf, (Instant, Files)>>,
    asked: Arc<Mutex<BTreeSet<PathBuf>>>,
}

fn locked<T>(own: &Mutex<T>) -> MutexGuard<'_, T> {
    own.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volumes {
    /// Of the pods whose folders are here.
    pub fn new(pods: PathBuf) -> Self {
        Self { pods, limit: LIMIT, look: files, known: Mutex::default(), asked: Arc::default() }
    }

    /// Those of these pods that can be measured. Waits for them, so not on the thread that serves.
    pub fn of(&self, pods: &[Pod]) -> OfPods {
        let mounted = nfs::points(&self.pods);
        let all: Vec<_> = pods.iter().flat_map(|pod| self.claims(pod, &mounted)).collect();
        let known = self.measure(all.iter().map(|own| own.3.clone()).collect());
        let mut found = OfPods::new();
        for (uid, volume, claim, path) in all {
            if let Some(&files) = known.get(&path) {
                found.entry(uid).or_default().push(Claimed { volume, claim, files });
            }
        }
        found
    }

    /// The claims of a pod: its UID, the volume, the claim, and where the volume is.
    fn claims(&self, shown: &Pod, mounted: &[PathBuf]) -> Vec<(String, String, String, PathBuf)> {
        let Some(pod) = shown.object.as_ref().filter(|_| !shown.cgroup.as_os_str().is_empty()) else {
            return Vec::new();
        };
        let folder = self.pods.join(&shown.uid);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let own = volumes.filter_map(|volume| {
            let claim = make::claim(pod, volume)?;
            let path = path(&folder, &volume.name, mounted)?;
            Some((shown.uid.clone(), volume.name.clone(), claim, path))
        });
        own.collect()
    }

    /// What is known of these by the end of the limit. Nobody asks beside another.
    fn measure(&self, paths: BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Files> {
        let mut known = locked(&self.known);
        known.retain(|path, (when, _)| paths.contains(path) && when.elapsed() < GOOD);
        let until = Instant::now() + self.limit;
        let (sender, answers) = channel();
        let unknown = paths.into_iter().filter(|path| !known.contains_key(path));
        unknown.for_each(|path| self.ask(path, sender.clone()));
        // The answers end with the last thread that has one to give.
        drop(sender);
        while let Ok((path, files)) = answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            known.insert(path, (Instant::now(), files));
        }
        known.iter().map(|(path, (_, files))| (path.clone(), *files)).collect()
    }

    fn ask(&self, path: PathBuf, sender: Sender<(PathBuf, Files)>) {
        if !locked(&self.asked).insert(path.clone()) {
            return;
        }
        let (asked, look, at) = (self.asked.clone(), self.look, path.clone());
        let ask = move || {
            let files = look(&at);
            locked(&asked).remove(&at);
            if let Some(files) = files {
                // Who waited may have gone.
                let _ = sender.send((at, files));
            }
        };
        if Builder::new().name("volume".into()).stack_size(STACK).spawn(ask).is_err() {
            locked(&self.asked).remove(&path);
        }
    }
}

/// Where a volume of a pod is, if it is of a kind that is measured. Looks at nothing that a server must answer for.
fn path(folder: &Path, volume: &str, mounted: &[PathBuf]) -> Option<PathBuf> {
    let local = folder.join(place::LOCAL).join(volume);
    let shared = folder.join("volumes/kubernetes.io~nfs").join(volume);
    if local.is_symlink() { Some(local) } else { Some(shared).filter(|path| mounted.contains(path)) }
}

/// A metric of a volume: name, help, value.
type OfVolume = (&'static str, &'static str, fn(&Files) -> u64);

const OF_VOLUMES: [OfVolume; 6] = [
    ("kubelet_volume_stats_capacity_bytes", "[ALPHA] Capacity in bytes of the volume", |own| own.bytes[0]),
    ("kubelet_volume_stats_available_bytes", "[ALPHA] Number of available bytes in the volume", |own| {
        own.bytes[1]
    }),
    ("kubelet_volume_stats_used_bytes", "[ALPHA] Number of used bytes in the volume", |own| own.bytes[2]),
    ("kubelet_volume_stats_inodes", "[ALPHA] Maximum number of inodes in the volume", |own| own.inodes[0]),
    ("kubelet_volume_stats_inodes_free", "[ALPHA] Number of free inodes in the volume", |own| own.inodes[1]),
    ("kubelet_volume_stats_inodes_used", "[ALPHA] Number of used inodes in the volume", |own| own.inodes[2]),
];

/// In text, each claim once, whichever pods have it.
pub fn text(pods: &[Pod], all: &OfPods) -> String {
    let of_pod = |pod: &'_ Pod| all.get(&pod.uid).map(|own| (pod.namespace.clone(), own));
    let claims: BTreeMap<(String, &str), Files> = pods
        .iter()
        .filter_map(of_pod)
        .flat_map(|(namespace, own)| {
            own.iter().map(move |one| ((namespace.clone(), one.claim.as_str()), one.files))
        })
        .collect();
    let family = |(name, help, value): &OfVolume| {
        let mut family = Family::new(name, Gauge, help);
        for ((namespace, claim), files) in &claims {
            let labels = [("namespace", namespace.as_str()), ("persistentvolumeclaim", *claim)];
            family.add(&labels, value(files) as f64, 0);
        }
        family.text()
    };
    OF_VOLUMES.iter().map(family).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static LOOKS: AtomicU32 = AtomicU32::new(0);

    /// A server is silent for ever. The one at `/first` answers when the one at `/other` was asked.
    fn look(path: &Path) -> Option<Files> {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        while path.ends_with("silent") {
            std::thread::park();
        }
        while path.ends_with("first") && LOOKS.load(Ordering::Relaxed) < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Some(Files { bytes: [3, 2, 1], inodes: [6, 5, 4] })
    }

    #[test]
    fn a_silent_server_is_waited_for_once_and_asked_once() {
        let mut volumes = Volumes::new("/nowhere".into());
        (volumes.limit, volumes.look) = (Duration::from_secs(60), look);
        let mut paths = BTreeSet::from(["/first", "/other"].map(PathBuf::from));
        let found = volumes.measure(paths.clone());
        assert!(found.keys().eq(&paths), "neither holds up the other: {found:?}");
        paths.insert("/silent".into());
        volumes.limit = Duration::from_millis(300);
        let begun = Instant::now();
        assert_eq!(volumes.measure(paths.clone()), found);
        assert!(begun.elapsed() >= volumes.limit);
        volumes.limit = Duration::from_secs(60);
        assert_eq!(volumes.measure(paths), found);
        assert!(begun.elapsed() < volumes.limit, "who is asked still is not waited for");
        while LOOKS.load(Ordering::Relaxed) < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(
            LOOKS.load(Ordering::Relaxed),
            3,
            "those that answered are known, the other is asked still"
        );
    }
}
