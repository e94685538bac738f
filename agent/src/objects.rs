//! What the API server says of a kind of object, and goes on saying.
//!
//! kube's watcher is compiled once, for objects as they came, and so is the reader of each kind: when every kind had a
//! watcher and three readers of its own, they were a third of this program.

use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// All objects of a kind that `config` selects, in one namespace or in all, from their list on. It ends after an
/// object that is not of its kind's shape, as a watch that failed: a list without that one would not be the list.
pub fn watch<K>(
    client: Client,
    namespace: Option<&str>,
    config: Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Unpin + use<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let texts = texts(client, ApiResource::erase::<K>(&()), namespace, config);
    Box::pin(unfold(Some(texts), |texts| async move {
        let mut texts = texts?;
        match texts.next().await? {
            Err(error) => Some((Err(error), Some(texts))),
            Ok(event) => match read(event) {
                Ok(event) => Some((Ok(event), Some(texts))),
                Err(words) => {
                    Some((Err(watcher::Error::WatchFailed(kube::Error::Service(words.into()))), None))
                }
            },
        }
    }))
}

/// The event of an object of its kind; the error, in words, names the object.
pub(crate) fn read<K>(event: Event<Text>) -> Result<Event<K>, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let read = |text: Text| {
        serde_json::from_str(text.text.get()).map_err(|error| {
            let of = |part: Option<String>| part.unwrap_or_default();
            let (namespace, name) = (of(text.metadata.namespace), of(text.metadata.name));
            format!("read {} \"{namespace}/{name}\": {error}", K::kind(&()))
        })
    };
    Ok(match event {
        Event::Init => Event::Init,
        Event::InitApply(text) => Event::InitApply(read(text)?),
        Event::InitDone => Event::InitDone,
        Event::Apply(text) => Event::Apply(read(text)?),
        Event::Delete(text) => Event::Delete(read(text)?),
    })
}

fn texts(
    client: Client,
    kind: ApiResource,
    namespace: Option<&str>,
    config: Config,
) -> BoxStream<'static, watcher::Result<Event<Text>>> {
    let objects = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    watcher(objects, config).boxed()
}

/// An object as it came, and what kube's watcher wants to know of it. It is read where it stands, so an event has to have
/// its type before its object, as API servers write it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Its `resourceVersion`, namespace and name alone.
    pub(crate) metadata: ObjectMeta,
    pub(crate) text: Box<RawValue>,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            namespace: Option<String>,
            name: Option<String>,
            resource_version: Option<String>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let object: Object = serde_json::from_str(text.get()).map_err(de::Error::custom)?;
        let Metadata { namespace, name, resource_version } = object.metadata;
        let metadata = ObjectMeta { namespace, name, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, text })
    }
}

impl Resource for Text {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        kind.kind.as_str().into()
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        kind.group.as_str().into()
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        kind.version.as_str().into()
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        kind.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
