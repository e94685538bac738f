//! What an API server may say to who watches.

use crate::objects::{Text, read};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::WatchEvent;
use kube::runtime::watcher::Event;

/// An event's object is that which a plain reading gives, under the same name, or there is one line of words.
pub fn event(line: &[u8]) {
    let Ok(event) = serde_json::from_slice::<WatchEvent<Text>>(line) else { return };
    let text = match event {
        WatchEvent::Added(text) | WatchEvent::Modified(text) | WatchEvent::Deleted(text) => text,
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return,
    };
    let plain = serde_json::from_str::<Pod>(text.text.get());
    match (read::<Pod>(Event::Apply(text.clone())), plain) {
        (Ok(Event::Apply(pod)), Ok(plain)) => {
            assert_eq!(pod, plain);
            let (own, pods) = (text.meta(), &pod.metadata);
            assert_eq!(own.name, pods.name);
            assert_eq!(own.namespace, pods.namespace);
            assert_eq!(own.resource_version, pods.resource_version);
        }
        (Err(words), Err(_)) => assert!(words.starts_with("read Pod \""), "{words}"),
        (read, plain) => panic!("{read:?} is not {plain:?}"),
    }
}
