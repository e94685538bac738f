//! ConfigMaps and Secrets in volumes. Each is watched by its single name, as a node may, while a pod uses it; pods of
//! one kind share a watch. One that never changes (`immutable`) is watched no longer than until it was read.

use super::Data;
use crate::api::Api;
use crate::pod::env::Needed;
use crate::pods;
use futures::StreamExt;
use futures::future::select_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two attempts: the first, and at most. A node may read what a pod refers to a moment after it has the pod.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What an object holds, by key.
type Held = BTreeMap<String, Vec<u8>>;

/// What is known: nothing yet; why it cannot be read; what it holds, or that it is not there.
type Word = Option<Result<Option<Arc<Held>>, String>>;

/// Its namespace and name.
type Key = (String, Needed);

/// One watch, which ends with the last who uses it.
#[derive(Debug)]
struct Watch {
    word: watch::Sender<Word>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All watches.
#[derive(Debug, Default)]
pub struct Watches(Mutex<BTreeMap<Key, Weak<Watch>>>);

impl Watches {
    fn get(&self, api: &Api, key: &Key) -> Arc<Watch> {
        // Whoever held the lock has left the map whole.
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = all.get(key).and_then(Weak::upgrade) {
            return known;
        }
        let word = watch::Sender::new(None);
        let task = tokio::spawn(keep(api.clone(), key.clone(), word.clone()));
        let new = Arc::new(Watch { word, task });
        all.retain(|_, own| own.strong_count() > 0);
        all.insert(key.clone(), Arc::downgrade(&new));
        new
    }
}

/// Those that one pod uses.
#[derive(Debug, Default)]
pub struct Used(BTreeMap<Key, (Arc<Watch>, watch::Receiver<Word>)>);

impl Used {
    /// Uses these, and no others.
    pub fn follow(&mut self, watches: &Watches, api: &Api, namespace: &str, needed: &[Needed]) {
        self.0.retain(|(own, one), _| own == namespace && needed.contains(one));
        for one in needed {
            self.0.entry((namespace.to_owned(), one.clone())).or_insert_with_key(|key| {
                let watch = watches.get(api, key);
                let mut receiver = watch.word.subscribe();
                // What others know already is news here.
                if watch.word.borrow().is_some() {
                    receiver.mark_changed();
                }
                (watch, receiver)
            });
        }
    }

    /// ConfigMaps and Secrets as they are, once all are known; those that are not there are not among them.
    ///
    /// # Errors
    /// One cannot be read, in words.
    pub async fn data(&mut self) -> Result<(Data, Data), String> {
        let (mut maps, mut secrets) = (Data::new(), Data::new());
        for ((_, needed), (_, word)) in &mut self.0 {
            let known = word.wait_for(Option::is_some).await.map_err(|error| error.to_string())?.clone();
            let Some(held) = known.transpose()?.flatten() else { continue };
            match needed {
                Needed::ConfigMap(name) => maps.insert(name.clone(), Held::clone(&held)),
                Needed::Secret(name) => secrets.insert(name.clone(), Held::clone(&held)),
            };
        }
        Ok((maps, secrets))
    }

    /// Returns once one of them is known to be different from what [`Used::data`] gave.
    pub async fn changed(&mut self) {
        let words = self.0.values_mut().map(|(_, word)| Box::pin(word.changed()));
        let words: Vec<_> = words.collect();
        match words.is_empty() {
            true => std::future::pending().await,
            false => drop(select_all(words).await),
        }
    }
}

/// Watches one for ever, or until it never changes again.
async fn keep(api: Api, (namespace, needed): Key, word: watch::Sender<Word>) {
    match &needed {
        Needed::ConfigMap(name) => {
            let of = |map: ConfigMap| {
                let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
                let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
                (texts.chain(bytes).collect(), map.immutable)
            };
            follow(&api, &namespace, ("configmap", name), of, &word).await;
        }
        Needed::Secret(name) => {
            let of = |secret: Secret| {
                let bytes = secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
                (bytes.collect(), secret.immutable)
            };
            follow(&api, &namespace, ("secret", name), of, &word).await;
        }
    }
}

async fn follow<K>(
    api: &Api,
    namespace: &str,
    (kind, name): (&str, &str),
    of: impl Fn(K) -> (Held, Option<bool>),
    word: &watch::Sender<Word>,
) where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut pause = PAUSES.0;
    loop {
        let mut events = crate::objects::watch::<K>(api.client(), Some(namespace), config.clone());
        let mut replaced = pin!(api.replaced());
        let mut listed = None;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut replaced => break,
            };
            let found = match event {
                None => break,
                Some(Ok(Event::Init)) => continue,
                Some(Ok(Event::InitApply(object))) => {
                    listed = Some(object);
                    continue;
                }
                Some(Ok(Event::InitDone)) => listed.take(),
                Some(Ok(Event::Apply(object))) => Some(object),
                Some(Ok(Event::Delete(_))) => None,
                Some(Err(error)) => {
                    let words = format!("read {kind} \"{name}\": {}", pods::words(&error));
                    // What was read once is good until something else is.
                    word.send_if_modified(|known| match known {
                        Some(Ok(_)) => false,
                        _ => known.replace(Err(words.clone())) != Some(Err(words)),
                    });
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                    continue;
                }
            };
            pause = PAUSES.0;
            let found = found.map(&of);
            let stays = found.as_ref().is_some_and(|(_, immutable)| *immutable == Some(true));
            let next = Some(Ok(found.map(|(held, _)| Arc::new(held))));
            word.send_if_modified(|known| {
                *known != next && {
                    known.clone_from(&next);
                    true
                }
            });
            if stays {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "watched_tests.rs"]
mod tests;
