//! Who has shown that it may have an image: what one pod's pull secrets have fetched is handed to no pod without them
//! (a kubelet's `KubeletEnsureSecretPulledImages`, KEP-2535). An image that no pod has fetched is everybody's: it was
//! here before them, by `node.toml` or by a person.
//!
//! ```text
//! images/sha256:…      an image that was fetched: who may have it
//! fetching/NAME        a name that is being fetched, its `/` as `%2F`: what it led to before
//! ```
//!
//! A file each: one that is damaged says nothing of other images, nor of those that no pod has fetched.

use crate::say::say;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::registry::{fits, host_of};
use store::{Digest, Reference};
use sys::cause::cause;

/// What is known of those whom a registry gave an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// It gives it to whoever asks.
    anyone: bool,
    /// Digests of the credentials that it was given for.
    credentials: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// By the digest of the manifest.
    images: BTreeMap<String, Known>,
    /// Names that are being fetched, and the digests that they led to before: an agent that is killed leaves images of
    /// which it has not said whose they are.
    fetching: BTreeMap<String, Option<String>>,
}

impl Record {
    /// Nobody fetches a name any more.
    fn leave(&mut self, name: &str) {
        self.fetching.remove(name);
    }

    /// Nobody fetches a name any more, and it is not known what the last ones had: what it leads to `now` and did not
    /// before is nobody's until a registry says more.
    fn settle(&mut self, name: &str, now: Option<String>) {
        let before = self.fetching.remove(name).flatten();
        if let Some(digest) = now.filter(|digest| before.as_ref() != Some(digest)) {
            self.images.entry(digest).or_default();
        }
    }
}

/// The digest that a name leads to on this node; none when nothing of that name is here.
pub type Leads = Result<Option<String>, store::Error>;

/// What registries have given to pods of this node.
#[derive(Debug)]
pub struct Pulled {
    folder: PathBuf,
    known: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    record: Record,
    /// How many fetch each name now: what one of them comes to says nothing of what the others do.
    now: BTreeMap<String, u32>,
    /// Names of which one was not fetched to its end, and may have come all the same.
    cut: BTreeSet<String>,
}

impl State {
    /// One that fetched a name does so no more; says whether it was the last.
    fn leave(&mut self, name: &str) -> bool {
        let now = self.now.get(name).copied().unwrap_or(0).saturating_sub(1);
        match now {
            0 => self.now.remove(name),
            _ => self.now.insert(name.to_owned(), now),
        };
        now == 0
    }
}

/// The digest of those of a pod's credentials that its image's registry, or one of its mirrors, is told; none without any.
/// `docker` is the folder of a `config.json`.
pub fn credentials(docker: Option<&Path>, image: &Reference, mirrors: &[String]) -> Option<String> {
    let text = std::fs::read(docker?.join("config.json")).unwrap_or_default();
    match serde_json::from_slice(&text) {
        Ok(config) => fitting(&config, image, mirrors),
        // Nobody knows what it was.
        Err(_) => Some(Digest::sha256(&text).to_string()),
    }
}

fn fitting(config: &Value, image: &Reference, mirrors: &[String]) -> Option<String> {
    let hosts = || mirrors.iter().map(|mirror| host_of(mirror)).chain([image.registry.as_str()]);
    let auths = config["auths"].as_object();
    let own = auths.into_iter().flatten();
    let own = own.filter(|(key, _)| hosts().any(|host| fits(key, host, &image.repository)));
    // Whose keys they are says nothing: they are the same credentials.
    let entries: Vec<&Value> = own
        .flat_map(|(_, entries)| match entries {
            Value::Array(entries) => entries.iter().collect(),
            one => vec![one],
        })
        .filter(|entry| entry.as_object().is_none_or(|fields| !fields.is_empty()))
        .collect();
    if entries.is_empty() {
        return None;
    }
    // All together: which of them the registry has taken is not known.
    let text = serde_json::to_vec(&entries).unwrap_or_default();
    Some(Digest::sha256(&text).to_string())
}

impl Pulled {
    /// As it was written to this folder; nothing when there is none. Nobody fetches any more what was being fetched then.
    /// An image whose file cannot be read is nobody's until a registry says more; so are all that are `here` where it cannot
    /// be told which ones have files.
    pub fn open(folder: &Path, leads: impl Fn(&str) -> Leads, here: impl Fn() -> BTreeSet<String>) -> Self {
        let mut record = Record::default();
        let mut faults = read(&folder.join(IMAGES), |name, path, known| {
            record.images.insert(name.to_owned(), known.unwrap_or_else(|reason| asked_again(path, &reason)));
            Ok(())
        });
        faults.extend(read(&folder.join(FETCHING), |name, path, fetched: Result<Fetched, String>| {
            let Fetched { name, before } = match fetched {
                Err(reason) if name.starts_with(LONG) => return Err(reason),
                Err(reason) => Fetched { name: name.replace("%2F", "/"), before: asked_again(path, &reason) },
                Ok(fetched) => fetched,
            };
            record.fetching.insert(name, before);
            Ok(())
        }));
        let cut: BTreeSet<String> = record.fetching.keys().cloned().collect();
        let state = State { record, cut: cut.clone(), ..State::default() };
        let pulled = Self { folder: folder.to_owned(), known: Mutex::new(state) };
        for (path, reason) in faults {
            say(format_args!(
                "{}: {reason}: registries are asked again who may have which image",
                path.display()
            ));
            pulled.doubt(&here());
        }
        for name in cut {
            pulled.settle(&mut pulled.known(), &name, leads(&name));
        }
        pulled
    }

    /// Images that are here are nobody's, unless more is known.
    fn doubt(&self, here: &BTreeSet<String>) {
        let known = &mut self.known().record.images;
        for digest in here {
            known.entry(digest.clone()).or_default();
        }
    }

    fn known(&self) -> MutexGuard<'_, State> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod with these credentials may have an image that is here.
    pub fn allows(&self, name: &str, digest: &str, credentials: Option<&str>) -> bool {
        let known = self.known();
        let record = &known.record;
        match record.images.get(digest) {
            Some(known) => known.anyone || credentials.is_some_and(|own| known.credentials.contains(own)),
            None => !record.fetching.contains_key(name),
        }
    }

    /// A name is about to be fetched, which leads to this digest as yet.
    ///
    /// # Errors
    /// It cannot be written, in words.
    pub fn begin(&self, name: &str, before: Option<String>) -> Result<(), String> {
        let mut known = self.known();
        self.change(&mut known, |record| {
            record.fetching.entry(name.to_owned()).or_insert(before);
        })?;
        *known.now.entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    /// A registry has not given it.
    pub fn fail(&self, name: &str, now: Leads) {
        let mut known = self.known();
        if !known.leave(name) {
            return;
        }
        if known.cut.contains(name) {
            self.settle(&mut known, name, now);
        } else {
            // What stays on record is asked for once more.
            let _ = self.change(&mut known, |record| record.leave(name));
        }
    }

    /// It is fetched no further, and may have come just now.
    pub fn give_up(&self, name: &str, now: Leads) {
        let mut known = self.known();
        known.cut.insert(name.to_owned());
        if known.leave(name) {
            self.settle(&mut known, name, now);
        }
    }

    /// What cannot be read or written stays as it is until the next attempt.
    fn settle(&self, state: &mut State, name: &str, now: Leads) {
        let Ok(now) = now else { return };
        if self.change(state, |record| record.settle(name, now)).is_ok() {
            state.cut.remove(name);
        }
    }

    /// A registry has given it for these credentials, or without any; what is not `here` any more is forgotten.
    ///
    /// # Errors
    /// It cannot be written, in words.
    pub fn end(
        &self,
        name: &str,
        digest: &str,
        credentials: Option<String>,
        here: &BTreeSet<String>,
    ) -> Result<(), String> {
        let mut state = self.known();
        state.cut.remove(name);
        let is_last = state.leave(name);
        let written = self.change(&mut state, |record| {
            record.images.retain(|digest, _| here.contains(digest));
            let known = record.images.entry(digest.to_owned()).or_default();
            match credentials {
                Some(own) => {
                    known.credentials.insert(own);
                }
                None => known.anyone = true,
            }
            if is_last {
                record.leave(name);
            }
        });
        if written.is_err() {
            state.cut.insert(name.to_owned());
        }
        written
    }

    /// What was written stands, though the rest cannot be. An image is on record before its name is not fetched any more.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        let mut next = state.record.clone();
        change(&mut next);
        bring(
            &self.folder.join(IMAGES),
            &mut state.record.images,
            next.images,
            str::to_owned,
            |_, known| serde_json::to_vec(known),
        )?;
        let folder = self.folder.join(FETCHING);
        bring(&folder, &mut state.record.fetching, next.fetching, file_name, |name, before| {
            serde_json::to_vec(&Fetched { name: name.to_owned(), before: before.clone() })
        })
    }
}

const IMAGES: &str = "images";
const FETCHING: &str = "fetching";

/// How the file of a name begins that is too long to be a file's (`NAME_MAX`): its digest follows.
const LONG: char = '=';
const NAME_MAX: usize = 255;

/// What the file of a name that is being fetched says.
#[derive(Serialize, Deserialize)]
struct Fetched {
    name: String,
    before: Option<String>,
}

/// Room is left for what a file that is being written is called (`.new`).
fn file_name(name: &str) -> String {
    let escaped = name.replace('/', "%2F");
    match escaped.len() + NEW.len() <= NAME_MAX {
        true => escaped,
        false => format!("{LONG}{}", Digest::sha256(name.as_bytes()).hex()),
    }
}

/// How a file that was being written is called when the agent was killed ([`sys::file::New`]).
const NEW: &str = ".new";

/// Takes what each file of a folder says, with its name, or why it cannot be read; gives the paths, and why, of what says
/// nothing at all.
fn read<T: DeserializeOwned>(
    folder: &Path,
    mut take: impl FnMut(&str, &Path, Result<T, String>) -> Result<(), String>,
) -> Vec<(PathBuf, String)> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        entries => entries.and_then(Iterator::collect::<std::io::Result<Vec<_>>>),
    };
    let paths = match entries {
        Err(error) => return vec![(folder.to_owned(), cause(&error))],
        Ok(entries) => entries.into_iter().map(|entry| entry.path()),
    };
    let one = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        if name.ends_with(NEW) {
            return None;
        }
        let text = std::fs::read(&path).map_err(|error| cause(&error));
        let said = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        take(&name, &path, said).err().map(|reason| (path, reason))
    };
    paths.filter_map(one).collect()
}

/// Says that a file says nothing.
fn asked_again<T: Default>(path: &Path, reason: &str) -> T {
    say(format_args!("{}: {reason}: registries are asked again who may have that image", path.display()));
    T::default()
}

/// Makes the files of a folder say what they are to say by now.
fn bring<T: PartialEq>(
    folder: &Path,
    was: &mut BTreeMap<String, T>,
    next: BTreeMap<String, T>,
    file: impl Fn(&str) -> String,
    text: impl Fn(&str, &T) -> serde_json::Result<Vec<u8>>,
) -> Result<(), String> {
    let failed = |path: &Path, error: &std::io::Error| format!("write {}: {}", path.display(), cause(error));
    let gone: Vec<String> = was.keys().filter(|key| !next.contains_key(*key)).cloned().collect();
    for (key, value) in next {
        if was.get(&key) != Some(&value) {
            let path = folder.join(file(&key));
            let text = text(&key, &value).map_err(|error| error.to_string())?;
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
            sys::file::replace_durably(&path, &text, 0o600).map_err(|error| failed(&path, &error))?;
            was.insert(key, value);
        }
    }
    for key in gone {
        let path = folder.join(file(&key));
        sys::file::remove_durably(&path).map_err(|error| failed(&path, &error))?;
        was.remove(&key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// On a node where each name leads to one image.
    fn open(path: &Path, digest: Option<&str>) -> Pulled {
        Pulled::open(path, |_| leads(digest), || ["a".to_owned()].into())
    }

    fn leads(digest: Option<&str>) -> Leads {
        Ok(digest.map(str::to_owned))
    }

    #[test]
    fn what_a_secret_has_fetched_is_for_those_who_have_it() {
        let path = std::env::temp_dir().join(format!("skerry-pulled-{}", std::process::id()));
        let here = ["a", "b"].map(str::to_owned).into();
        let secret = || Some("secret".to_owned());
        let pulled = open(&path, None);
        assert!(pulled.allows("web", "a", None), "no pod has fetched it");
        pulled.begin("web", None).unwrap();
        assert!(!pulled.allows("web", "a", None), "it has come just now");
        assert!(!open(&path, Some("a")).allows("web", "a", None), "it came when the agent ended");
        pulled.end("web", "a", secret(), &here).unwrap();
        let again = open(&path, None);
        assert!(again.allows("web", "a", Some("secret")) && again.allows("other", "b", None));
        assert!(!again.allows("web", "a", None) && !again.allows("web", "a", Some("other")));
        again.begin("other", None).unwrap();
        again.fail("other", leads(None));
        assert!(again.allows("other", "b", None));
        again.end("web", "a", None, &here).unwrap();
        assert!(open(&path, None).allows("web", "a", Some("other")), "the registry gives it to whoever asks");
        again.end("other", "b", secret(), &["b".to_owned()].into()).unwrap();
        assert_eq!(again.known().record.images.len(), 1, "what is gone is forgotten");
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_says_nothing_of_other_images() {
        let path = std::env::temp_dir().join(format!("skerry-pulled-damaged-{}", std::process::id()));
        let (here, secret) = (["b", "c"].map(str::to_owned).into(), || Some("secret".to_owned()));
        let pulled = open(&path, None);
        for (name, digest) in [("web", "b"), ("db", "c")] {
            pulled.begin(name, None).unwrap();
            pulled.end(name, digest, secret(), &here).unwrap();
        }
        std::fs::write(path.join("images/b"), "").unwrap();
        std::fs::write(path.join("images/c.new"), "").unwrap();
        let damaged = open(&path, None);
        assert!(!damaged.allows("web", "b", Some("secret")), "whose it is must be asked again");
        assert!(damaged.allows("db", "c", Some("secret")) && !damaged.allows("db", "c", None));
        assert!(damaged.allows("imported", "a", None), "no pod has fetched it");
        damaged.end("web", "b", secret(), &here).unwrap();
        assert!(open(&path, None).allows("web", "b", Some("secret")));

        // It is known by the file's name which image may have come.
        damaged.begin("reg.corp/app:1", None).unwrap();
        std::fs::write(path.join("fetching/reg.corp%2Fapp:1"), "{").unwrap();
        let cut =
            Pulled::open(&path, |name| leads((name == "reg.corp/app:1").then_some("d")), || here.clone());
        assert!(!cut.allows("reg.corp/app:1", "d", None) && cut.allows("imported", "a", None));
        let long = "x".repeat(300);
        cut.begin(&long, None).unwrap();
        assert!(!open(&path, Some("e")).allows(&long, "e", None));

        // Nobody knows which images have files.
        std::fs::remove_dir_all(path.join("images")).unwrap();
        std::fs::write(path.join("images"), "").unwrap();
        assert!(!open(&path, None).allows("imported", "a", None));
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn only_what_a_registry_is_told_counts() {
        let of = |auths: Value, name: &str, mirrors: &[&str]| {
            let mirrors: Vec<String> = mirrors.iter().map(|&one| one.to_owned()).collect();
            fitting(&json!({ "auths": auths }), &name.parse().unwrap(), &mirrors)
        };
        let entry = json!({ "username": "u", "password": "p" });
        let corp = json!({ "reg.corp": [entry], "other.corp": [{ "auth": "eA==" }] });
        assert_eq!(of(corp.clone(), "busybox", &[]), None, "it is not for this registry");
        let own = of(corp.clone(), "reg.corp/app", &[]);
        assert!(own.is_some());
        let rotated = json!({ "https://reg.corp": [entry], "other.corp": [{ "auth": "eQ==" }] });
        assert_eq!(of(rotated, "reg.corp/app", &[]), own, "what is another's may change");
        assert_ne!(of(json!({ "reg.corp": [entry, { "auth": "eA==" }] }), "reg.corp/app", &[]), own);
        assert_eq!(of(corp, "busybox", &["https://reg.corp/v2"]), own, "a mirror is told");
        assert_eq!(of(json!({ "reg.corp": [{}] }), "reg.corp/app", &[]), None);
    }

    #[test]
    fn who_fails_takes_no_mark_of_another_away() {
        let path = std::env::temp_dir().join(format!("skerry-pulled-two-{}", std::process::id()));
        let here = ["a".to_owned()].into();
        let pulled = open(&path, None);
        pulled.begin("app", None).unwrap();
        pulled.begin("app", None).unwrap();
        pulled.fail("app", leads(None));
        assert!(!pulled.allows("app", "a", None), "the other may have fetched it just now");
        // An agent is killed here; the next one knows nothing of who was given what.
        let next = open(&path, Some("a"));
        assert!(!next.allows("app", "a", None));
        next.begin("app", Some("a".to_owned())).unwrap();
        next.fail("app", leads(Some("a")));
        assert!(!next.allows("app", "a", None) && !open(&path, None).allows("app", "a", None));
        next.begin("app", Some("a".to_owned())).unwrap();
        next.end("app", "a", Some("secret".to_owned()), &here).unwrap();
        assert!(next.allows("app", "a", Some("secret")) && !next.allows("app", "a", None));
        assert!(next.allows("app", "b", None), "no mark is left");
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn what_was_cut_off_and_brought_nothing_keeps_nobody_from_an_image() {
        let path = std::env::temp_dir().join(format!("skerry-pulled-cut-{}", std::process::id()));
        let pulled = open(&path, None);
        pulled.begin("app", None).unwrap();
        assert!(open(&path, None).allows("app", "a", None), "a power cut, and a person imports it then");
        pulled.give_up("app", leads(None));
        assert!(pulled.allows("app", "a", None), "its pod was deleted");

        // One of two was cut off and brought it; the other was given nothing.
        pulled.begin("two", None).unwrap();
        pulled.begin("two", None).unwrap();
        pulled.give_up("two", leads(Some("b")));
        pulled.fail("two", leads(Some("b")));
        assert!(!pulled.allows("two", "b", None) && pulled.allows("two", "c", None));

        // It was here before.
        pulled.begin("old", Some("c".to_owned())).unwrap();
        assert!(open(&path, Some("c")).allows("old", "c", None));
        pulled.give_up("old", leads(Some("c")));
        assert!(pulled.allows("old", "c", None));

        // Nobody can tell.
        let lost = || Err(store::Error::NoImage("app".to_owned()));
        pulled.begin("app", None).unwrap();
        pulled.give_up("app", lost());
        assert!(!pulled.allows("app", "a", None));
        pulled.begin("app", Some("a".to_owned())).unwrap();
        pulled.fail("app", leads(Some("a")));
        assert!(!pulled.allows("app", "a", None) && pulled.allows("app", "d", None));
        std::fs::remove_dir_all(&path).unwrap();
    }
}
