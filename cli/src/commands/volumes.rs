//! `volume`: folders that stay when containers go.
//!
//! A volume is a folder of the data disk (`spec::paths::VOLUMES`), which this program makes and removes
//! itself. The monitor fills one at its first use. Who uses it, the monitor says.

use super::{Node, images, inspect::show_each, list, print, print_all, unexpected};
use crate::arguments::{VolumeCreate, VolumeInspect, VolumeList, VolumePrune, VolumeRemove, VolumeVerb};
use crate::error::{Context, Error, Result};
use crate::format;
use crate::human::decimal;
use serde_json::{Value, json};
use spec::monitor::{Code, Reply, Request};
use spec::nearest::nearest;
use spec::node::{Mount, Name};
use spec::paths::VOLUMES;
use spec::timestamp::rfc3339;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

const COLUMNS: [(&str, &str); 3] = [("DRIVER", "Driver"), ("VOLUME NAME", "Name"), ("USED BY", "UsedBy")];

/// Containers by the volumes that they use.
type Users = BTreeMap<Name, Vec<String>>;

/// `skerry volume`
pub fn volume(node: &Node<'_>, verb: &VolumeVerb) -> Result<()> {
    match verb {
        VolumeVerb::Ls(asked) => ls(node, asked),
        VolumeVerb::Create(asked) => create(asked),
        VolumeVerb::Rm(asked) => remove(node, asked),
        VolumeVerb::Inspect(asked) => inspect(node, asked),
        VolumeVerb::Prune(asked) => prune(node, asked),
    }
}

fn ls(node: &Node<'_>, asked: &VolumeList) -> Result<()> {
    let filters = Filters::new(&asked.filter)?;
    let users = users(node)?;
    let mut names = names()?;
    names.retain(|name| filters.take(name, &users));
    if asked.quiet {
        names.iter().for_each(|name| print(name));
        return Ok(());
    }
    let objects: Vec<Value> = names.iter().map(|name| object(name, &users)).collect();
    print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

fn create(asked: &VolumeCreate) -> Result<()> {
    let name: Name = match &asked.name {
        Some(name) => name.parse().map_err(Error::new)?,
        None => made_up()?,
    };
    // What it holds comes with its first use.
    let folder = Path::new(VOLUMES).join(&*name);
    fs::create_dir_all(&folder)
        .and_then(|()| sys::file::sync_folder_of(&folder))
        .context(|| format!("make {}", folder.display()))?;
    print(&name);
    Ok(())
}

/// 32 hexadecimal digits.
fn made_up() -> Result<Name> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context(|| "read /dev/urandom".into())?;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().map_err(Error::new)
}

fn remove(node: &Node<'_>, asked: &VolumeRemove) -> Result<()> {
    let users = users(node)?;
    super::containers::each(&asked.volumes, |name| match find(&name) {
        Err(_) if asked.force => Ok(()),
        found => take_away(&found?, &users),
    })
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
    if !asked.force && !images::confirmed("This removes every volume that no container uses.")? {
        return Ok(());
    }
    let users = users(node)?;
    let mut bytes = 0;
    for name in names()?.iter().filter(|name| !users.contains_key(*name)) {
        bytes += size(&Path::new(VOLUMES).join(&**name));
        take_away(name, &users)?;
        print(&format!("Deleted: {name}"));
    }
    print(&format!("Total reclaimed space: {}", decimal(bytes)));
    Ok(())
}

/// Out of the way at once, whole; and then for good. A folder that a killed program has left
/// aside goes with the next one.
fn take_away(name: &Name, users: &Users) -> Result<()> {
    if let Some(users) = users.get(name) {
        let words = if users.len() == 1 { "container" } else { "containers" };
        return Err(Error::new(format!("volume {name}: {words} {} made with it", use_it(users))));
    }
    let (folder, aside) = (Path::new(VOLUMES).join(&**name), Path::new(VOLUMES).join(format!(".{name}")));
    let gone = |path: &PathBuf| match sys::tree::remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let words = || format!("remove volume {name}");
    gone(&aside)
        .and_then(|()| fs::rename(&folder, &aside))
        .and_then(|()| sys::file::sync_folder_of(&folder))
        .and_then(|()| gone(&aside))
        .context(words)
}

fn use_it(users: &[String]) -> String {
    let verb = if users.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", users.join(", "))
}

/// Volumes that are here.
fn names() -> Result<Vec<Name>> {
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
    Err(Error::new(format!("volume {text:?}: there is none{near}")))
}

/// Who uses which: containers that do not run, too.
fn users(node: &Node<'_>) -> Result<Users> {
    let mut users = Users::new();
    for one in list::all(node)? {
        let container = match node.answer(&Request::Inspect { name: one.id.clone() }) {
            Ok(Reply::Container { container, .. }) => container,
            Ok(other) => return Err(unexpected(&other)),
            // It was removed meanwhile.
            Err(error) if error.code == Some(Code::NotFound) => continue,
            // Of any other nobody knows what it uses.
            Err(error) => return Err(error),
        };
        for mount in &container.mounts {
            if let Mount::Volume { name, .. } = mount {
                users.entry(name.clone()).or_default().push(one.name.to_string());
            }
        }
    }
    Ok(users)
}

fn object(name: &Name, users: &Users) -> Value {
    let folder = Path::new(VOLUMES).join(&**name);
    let made = fs::metadata(&folder).and_then(|about| about.created().or_else(|_| about.modified()));
    let users: &[String] = users.get(name).map_or(&[], Vec::as_slice);
    json!({
        "Name": name,
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": folder.join("data"),
        "CreatedAt": made.ok().map(rfc3339),
        "UsedBy": users.join(", "),
    })
}

/// Bytes of a folder and all in it.
fn size(folder: &Path) -> u64 {
    let mut blocks = 0;
    sys::tree::walk(folder, |about| blocks += about.st_blocks.unsigned_abs());
    blocks * 512
}

/// `--filter`: of each key, one value must fit.
struct Filters(Vec<(String, String)>);

impl Filters {
    fn new(words: &[String]) -> Result<Self> {
        let pair = |word: &String| match word.split_once('=') {
            Some(("dangling", value @ ("true" | "false"))) => Ok(("dangling".to_owned(), value.to_owned())),
            Some(("name", value)) => Ok(("name".to_owned(), value.to_owned())),
            _ => Err(Error::new(format!("--filter {word:?}: neither name=TEXT nor dangling=true|false"))),
        };
        words.iter().map(pair).collect::<Result<_>>().map(Self)
    }

    fn take(&self, name: &Name, users: &Users) -> bool {
        let fits = |(key, value): &(String, String)| match key.as_str() {
            "name" => name.contains(value.as_str()),
            _ => users.contains_key(name) == (value == "false"),
        };
        ["name", "dangling"].iter().all(|key| {
            let mut given = self.0.iter().filter(|(known, _)| known == key).peekable();
            given.peek().is_none() || given.any(fits)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};

    #[test]
    fn nobody_knows_who_uses_a_volume_unless_every_container_is_told() {
        let list = r#"{"reply":"containers","containers":[{"id":"0a","name":"web","image":"nginx","digest":null,
            "command":[],"created":0,"configured":false,"status":{"state":"running","pid":null,"started":null,"ran":null,
            "finished":null,"exit":null,"out-of-memory":false,"restarts":0,"error":null,"health":null},
            "ports":[],"networks":{},"labels":{},"tty":false}]}"#;
        let gone = r#"{"reply":"failed","code":"not-found","message":"container \"0a\": there is none"}"#;
        let long = r#"{"reply":"failed","code":"internal","message":"the answer is too long"}"#;
        let users = |inspect: &[&str]| {
            with_monitor(&[&[HELLO, list], inspect], |socket| {
                users(&Node { socket, store: Path::new("/nowhere") }).map_err(|error| error.message)
            })
        };
        assert_eq!(users(&[HELLO, gone]), Ok(Users::new()));
        assert_eq!(users(&[HELLO, long]), Err("the answer is too long".into()));
        assert!(users(&[HELLO]).is_err_and(|told| told.starts_with("the monitor went away")));
    }
}
