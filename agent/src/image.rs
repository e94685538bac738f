//! Images of containers: found in the node's stores, or fetched by `skerry pull`, a short-lived process, so that
//! the agent speaks to no registry and a pull that is killed takes nothing along.

pub mod collect;
mod pulled;

use crate::say::say;
use crate::server::stats::durations::DURATIONS;
use pulled::{Leads, Pulled};
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Digest, Layer, Reference, Store, Stores};
use sys::cause::cause;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// The command that pulls.
const SKERRY: &str = "/sbin/skerry";

/// Whom registries have given the images that are here.
const PULLED: &str = "/var/lib/skerry/images-pulled";

/// Pulls at a time.
const AT_ONCE: usize = 2;

/// Most images that the Node object names (`nodeStatusMaxImages`).
const MOST: usize = 50;

/// An image that is on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Digest of its manifest.
    pub digest: String,
    /// Its name without a tag, and the digest that the registry has for it.
    pub id: String,
    /// `User` of its configuration.
    pub user: String,
    /// `Volumes` of its configuration.
    pub volumes: Vec<String>,
}

/// How an image was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// How long it took.
    pub took: Duration,
    /// The same, with the wait for its turn.
    pub waited: Duration,
    /// What its layers take.
    pub bytes: u64,
}

/// Why a container has no image: the reason of its state, and the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`
    pub reason: &'static str,
    /// One line.
    pub message: String,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Each time: the name may lead to another by now.
    Always,
    /// When it is not on the node.
    IfNotPresent,
    /// Never.
    Never,
}

/// The policy that a pod says of an image; without one, a name that says `latest` or nothing may lead to another at any
/// time.
pub fn policy(image: &str, said: Option<&str>) -> Policy {
    match said {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some(_) => Policy::IfNotPresent,
        None => {
            let last = image.rsplit('/').next().unwrap_or_default();
            let moves = !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
            if moves { Policy::Always } else { Policy::IfNotPresent }
        }
    }
}

/// The node's images.
#[derive(Debug)]
pub struct Images {
    stores: Arc<Stores>,
    pulled: Arc<Pulled>,
    room: Semaphore,
    /// Mirrors of registries, by their hosts: what fits one of them counts, too.
    mirrors: BTreeMap<String, Vec<String>>,
}

impl Images {
    /// The data disk's store, then the one in the root.
    pub fn open(mirrors: BTreeMap<String, Vec<String>>) -> Self {
        let store = |path| Store::open_read_only(Path::new(path));
        let stores = Stores::new(vec![store(paths::DATA_STORE), store(paths::IMAGE_STORE)]);
        let fetched = || digests(&Stores::new(vec![store(paths::DATA_STORE)]));
        let pulled = Pulled::open(Path::new(PULLED), |name| leads(&stores, name), fetched);
        Self { stores: Arc::new(stores), pulled: Arc::new(pulled), room: Semaphore::new(AT_ONCE), mirrors }
    }

    /// An image that is there.
    pub fn find(&self, name: &str) -> Option<Found> {
        find(&self.stores, name)
    }

    /// The layers of an image that is there, the lowest first.
    ///
    /// # Errors
    /// It is not there, or damaged, in words.
    pub fn layers(&self, name: &str, digest: &str) -> Result<Vec<Layer>, String> {
        let image = self.stores.resolve_digest(name, &digest.parse()?);
        image.map(|image| image.layers).map_err(|error| error.to_string())
    }

    /// Images that are known, the largest first: their names, that of the digest too, and the bytes that their layers take.
    pub fn list(&self) -> Vec<(Vec<String>, u64)> {
        let mut images: BTreeMap<String, (Vec<String>, u64)> = BTreeMap::new();
        for listed in self.stores.list().unwrap_or_default() {
            let entry = images.entry(listed.digest.to_string()).or_insert_with(|| {
                let image = self.stores.resolve_digest(&listed.name.to_string(), &listed.digest).ok();
                (Vec::new(), image.map_or(0, |image| size(&image.layers)))
            });
            let own =
                listed.index.iter().chain([&listed.digest]).map(|digest| by_digest(&listed.name, digest));
            for name in own.chain([listed.name.to_string()]) {
                if !entry.0.contains(&name) {
                    entry.0.push(name);
                }
            }
        }
        let mut images: Vec<_> = images.into_values().collect();
        images.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        images.truncate(MOST);
        images
    }

    /// An image, fetched if its policy says so, or if what is here was fetched with others' credentials alone. `docker`
    /// is the folder of a `config.json` with credentials. `begun` is called when a pull begins; how it went is told beside
    /// the image.
    ///
    /// # Errors
    /// There is none, and why.
    pub async fn ensure(
        &self,
        name: &str,
        policy: Policy,
        docker: Option<&Path>,
        begun: impl Fn(),
    ) -> Result<(Found, Option<Fetched>), Failure> {
        let image = name.parse::<Reference>().map_err(|error| {
            let message = format!(
                "Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": {error}"
            );
            Failure { reason: "InvalidImageName", message }
        })?;
        let mirrors = self.mirrors.get(&image.registry).map_or(&[][..], Vec::as_slice);
        let credentials = pulled::credentials(docker, &image, mirrors);
        let (stores, pulled) = (self.stores.clone(), self.pulled.clone());
        let fetch = Arc::new(Fetch { stores, pulled, name: name.to_owned(), credentials });
        let failed = |message: String| Failure { reason: "ErrImagePull", message };
        let here = match policy {
            Policy::Always => None,
            _ => fetch.aside(Fetch::here).await.map_err(failed)?,
        };
        match here {
            Some((found, true)) => return Ok((found, None)),
            _ if policy != Policy::Never => {}
            // Nobody hears of an image that only others may have.
            _ => {
                let message = format!("Container image \"{name}\" is not present with pull policy of Never");
                return Err(Failure { reason: "ErrImageNeverPull", message });
            }
        }
        let asked = Instant::now();
        let _permit = self.room.acquire().await;
        begun();
        // Whoever does not wait any more gives it up, and what came of it is looked at all the same.
        let (_waits, given_up) = oneshot::channel();
        let turn = Instant::now();
        let fetched = tokio::spawn(fetch.run(docker.map(Path::to_owned), given_up)).await;
        let (found, bytes) = fetched.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        Ok((found, Some(Fetched { took: turn.elapsed(), waited: asked.elapsed(), bytes })))
    }
}

/// An image that is fetched if need be.
struct Fetch {
    stores: Arc<Stores>,
    pulled: Arc<Pulled>,
    name: String,
    credentials: Option<String>,
}

impl Fetch {
    /// Does what reads the store or writes the record, on a thread that may wait for the disk.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, String> {
        let own = self.clone();
        spawn_blocking(move || act(&own)).await.map_err(|error| error.to_string())
    }

    /// What is here already, and whether a pod with these credentials may have it.
    fn here(&self) -> Option<(Found, bool)> {
        let found = find(&self.stores, &self.name)?;
        let allowed = self.pulled.allows(&self.name, &found.digest, self.credentials.as_deref());
        Some((found, allowed))
    }

    async fn run(
        self: Arc<Self>,
        docker: Option<PathBuf>,
        given_up: oneshot::Receiver<()>,
    ) -> Result<(Found, u64), String> {
        self.aside(|own| own.pulled.begin(&own.name, own.leads().ok().flatten())).await??;
        let ended = pull(&self.name, docker.as_deref(), given_up).await;
        self.aside(|own| own.settle(ended)).await?
    }

    /// Takes down what came of it: the image, and the bytes that its layers take.
    fn settle(&self, ended: Result<(), Unfinished>) -> Result<(Found, u64), String> {
        let Self { stores, pulled, name, credentials } = self;
        match ended {
            Ok(()) => {}
            Err(Unfinished::Failed(reason)) => {
                pulled.fail(name, self.leads());
                return Err(reason);
            }
            Err(Unfinished::GivenUp) => {
                pulled.give_up(name, self.leads());
                return Err("nobody waits for it any more".to_owned());
            }
        }
        let Some(found) = find(stores, name) else {
            pulled.give_up(name, self.leads());
            return Err(format!("image \"{name}\" was fetched and is not there"));
        };
        pulled.end(name, &found.digest, credentials.clone(), &digests(stores))?;
        let bytes = stores.resolve(name).map_or(0, |image| size(&image.layers));
        Ok((found, bytes))
    }

    fn leads(&self) -> Leads {
        leads(&self.stores, &self.name)
    }
}

fn find(stores: &Stores, name: &str) -> Option<Found> {
    let image = stores.resolve(name).ok()?;
    let store::Config { user, volumes, .. } = image.config;
    let id = by_digest(&image.name, image.index.as_ref().unwrap_or(&image.digest));
    Some(Found { digest: image.digest.to_string(), id, user, volumes })
}

/// `docker.io/library/busybox@sha256:…`
fn by_digest(name: &Reference, digest: &Digest) -> String {
    let Reference { registry, repository, .. } = name;
    format!("{registry}/{repository}@{digest}")
}

/// Bytes that layers take.
fn size(layers: &[Layer]) -> u64 {
    layers.iter().filter_map(|layer| std::fs::metadata(&layer.path).ok()).map(|own| own.len()).sum()
}

fn leads(stores: &Stores, name: &str) -> Leads {
    Ok(stores.digest(name)?.map(|digest| digest.to_string()))
}

/// Digests of all images that are here.
fn digests(stores: &Stores) -> BTreeSet<String> {
    stores.list().unwrap_or_default().iter().map(|one| one.digest.to_string()).collect()
}

/// Has what is damaged in the store brought back, as far as it can be had.
async fn mend() {
    let mut command = Command::new(SKERRY);
    command.args(["store", "check"]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            say(format_args!("images were checked: {}", text.lines().last().unwrap_or("nothing is said")));
        }
        Err(error) => say(format_args!("images: start {SKERRY}: {}", cause(&error))),
    }
}

/// Why an image was not fetched.
enum Unfinished {
    /// In words.
    Failed(String),
    /// Nobody waits for it; the process that fetched it has ended.
    GivenUp,
}

async fn pull(name: &str, docker: Option<&Path>, given_up: oneshot::Receiver<()>) -> Result<(), Unfinished> {
    let begun = Instant::now();
    let pulled = fetch(name, docker, given_up).await;
    let failed = matches!(pulled, Err(Unfinished::Failed(_)));
    DURATIONS.add_operation("pull_image", begun.elapsed(), failed);
    pulled
}

async fn fetch(name: &str, docker: Option<&Path>, given_up: oneshot::Receiver<()>) -> Result<(), Unfinished> {
    let mut command = Command::new(SKERRY);
    // The pod's back-off is longer than any of ours, and others wait for their turn meanwhile.
    command.args(["pull", "--quiet", "--retry=1", "--confirm", "--", name]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(folder) = docker {
        command.env("DOCKER_CONFIG", folder);
    }
    let failed = |what: &str, error| Unfinished::Failed(format!("{what} {SKERRY}: {}", cause(&error)));
    let mut process = command.spawn().map_err(|error| failed("start", error))?;
    let (mut errors, mut log) = (process.stderr.take(), Vec::new());
    let ended = tokio::select! {
        ended = async {
            if let Some(errors) = &mut errors {
                errors.read_to_end(&mut log).await?;
            }
            process.wait().await
        } => ended.map_err(|error| failed("wait for", error))?,
        _ = given_up => {
            let _ = process.kill().await;
            return Err(Unfinished::GivenUp);
        }
    };
    if ended.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&log).into_owned();
    let line = log.lines().last().unwrap_or("skerry pull says nothing");
    Err(Unfinished::Failed(line.strip_prefix("skerry: ").unwrap_or(line).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    #[tokio::test]
    async fn others_go_on_while_the_disk_is_slow() {
        let path = std::env::temp_dir().join(format!("skerry-slow-pulled-{}", std::process::id()));
        let slow = path.join("fetching").join("web:1.new");
        std::fs::create_dir_all(slow.parent().unwrap()).unwrap();
        // Who opens a pipe to write to it waits for somebody who reads.
        nix::unistd::mkfifo(&slow, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let images = Arc::new(Images {
            stores: Arc::new(Stores::new(Vec::new())),
            pulled: Arc::new(Pulled::open(&path, |_| Ok(None), BTreeSet::new)),
            room: Semaphore::new(1),
            mirrors: BTreeMap::new(),
        });
        let asked = images.clone();
        let ensured =
            tokio::spawn(async move { asked.ensure("web:1", Policy::IfNotPresent, None, || {}).await });
        // What waits there waits aside: this thread goes on.
        tokio::task::yield_now().await;
        let mut reader = std::fs::OpenOptions::new();
        let _reader = reader.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&slow).unwrap();
        let failure = ensured.await.unwrap().unwrap_err();
        assert!(failure.message.contains("fetching/web:1"), "a pipe is no disk: {failure:?}");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_name_that_moves_is_fetched_each_time() {
        let of = policy;
        for image in ["nginx", "nginx:latest", "localhost:5000/nginx"] {
            assert_eq!(of(image, None), Policy::Always, "{image}");
        }
        for image in ["nginx:1", "localhost:5000/nginx:1", "nginx@sha256:00"] {
            assert_eq!(of(image, None), Policy::IfNotPresent, "{image}");
        }
        assert_eq!(
            (of("nginx", Some("Never")), of("nginx:1", Some("Always"))),
            (Policy::Never, Policy::Always)
        );
    }
}
