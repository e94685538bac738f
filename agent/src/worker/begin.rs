//! A container from its image to its running program.

use super::hooks::{self, hook_of};
use super::{Wanted, Worker, container, logs};
use crate::duration;
use crate::image::Fetched;
use crate::monitor::Error;
use crate::pod::cgroup;
use crate::pod::container::{self as words, Parts};
use crate::pod::next::{self, Kind};
use crate::pod::observed::{Containers, Sandbox, State};
use crate::sandbox;
use crate::server::stats::counts::Count;
use crate::volume::make::Made;
use crate::volume::mounts::{self, Wrong};
use crate::volume::{self, place};
use k8s_openapi::api::core::v1::{Container, ContainerUser, ImageVolumeSource, LinuxContainerUser, Pod};
use spec::bundle::{Config, Mount, Namespace, NamespaceKind, Seccomp};
use spec::monitor::{Code, Create, Reply, Request};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Where profiles of system calls lie that pods name (`Localhost`).
const PROFILES: &str = "/var/lib/kubelet/seccomp";

/// How long a hook may take that nobody limits.
const HOOK: Duration = Duration::from_secs(3600);

/// How long it may take to open parts of volumes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is to begin.
#[derive(Debug)]
pub(super) struct Order {
    pub container: String,
    pub kind: Kind,
    pub attempt: u32,
    pub streak: u32,
}

/// Why it does not: the reason of its state, the words, and seconds until the next attempt.
struct Obstacle(&'static str, String, i64);

impl Worker {
    /// Makes a container and lets it run; whoever deletes the pod meanwhile need not wait for its image.
    pub(super) async fn begin(
        &mut self,
        pod: &Arc<Pod>,
        sandbox: &Sandbox,
        containers: &Containers,
        order: &Order,
    ) {
        let Some((_, container)) = container(pod, &order.container) else { return };
        self.context.stats.counts.add(Count::Started(kind_of(pod, &container.name)));
        let latest = containers.latest(&order.container);
        let existing = latest.filter(|one| one.state == State::Created && one.sandbox == sandbox.id);
        let made = match existing {
            Some(one) => Ok(one.id.clone()),
            None => self.create(pod, sandbox, &container, order).await,
        };
        let id = match made {
            Ok(id) => id,
            Err(None) => return,
            Err(Some(Obstacle(reason, message, first))) => {
                let (event, words) = match reason {
                    "ErrImageNeverPull" => (reason, message.clone()),
                    "InvalidImageName" => ("InspectFailed", message.clone()),
                    "ErrImagePull" => ("Failed", message.clone()),
                    _ => ("Failed", format!("Error: {message}")),
                };
                self.context.events.say(pod, Some(&order.container), false, event, words);
                self.count_failure(pod, &order.container, order.attempt, reason);
                self.postpone(&order.container, reason, message, first);
                return;
            }
        };
        self.waiting.remove(&order.container);
        logs::link(pod, &container.name, order.attempt, &id);
        self.start(pod, sandbox, &container, (&id, order.attempt)).await;
        for one in containers.outlived() {
            logs::unlink(pod, one);
            let _ = self
                .context
                .monitor
                .ask(&Request::Remove { name: one.id.clone(), force: false, volumes: true })
                .await;
        }
        let _ = self.context.table.refresh().await;
    }

    async fn create(
        &mut self,
        pod: &Pod,
        sandbox: &Sandbox,
        container: &Container,
        order: &Order,
    ) -> Result<String, Option<Obstacle>> {
        let config = |message: String| Some(Obstacle("CreateContainerConfigError", message, 5));
        let error = |message: String| Some(Obstacle("CreateContainerError", message, 5));
        self.isolated(sandbox).await.map_err(|why| why.and_then(error))?;
        if self.volumes.is_none() {
            self.make_volumes(pod).await.map_err(config)?;
        }
        self.image_volumes(pod, container).await?;
        let name = container.image.as_deref().unwrap_or_default();
        let image = self.image(pod, container, name, container.image_pull_policy.as_deref()).await?;
        let env = self.environment(pod, sandbox, container).await.map_err(config)?;
        let volumes = self.volume_mounts(container, &env, sandbox.users.is_some()).await;
        let volumes = volumes.map_err(|wrong| match wrong {
            Wrong::Volume(words) => config(words),
            Wrong::Image(words) => error(words),
        })?;
        let mounts = self.mounts(sandbox, container, volumes, order.attempt).map_err(config)?;
        let parts = Parts {
            pod,
            container,
            kind: order.kind,
            attempt: order.attempt,
            streak: order.streak,
            sandbox,
            digest: &image.digest,
            image_id: &image.id,
            image_user: &image.user,
            image_volumes: &image.volumes,
            env,
            mounts,
            seccomp: profile(pod, container).map_err(config)?,
            memory: self.context.own.machine.memory,
            log_size: self.context.own.cluster.container_log_max_size,
            volume_groups: &self.volume_groups,
        };
        let mut create = words::create(parts).map_err(config)?;
        if let Some(sandbox) = &mut create.sandbox {
            let (at, spec) = (cgroup::path(&sandbox.cgroup), pod.spec.clone().unwrap_or_default());
            sandbox.unified.extend(cgroup::of_container(&at, &spec, container));
            // Nobody may remove them while the container is there.
            let images = volume::image::of(&place::pod(&self.uid));
            sandbox.images = images.into_iter().map(|image| image.digest).collect();
        }
        if !cgroup::has("cpu") {
            // A share is no limit: where nobody shares out, all may have what is there.
            create.container.cpu_shares = None;
        }
        if sandbox.pid.is_none() {
            self.share_processes(pod, container, &mut create).await.map_err(config)?;
        }
        let name = create.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = match self.context.monitor.ask(&Request::Create(Box::new(create))).await {
            Ok(Reply::Created { id, .. }) => id,
            // It was made by an agent that was killed before it could say so.
            Err(Error::Failed(failure)) if failure.code == Code::Exists => {
                self.id_of(&name).await.ok_or(None)?
            }
            Err(Error::Gone) => return Err(None),
            Ok(other) => {
                return Err(error(format!("the monitor said {other:?}")));
            }
            Err(other) => return Err(error(other.to_string())),
        };
        self.context.events.say(pod, Some(&container.name), true, "Created", "Container created");
        Ok(id)
    }

    /// A container has not begun, for this reason. The first time it may be for its pod's users.
    fn count_failure(&self, pod: &Pod, name: &str, attempt: u32, reason: &'static str) {
        let counts = &self.context.stats.counts;
        counts.add(Count::NotStarted(kind_of(pod, name), reason));
        if attempt == 0 && !self.waiting.contains_key(name) && sandbox::users::are_own(pod) {
            counts.add(Count::OwnUsersFailed);
        }
    }

    async fn id_of(&self, name: &str) -> Option<String> {
        match self.context.monitor.ask(&Request::Inspect { name: name.to_owned() }).await {
            Ok(Reply::Container { summary, .. }) => Some(summary.id),
            _ => None,
        }
    }

    /// Fetches and mounts the images that the container has as volumes; what another has mounted is found.
    async fn image_volumes(&mut self, pod: &Pod, container: &Container) -> Result<(), Option<Obstacle>> {
        for (volume, own) in images(pod, container) {
            let made = match volume::image::find(&self.uid, volume) {
                Some(made) => made,
                None => self.image_volume(pod, container, volume, own).await?,
            };
            self.volumes.get_or_insert_default().insert(volume.to_owned(), made);
        }
        Ok(())
    }

    async fn image_volume(
        &mut self,
        pod: &Pod,
        container: &Container,
        volume: &str,
        own: &ImageVolumeSource,
    ) -> Result<Made, Option<Obstacle>> {
        let name = own.reference.clone().unwrap_or_default();
        let found = self.image(pod, container, &name, own.pull_policy.as_deref()).await?;
        let mount = || {
            let layers = self.context.images.layers(&name, &found.digest)?;
            let users = sandbox::users::first(pod)?;
            let image = volume::image::Image { name: name.clone(), digest: found.digest.clone() };
            volume::image::make(&self.uid, volume, &image, &layers, users)
        };
        // The words are the container runtime interface's (k8s.io/cri-api, pkg/errors).
        mount().map_err(|reason| {
            let message = format!("ImageVolumeMountFailed: volume \"{volume}\": {reason}");
            Some(Obstacle("CreateContainerError", message, 5))
        })
    }

    async fn image(
        &mut self,
        pod: &Pod,
        container: &Container,
        name: &str,
        policy: Option<&str>,
    ) -> Result<crate::image::Found, Option<Obstacle>> {
        let docker = self.credentials(pod).await;
        let context = self.context.clone();
        let (events, of) = (&context.events, Some(container.name.as_str()));
        let policy = crate::image::policy(name, policy);
        let pull = context.images.ensure(name, policy, docker.as_deref(), || {
            events.say(pod, of, true, "Pulling", format!("Pulling image \"{name}\""));
        });
        let (uid, ended) = (&self.uid, ended(self.wanted.clone()));
        let found = tokio::select! {
            found = pull => found,
            () = ended => {
                crate::say::say(format_args!("pod {uid}: ended while image \"{name}\" was fetched"));
                return Err(None);
            }
        };
        match found {
            Ok((found, fetched)) => {
                events.say(pod, of, true, "Pulled", pulled(name, fetched));
                Ok(found)
            }
            Err(failure) => {
                let message = match failure.reason {
                    "ErrImagePull" => format!("Failed to pull image \"{name}\": {}", failure.message),
                    _ => failure.message,
                };
                Err(Some(Obstacle(failure.reason, message, 10)))
            }
        }
    }

    /// The volumes that the container sees. A part of one may lie on a server that does not answer.
    async fn volume_mounts(
        &self,
        container: &Container,
        env: &BTreeMap<String, String>,
        mapped: bool,
    ) -> Result<Vec<Mount>, Wrong> {
        let volumes = self.volumes.clone().unwrap_or_default();
        let (uid, container, env) = (self.uid.clone(), container.clone(), env.clone());
        let made = spawn_blocking(move || mounts::of(&uid, &container, &volumes, &env, mapped));
        match timeout(PATIENCE, made).await {
            Ok(made) => made.map_err(|error| Wrong::Volume(error.to_string()))?,
            Err(_) => Err(Wrong::Volume(format!("its volumes cannot be opened within {PATIENCE:?}"))),
        }
    }

    /// The pod's own files, its volumes, and the place of the last word.
    fn mounts(
        &self,
        sandbox: &Sandbox,
        container: &Container,
        volumes: Vec<Mount>,
        attempt: u32,
    ) -> Result<Vec<Mount>, String> {
        let folder = place::pod(&self.uid);
        let options = || vec!["rbind".to_owned(), "rprivate".to_owned()];
        let mut all = Vec::new();
        let shm = if sandbox.ipc.is_some() { place::run(&self.uid).join("shm") } else { "/dev/shm".into() };
        all.push(mounts::bind("/dev/shm", &shm, options()));
        all.push(mounts::bind("/etc/resolv.conf", &folder.join("resolv.conf"), options()));
        all.push(mounts::bind("/etc/hostname", &folder.join("hostname"), options()));
        let hosts = folder.join("etc-hosts");
        let hosts = if hosts.exists() { hosts } else { "/etc/hosts".into() };
        if hosts.exists() {
            all.push(mounts::bind("/etc/hosts", &hosts, options()));
        }
        let word = place::termination(&self.uid, &container.name, attempt);
        let made =
            word.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&word).map(drop));
        // Whoever the program is must be able to write it.
        let made = made.and_then(|()| fs::set_permissions(&word, fs::Permissions::from_mode(0o666)));
        made.map_err(|error| format!("make {}: {}", word.display(), sys::cause::cause(&error)))?;
        let at = container
            .termination_message_path
            .as_deref()
            .filter(|own| !own.is_empty())
            .unwrap_or("/dev/termination-log");
        all.push(mounts::bind(at, &word, options()));
        let mapped = sandbox.users.is_some();
        all.retain(|one| !volumes.iter().any(|other| other.destination == one.destination));
        if mapped {
            // Files belong to the pod's own users, as they would to the node's.
            all.iter_mut().for_each(|one| one.options.push("idmap".to_owned()));
        }
        all.extend(volumes);
        Ok(all)
    }

    /// An ephemeral container sees the processes of the one that it is for.
    async fn share_processes(
        &self,
        pod: &Pod,
        container: &Container,
        create: &mut Create,
    ) -> Result<(), String> {
        let spec = pod.spec.as_ref();
        let ephemeral = spec.and_then(|spec| {
            spec.ephemeral_containers.iter().flatten().find(|one| one.name == container.name)
        });
        let Some(target) =
            ephemeral.and_then(|own| own.target_container_name.clone()).filter(|own| !own.is_empty())
        else {
            return Ok(());
        };
        let table = self.table.borrow().get(&self.uid).cloned().unwrap_or_default();
        let Some(instance) = table.latest(&target).filter(|one| one.runs()) else {
            return Err(format!("targetContainerName: container \"{target}\" does not run"));
        };
        let pid = match self.context.monitor.ask(&Request::Inspect { name: instance.id.clone() }).await {
            Ok(Reply::Container { summary, .. }) => summary.status.pid,
            _ => None,
        };
        let pid = pid.ok_or_else(|| format!("targetContainerName: container \"{target}\" does not run"))?;
        if let Some(sandbox) = &mut create.sandbox {
            sandbox
                .namespaces
                .push(Namespace { kind: NamespaceKind::Pid, path: Some(format!("/proc/{pid}/ns/pid")) });
        }
        Ok(())
    }

    /// Lets an instance run, by its ID and the number of its attempt.
    async fn start(
        &mut self,
        pod: &Arc<Pod>,
        sandbox: &Sandbox,
        container: &Container,
        (id, attempt): (&str, u32),
    ) {
        let events = self.context.events.clone();
        let of = Some(container.name.as_str());
        match self.context.monitor.run(id).await {
            Ok(true) => events.say(pod, of, true, "Started", "Container started"),
            Ok(false) => return,
            Err(error) => {
                self.count_failure(pod, &container.name, attempt, "RunContainerError");
                return events.say(pod, of, false, "Failed", format!("Error: {error}"));
            }
        }
        let Some(hook) = container.lifecycle.as_ref().and_then(|own| own.post_start.as_ref()) else { return };
        self.show_running(pod, sandbox).await;
        let address = self.address(Some(sandbox));
        let done = tokio::select! {
            done = hook_of(&self.context, pod, address, (container, id), hook, HOOK) => done,
            // Its end does not wait for a beginning.
            () = ended(self.wanted.clone()) => return,
        };
        if let Err(reason) = done {
            hooks::failed(&self.context, pod, container, "PostStart", &reason);
            self.note_failed(&container.name, attempt);
        }
    }

    /// Asks who the programs of containers run as.
    pub(super) async fn learn_users(&mut self, containers: &Containers) {
        self.users.retain(|id, _| containers.all().any(|one| one.id == *id));
        for one in containers.all().filter(|one| one.runs()) {
            if self.users.contains_key(&one.id) {
                continue;
            }
            if let Ok(Some(config)) = self.context.monitor.config(&one.id).await {
                self.users.extend(user(&config).map(|user| (one.id.clone(), user)));
            }
        }
    }

    /// Takes the last words of containers that have ended.
    pub(super) async fn read_messages(&mut self, pod: &Arc<Pod>, containers: &Containers) {
        self.messages.retain(|id, _| containers.all().any(|one| one.id == *id));
        for one in containers.all().filter(|one| one.has_ended()) {
            if !self.messages.contains_key(&one.id) {
                let (pod, uid, ended) = (pod.clone(), self.uid.clone(), one.clone());
                let read = spawn_blocking(move || logs::last_word(&pod, &uid, &ended));
                self.messages.insert(one.id.clone(), read.await.unwrap_or_default());
            }
        }
    }
}

/// A kubelet's name of the list that a container stands in.
fn kind_of(pod: &Pod, name: &str) -> &'static str {
    match pod.spec.as_ref().and_then(|spec| next::find(spec, name)) {
        Some((Kind::Main, _)) => "container",
        Some(_) => "init_container",
        None => "ephemeral_container",
    }
}

/// Who the program of a bundle runs as, in the pod's own users. The primary group is among the others, as containerd
/// tells it.
fn user(config: &str) -> Option<ContainerUser> {
    let user = serde_json::from_str::<Config>(config).ok()?.process?.user;
    let groups =
        [user.gid].into_iter().chain(user.additional_gids.into_iter().filter(|own| *own != user.gid));
    Some(ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid.into(),
            gid: user.gid.into(),
            supplemental_groups: Some(groups.map(i64::from).collect()),
        }),
    })
}

/// A kubelet's words for an image that is there, and how it came.
fn pulled(name: &str, fetched: Option<Fetched>) -> String {
    match fetched {
        None => {
            format!("Container image \"{name}\" already present on machine and can be accessed by the pod")
        }
        Some(Fetched { took, waited, bytes }) => format!(
            "Successfully pulled image \"{name}\" in {} ({} including waiting). Image size: {bytes} bytes.",
            duration::words(took),
            duration::words(waited)
        ),
    }
}

/// Volumes of a container that are images.
fn images<'a>(
    pod: &'a Pod,
    container: &'a Container,
) -> impl Iterator<Item = (&'a str, &'a ImageVolumeSource)> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mounts = |name: &str| container.volume_mounts.iter().flatten().any(|own| own.name == name);
    volumes
        .filter_map(|volume| Some((volume.name.as_str(), volume.image.as_ref()?)))
        .filter(move |own| mounts(own.0))
}

/// Returns once the pod is to end, by whoever's word.
pub(super) async fn ended(mut wanted: watch::Receiver<Wanted>) {
    loop {
        let ends = {
            let wanted = wanted.borrow_and_update();
            wanted.gone || wanted.ending.is_some() || wanted.pod.metadata.deletion_timestamp.is_some()
        };
        if ends || wanted.changed().await.is_err() {
            return;
        }
    }
}

/// A profile of the node's that the container names.
fn profile(pod: &Pod, container: &Container) -> Result<Option<Seccomp>, String> {
    let own = container.security_context.as_ref().and_then(|own| own.seccomp_profile.as_ref());
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.seccomp_profile.as_ref());
    let Some(file) =
        own.or(of_pod).filter(|own| own.type_ == "Localhost").and_then(|own| own.localhost_profile.as_ref())
    else {
        return Ok(None);
    };
    if Path::new(file).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(format!("seccompProfile: localhostProfile {file:?} is not a path below {PROFILES}"));
    }
    let path = Path::new(PROFILES).join(file);
    let text =
        fs::read(&path).map_err(|error| format!("read {}: {}", path.display(), sys::cause::cause(&error)))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| format!("read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::next::Ending;

    #[test]
    fn an_image_is_told_as_it_came() {
        let here = "Container image \"web:1\" already present on machine and can be accessed by the pod";
        assert_eq!(pulled("web:1", None), here);
        let [took, waited] = [1500, 61_000].map(Duration::from_millis);
        let words =
            "Successfully pulled image \"web:1\" in 1.5s (1m1s including waiting). Image size: 7 bytes.";
        assert_eq!(pulled("web:1", Some(Fetched { took, waited, bytes: 7 })), words);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_ends_a_pod_is_heard_while_it_begins() {
        let failed =
            Ending::Failed { reason: String::new(), message: String::new(), grace: 1, disrupted: true };
        let mut deleted = Pod::default();
        deleted.metadata.deletion_timestamp = Some(crate::pod::status::time(1));
        let wanted = Wanted { pod: Arc::default(), gone: false, picture: String::new(), ending: None };
        for (next, ends) in [
            (Wanted { picture: "p".into(), ..wanted.clone() }, false),
            (Wanted { gone: true, ..wanted.clone() }, true),
            (Wanted { pod: Arc::new(deleted), ..wanted.clone() }, true),
            (Wanted { ending: Some(failed), ..wanted.clone() }, true),
        ] {
            let (sender, receiver) = watch::channel(wanted.clone());
            sender.send_replace(next.clone());
            assert_eq!(timeout(HOOK, ended(receiver)).await.is_ok(), ends, "{next:?}");
        }
    }
}
