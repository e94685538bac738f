//! Images: files, which this program reads and writes itself.

use super::{Node, list, print, print_all};
use crate::arguments::{Images, Import, RemoveImage};
use crate::error::{Error, Result};
use crate::format;
use serde_json::{Value, json};
use spec::nearest::nearest;
use std::path::Path;
use store::{Image, Listed, Store};

const COLUMNS: [(&str, &str); 4] =
    [("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("ORIGIN", "Origin")];

/// `skerry images`
pub fn list(node: &Node<'_>, asked: &Images) -> Result<()> {
    let mut images = node.stores().list()?;
    if let Some(repository) = &asked.repository {
        images.retain(|image| familiar(&image.name.to_string()).split(':').next() == Some(repository));
    }
    let digest = |image: &Listed| {
        let digest = image.digest.to_string();
        if asked.no_trunc {
            digest
        } else {
            digest.split(':').nth(1).unwrap_or("").chars().take(12).collect()
        }
    };
    if asked.quiet {
        images.iter().for_each(|image| print(&digest(image)));
        return Ok(());
    }
    let object = |image: &Listed| {
        let name = image.name.to_string();
        let (repository, tag) = split(familiar(&name));
        json!({
            "Repository": repository,
            "Tag": tag,
            "ID": digest(image),
            "Digest": image.digest.to_string(),
            "Origin": if image.read_only { "node" } else { "store" },
        })
    };
    let objects: Vec<Value> = images.iter().map(object).collect();
    print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

/// `skerry rmi`
pub fn remove(node: &Node<'_>, asked: &RemoveImage) -> Result<()> {
    let store = Store::open(node.store)?;
    // Without a monitor there is no container either.
    let containers = list::all(node).unwrap_or_default();
    for name in &asked.images {
        let image = find(node, name)?;
        let digest = image.digest.to_string();
        let user = containers.iter().find(|container| container.digest.as_ref() == Some(&digest));
        if let (false, Some(user)) = (asked.force, user) {
            return Err(Error::new(format!(
                "image {name}: container {} needs it; --force removes the name",
                user.name
            )));
        }
        node.stores_with(&store).remove(name)?;
        print(&format!("Untagged: {}", familiar(&image.name.to_string())));
    }
    Ok(())
}

/// `skerry import`
pub fn import(node: &Node<'_>, asked: &Import) -> Result<()> {
    let store = Store::open(node.store)?;
    let given = asked.source.as_deref().or(asked.input.as_deref());
    let source = given.filter(|path| *path != Path::new("-")).unwrap_or(Path::new("/dev/stdin"));
    let imported = match &asked.name {
        Some(name) => vec![store.import(source, name)?],
        None => store.import_all(source)?,
    };
    for image in imported {
        image.notes.iter().for_each(|note| eprintln!("skerry: {}: {note}", image.name));
        print(&format!("Loaded image: {}", familiar(&image.name.to_string())));
    }
    Ok(())
}

/// The image of a new container.
///
/// # Errors
/// It is not here.
pub fn ensure(node: &Node<'_>, name: &str, _pull: &str) -> Result<Image> {
    find(node, name)
}

/// An image that is here.
///
/// # Errors
/// It is not; the nearest name is told.
pub fn find(node: &Node<'_>, name: &str) -> Result<Image> {
    match node.stores().resolve(name) {
        Err(store::Error::NoImage(_)) => Err(Error::new(missing(name, &names(node)))),
        found => Ok(found?),
    }
}

/// The names of images that are here.
pub fn names(node: &Node<'_>) -> Vec<String> {
    let images = node.stores().list().unwrap_or_default();
    images.iter().map(|image| familiar(&image.name.to_string()).to_owned()).collect()
}

fn missing(name: &str, here: &[String]) -> String {
    let short: Vec<&str> = here.iter().map(|name| name.strip_suffix(":latest").unwrap_or(name)).collect();
    match nearest(familiar(name), short.iter().copied()) {
        Some(near) => format!("image {name:?} is not here (did you mean {near}, which is?)"),
        None => format!("image {name:?} is not here"),
    }
}

/// A name as people write it: without docker.io and library.
pub fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

fn split(name: &str) -> (&str, &str) {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "<none>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_people_write_them() {
        assert_eq!(split(familiar("docker.io/library/nginx:1")), ("nginx", "1"));
        assert_eq!(split(familiar("localhost:5000/app:x")), ("localhost:5000/app", "x"));
        assert_eq!(split("localhost:5000/app@sha256:00"), ("localhost:5000/app", "<none>"));
    }

    #[test]
    fn a_missing_image_is_told_with_the_nearest_one() {
        let here = ["nginx:latest".to_owned(), "busybox:1.35".to_owned()];
        assert_eq!(missing("ngnix", &here), "image \"ngnix\" is not here (did you mean nginx, which is?)");
        assert_eq!(missing("postgres", &here), "image \"postgres\" is not here");
    }
}
