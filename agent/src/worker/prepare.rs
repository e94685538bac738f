//! What a pod's containers stand on: volumes and sandbox.

use super::begin::{PATIENCE, ended};
use super::{Worker, now};
use crate::pod::admission::{self, Refusal};
use crate::pod::affinity::Marks;
use crate::pod::env::{Files, Sources};
use crate::pod::names;
use crate::pod::observed::Sandbox;
use crate::sandbox;
use crate::server::stats::counts::Count;
use crate::server::stats::durations::DURATIONS;
use crate::static_pods::is_static;
use crate::volume::make::{self, Given, Made};
use crate::volume::nfs;
use crate::volume::payload::{self, Payload};
use crate::{sources, volume};
use k8s_openapi::api::core::v1::{AppArmorProfile, Node, PersistentVolume, Pod, Volume};
use k8s_openapi::api::node::v1::RuntimeClass;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// Why a pod ends that makes room for one of the cluster's own: the reason and a kubelet's words.
pub const PREEMPTING: (&str, &str) = ("Preempting", "Preempted in order to admit critical pod");

impl Worker {
    /// All containers begin anew in the sandbox that there is.
    pub(super) async fn renew(&mut self, pod: &Pod, sandbox: Option<Sandbox>) {
        let Some(Err(reason)) = sandbox.map(|sandbox| sandbox::renew(pod, sandbox)) else { return };
        crate::say::say(format_args!("{reason}"));
        self.wait(Some(now() + 1)).await;
    }

    pub(super) async fn make_sandbox(&mut self, pod: &Arc<Pod>) {
        let events = self.context.events.clone();
        if let Some((reason, message)) = self.refusal(pod).await {
            if admission::is_critical(pod) && admission::is_lack(&reason) && self.make_room(pod) {
                self.waiting.remove("");
                self.postpone("", "ContainerCreating", message, 1);
                return;
            }
            events.say(pod, None, false, &reason, message.clone());
            self.refused = Some((reason, message));
            return;
        }
        let volumes = match sandbox::make_folders(pod).await {
            Ok(()) => self.make_volumes(pod).await,
            failed => failed,
        };
        if let Err(reason) = volumes {
            events.say(pod, None, false, "FailedMount", reason.clone());
            self.postpone("", "ContainerCreating", reason, 1);
            return;
        }
        let mut names = self.context.names();
        if is_static(pod) {
            // It does not wait for the cluster.
            names.servers.get_or_insert_default();
        }
        let (begun, counts) = (Instant::now(), &self.context.stats.counts);
        let own_users = sandbox::users::are_own(pod);
        counts.add(Count::Pod);
        own_users.then(|| counts.add(Count::OwnUsers));
        let made = match self.runtime_class(pod).await {
            Ok(()) => sandbox::make(pod, &names, &self.context.own).await,
            Err(reason) => Err(reason),
        };
        DURATIONS.add_operation("run_podsandbox", begun.elapsed(), made.is_err());
        if made.is_err() {
            counts.add(Count::PodFailed);
            own_users.then(|| counts.add(Count::OwnUsersFailed));
        }
        match made {
            Ok((_, omitted)) => {
                omitted.into_iter().for_each(|(reason, words)| events.say(pod, None, false, reason, words));
                self.waiting.remove("");
                if self.has_run() {
                    let words = "Pod sandbox changed, it will be killed and re-created.";
                    events.say(pod, None, true, "SandboxChanged", words);
                }
            }
            Err(reason) => {
                events.say(
                    pod,
                    None,
                    false,
                    "FailedCreatePodSandBox",
                    format!("Failed to create pod sandbox: {reason}"),
                );
                self.postpone("", "ContainerCreating", reason, 1);
            }
        }
    }

    /// There is one runtime here, whatever a class calls it; a class of another is refused.
    async fn runtime_class(&self, pod: &Pod) -> Result<(), String> {
        let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
        let Some(name) = class.filter(|name| !name.is_empty()) else { return Ok(()) };
        let classes: kube::Api<RuntimeClass> = kube::Api::all(self.context.api.client());
        let class = classes.get(name).await;
        let class =
            class.map_err(|error| format!("RuntimeClass \"{name}\": {}", crate::api::words(&error)))?;
        match class.handler.as_str() {
            "" | "skerry" | "runc" => Ok(()),
            handler => Err(format!("no runtime for \"{handler}\" is configured")),
        }
    }

    /// There are containers of it.
    fn has_run(&self) -> bool {
        self.table.borrow().get(&self.uid).is_some_and(|own| own.all().next().is_some())
    }

    /// Why this node does not run a pod that has not begun.
    async fn refusal(&mut self, pod: &Arc<Pod>) -> Option<Refusal> {
        if self.has_run() {
            return None;
        }
        if let Some((reason, message)) = unfit(pod, &self.context.own.cluster.allowed_sysctls) {
            return Some((reason.to_owned(), message));
        }
        if let Some(refusal) = admission::refusal_under(pod, self.context.standing.borrow().pressures) {
            return Some(refusal);
        }
        // Who was let in stays, whatever the node has become.
        if !self.resources.is_let_in()
            && let Some(refusal) = self.unsuited(pod).await
        {
            return Some(refusal);
        }
        let most = self.context.own.cluster.max_pods;
        let refusal = self.context.allocations.all().admit(pod, most, self.context.allocatable());
        if refusal.is_none() {
            self.context.allocations.weigh();
            self.allocate(pod);
        }
        refusal
    }

    /// Why a pod asks for another node. Before the API server has told of this one, nobody knows better than who sent it.
    async fn unsuited(&self, pod: &Pod) -> Option<Refusal> {
        let marks = self.context.allocations.marks()?;
        if marks.suits(pod) {
            return marks.refusal(pod);
        }
        // It may have been given a label for this pod just now.
        let nodes: kube::Api<Node> = kube::Api::all(self.context.api.client());
        let now = nodes.get(&self.context.own.name).await;
        now.map_or(marks, |node| Marks::of(&node)).refusal(pod)
    }

    /// Has others end in place of a pod that is refused for lack of something; says whether that helps.
    fn make_room(&self, pod: &Arc<Pod>) -> bool {
        let (context, most) = (&self.context, self.context.own.cluster.max_pods);
        let chosen = context.allocations.make_room(pod, most, context.allocatable());
        for one in chosen.iter().flatten() {
            context.events.say(one, None, false, PREEMPTING.0, PREEMPTING.1);
        }
        chosen.is_some()
    }

    /// Makes all volumes; those that are made are found.
    pub(super) async fn make_volumes(&mut self, pod: &Pod) -> Result<(), String> {
        let mut payloads = BTreeMap::new();
        for (name, files) in self.payloads(pod).await.map_err(|reason| failed(None, &reason))? {
            let files = files.map_err(|reason| failed(Some(&name), &reason))?;
            payloads.insert(name, files);
        }
        let claimed = self.claimed(pod).await.map_err(|reason| failed(None, &reason))?;
        self.volume_groups = claimed.values().filter_map(sources::group).collect();
        let memory = self.context.allocatable().memory;
        let given = Arc::new(Given { payloads, claimed, memory, given_up: AtomicBool::new(false) });
        let shared = Arc::new(pod.clone());
        let mut made: BTreeMap<String, Made> = BTreeMap::new();
        // Images are fetched when a container wants them: they are what its state speaks of.
        let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for one in all.filter(|one| one.image.is_none()) {
            if let Some(share) = nfs::share(one, given.claimed.get(&one.name)) {
                if sandbox::users::are_own(pod) {
                    let words = "NFS knows no ID-mapped mounts: a pod with its own users (hostUsers: false) cannot have it";
                    return Err(failed(Some(&one.name), words));
                }
                let ended = ended(self.wanted.clone());
                let mounted = nfs::mount(&self.uid, &one.name, &share, ended).await;
                mounted.map_err(|reason| failed(Some(&one.name), &reason))?;
            }
            let own = self.make_volume(&shared, one, &given).await;
            made.insert(one.name.clone(), own.map_err(|reason| failed(Some(&one.name), &reason))?);
        }
        (self.volumes, self.refreshed) = (Some(made), Instant::now());
        Ok(())
    }

    /// Makes one volume. It may have many files that are to be given to the pod's group, or lie on a server that does not answer;
    /// whoever ends the pod need not wait for it.
    async fn make_volume(&self, pod: &Arc<Pod>, volume: &Volume, given: &Arc<Given>) -> Result<Made, String> {
        let parts = (pod.clone(), volume.clone(), given.clone());
        let mut made = spawn_blocking(move || make::volume(&parts.0, &parts.1, &parts.2));
        let ended = ended(self.wanted.clone());
        tokio::pin!(ended);
        loop {
            tokio::select! {
                made = &mut made => return made.map_err(|error| error.to_string())?,
                () = &mut ended => {
                    // Another pod may have it next.
                    given.given_up.store(true, Ordering::Relaxed);
                    return Err(make::ENDED.to_owned());
                }
                () = sleep(PATIENCE) => {
                    let words = format!("it is not made yet after {PATIENCE:?}");
                    self.context.events.say(pod, None, false, "FailedMount", failed(Some(&volume.name), &words));
                }
            }
        }
    }

    /// Watches what the files of volumes are made of.
    pub(super) fn follow_sources(&mut self, pod: &Pod) {
        let needed: Vec<_> = payloads(pod).flat_map(payload::needed).collect();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let context = &self.context;
        self.used.follow(&context.sources.watches, &context.api, namespace, &needed);
    }

    /// Files of volumes that have theirs from the API server, or what is missing of one.
    async fn payloads(&mut self, pod: &Pod) -> Result<BTreeMap<String, Result<Payload, String>>, String> {
        let context = self.context.clone();
        let on_node = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let addresses = match on_node {
            true => context.own.addresses.clone(),
            false => sandbox::find(pod).map(|own| own.addresses).unwrap_or_default(),
        };
        self.follow_sources(pod);
        let (maps, secrets) = self.used.data().await?;
        let mut payloads = BTreeMap::new();
        for one in self::payloads(pod) {
            let tokens = context.sources.tokens(&context.api, pod, &payload::tokens(one)).await;
            let from = Sources {
                config_maps: &maps,
                secrets: &secrets,
                files: &Files::new(),
                services: &BTreeMap::new(),
                pod: &addresses,
                node: &context.own.addresses,
                allocatable: context.allocatable(),
            };
            let files = tokens.and_then(|tokens| payload::payload(pod, one, &from, &tokens));
            payloads.insert(one.name.clone(), files);
        }
        Ok(payloads)
    }

    async fn claimed(&self, pod: &Pod) -> Result<BTreeMap<String, PersistentVolume>, String> {
        let mut claimed = BTreeMap::new();
        for one in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            if let Some(claim) = make::claim(pod, one) {
                let is_own = one.persistent_volume_claim.is_none();
                let volume = sources::claimed(&self.context.api, pod, &claim, is_own).await?;
                claimed.insert(one.name.clone(), volume);
            }
        }
        Ok(claimed)
    }

    /// What volumes are made of says something else by now.
    pub(super) async fn sources_changed(&mut self) {
        match self.waiting.get_mut("") {
            // It may be what was missing.
            Some(waiting) => waiting.until = now(),
            None => self.refresh_volumes().await,
        }
    }

    /// Labels and annotations are among what volumes are made of.
    pub(super) async fn refresh_downward(&mut self) {
        let pod = self.resources.on(&self.wanted.borrow().pod);
        if self.volumes.is_some() && payloads(&pod).any(payload::has_fields) {
            self.refresh_volumes().await;
        }
    }

    /// Files whose source has changed change, too; when the source cannot be read, or is gone, they stay.
    pub(super) async fn refresh_volumes(&mut self) {
        let pod = self.resources.on(&self.wanted.borrow().pod);
        self.refreshed = Instant::now();
        if pod.metadata.deletion_timestamp.is_some() || self.is_emptied {
            return;
        }
        let failures = match self.payloads(&pod).await {
            Ok(payloads) => write(&pod, payloads),
            Err(reason) => vec![failed(None, &reason)],
        };
        for reason in failures {
            self.context.events.say(&pod, None, false, "FailedMount", reason);
        }
    }

    /// Environment of Services. Until the API server has told of them it is as the pod had it before this agent;
    /// a static pod may have to do without.
    pub(super) fn service_env(&self, pod: &Pod) -> Result<BTreeMap<String, String>, String> {
        let path = volume::place::pod(&self.uid).join("services.json");
        let before = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let Some(services) = self.context.services() else {
            return match before {
                Some(env) => Ok(env),
                None if is_static(pod) => Ok(BTreeMap::new()),
                None => {
                    Err("services have not yet been read at least once, cannot construct envvars".to_owned())
                }
            };
        };
        let env = names::services(pod, services.values().map(|own| &**own));
        if before.as_ref() != Some(&env) {
            let text = serde_json::to_vec(&env).map_err(|error| error.to_string())?;
            sys::file::replace(&path, &text)
                .map_err(|error| format!("write {}: {}", path.display(), sys::cause::cause(&error)))?;
        }
        Ok(env)
    }
}

/// A kubelet's words for a volume that cannot be made.
fn failed(volume: Option<&str>, reason: &str) -> String {
    let of = volume.map(|name| format!(" for volume \"{name}\" ")).unwrap_or_default();
    format!("MountVolume.SetUp failed{of}: {reason}")
}

/// Writes what volumes are made of by now, as far as it is there; gives what is not, one by one.
fn write(pod: &Pod, mut payloads: BTreeMap<String, Result<Payload, String>>) -> Vec<String> {
    let one = |volume: &Volume| {
        let files = payloads.remove(&volume.name)?;
        let made = files.and_then(|files| {
            let payloads = BTreeMap::from([(volume.name.clone(), files)]);
            make::volume(pod, volume, &Given { payloads, ..Given::default() })
        });
        made.err().map(|reason| failed(Some(&volume.name), &reason))
    };
    self::payloads(pod).filter_map(one).collect()
}

/// Volumes that have their files from the API server and from the pod itself.
pub(super) fn payloads(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter(|one| payload::is_payload(one))
}

/// Whether a container of the pod is to be confined by AppArmor, in today's fields or as an annotation.
fn wants_apparmor(pod: &Pod) -> bool {
    const NOTE: &str = "container.apparmor.security.beta.kubernetes.io/";
    let confines = |profile: Option<&AppArmorProfile>| profile.is_some_and(|own| own.type_ != "Unconfined");
    let spec = pod.spec.as_ref();
    let of_pod = spec.and_then(|spec| spec.security_context.as_ref()?.app_armor_profile.as_ref());
    let mut containers = spec.into_iter().flat_map(crate::pod::next::containers);
    let mut notes = pod.metadata.annotations.iter().flatten();
    confines(of_pod)
        || containers.any(|(_, own)| {
            confines(own.security_context.as_ref().and_then(|own| own.app_armor_profile.as_ref()))
        })
        || notes.any(|(key, value)| key.starts_with(NOTE) && value != "unconfined")
}

/// What of a pod this node never runs: the reason and the words.
fn unfit(pod: &Pod, sysctls: &[String]) -> Option<(&'static str, String)> {
    let spec = pod.spec.as_ref()?;
    if let Some(reason) = sandbox::forbidden(pod, sysctls) {
        return Some(("SysctlForbidden", reason));
    }
    if wants_apparmor(pod) {
        return Some(("AppArmor", "Cannot enforce AppArmor: this node has no AppArmor profiles".to_owned()));
    }
    let os = spec.os.as_ref().map(|os| os.name.as_str()).filter(|name| *name != "linux");
    os.map(|name| {
        ("PodOSNotSupported", format!("Failed to admit pod as the OS field doesn't match node OS: {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reason(metadata: Value, spec: Value) -> Option<&'static str> {
        let pod = serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
        unfit(&pod, &[]).map(|(reason, _)| reason)
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        let profile = |kind: &str| json!({ "appArmorProfile": { "type": kind } });
        let of_pod =
            |kind: &str| reason(json!({}), json!({ "containers": [], "securityContext": profile(kind) }));
        assert_eq!([of_pod("RuntimeDefault"), of_pod("Unconfined")], [Some("AppArmor"), None]);
        let of_container = |kind: &str| {
            reason(json!({}), json!({ "containers": [{ "name": "c", "securityContext": profile(kind) }] }))
        };
        assert_eq!([of_container("Localhost"), of_container("Unconfined")], [Some("AppArmor"), None]);
        let noted = |value: &str| {
            let notes =
                json!({ "annotations": { "container.apparmor.security.beta.kubernetes.io/c": value } });
            reason(notes, json!({ "containers": [] }))
        };
        assert_eq!([noted("runtime/default"), noted("unconfined")], [Some("AppArmor"), None]);
        assert_eq!(
            reason(json!({}), json!({ "containers": [], "os": { "name": "windows" } })),
            Some("PodOSNotSupported")
        );
    }
}
