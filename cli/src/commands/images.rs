//! Images: files, which this program reads and writes itself.

mod changes;
mod filters;
mod prune;

use super::containers::{each_of, unless_missing};
use super::{Node, list, print, print_all, registry};
use crate::arguments::{Images, Import, Options, RemoveImage, Tag};
use crate::error::{Context, Error, Result};
use crate::format;
use crate::human::{self, decimal};
use crate::keeper::NOBODY;
use crate::progress::Shown;
use crate::time;
use filters::Filters;
pub use prune::prune;
use serde_json::{Value, json};
use spec::monitor::{Object, Summary};
use spec::nearest::nearest;
use spec::timestamp::rfc3339;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use store::{Details, Digest, Held, Image, Listed, Reference, Root, Store, Stores};

const COLUMNS: [(&str, &str); 6] = [
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
    ("ORIGIN", "Origin"),
];

/// What Docker shows where it does not know.
pub const UNKNOWN: &str = "N/A";

/// `skerry images`: those with names, then those that have lost theirs.
pub fn list(node: &Node<'_>, asked: &Images) -> Result<()> {
    let filters = Filters::new(node, &asked.filter)?;
    let stores = node.stores();
    let mut images = if filters.takes_kind(false) { stores.list()? } else { Vec::new() };
    images.retain(|image| filters.take(&stores, Some(&image.name), &image.digest));
    let damaged = Store::open_read_only(node.store).damaged_names()?;
    damaged.iter().for_each(|bad| eprintln!("skerry: {bad}"));
    if let Some(wanted) = &asked.repository {
        let is_pattern = wanted.contains(['*', '?']);
        images.retain(|image| {
            let name = image.name.to_string();
            if is_pattern { filters::is_like(wanted, &name) } else { is_of(&name, wanted) }
        });
    }
    let nameless = filters.takes_kind(true) && asked.repository.is_none();
    let mut nameless = if nameless { stores.nameless()? } else { Vec::new() };
    nameless.retain(|digest| filters.take(&stores, None, digest));
    let id = |digest: &Digest| match asked.no_trunc {
        true => digest.to_string(),
        false => digest.hex().chars().take(12).collect(),
    };
    if asked.quiet {
        let named = images.iter().map(|image| &image.digest);
        named.chain(&nameless).for_each(|digest| print(&id(digest)));
        return Ok(());
    }
    // Of two of the same name the store's own is the one that is shown and used.
    let own: BTreeSet<Reference> = names_of(&Store::open_read_only(node.store))?;
    let line = |names: (&str, &str), digest: &Digest, details: store::Result<Details>| {
        // One that is damaged is shown as far as it can be.
        let details = details.map_err(|error| eprintln!("skerry: {error}")).ok();
        object(names, digest, &id(digest), details.as_ref())
    };
    let named = images.iter().map(|image| {
        let name = image.name.to_string();
        let mut object = line(split(familiar(&name)), &image.digest, stores.details(&image.name));
        object["Origin"] = if own.contains(&image.name) { "store" } else { "node" }.into();
        object
    });
    let unnamed = nameless.iter().map(|digest| {
        let mut object = line((NONE, NONE), digest, stores.details_by_digest(digest));
        object["Origin"] = "store".into();
        object
    });
    let objects: Vec<Value> = named.chain(unnamed).collect();
    let mut columns = COLUMNS.to_vec();
    if asked.digests {
        columns.insert(2, ("DIGEST", "Digest"));
    }
    print_all(&format::show(&asked.format, &columns, &objects).map_err(Error::new)?);
    Ok(())
}

fn object((repository, tag): (&str, &str), digest: &Digest, id: &str, details: Option<&Details>) -> Value {
    let created = details.and_then(|details| spec::timestamp::parse(details.created.as_ref()?));
    let created = created.map(|nanoseconds| nanoseconds / 1_000_000_000);
    let since = created.map(|seconds| format!("{} ago", human::ago(time::since(seconds))));
    json!({
        "Repository": repository,
        "Tag": tag,
        "ID": id,
        "Digest": digest.to_string(),
        "CreatedAt": created.map_or_else(|| UNKNOWN.to_owned(), time::gos),
        "CreatedSince": since.unwrap_or_else(|| UNKNOWN.to_owned()),
        "Size": details.map_or_else(|| UNKNOWN.to_owned(), |details| decimal(details.size)),
        "Containers": UNKNOWN,
        "SharedSize": UNKNOWN,
        "UniqueSize": UNKNOWN,
    })
}

fn names_of(store: &Store) -> Result<BTreeSet<Reference>> {
    Ok(store.list()?.into_iter().map(|image| image.name).collect())
}

/// `skerry rmi`
pub fn remove(node: &Node<'_>, asked: &RemoveImage) -> Result<()> {
    let containers = match list::all(node) {
        Err(error) if error.message.starts_with(NOBODY) => Vec::new(),
        Err(_) if asked.force => Vec::new(),
        listed => listed?,
    };
    let store = Store::open(node.store)?;
    let images = |one| images_of(node, one).unwrap_or_default().into_iter().map(move |image| (one, image));
    let used: Vec<(&Summary, Digest)> = containers.iter().flat_map(images).collect();
    let mut gone = BTreeSet::new();
    let mut names = Vec::new();
    let mut nameless = Vec::new();
    for text in &asked.images {
        let (stores, called) = (node.stores(), node.stores().called(text)?);
        let has_name = !matches!(stores.digest(called.first().unwrap_or(text)), Ok(None));
        match if has_name { None } else { stores.nameless_called(text)? } {
            Some(digest) => nameless.push(digest),
            None => names.extend(called.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>()),
        }
    }
    let untag = |name: &String| {
        let reference: Reference = name.parse().map_err(Error::new)?;
        // One that is damaged can be removed all the same, and no container can be made of it any more.
        let digest = node.stores().digest(name).ok().flatten();
        let here = node.stores().list().unwrap_or_default();
        let user = digest.as_ref().and_then(|digest| user(&used, digest, &reference, &here));
        if let (false, Some(user)) = (asked.force, user) {
            return Err(Error::new(format!(
                "image {name}: container {} needs it; --force removes the name",
                user.name
            )));
        }
        let removed = node.stores_with(&store).remove(name).map_err(|error| missing(node, name, error));
        unless_missing(asked.force, removed.map(|()| (reference, digest)))
    };
    let untagged = each_of(names.iter().map(untag), |untagged| {
        if let Some((name, digest)) = untagged {
            let name = name.to_string();
            print(&format!("Untagged: {}", familiar(&name)));
            tell(node, digest.as_ref(), "untag", &name);
            gone.extend(digest);
        }
    });
    let unused = |digest: Digest| match used.iter().find(|(_, used)| *used == digest) {
        Some((user, _)) => Err(Error::new(format!("image {digest}: container {} needs it", user.name))),
        None => Ok(digest),
    };
    let by_id = !nameless.is_empty();
    let untagged = [untagged, each_of(nameless.into_iter().map(unused), |digest| _ = gone.insert(digest))];
    let untagged = each_of(untagged.into_iter(), |()| ());
    match free(node, &store, gone, by_id) {
        // The names have gone, as was asked for.
        Err(error) if !by_id => eprintln!("skerry: {error}"),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    untagged
}

/// The container that needs a name of an image: the image has no other, or it is this one that the container is held
/// to, by `node.toml`.
fn user<'u>(
    used: &[(&'u Summary, Digest)],
    digest: &Digest,
    name: &Reference,
    here: &[Listed],
) -> Option<&'u Summary> {
    let last = here.iter().filter(|image| image.digest == *digest).count() < 2;
    let needs = |user: &Summary| last || (user.digest.is_none() && user.image.parse().as_ref() == Ok(name));
    used.iter().find(|(user, used)| used == digest && needs(user)).map(|(user, _)| *user)
}

fn deleted(node: &Node<'_>, digest: &Digest) {
    print(&format!("Deleted: {digest}"));
    tell(node, Some(digest), "delete", &digest.to_string());
}

/// Tells those who follow events of an image; it goes by its digest, if that is known.
pub fn tell(node: &Node<'_>, digest: Option<&Digest>, action: &str, name: &str) {
    let id = digest.map_or_else(|| familiar(name).to_owned(), ToString::to_string);
    node.tell(Object::Image, &id, action, &[("name", familiar(name))]);
}

/// Takes away the files of images that have lost their last name in this store, unless a container needs them; where nobody
/// tells which containers there are, they stay for `prune`, which is an error if it `must` be done.
fn free(node: &Node<'_>, store: &Store, mut gone: BTreeSet<Digest>, must: bool) -> Result<()> {
    let named = store.list()?;
    gone.retain(|digest| named.iter().all(|image| image.digest != *digest));
    let kept = match kept(node) {
        Ok(kept) => kept,
        Err(error) if must => return Err(error),
        Err(_) => return Ok(()),
    };
    gone.retain(|digest| !kept.contains(digest));
    if !gone.is_empty() {
        // Others that have no name stay until somebody prunes, as with Docker.
        let spared = || {
            let others = store.nameless()?.into_iter().filter(|digest| !gone.contains(digest));
            Ok::<_, Error>(others.chain(self::kept(node)?).collect())
        };
        store.collect_but(spared)?;
        // Who has come to need one meanwhile has kept it.
        gone.retain(|digest| !store.has_manifest(digest));
        gone.iter().for_each(|digest| deleted(node, digest));
    }
    Ok(())
}

/// `skerry import`
pub fn import(node: &Node<'_>, asked: &Import) -> Result<()> {
    let store = Store::open(node.store)?;
    let given = asked.source.as_deref().or(asked.input.as_deref());
    let source = given.filter(|path| *path != Path::new("-")).unwrap_or(Path::new("/dev/stdin"));
    if given.is_none() && std::io::stdin().is_terminal() {
        return Err(Error::new("import: standard input is a terminal; name an archive or a folder"));
    }
    let shown = Shown::unless(asked.quiet, "Importing");
    let imported = match (&asked.files, &asked.name) {
        (Some(name), _) => vec![store.import_root(source, name, &files(asked)?, &*shown)?],
        (None, Some(name)) => vec![store.import_as(source, name, &*shown)?],
        (None, None) => store.import_all(source, &*shown)?,
    };
    for image in imported {
        let name = image.called();
        image.notes.iter().for_each(|note| eprintln!("skerry: {name}: {note}"));
        match image.name {
            _ if asked.files.is_some() => print(&image.digest.to_string()),
            Some(_) => print(&format!("Loaded image: {}", familiar(&name))),
            None => print(&format!("Loaded image ID: {name}")),
        }
        let action = if asked.files.is_some() { "import" } else { "load" };
        tell(node, Some(&image.digest), action, &name);
    }
    Ok(())
}

/// What an image of an archive's files says of itself.
fn files(asked: &Import) -> Result<Root> {
    let created = rfc3339(std::time::SystemTime::now());
    let from = asked.source.as_deref().unwrap_or(Path::new("-")).display();
    let comment = asked.message.clone().unwrap_or_else(|| format!("Imported from {from}"));
    Ok(Root { config: changes::config(&asked.change)?, created, comment })
}

/// `skerry tag`
pub fn tag(node: &Node<'_>, asked: &Tag) -> Result<()> {
    let image = find(node, &asked.image)?;
    let store = Store::open(node.store)?;
    let (stores, called) = (node.stores_with(&store), image.name.to_string());
    match stores.digest(&called)? {
        Some(_) => stores.tag(&called, &asked.name)?,
        None => store.tag_digest(&image.digest, &asked.name)?,
    }
    let name: Reference = asked.name.parse().map_err(Error::new)?;
    tell(node, Some(&image.digest), "tag", &name.to_string());
    Ok(())
}

/// The images that containers need.
fn kept(node: &Node<'_>) -> Result<BTreeSet<Digest>> {
    used(node, &list::all(node)?)
}

/// The images that these containers need.
///
/// # Errors
/// The monitor has told a digest that is none.
pub fn used(node: &Node<'_>, containers: &[Summary]) -> Result<BTreeSet<Digest>> {
    let mut used = BTreeSet::new();
    for one in containers {
        used.extend(images_of(node, one)?);
    }
    Ok(used)
}

/// The image that a container is made of; one of `node.toml` is held to a name alone.
fn image_of(node: &Node<'_>, container: &Summary) -> Result<Option<Digest>> {
    digest_of(&node.stores(), container)
}

/// The same, of stores that are open.
///
/// # Errors
/// The monitor has told no digest.
pub fn digest_of(stores: &Stores, container: &Summary) -> Result<Option<Digest>> {
    match &container.digest {
        Some(digest) => digest.parse().map(Some).map_err(Error::new),
        None => Ok(stores.digest(&container.image).ok().flatten()),
    }
}

/// That, and those that its pod has as volumes.
fn images_of(node: &Node<'_>, container: &Summary) -> Result<Vec<Digest>> {
    let mounted = container.images.iter().map(|digest| digest.parse().map_err(Error::new));
    let mut images = mounted.collect::<Result<Vec<Digest>>>()?;
    images.extend(image_of(node, container)?);
    Ok(images)
}

/// Asks before something goes that does not come back.
///
/// # Errors
/// Nobody can answer.
pub fn confirmed(what: &str) -> Result<bool> {
    eprint!("{what} Continue? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context(|| "read standard input".into())?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The image of a new container, fetched when `pull` says so. It is held until the container is there: whoever prunes
/// meanwhile does not know of that yet.
///
/// # Errors
/// It is not here, and cannot be had.
pub fn ensure(node: &Node<'_>, options: &Options) -> Result<(Image, Option<Held>)> {
    // It may be taken away before it is held.
    match obtain_held(node, options)? {
        (Ok(image), held) => Ok((image, held)),
        (Err(_), _) => {
            let (image, held) = obtain_held(node, options)?;
            Ok((image?, held))
        }
    }
}

/// The image as it is once it is held, if all of it is still there.
fn obtain_held(node: &Node<'_>, options: &Options) -> Result<(store::Result<Image>, Option<Held>)> {
    let image = obtain(node, options)?;
    let held = hold(node, &image)?;
    Ok((node.stores().resolve_digest(&image.name.to_string(), &image.digest), held))
}

/// Where the store cannot be written, nothing is taken out of it either.
fn hold(node: &Node<'_>, image: &Image) -> Result<Option<Held>> {
    match Store::open(node.store) {
        Ok(store) => Ok(store.hold(&image.digest)?),
        Err(_) => Ok(None),
    }
}

fn obtain(node: &Node<'_>, options: &Options) -> Result<Image> {
    let (name, platform) = (options.image(), options.platform.as_deref());
    let wanted = platform.map(registry::platform).transpose()?;
    let here = match options.pull.as_str() {
        "always" if !is_id(name) => None,
        _ => by_name_or_id(node, name).map(Some).or_else(absent)?,
    };
    // To a registry an ID is a name like any other, which anybody may have taken.
    let is_fixed = options.pull == "never" || is_id(name);
    match (here, wanted) {
        (Some(image), None) => Ok(image),
        (Some(image), Some(wanted)) if wanted.takes(&image.platform) => Ok(image),
        (Some(image), Some(wanted)) if is_fixed => {
            Err(Error::new(format!("image {name:?} is here for {}, not for {wanted}", image.platform)))
        }
        (None, _) if is_fixed => find(node, name),
        _ => {
            registry::fetch(node, &registry::registries()?, name, platform, options.quiet)?;
            find(node, name)
        }
    }
}

fn absent(error: store::Error) -> Result<Option<Image>> {
    match error {
        store::Error::NoImage(_) => Ok(None),
        other => Err(other.into()),
    }
}

/// Adds the nearest name that is here, if it is another one.
pub fn near(words: String, name: &str, here: &[String]) -> String {
    let short: Vec<&str> = here.iter().map(|name| name.strip_suffix(":latest").unwrap_or(name)).collect();
    match nearest(familiar(name), short.iter().copied()) {
        Some(near) if near != familiar(name) => format!("{words} (did you mean {near}, which is here?)"),
        _ => words,
    }
}

/// As `images` shows one, cut or not.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let long = digits.len() < text.len() || matches!(digits.len(), 12 | 64);
    long && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// An image that is here, by its name or the beginning of its ID.
///
/// # Errors
/// It is not; the nearest name is told.
pub fn find(node: &Node<'_>, name: &str) -> Result<Image> {
    by_name_or_id(node, name).map_err(|error| missing(node, name, error))
}

fn by_name_or_id(node: &Node<'_>, text: &str) -> store::Result<Image> {
    let stores = node.stores();
    let names = stores.called(text)?;
    match stores.resolve(names.first().map_or(text, String::as_str)) {
        Err(store::Error::NoImage(name)) => match stores.nameless_called(text)? {
            Some(digest) => stores.resolve_digest(text, &digest),
            None => Err(store::Error::NoImage(name)),
        },
        found => found,
    }
}

/// An error in words; of an image that is not here with the nearest name that is.
fn missing(node: &Node<'_>, name: &str, error: store::Error) -> Error {
    match error {
        store::Error::NoImage(_) => {
            Error::missing(near(format!("image {name:?} is not here"), name, &names(node)))
        }
        other => other.into(),
    }
}

/// The names of images that are here.
pub fn names(node: &Node<'_>) -> Vec<String> {
    let images = node.stores().list().unwrap_or_default();
    images.iter().map(|image| familiar(&image.name.to_string()).to_owned()).collect()
}

/// A name as people write it: without docker.io and library.
pub fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// A name without its tag.
pub fn repository(name: &str) -> &str {
    split(name).0
}

/// `REPOSITORY@DIGEST`
pub fn by_digest(name: &Reference, digest: &Digest) -> String {
    format!("{}@{digest}", repository(familiar(&name.to_string())))
}

/// True when a name is of the repository that is asked for, and has its tag, if one is.
fn is_of(name: &str, wanted: &str) -> bool {
    let ((repository, tag), (own, own_tag)) = (split(familiar(wanted)), split(familiar(name)));
    own == repository && (tag == NONE || own_tag == tag)
}

/// What stands for a tag where there is none.
const NONE: &str = "<none>";

fn split(name: &str) -> (&str, &str) {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};

    #[test]
    fn names_are_shown_as_people_write_them() {
        assert_eq!(split(familiar("docker.io/library/nginx:1")), ("nginx", "1"));
        assert_eq!(split(familiar("localhost:5000/app:x")), ("localhost:5000/app", "x"));
        assert_eq!(split("localhost:5000/app@sha256:00"), ("localhost:5000/app", "<none>"));
    }

    #[test]
    fn a_repository_may_have_a_port_and_a_tag_be_asked_for() {
        let name = "localhost:5000/app:1";
        assert!(["localhost:5000/app", name].iter().all(|wanted| is_of(name, wanted)));
        assert!(["localhost:5000/app:2", "localhost", "app"].iter().all(|wanted| !is_of(name, wanted)));
        for wanted in ["nginx", "library/nginx", "docker.io/library/nginx"] {
            assert!(is_of("docker.io/library/nginx:latest", wanted), "{wanted}");
        }
    }

    #[test]
    fn an_image_is_told_with_its_age_and_size() {
        let digest = Digest::sha256(b"");
        let object = |details: Option<&Details>| object(("nginx", "1"), &digest, "0123", details);
        let details = |created: &str| Details {
            created: Some(created.into()),
            layers: 2,
            size: 187_000_000,
            platform: store::Platform::host(),
            index: None,
            history: Vec::new(),
        };
        let told = object(Some(&details("2024-05-06T07:08:09.5Z")));
        assert_eq!((&told["Repository"], &told["Tag"]), (&json!("nginx"), &json!("1")));
        assert_eq!(
            (&told["Size"], &told["CreatedAt"]),
            (&json!("187MB"), &json!("2024-05-06 07:08:09 +0000 UTC"))
        );
        assert!(told["CreatedSince"].as_str().unwrap().ends_with(" ago"), "{told}");
        // What has no date of its own, as reproducible builds do.
        assert_eq!(object(Some(&details("0001-01-01T00:00:00Z")))["CreatedSince"], "N/A");
        assert_eq!(object(None)["Size"], "N/A");
    }

    #[test]
    fn no_image_goes_when_nobody_knows_who_needs_it() {
        let long = r#"{"reply":"failed","code":"internal","message":"the answer is too long"}"#;
        let asked = RemoveImage { images: vec!["app".into()], force: false, no_prune: false };
        let error = with_monitor(&[&[HELLO, long]], |socket| {
            remove(&Node { socket, store: Path::new("/proc/none") }, &asked)
        });
        assert_eq!(error.unwrap_err().message, "the answer is too long");
    }

    #[test]
    fn images_that_pods_have_as_volumes_are_kept() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let pods = format!(
            r#"{{"reply":"containers","containers":[{{"id":"0a","name":"web","image":"nginx","digest":"{}",
            "command":[],"created":0,"configured":false,"status":{{"state":"running","pid":null,"started":null,"ran":null,
            "finished":null,"exit":null,"out-of-memory":false,"restarts":0,"error":null,"health":null}},
            "ports":[],"networks":{{}},"labels":{{}},"tty":false,"images":["{}"]}}]}}"#,
            digest("a"),
            digest("b")
        );
        let kept = with_monitor(&[&[HELLO, &pods]], |socket| {
            kept(&Node { socket, store: Path::new("/proc/none") }).unwrap()
        });
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept, [digest("a"), digest("b")]);
    }

    #[test]
    fn a_name_is_needed_when_it_is_the_last_or_what_node_toml_says() {
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let image = |name: &str| Listed {
            name: name.parse().unwrap(),
            digest: digest.clone(),
            index: None,
            read_only: false,
        };
        let summary = |digest: Option<&Digest>| -> Summary {
            let status = spec::monitor::Status::default();
            let said = json!({ "id": "ab12", "name": "web", "image": "app", "digest": digest.map(ToString::to_string),
                "command": [], "created": 0, "configured": digest.is_none(), "status": status, "ports": [], "networks": {},
                "labels": {}, "tty": false });
            serde_json::from_value(said).unwrap()
        };
        let (persons, configured) = (summary(Some(&digest)), summary(None));
        let needed = |one: &Summary, of: &Digest, name: &str, here: &[&str]| {
            let here: Vec<Listed> = here.iter().map(|name| image(name)).collect();
            user(&[(one, of.clone())], &digest, &name.parse().unwrap(), &here).is_some()
        };
        assert!(needed(&persons, &digest, "app", &["app"]));
        assert!(!needed(&persons, &digest, "app", &["app", "mine:1"]));
        assert!(!needed(&persons, &other, "app", &["app"]));
        assert!(needed(&configured, &digest, "app:latest", &["app", "mine:1"]));
        assert!(!needed(&configured, &digest, "mine:1", &["app", "mine:1"]));
    }

    #[test]
    fn a_missing_image_is_told_with_the_nearest_one() {
        let here = ["nginx:latest".to_owned(), "busybox:1.35".to_owned()];
        assert_eq!(near("no ngnix".into(), "ngnix", &here), "no ngnix (did you mean nginx, which is here?)");
        assert_eq!(near("no postgres".into(), "postgres", &here), "no postgres");
    }
}
