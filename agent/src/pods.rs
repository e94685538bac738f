//! The node's pods: a worker for each UID, from the API server's list and from what lies on this node.
//!
//! ```text
//! pod.json of those that were here ─┐
//! watch spec.nodeName=NAME ─────────┴─▶ UID ─▶ worker
//! ```
//!
//! A pod that the API server has no more is ended; so is what lies here of one that nobody names.

use crate::api::{self, Api};
use crate::evict;
use crate::objects;
use crate::pod::next::Ending;
use crate::pod::status;
use crate::say::{Trouble, say};
use crate::static_pods::{disown, is_static, mirrored, one_of_each};
use crate::volume::place;
use crate::worker::{self, Context, Wanted};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::watcher::{self, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Static pods by UID; none before their folder could be read.
pub type Static = Option<Arc<BTreeMap<String, Arc<Pod>>>>;

/// Pictures of static pods at the API server, by their own UID; none before its first word.
pub type Known = Option<Arc<BTreeMap<String, Arc<Pod>>>>;

/// Workers by UID, until nothing is left of their pods.
struct Pods {
    context: Arc<Context>,
    hands: BTreeMap<String, watch::Sender<Wanted>>,
    /// Who has come to the end.
    ended: mpsc::UnboundedSender<String>,
    /// Static pods, as the folder has them now.
    own: Static,
    /// Those of them that are taken.
    taken: watch::Sender<Static>,
    /// Names that more than one of them has.
    waiting: BTreeSet<String>,
    mirrors: watch::Sender<Known>,
    /// Who was in the list that is being read.
    listed: BTreeSet<String>,
}

/// Looks after the node's pods for ever. Those that were here and static ones go on at once; the API server's are this
/// node's once it is `registered`: another machine may have its name.
pub async fn keep(
    context: Arc<Context>,
    mut registered: watch::Receiver<Option<OwnerReference>>,
    mut own: watch::Receiver<Static>,
    mut evicted: mpsc::Receiver<evict::Order>,
    mirrors: watch::Sender<Known>,
    taken: watch::Sender<Static>,
) {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let mut pods = Pods {
        context: context.clone(),
        hands: BTreeMap::new(),
        ended: sender,
        own: Static::default(),
        taken,
        waiting: BTreeSet::new(),
        mirrors,
        listed: BTreeSet::new(),
    };
    // Workers must see what runs before they begin anything.
    let mut trouble = Trouble::default();
    while trouble.of("ask the monitor for containers", context.table.refresh().await).is_none() {
        trouble.pause().await;
    }
    let before: Vec<Arc<Pod>> = recorded().into_iter().map(Arc::new).collect();
    // What each has must be known before the first of them is asked whether there is room for more.
    for own in before.iter().filter_map(worker::allocated_before) {
        context.allocations.all().put(&own);
    }
    context.allocations.weigh();
    before.into_iter().for_each(|pod| pods.take(Arc::unwrap_or_clone(pod)));
    pods.have_static(&own.borrow_and_update());
    let mut leaving = context.allocations.leaving();
    let (sender, mut seen) = mpsc::channel(1);
    let look = async {
        // It fails only with whoever tells of it, and then there is nothing to look after.
        if registered.wait_for(Option::is_some).await.is_ok() {
            let own = watcher::Config::default().fields(&format!("metadata.name={}", context.own.name));
            let known = |node: Node| Some(Arc::new(without_images(node)));
            let node = mirror(&context.api, "watch this node", own, known, &context.allocations.node);
            tokio::join!(follow(&context, &sender), node);
        }
    };
    let hear = async {
        loop {
            tokio::select! {
                Some(event) = seen.recv() => pods.see(event),
                Ok(()) = own.changed() => pods.have_static(&own.borrow_and_update()),
                Some(uid) = ended.recv() => pods.let_go(&uid),
                Some((uid, ending)) = evicted.recv() => pods.end(&uid, ending),
                Ok(()) = leaving.changed() => pods.make_room(&leaving.borrow_and_update()),
                else => return,
            }
        }
    };
    tokio::join!(look, hear);
}

/// Tells what the API server says of the node's pods, for ever; what is done for them does not wait for it.
async fn follow(context: &Context, seen: &mpsc::Sender<Event<Pod>>) {
    let mut trouble = Trouble::default();
    loop {
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", context.own.name));
        let mut events = objects::watch::<Pod>(context.api.client(), None, config);
        let mut replaced = std::pin::pin!(context.api.replaced());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut replaced => break,
            };
            match event {
                None => break,
                Some(Ok(event)) => {
                    // A list that has not ended may fail yet.
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
                        let _ = trouble.of("watch pods", Ok(()));
                    }
                    if seen.send(event).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    trouble.of::<()>("watch pods", Err(words(&error)));
                    trouble.pause().await;
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

/// This node knows its own images, and they are the most of the object.
fn without_images(mut node: Node) -> Node {
    node.metadata.managed_fields = None;
    if let Some(status) = &mut node.status {
        status.images = None;
    }
    node
}

/// Pods that were here when an agent before this one was ended.
pub fn recorded() -> Vec<Pod> {
    let folders = fs::read_dir(place::PODS).into_iter().flatten().flatten();
    folders
        .filter_map(|folder| {
            serde_json::from_str(&fs::read_to_string(folder.path().join("pod.json")).ok()?).ok()
        })
        .collect()
}

impl Pods {
    fn see(&mut self, event: Event<Pod>) {
        let Some(mut event) = self.picture(event) else { return };
        if let Event::InitApply(pod) | Event::Apply(pod) = &mut event {
            disown(pod);
        }
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.take(pod);
            }
            Event::InitDone => {
                let gone: Vec<String> = self
                    .hands
                    .iter()
                    .filter(|(uid, hand)| !self.listed.contains(*uid) && !is_static(&hand.borrow().pod))
                    .map(|(uid, _)| uid.clone())
                    .collect();
                gone.iter().for_each(|uid| self.gone(uid));
                self.end_strays();
            }
            Event::Apply(pod) => self.take(pod),
            Event::Delete(pod) => self.gone(pod.metadata.uid.as_deref().unwrap_or_default()),
        }
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
            hand.send_if_modified(|wanted| {
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

    /// These are the static pods of the folder by now.
    fn have_static(&mut self, own: &Static) {
        self.own = own.clone();
        self.take_static();
    }

    /// Static pods are those of the folder, and no others, one of each name. One that takes another's name waits until that one has
    /// ended, as one does that is there again while it ends.
    fn take_static(&mut self) {
        let Some(all) = self.own.clone() else { return };
        let (own, waiting) = one_of_each(&all, |uid| self.hands.contains_key(uid));
        for name in waiting.difference(&self.waiting) {
            say(format_args!(
                "static pod {name}: more than one file has it: the others wait until one has gone"
            ));
        }
        self.waiting = waiting;
        let own = Arc::new(own);
        self.taken.send_if_modified(|taken| {
            let changes = taken.as_ref() != Some(&own);
            *taken = Some(own.clone());
            changes
        });
        let gone: Vec<String> = self
            .hands
            .iter()
            .filter(|(uid, hand)| is_static(&hand.borrow().pod) && !own.contains_key(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.iter().for_each(|uid| self.gone(uid));
        for pod in own.values() {
            let name = full_name(pod);
            let ends = |hand: &watch::Sender<Wanted>| {
                let wanted = hand.borrow();
                wanted.gone && is_static(&wanted.pod) && full_name(&wanted.pod) == name
            };
            if !self.hands.values().any(ends) {
                self.take(Pod::clone(pod));
            }
        }
    }

    /// Nothing is left of a pod.
    fn let_go(&mut self, uid: &str) {
        self.hands.remove(uid);
        self.take_static();
    }

    /// A pod as it is wanted by now.
    fn take(&mut self, mut pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        if let Some(hand) = self.hands.get(&uid) {
            hand.send_if_modified(|wanted| {
                remember(&wanted.pod, &mut pod);
                // The rest of its status is ours: what the API server says of it is an echo.
                let echo = wanted.pod.spec == pod.spec
                    && wanted.pod.metadata.deletion_timestamp == pod.metadata.deletion_timestamp
                    && wanted.pod.metadata.labels == pod.metadata.labels
                    && wanted.pod.metadata.annotations == pod.metadata.annotations
                    && conditions(&wanted.pod) == conditions(&pod);
                wanted.pod = Arc::new(pod);
                !echo
            });
            return;
        }
        // Nothing of it is here any more, and somebody's finalizer keeps it: what was told of it is its last word.
        if is_kept(&pod) && !place::pod(&uid).exists() {
            return;
        }
        let pod = Arc::new(pod);
        let (wanted, receiver) =
            watch::channel(Wanted { pod, gone: false, picture: String::new(), ending: None });
        let (context, ended, own) = (self.context.clone(), self.ended.clone(), uid.clone());
        tokio::spawn(async move {
            worker::run(context, own.clone(), receiver).await;
            let _ = ended.send(own);
        });
        self.hands.insert(uid, wanted);
    }

    fn gone(&mut self, uid: &str) {
        if let Some(hand) = self.hands.get(uid) {
            hand.send_if_modified(|wanted| !std::mem::replace(&mut wanted.gone, true));
        }
    }

    /// A pod is to end, by a word of this node's.
    fn end(&mut self, uid: &str, ending: Ending) {
        if let Some(hand) = self.hands.get(uid) {
            hand.send_modify(|wanted| wanted.ending = Some(ending));
        }
    }

    /// These end so that one of the cluster's own has room.
    fn make_room(&mut self, leaving: &BTreeSet<String>) {
        let ending = |pod: &Pod| Ending::Failed {
            reason: worker::PREEMPTING.0.to_owned(),
            message: worker::PREEMPTING.1.to_owned(),
            grace: worker::of_spec(pod),
            disrupted: true,
        };
        for hand in leaving.iter().filter_map(|uid| self.hands.get(uid)) {
            hand.send_if_modified(|wanted| {
                let ends = wanted.ending.is_none();
                if ends {
                    wanted.ending = Some(ending(&wanted.pod));
                }
                ends
            });
        }
    }

    /// Containers of pods that nobody names, and whose record is gone.
    fn end_strays(&mut self) {
        let table = self.context.table.subscribe().borrow().clone();
        for uid in table
            .keys()
            .filter(|uid| !self.listed.contains(*uid) && !self.hands.contains_key(*uid))
            .cloned()
            .collect::<Vec<_>>()
        {
            say(format_args!("pod {uid}: the API server does not know it: it is ended"));
            let mut pod = Pod::default();
            pod.metadata.uid = Some(uid.clone());
            // As kubelets end what they know nothing of.
            pod.spec = Some(PodSpec { termination_grace_period_seconds: Some(1), ..PodSpec::default() });
            self.take(pod);
            self.gone(&uid);
        }
    }
}

/// A file says nothing of what became of its pod: that stays as it is on record. One that never ran may have been
/// refused, and is asked for anew.
fn remember(before: &Pod, pod: &mut Pod) {
    if pod.status.is_none() {
        pod.status = before.status.clone().filter(|own| !status::is_over(own) || status::has_run(own));
    }
}

/// It is over, and only a finalizer keeps it at the API server.
fn is_kept(pod: &Pod) -> bool {
    let metadata = &pod.metadata;
    let deleted = metadata.deletion_timestamp.is_some() && metadata.deletion_grace_period_seconds == Some(0);
    deleted && status::is_terminal(pod)
}

fn full_name(pod: &Pod) -> (Option<&str>, Option<&str>) {
    (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref())
}

/// Conditions: those of others, which readiness gates are about, and ours, which somebody else may have changed.
fn conditions(pod: &Pod) -> Vec<(&str, &str)> {
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    all.map(|one| (one.type_.as_str(), one.status.as_str())).collect()
}

/// Keeps what the API server says of a kind of object, for ever. Who looks on hears of what changes what is kept of it:
/// a pod's status says something every few seconds.
pub async fn mirror<K, V>(
    api: &Api,
    what: &str,
    config: watcher::Config,
    of: impl Fn(K) -> Option<V>,
    kept: &watch::Sender<Arc<BTreeMap<(String, String), V>>>,
) where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
    V: Clone + PartialEq,
{
    let mut trouble = Trouble::default();
    loop {
        let mut events = objects::watch::<K>(api.client(), None, config.clone());
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
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
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
                            kept.send_if_modified(|all| put(all, key, of(object)));
                        }
                        Event::Delete(object) => {
                            kept.send_if_modified(|all| put(all, key(&object), None));
                        }
                    }
                }
                Some(Err(error)) => {
                    trouble.of::<()>(what, Err(words(&error)));
                    trouble.pause().await;
                }
            }
        }
    }
}

/// Puts what is kept of an object by now in its place; tells whether it is another.
fn put<K: Clone + Ord, V: Clone + PartialEq>(all: &mut Arc<BTreeMap<K, V>>, key: K, now: Option<V>) -> bool {
    let changes = all.get(&key) != now.as_ref();
    if changes {
        let all = Arc::make_mut(all);
        match now {
            Some(now) => all.insert(key, now),
            None => all.remove(&key),
        };
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_looks_on_hears_of_changes_alone() {
        let kept = watch::Sender::new(Arc::new(BTreeMap::from([("a", 1)])));
        let mut seen = kept.subscribe();
        let mut heard = |key, now| {
            kept.send_if_modified(|all| put(all, key, now));
            let heard = seen.has_changed().unwrap();
            seen.mark_unchanged();
            heard
        };
        let told = [("a", Some(1)), ("a", Some(2)), ("b", None), ("b", Some(1)), ("b", None), ("b", None)];
        assert_eq!(told.map(|(key, now)| heard(key, now)), [false, true, false, true, true, false]);
    }

    #[test]
    fn what_became_of_a_static_pod_is_remembered() {
        let pod = |status: serde_json::Value| -> Pod {
            serde_json::from_value(json!({ "metadata": { "uid": "u" }, "status": status })).unwrap()
        };
        let of = |before: serde_json::Value| {
            let mut file = Pod::default();
            remember(&pod(before), &mut file);
            file.status.and_then(|own| own.phase)
        };
        let ran = json!([{ "name": "m", "containerID": "skerry://1", "ready": true }]);
        let never = json!([{ "name": "m", "ready": false }]);
        assert_eq!(of(json!({ "phase": "Running", "containerStatuses": ran })).as_deref(), Some("Running"));
        assert_eq!(of(json!({ "phase": "Pending", "containerStatuses": never })).as_deref(), Some("Pending"));
        assert_eq!(of(json!({ "phase": "Failed", "containerStatuses": ran })).as_deref(), Some("Failed"));
        assert_eq!(of(json!({ "phase": "Failed", "containerStatuses": never })), None, "it was refused");
        let mut own = pod(json!({ "phase": "Failed" }));
        remember(&pod(json!({ "phase": "Running" })), &mut own);
        assert_eq!(
            own.status.and_then(|own| own.phase).as_deref(),
            Some("Failed"),
            "the API server says more"
        );
    }
}
