//! Events: what people read in `kubectl describe`. What comes again is counted on the event that is there, and a
//! pod that says too much is not heard for a while (as client-go's correlator has it: 25, then one in five
//! minutes). What the API server does not take, since it is away or has too much to do, is tried again for some
//! minutes; what comes again meanwhile is counted, too.

use crate::api::{self, Api};
use crate::pod::next::{self, Kind};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Events that wait to be looked at.
const WAITING: usize = 256;
/// Events that are remembered, to be counted or to be tried again.
const KNOWN: usize = 500;
/// What each object may say at once, and how long until it may say one more.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// How often an event is tried (client-go's number), and the longest wait between; the first one is a second, and each twice the
/// one before.
const TRIES: u32 = 12;
const LONGEST: Duration = Duration::from_secs(30);

/// Something that happened to a pod, to one of its containers, or to the node.
#[derive(Clone, Debug)]
struct Said {
    about: ObjectReference,
    /// Where the event lies: what is told of has none itself when it is a node.
    namespace: String,
    normal: bool,
    reason: String,
    message: String,
    /// What it says for programs.
    notes: BTreeMap<String, String>,
    at: Timestamp,
}

/// Where events are told.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Said>,
}

impl Events {
    /// The place, and what is to be given to [`keep`].
    pub fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, Waiting(receiver))
    }

    /// Tells of a pod; `container` is its name when it is about one. Nothing waits for it, and too much is dropped.
    pub fn say(
        &self,
        pod: &Pod,
        container: Option<&str>,
        normal: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let about = about(pod, container);
        self.send(about, namespace(pod), normal, reason, message.into(), BTreeMap::new());
    }

    /// Warns of a pod, with annotations of the event.
    pub fn warn_with(&self, pod: &Pod, reason: &str, message: &str, notes: BTreeMap<String, String>) {
        self.send(about(pod, None), namespace(pod), false, reason, message.to_owned(), notes);
    }

    /// Tells of the node of this name, whose UID is its name to events, as kubelets have it.
    pub fn say_of_node(&self, node: &str, normal: bool, reason: &str, message: impl Into<String>) {
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        self.send(about, "default".to_owned(), normal, reason, message.into(), BTreeMap::new());
    }

    fn send(
        &self,
        about: ObjectReference,
        namespace: String,
        normal: bool,
        reason: &str,
        message: String,
        notes: BTreeMap<String, String>,
    ) {
        let said = Said {
            about,
            namespace,
            normal,
            reason: reason.to_owned(),
            message,
            notes,
            at: Timestamp::now(),
        };
        let _ = self.sender.try_send(said);
    }
}

fn about(pod: &Pod, container: Option<&str>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        field_path: container.map(|name| field_path(pod, name)),
        resource_version: pod.metadata.resource_version.clone(),
    }
}

fn namespace(pod: &Pod) -> String {
    pod.metadata.namespace.clone().unwrap_or_default()
}

/// Where a container stands in its pod.
fn field_path(pod: &Pod, name: &str) -> String {
    let kind = pod.spec.as_ref().and_then(|spec| next::find(spec, name)).map(|(kind, _)| kind);
    let list = match kind {
        Some(Kind::Main) => "containers",
        Some(Kind::Init | Kind::Sidecar) => "initContainers",
        Some(Kind::Ephemeral) | None => "ephemeralContainers",
    };
    format!("spec.{list}{{{name}}}")
}

/// What waits to be sent.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Said>);

/// An event of the API server's, or one that is to be.
struct Entry {
    /// As it was said first.
    said: Said,
    count: i32,
    last: Timestamp,
    /// The API server has it.
    is_there: bool,
    /// How often the API server has not taken it, in a row.
    failed: u32,
    /// When it is to be sent, if it is.
    due: Option<Instant>,
    used: Instant,
}

/// Events by what they say.
#[derive(Default)]
struct Ledger {
    entries: BTreeMap<String, Entry>,
    buckets: BTreeMap<String, (f64, Instant)>,
}

impl Ledger {
    /// Counts what was said. It is to be sent at once, unless the same waits to be tried again.
    fn take(&mut self, said: Said) {
        let (uid, now) = (said.about.uid.clone().unwrap_or_default(), Instant::now());
        if !may_speak(self.buckets.entry(uid.clone()).or_insert((BURST, now))) {
            return;
        }
        let place = said.about.field_path.as_ref().or(said.about.name.as_ref());
        let key = format!("{place:?} {uid} {} {}", said.reason, said.message);
        let (last, known) = (said.at, self.entries.get_mut(&key));
        if let Some(entry) = known {
            (entry.count, entry.last, entry.used) = (entry.count + 1, last, now);
            entry.due.get_or_insert(now);
            return;
        }
        let entry = Entry { said, count: 1, last, is_there: false, failed: 0, due: Some(now), used: now };
        self.entries.insert(key, entry);
        self.forget();
    }

    /// Of too many the one that was not heard for longest goes.
    fn forget(&mut self) {
        if self.entries.len() <= KNOWN {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        oldest.map(|key| self.entries.remove(&key));
        self.buckets.retain(|_, (_, last)| last.elapsed() < REFILL);
    }

    /// The one that is to be sent next, and when.
    fn next(&self) -> Option<(String, Instant)> {
        let due = self.entries.iter().filter_map(|(key, entry)| Some((key, entry.due?)));
        due.min_by_key(|(_, due)| *due).map(|(key, due)| (key.clone(), due))
    }

    /// Notes what became of one that was sent. What cannot be sent is forgotten: said again, it is another event.
    fn settle(&mut self, key: &str, sent: Result<(), kube::Error>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match sent {
            Ok(()) => (entry.is_there, entry.failed, entry.due) = (true, 0, None),
            Err(error) if may_pass(&error) && entry.failed + 1 < TRIES => {
                let wait = Duration::from_secs(1 << entry.failed.min(5)).min(LONGEST);
                (entry.failed, entry.due) = (entry.failed + 1, Some(Instant::now() + wait));
            }
            Err(_) => drop(self.entries.remove(key)),
        }
    }
}

/// Whether the API server may take later what it has not taken: it is away, has too much to do, or is not well itself.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        _ => true,
    }
}

/// Sends events for ever.
pub async fn keep(api: &Api, node: &str, mut waiting: Waiting) {
    let mut ledger = Ledger::default();
    loop {
        let next = ledger.next();
        let due = async {
            match next {
                Some((key, due)) => {
                    sleep_until(due).await;
                    key
                }
                None => pending().await,
            }
        };
        tokio::select! {
            said = waiting.0.recv() => match said {
                Some(said) => ledger.take(said),
                None => return,
            },
            key = due => {
                if let Some(entry) = ledger.entries.get(&key) {
                    let sent = entry.send(api, node).await;
                    ledger.settle(&key, sent);
                }
            }
        }
    }
}

fn may_speak((left, last): &mut (f64, Instant)) -> bool {
    *left = (*left + last.elapsed().as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
    *last = Instant::now();
    let may = *left >= 1.0;
    if may {
        *left -= 1.0;
    }
    may
}

impl Entry {
    /// Tells the API server: of one that it has, how often it was by now.
    async fn send(&self, api: &Api, node: &str) -> Result<(), kube::Error> {
        let events: kube::Api<Event> = kube::Api::namespaced(api.client(), &self.said.namespace);
        if self.is_there {
            let patch = json!({ "count": self.count, "lastTimestamp": Time(self.last) });
            match events.patch(&self.name(), &PatchParams::default(), &Patch::Strategic(&patch)).await {
                // The cluster keeps events for an hour.
                Err(error) if api::is_missing(&error) => {}
                patched => return patched.map(drop),
            }
        }
        match events.create(&PostParams::default(), &self.event(node)).await {
            // It was taken before, and the answer was lost.
            Err(error) if api::is_conflict(&error) => Ok(()),
            created => created.map(drop),
        }
    }

    /// The same however often it is sent.
    fn name(&self) -> String {
        let about = self.said.about.name.as_deref().unwrap_or_default();
        format!("{about}.{:x}", self.said.at.as_nanosecond())
    }

    fn event(&self, node: &str) -> Event {
        let said = &self.said;
        Event {
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(said.namespace.clone()),
                annotations: (!said.notes.is_empty()).then(|| said.notes.clone()),
                ..ObjectMeta::default()
            },
            involved_object: said.about.clone(),
            type_: Some(if said.normal { "Normal" } else { "Warning" }.to_owned()),
            reason: Some(said.reason.clone()),
            message: Some(said.message.chars().take(1024).collect()),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(node.to_owned()),
            first_timestamp: Some(Time(said.at)),
            last_timestamp: Some(Time(self.last)),
            count: Some(self.count),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response, StatusCode};
    use http_body_util::BodyExt;
    use kube::client::Body;
    use serde_json::Value;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// An API server that is played: how it answers one request after the other, then well, and what it was asked.
    /// No answer at all is a connection that fails.
    #[derive(Default)]
    struct Played {
        answers: Mutex<Vec<Option<u16>>>,
        asked: Mutex<Vec<(Method, Value)>>,
    }

    impl Played {
        async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, io::Error> {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut sent: Value = serde_json::from_slice(&body).unwrap();
            self.asked.lock().unwrap().push((head.method, sent.clone()));
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.is_empty() { Some(200) } else { answers.remove(0) };
            let status = StatusCode::from_u16(answer.ok_or(io::ErrorKind::ConnectionRefused)?).unwrap();
            if status.is_success() {
                sent["metadata"]["name"] = json!("e");
                sent["involvedObject"] = json!({});
            } else {
                sent = json!({ "kind": "Status", "status": "Failure", "code": status.as_u16(), "message": "no" });
            }
            Ok(Response::builder().status(status).body(Body::from(sent.to_string().into_bytes())).unwrap())
        }

        /// Verbs and counts of what it was asked.
        fn asked(&self) -> Vec<String> {
            let asked = self.asked.lock().unwrap();
            asked.iter().map(|(method, sent)| format!("{method} {}", sent["count"])).collect()
        }
    }

    /// What the API server is asked for two words of a pod that are the same, `apart` from each other, when it answers so.
    async fn asked(answers: &[Option<u16>], apart: Duration) -> Arc<Played> {
        let played = Arc::new(Played { answers: Mutex::new(answers.to_vec()), ..Played::default() });
        let server = played.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        let api = Api::new(kube::Client::new(service, "default"));
        let (events, waiting) = Events::new();
        let pod = serde_json::from_value(json!({ "metadata": { "name": "p", "uid": "u" } })).unwrap();
        let say = async {
            events.say(&pod, None, false, "BackOff", "again");
            tokio::time::sleep(apart).await;
            events.say(&pod, None, false, "BackOff", "again");
            tokio::time::sleep(Duration::from_secs(3600)).await;
        };
        tokio::select! {
            () = keep(&api, "n", waiting) => panic!("it goes on for ever"),
            () = say => {}
        }
        played
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_tried_again_and_counted_meanwhile() {
        let [soon, later] = [100, 600_000].map(Duration::from_millis);
        let cases: [(&[Option<u16>], _, &[&str]); 9] = [
            (&[], later, &["POST 1", "PATCH 2"]),
            (&[None], soon, &["POST 1", "POST 2"]),
            (&[Some(429), Some(500), None], soon, &["POST 1", "POST 2", "POST 2", "POST 2"]),
            (&[Some(503)], later, &["POST 1", "POST 1", "PATCH 2"]),
            (&[Some(403)], later, &["POST 1", "POST 1"]),
            (&[None, Some(409)], later, &["POST 1", "POST 1", "PATCH 2"]),
            (&[Some(200), Some(404)], later, &["POST 1", "PATCH 2", "POST 2"]),
            (&[Some(200), None, Some(404)], later, &["POST 1", "PATCH 2", "PATCH 2", "POST 2"]),
            (&[None; 12], later, &["POST 1"; 13]),
        ];
        for (answers, apart, expected) in cases {
            assert_eq!(asked(answers, apart).await.asked(), expected, "{answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_the_same_however_often_it_is_sent() {
        let played = asked(&[None, None], Duration::from_millis(100)).await;
        let asked = played.asked.lock().unwrap();
        let of = |place: &str| asked.iter().map(|(_, sent)| sent.pointer(place)).collect::<Vec<_>>();
        for place in ["/metadata/name", "/firstTimestamp"] {
            let all = of(place);
            assert!(all.len() == 3 && all.iter().all(|one| one.is_some() && *one == all[0]), "{all:?}");
        }
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let mut ledger = Ledger::default();
        for number in 0..KNOWN * 2 {
            let about = ObjectReference { uid: Some(number.to_string()), ..ObjectReference::default() };
            let (events, mut waiting) = Events::new();
            events.send(about, String::new(), true, "R", String::new(), BTreeMap::new());
            ledger.take(waiting.0.recv().await.unwrap());
        }
        assert_eq!(ledger.entries.len(), KNOWN);
        let newest = format!("{}", KNOWN * 2 - 1);
        assert!(ledger.entries.values().any(|entry| entry.said.about.uid.as_ref() == Some(&newest)));
    }

    #[test]
    fn a_container_is_told_with_its_list() {
        let spec = json!({ "containers": [{ "name": "m" }], "initContainers": [{ "name": "i" }],
            "ephemeralContainers": [{ "name": "e" }] });
        let pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let paths = ["m", "i", "e"].map(|name| field_path(&pod, name));
        assert_eq!(paths, ["spec.containers{m}", "spec.initContainers{i}", "spec.ephemeralContainers{e}"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_too_much_is_not_heard_for_a_while() {
        let mut bucket = (BURST, Instant::now());
        let heard = (0..100).filter(|_| may_speak(&mut bucket)).count();
        assert_eq!(heard, 25);
        tokio::time::advance(REFILL).await;
        assert!(may_speak(&mut bucket) && !may_speak(&mut bucket));
    }
}
