//! `volume`: folders that stay when containers go.
//!
//! A volume is a folder of the data disk ([`spec::volume`]), which this program makes and empties
//! itself. The monitor fills one at its first use, says who uses it, and puts it aside when nobody does.

pub mod folders;

use super::containers::{each_of, unless_missing};
use super::{Node, images, inspect::show_each, list, print, print_all};
use crate::arguments::{
    VolumeCreate, VolumeInspect, VolumeList, VolumePrune, VolumeRemove, VolumeVerb, label,
};
use crate::error::{Cause, Context, Error, Result};
use crate::filter::{Given, LABELS};
use crate::format;
use crate::human::decimal;
use crate::time;
use serde_json::{Value, json};
use spec::monitor::{Code, Object, Request};
use spec::nearest::nearest;
use spec::node::Name;
use spec::paths::VOLUMES;
use spec::timestamp::rfc3339;
use spec::volume::{self, Volume};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

const COLUMNS: [(&str, &str); 3] = [("DRIVER", "Driver"), ("VOLUME NAME", "Name"), ("USED BY", "UsedBy")];

/// The one kind of volumes.
const DRIVER: &str = "local";

/// Containers by the volumes that they use.
type Users = BTreeMap<Name, Vec<String>>;

/// `skerry volume`
pub fn volume(node: &Node<'_>, verb: &VolumeVerb) -> Result<()> {
    match verb {
        VolumeVerb::Ls(asked) => ls(node, asked),
        VolumeVerb::Create(asked) => create(node, asked),
        VolumeVerb::Rm(asked) => remove(node, asked),
        VolumeVerb::Inspect(asked) => inspect(node, asked),
        VolumeVerb::Prune(asked) => prune(node, asked),
    }
}

fn ls(node: &Node<'_>, asked: &VolumeList) -> Result<()> {
    let filters = Filters::new(&asked.filter)?;
    let users = users(node)?;
    let mut names = names()?;
    names.retain(|name| filters.take(name, &about(name), &users));
    if asked.quiet {
        names.iter().for_each(|name| print(name));
        return Ok(());
    }
    let objects: Vec<Value> = names.iter().map(|name| line(object(name, &users))).collect();
    print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

fn create(node: &Node<'_>, asked: &VolumeCreate) -> Result<()> {
    let name: Name = match &asked.name {
        Some(name) => name.parse().map_err(Error::new)?,
        None => made_up()?,
    };
    let labels = asked.label.iter().map(|word| label(word)).collect();
    make(node, &name, &Volume { anonymous: asked.name.is_none(), created: Some(time::now()), labels })?;
    print(&name);
    Ok(())
}

/// Makes volumes that nobody named, of names that were [`made_up`].
///
/// # Errors
/// Which cannot be made.
pub fn make_nameless(node: &Node<'_>, names: &[Name]) -> Result<()> {
    let about = Volume { anonymous: true, created: Some(time::now()), ..Volume::default() };
    names.iter().try_for_each(|name| make(node, name, &about))
}

/// Makes a volume that is not there yet.
///
/// # Errors
/// It cannot be made.
pub fn ensure(node: &Node<'_>, name: &Name) -> Result<()> {
    make(node, name, &Volume { created: Some(time::now()), ..Volume::default() })
}

/// What the image has comes with its first use, unless something is there by then. One that is there already stays as it is.
fn make(node: &Node<'_>, name: &Name, about: &Volume) -> Result<()> {
    let words = || format!("make volume {name}");
    let text = serde_json::to_vec(about).context(words)?;
    if folders::make(Path::new(VOLUMES), name, &text).context(words)? {
        node.tell(Object::Volume, name, "create", &[("driver", DRIVER)]);
    }
    Ok(())
}

/// A name for what nobody named: 32 hexadecimal digits.
///
/// # Errors
/// As open(2) and read(2) have them.
pub fn made_up() -> Result<Name> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context(|| "read /dev/urandom".into())?;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().map_err(Error::new)
}

fn remove(node: &Node<'_>, asked: &VolumeRemove) -> Result<()> {
    sweep();
    let removed = |name: &String| {
        let removed = find(name).and_then(|found| take_away(node, &found));
        Ok(unless_missing(asked.force, removed)?.map(|_| name.clone()))
    };
    each_of(asked.volumes.iter().map(removed), |name| name.iter().for_each(|name| print(name)))
}

fn inspect(node: &Node<'_>, asked: &VolumeInspect) -> Result<()> {
    let users = users(node)?;
    let found = asked.volumes.iter().map(|name| Ok(object(&find(name)?, &users)));
    show_each(asked.format.as_ref(), found)
}

/// One volume, for `inspect` of anything.
pub fn known(node: &Node<'_>, name: &str) -> Result<Value> {
    Ok(object(&find(name)?, &users(node)?))
}

fn prune(node: &Node<'_>, asked: &VolumePrune) -> Result<()> {
    let filters = Given::read(&asked.filter, &LABELS, |_, _| Ok(()))?;
    let which = if asked.all { "volume" } else { "volume without a name of its own" };
    if !asked.force && !images::confirmed(&format!("This removes every {which} that no container uses."))? {
        return Ok(());
    }
    let mut names = names()?;
    names.retain(|name| filters.labels(&about(name).labels));
    let (chosen, others): (Vec<&Name>, Vec<&Name>) =
        names.iter().partition(|name| asked.all || about(name).anonymous);
    let mut bytes = 0;
    let taken = take_all(node, &chosen, &mut bytes);
    print(&format!("Total reclaimed space: {}", decimal(bytes)));
    taken?;
    let users = users(node)?;
    if others.iter().any(|name| !users.contains_key(*name)) {
        eprintln!(
            "skerry: volumes with a name stay, though no container uses them: --all removes these, too"
        );
    }
    Ok(())
}

/// Removes every volume that nobody named and no container uses; `bytes` counts the room that is free by it.
///
/// # Errors
/// One cannot be removed.
pub fn prune_nameless(
    node: &Node<'_>,
    fits: impl Fn(&BTreeMap<String, String>) -> bool,
    bytes: &mut u64,
) -> Result<()> {
    let names = names()?;
    let is_meant = |name: &&Name| {
        let about = about(name);
        about.anonymous && fits(&about.labels)
    };
    take_all(node, &names.iter().filter(is_meant).collect::<Vec<_>>(), bytes)
}

/// Removes those of these that no container uses, and tells each.
fn take_all(node: &Node<'_>, names: &[&Name], bytes: &mut u64) -> Result<()> {
    *bytes += sweep();
    // Who uses one has kept it; or another has removed it.
    let removed = names.iter().map(|name| match take_away(node, name) {
        Err(error) if matches!(error.code, Some(Code::State | Code::NotFound)) => Ok(None),
        removed => removed.map(|size| Some((name, size))),
    });
    each_of(removed, |removed| {
        if let Some((name, size)) = removed {
            *bytes += size;
            print(&format!("Deleted: {name}"));
        }
    })
}

/// Out of the way at once, whole, unless a container is made with it, which the monitor tells; and then for good. Gives
/// its bytes. What a killed program has left aside goes first.
fn take_away(node: &Node<'_>, name: &Name) -> Result<u64> {
    let aside = volume::aside(name);
    let words = || format!("remove volume {name}");
    folders::empty(&aside).context(words)?;
    node.done(&Request::RemoveVolume { name: name.clone() })?;
    folders::empty(&aside).context(words)
}

/// Frees what removals that were killed have left of any volume; gives its bytes. What comes next does not depend on it.
fn sweep() -> u64 {
    folders::sweep(Path::new(VOLUMES)).unwrap_or_else(|error| {
        eprintln!("skerry: free what was removed from {VOLUMES}: {}", error.cause());
        0
    })
}

/// What was said when it was made; nothing of one that a container has made.
fn about(name: &Name) -> Volume {
    let text = fs::read(volume::file(name)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Volumes that are here.
///
/// # Errors
/// As readdir(3).
pub fn names() -> Result<Vec<Name>> {
    let entries = match fs::read_dir(VOLUMES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("list {VOLUMES}"))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut names: Vec<Name> = entries.filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn find(text: &str) -> Result<Name> {
    let names = names()?;
    if let Some(name) = names.iter().find(|name| &***name == text) {
        return Ok(name.clone());
    }
    let near = nearest(text, names.iter().map(|name| &**name));
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    Err(Error::missing(format!("volume {text:?}: there is none{near}")))
}

/// Who uses which: containers that do not run, too.
fn users(node: &Node<'_>) -> Result<Users> {
    let mut users = Users::new();
    for one in list::all(node)? {
        for volume in one.volumes {
            users.entry(volume).or_default().push(one.name.to_string());
        }
    }
    Ok(users)
}

fn object(name: &Name, users: &Users) -> Value {
    let Volume { created, labels, .. } = about(name);
    let made =
        || fs::metadata(volume::folder(name)).and_then(|about| about.created().or_else(|_| about.modified()));
    let created = created.map(time::system).or_else(|| made().ok());
    let users: &[String] = users.get(name).map_or(&[], Vec::as_slice);
    json!({
        "Name": name,
        "Driver": DRIVER,
        "Scope": "local",
        "Mountpoint": volume::data(name),
        "CreatedAt": created.map(rfc3339),
        "Labels": labels,
        "Options": null,
        "UsedBy": users.join(", "),
    })
}

/// As a list has it: labels are one text, and one of them is asked for by its name.
fn line(mut object: Value) -> Value {
    let labels = object["Labels"].take();
    let pairs = labels.as_object().into_iter().flatten();
    let text: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    object["Labels"] = text.join(",").into();
    object[format::LABEL] = labels;
    object
}

/// `--filter`: of each key, one value must fit; of labels all.
struct Filters(Given);

impl Filters {
    fn new(words: &[String]) -> Result<Self> {
        let pair = |word: &String| match word.split_once('=') {
            Some(("dangling", value @ ("true" | "false"))) => Ok(("dangling".to_owned(), value.to_owned())),
            Some((key @ ("name" | "label" | "driver"), value)) => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Error::new(format!(
                "--filter {word:?}: none of name=TEXT, label=KEY[=VALUE], driver=NAME, dangling=true|false"
            ))),
        };
        words.iter().map(pair).collect::<Result<_>>().map(Given).map(Self)
    }

    fn take(&self, name: &Name, about: &Volume, users: &Users) -> bool {
        self.0.one("name", |value| name.contains(value))
            && self.0.one("driver", |value| value == DRIVER)
            && self.0.one("dangling", |value| users.contains_key(name) == (value == "false"))
            && self.0.labels(&about.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};

    #[test]
    fn users_of_volumes_are_told_by_one_list_or_nobody_knows_them() {
        let web = r#"{"id":"0a","name":"web","image":"nginx","digest":null,
            "command":[],"created":0,"configured":false,"status":{"state":"running","pid":null,"started":null,"ran":null,
            "finished":null,"exit":null,"out-of-memory":false,"restarts":0,"error":null,"health":null},
            "ports":[],"networks":{},"labels":{},"tty":false,"volumes":["data"]}"#;
        let list = format!(r#"{{"reply":"containers","containers":[{web}]}}"#);
        let long = r#"{"reply":"failed","code":"internal","message":"the answer is too long"}"#;
        let users = |answers: &[&str]| {
            with_monitor(&[answers], |socket| {
                users(&Node { socket, store: Path::new("/nowhere") }).map_err(|error| error.message)
            })
        };
        assert_eq!(users(&[HELLO, &list]), Ok([("data".parse().unwrap(), vec!["web".into()])].into()));
        assert_eq!(users(&[HELLO, long]), Err("the answer is too long".into()));
        assert!(users(&[HELLO]).is_err_and(|told| told.starts_with("the monitor went away")));
    }

    #[test]
    fn a_list_tells_labels_as_docker_does() {
        let object = line(json!({ "Name": "data", "Labels": { "app": "", "tier": "front" } }));
        let template: format::Format = "{{.Name}} {{.Labels}} {{.Label \"tier\"}}".parse().unwrap();
        assert_eq!(format::show(&template, &[], &[object]).unwrap(), "data app=,tier=front front\n");
    }

    #[test]
    fn volumes_are_chosen_by_labels() {
        let labels = [("tier".to_owned(), "front".to_owned()), ("app".to_owned(), String::new())].into();
        let about = Volume { labels, ..Volume::default() };
        let takes = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            Filters::new(&words).unwrap().take(&"data".parse().unwrap(), &about, &Users::new())
        };
        assert!(takes(&[]) && takes(&["label=tier"]) && takes(&["label=tier=front", "label=app", "name=at"]));
        assert!(takes(&["driver=local", "driver=nfs"]) && !takes(&["driver=nfs"]));
        assert!(
            !takes(&["label=tier=back"]) && !takes(&["label=tier", "label=stage"]) && !takes(&["name=x"])
        );
        assert!(Filters::new(&["colour=red".to_owned()]).is_err());
    }

    #[test]
    fn a_volume_that_the_monitor_keeps_is_left_alone() {
        let kept = r#"{"reply":"failed","code":"state","message":"volume v: container web is made with it"}"#;
        let error = with_monitor(&[&[HELLO, kept]], |socket| {
            take_away(&Node { socket, store: Path::new("/nowhere") }, &"v".parse().unwrap()).unwrap_err()
        });
        assert_eq!(error.message, "volume v: container web is made with it");
    }
}
