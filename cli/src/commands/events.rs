//! `events`: what happens to containers, images, volumes and networks, in Docker's words.

use super::{Node, images, list, print_on, unexpected};
use crate::arguments::Events;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::filter::Given;
use crate::format;
use crate::time;
use serde_json::{Value, json};
use spec::monitor::{Happening, Reply, Request};
use std::collections::BTreeMap;

/// `skerry events`
pub fn events(node: &Node<'_>, events: &Events) -> Result<()> {
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| time::moment(option, text)).transpose()
    };
    let (since, until) = (moment("--since", &events.since)?, moment("--until", &events.until)?);
    let filters = Filters::new(&events.filter)?;
    let mut client = Client::ask(node.socket, &Request::Events { since, until, all: true })?;
    let mut labels = Labels::default();
    loop {
        let event = match client.reply()? {
            Reply::Done => return Ok(()),
            Reply::Event { time, name, id, action, attributes: more } => {
                let mut attributes = labels.of(node, &id).clone();
                attributes.extend(more);
                Event { time, kind: CONTAINER, name: name.to_string(), id, action, attributes }
            }
            Reply::Happened { time, what } => Event::of(time, *what),
            other => return Err(unexpected(&other)),
        };
        if !filters.take(&event) {
            continue;
        }
        match &events.format {
            Some(format) => {
                print_on(&format::show(format, &[], &[event.object()]).map_err(Error::new)?)?;
            }
            None => print_on(&format!("{}\n", event.line()))?,
        }
    }
}

/// What most events are of.
const CONTAINER: &str = "container";

/// What happened to something.
#[derive(Debug)]
struct Event {
    time: u64,
    kind: &'static str,
    name: String,
    id: String,
    action: String,
    attributes: BTreeMap<String, String>,
}

impl Event {
    /// One of something else than a container; a volume's name is its ID alone.
    fn of(time: u64, what: Happening) -> Self {
        let Happening { object, id, action, attributes } = what;
        let name = attributes.get("name").unwrap_or(&id).clone();
        Self { time, kind: object.name(), name, id, action, attributes }
    }

    /// Its attributes and, as with Docker, a container's name among them.
    fn actor(&self) -> BTreeMap<String, String> {
        let mut attributes = self.attributes.clone();
        if self.kind == CONTAINER {
            attributes.insert("name".to_owned(), self.name.clone());
        }
        attributes
    }

    /// As Docker's API has it, and some of it at hand: `Name`, `Attributes`.
    fn object(&self) -> Value {
        json!({
            "Type": self.kind,
            "Action": self.action,
            "Actor": { "ID": self.id, "Attributes": self.actor() },
            "scope": "local",
            "time": self.time / 1_000_000_000,
            "timeNano": self.time,
            "status": self.action,
            "id": self.id,
            "from": self.attributes.get("image").map_or("", String::as_str),
            "ID": self.id,
            "Name": self.name,
            "Attributes": self.attributes,
        })
    }

    fn line(&self) -> String {
        let stamp = spec::timestamp::rfc3339(time::system(self.time));
        let pairs = self.actor().into_iter().map(|(key, value)| format!("{key}={value}"));
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        format!("{stamp} {} {} {} ({pairs})", self.kind, self.action, self.id)
    }
}

/// What containers that are, or were when they were last asked for, have for labels.
#[derive(Default)]
struct Labels(BTreeMap<String, BTreeMap<String, String>>);

impl Labels {
    /// Those of a container; none of one that was gone before it could be asked for.
    fn of(&mut self, node: &Node<'_>, id: &str) -> &BTreeMap<String, String> {
        if !self.0.contains_key(id) {
            // An event is told without, rather than not at all.
            let all = list::all_there(node).unwrap_or_default();
            self.0.extend(all.into_iter().map(|one| (one.id, one.labels)));
        }
        // One that is gone is not asked for again.
        self.0.entry(id.to_owned()).or_default()
    }
}

/// Of each kind given, one must fit; of labels all.
struct Filters(Given);

const KEYS: [&str; 7] = ["container", "event", "image", "label", "network", "type", "volume"];

const KINDS: [&str; 4] = [CONTAINER, "image", "network", "volume"];

impl Filters {
    fn new(words: &[String]) -> Result<Self> {
        Given::read(words, &KEYS, |key, value| match (key, value) {
            ("type", kind) if !KINDS.contains(&kind) => Err(format!("none of {}", KINDS.join(", "))),
            _ => Ok(()),
        })
        .map(Self)
    }

    fn take(&self, event: &Event) -> bool {
        // `health_status: healthy` is a health_status, too.
        let word = event.action.split(':').next().unwrap_or_default();
        let of_kind = |kind: &str, value: &str| {
            let is_it = event.name == value || (!value.is_empty() && event.id.starts_with(value));
            event.kind == kind && is_it
        };
        self.0.one("type", |value| event.kind == value)
            && self.0.one("event", |value| event.action == value || word == value)
            && [CONTAINER, "network", "volume"]
                .into_iter()
                .all(|kind| self.0.one(kind, |value| of_kind(kind, value)))
            && self.0.one("image", |value| event.is_of_image(value))
            && self.0.labels(&event.attributes)
    }
}

impl Event {
    /// It is of this image, or of a container that is made of it.
    fn is_of_image(&self, value: &str) -> bool {
        let name = match self.kind {
            "image" => Some(&self.name),
            _ => self.attributes.get("image"),
        };
        let name = name.map(|name| images::familiar(name));
        let value = images::familiar(value);
        let of = |name: &str| name == value || images::repository(name) == value;
        name.is_some_and(of) || (self.kind == "image" && of(&self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::monitor::Object;

    fn event(name: &str, action: &str) -> Event {
        Event {
            time: 1_500_000_000,
            kind: CONTAINER,
            name: name.into(),
            id: "ab12".into(),
            action: action.into(),
            attributes: [("image", "nginx:1"), ("exitCode", "3"), ("tier", "front")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    fn filters(words: &[&str]) -> Result<Filters> {
        Filters::new(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn filters_of_one_kind_are_alternatives() {
        for (words, takes) in [
            (&["container=web", "event=die", "event=health_status"][..], true),
            (&["container=ab"], true),
            (&["container="], false),
            (&["event=health_status: healthy"], true),
            (&["event=health"], false),
            (&["container=web", "event=start"], false),
            (&["container=db"], false),
            (&["image=nginx"], true),
            (&["image=docker.io/library/nginx:1"], true),
            (&["image=nginx:2", "image=busybox"], false),
            (&["label=tier", "label=tier=front", "type=container"], true),
            (&["label=tier=back"], false),
            (&["type=image"], false),
            (&["type=image", "type=container"], true),
            (&["volume=web"], false),
        ] {
            let filters = filters(words).unwrap();
            let event = event("web", "health_status: healthy");
            assert_eq!(filters.take(&event), takes, "{words:?}");
        }
        for word in ["colour=red", "type=plugin", "die"] {
            assert!(filters(&[word]).is_err(), "{word}");
        }
    }

    #[test]
    fn what_happens_to_other_things_is_told_and_chosen_too() {
        let event = |object, id: &str, action: &str, name: &str| {
            let attributes = [("name".to_owned(), name.to_owned())].into();
            Event::of(0, Happening { object, id: id.into(), action: action.into(), attributes })
        };
        let image = event(Object::Image, "nginx:1", "pull", "nginx");
        let network = event(Object::Network, "back", "connect", "back");
        assert_eq!(image.line(), "1970-01-01T00:00:00.000000000Z image pull nginx:1 (name=nginx)");
        assert_eq!((&image.object()["Type"], &image.object()["Action"]), (&json!("image"), &json!("pull")));
        for (word, of_image, of_network) in [
            ("type=image", true, false),
            ("event=connect", false, true),
            ("image=nginx", true, false),
            ("image=nginx:1", true, false),
            ("image=nginx:2", false, false),
            ("network=back", false, true),
            ("container=back", false, false),
            ("label=a", false, false),
        ] {
            let filters = filters(&[word]).unwrap();
            assert_eq!((filters.take(&image), filters.take(&network)), (of_image, of_network), "{word}");
        }
    }

    #[test]
    fn an_event_is_told_in_dockers_words() {
        let event = event("web", "die");
        let line = "1970-01-01T00:00:01.500000000Z container die ab12 (exitCode=3, image=nginx:1, name=web, tier=front)";
        assert_eq!(event.line(), line);
        let object = event.object();
        let attributes = json!({ "exitCode": "3", "image": "nginx:1", "name": "web", "tier": "front" });
        assert_eq!(object["Actor"], json!({ "ID": "ab12", "Attributes": attributes }));
        assert_eq!((&object["scope"], &object["from"]), (&json!("local"), &json!("nginx:1")));
        assert_eq!((&object["time"], &object["timeNano"]), (&json!(1), &json!(1_500_000_000)));
    }
}
