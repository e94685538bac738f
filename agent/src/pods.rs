//! The node's pods: a worker for each UID, from the API server's list and from what lies on this node.
//!
//! ```text
//! pod.json of those that were here ─┐
//! watch spec.nodeName=NAME ─────────┴─▶ UID ─▶ worker
//! ```
//!
//! A pod that the API server has no more is ended; so is what lies here of one that nobody names.

use crate::api::{self, Api};
use crate::say::{Trouble, say};
use crate::static_pods::{is_static, mirrored};
use crate::volume::place;
use crate::worker::{self, Context, Wanted};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two attempts while the API server is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Static pods by UID.
pub type Static = Arc<BTreeMap<String, Arc<Pod>>>;

/// Pictures of static pods at the API server, by their own UID; none before its first word.
pub type Known = Option<Arc<BTreeMap<String, Arc<Pod>>>>;

struct Hand {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Hand {
    fn is_static(&self) -> bool {
        is_static(&self.wanted.borrow().pod)
    }
}

/// Workers by UID.
struct Pods {
    context: Arc<Context>,
    hands: BTreeMap<String, Hand>,
    mirrors: watch::Sender<Known>,
}

/// Looks after the node's pods for ever.
pub async fn keep(context: Arc<Context>, mut own: watch::Receiver<Static>, mirrors: watch::Sender<Known>) {
    let mut pods = Pods { context: context.clone(), hands: BTreeMap::new(), mirrors };
    // Workers must see what runs before they begin anything.
    let mut trouble = Trouble::default();
    while trouble.of("ask the monitor for containers", context.table.refresh().await).is_none() {
        sleep(PAUSE).await;
    }
    recorded().into_iter().for_each(|pod| pods.take(pod));
    pods.take_static(&own.borrow_and_update().clone());
    let mut trouble = Trouble::default();
    loop {
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", context.own.name));
        let mut events = std::pin::pin!(watcher(kube::Api::<Pod>::all(context.api.client()), config));
        let mut listed = BTreeSet::new();
        let replaced = context.api.replaced();
        let mut replaced = std::pin::pin!(replaced);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut replaced => break,
                Ok(()) = own.changed() => {
                    pods.take_static(&own.borrow_and_update().clone());
                    continue;
                }
            };
            match event {
                None => break,
                Some(Ok(event)) => {
                    // A list that has only begun may fail yet.
                    if !matches!(event, Event::Init) {
                        let _ = trouble.of("watch pods", Ok(()));
                    }
                    pods.see(event, &mut listed);
                }
                Some(Err(error)) => {
                    trouble.of::<()>("watch pods", Err(words(&error)));
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One line of what is wrong with a watch.
pub fn words(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => api::words(error),
        other => other.to_string(),
    }
}

/// Pods that were here when an agent before this one was ended.
fn recorded() -> Vec<Pod> {
    let folders = fs::read_dir(place::PODS).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| serde_json::from_slice(&fs::read(folder.path().join("pod.json")).ok()?).ok())
        .collect()
}

impl Pods {
    fn see(&mut self, event: Event<Pod>, listed: &mut BTreeSet<String>) {
        let Some(event) = self.picture(event) else { return };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) => {
                listed.extend(pod.metadata.uid.clone());
                self.take(pod);
            }
            Event::InitDone => {
                let gone: Vec<String> = self
                    .hands
                    .iter()
                    .filter(|(uid, hand)| !listed.contains(*uid) && !hand.is_static())
                    .map(|(uid, _)| uid.clone())
                    .collect();
                gone.iter().for_each(|uid| self.gone(uid));
                self.end_strays(listed);
            }
            Event::Apply(pod) => self.take(pod),
            Event::Delete(pod) => self.gone(pod.metadata.uid.as_deref().unwrap_or_default()),
        }
        self.hands.retain(|_, hand| !hand.task.is_finished());
    }

    /// Takes what is about the picture of a static pod; gives everything else back.
    fn picture(&mut self, event: Event<Pod>) -> Option<Event<Pod>> {
        let (pod, there) = match event {
            Event::Apply(pod) | Event::InitApply(pod) if mirrored(&pod).is_some() => (pod, true),
            Event::Delete(pod) if mirrored(&pod).is_some() => (pod, false),
            Event::Init => {
                // Those that are still there come again.
                self.mirrors.send_modify(|known| *known = known.take().map(|_| Arc::default()));
                return Some(Event::Init);
            }
            Event::InitDone => {
                self.mirrors.send_modify(|known| {
                    known.get_or_insert_default();
                });
                return Some(Event::InitDone);
            }
            event => return Some(event),
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some(hand) = mirrored(&pod).and_then(|own| self.hands.get(own)).filter(|_| there) {
            hand.wanted.send_if_modified(|wanted| {
                let changes = wanted.picture != uid;
                wanted.picture.clone_from(&uid);
                changes
            });
        }
        self.mirrors.send_modify(|known| {
            let all = Arc::make_mut(known.get_or_insert_default());
            if there {
                all.insert(uid, Arc::new(pod))
            } else {
                all.remove(&uid)
            };
        });
        None
    }

    /// Static pods are these, and no others.
    fn take_static(&mut self, own: &Static) {
        own.values().for_each(|pod| self.take(Pod::clone(pod)));
        let gone: Vec<String> = self
            .hands
            .iter()
            .filter(|(uid, hand)| hand.is_static() && !own.contains_key(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.iter().for_each(|uid| self.gone(uid));
    }

    /// A pod as it is wanted by now.
    fn take(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let pod = Arc::new(pod);
        if let Some(hand) = self.hands.get(&uid).filter(|hand| !hand.task.is_finished()) {
            hand.wanted.send_if_modified(|wanted| {
                // Its status is ours: what the API server says of it is an echo.
                let echo = wanted.pod.spec == pod.spec
                    && wanted.pod.metadata.deletion_timestamp == pod.metadata.deletion_timestamp
                    && wanted.pod.metadata.labels == pod.metadata.labels
                    && wanted.pod.metadata.annotations == pod.metadata.annotations
                    && gates(&wanted.pod) == gates(&pod);
                wanted.pod = pod;
                !echo
            });
            return;
        }
        let (wanted, receiver) =
            watch::channel(Wanted { pod, gone: false, picture: String::new(), ending: None });
        let task = tokio::spawn(worker::run(self.context.clone(), uid.clone(), receiver));
        self.hands.insert(uid, Hand { wanted, task });
    }

    fn gone(&mut self, uid: &str) {
        if let Some(hand) = self.hands.get(uid) {
            hand.wanted.send_if_modified(|wanted| !std::mem::replace(&mut wanted.gone, true));
        }
    }

    /// Containers of pods that nobody names, and whose record is gone.
    fn end_strays(&mut self, listed: &BTreeSet<String>) {
        let table = self.context.table.subscribe().borrow().clone();
        for uid in table
            .keys()
            .filter(|uid| !listed.contains(*uid) && !self.hands.contains_key(*uid))
            .cloned()
            .collect::<Vec<_>>()
        {
            say(format_args!("pod {uid}: the API server does not know it: it is ended"));
            let mut pod = Pod::default();
            pod.metadata.uid = Some(uid.clone());
            pod.spec = Some(Default::default());
            self.take(pod);
            self.gone(&uid);
        }
    }
}

/// Conditions of others, which readiness gates are about.
fn gates(pod: &Pod) -> Vec<(String, String)> {
    const OURS: [&str; 5] =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    all.filter(|one| !OURS.contains(&one.type_.as_str()))
        .map(|one| (one.type_.clone(), one.status.clone()))
        .collect()
}

/// Keeps what the API server says of a kind of object, for ever.
pub async fn mirror<K, V>(
    api: &Api,
    what: &str,
    config: watcher::Config,
    of: impl Fn(K) -> Option<V>,
    kept: &watch::Sender<Arc<BTreeMap<(String, String), V>>>,
) where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
    V: Clone,
{
    let mut trouble = Trouble::default();
    loop {
        let mut events = std::pin::pin!(watcher(kube::Api::<K>::all(api.client()), config.clone()));
        let mut replaced = std::pin::pin!(api.replaced());
        let mut listed = BTreeMap::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut replaced => break,
            };
            let key = |object: &K| {
                (
                    object.meta().namespace.clone().unwrap_or_default(),
                    object.meta().name.clone().unwrap_or_default(),
                )
            };
            match event {
                None => break,
                Some(Ok(event)) => {
                    if !matches!(event, Event::Init) {
                        let _ = trouble.of(what, Ok(()));
                    }
                    match event {
                        Event::Init => listed = BTreeMap::new(),
                        Event::InitApply(object) => {
                            let key = key(&object);
                            listed.extend(of(object).map(|own| (key, own)));
                        }
                        Event::InitDone => drop(kept.send_replace(Arc::new(std::mem::take(&mut listed)))),
                        Event::Apply(object) => {
                            let key = key(&object);
                            kept.send_modify(|all| {
                                let all = Arc::make_mut(all);
                                match of(object) {
                                    Some(own) => all.insert(key, own),
                                    None => all.remove(&key),
                                };
                            });
                        }
                        Event::Delete(object) => {
                            kept.send_modify(|all| drop(Arc::make_mut(all).remove(&key(&object))))
                        }
                    }
                }
                Some(Err(error)) => {
                    trouble.of::<()>(what, Err(words(&error)));
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
