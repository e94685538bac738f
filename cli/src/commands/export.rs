//! `export` and `save`: a container's files, or images, to an archive.
//!
//! Docker has `export CONTAINER` and `save IMAGE…`. `export` takes either, and asks which where something else has the
//! name, too.

use super::{Node, copy, images, inspect};
use crate::arguments::{Export, Written};
use crate::error::{Context, Error, Result};
use crate::progress::Shown;
use spec::monitor::Request;
use std::fs::{self, File};
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use store::{Form, Store};
use sys::file::New;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
}

/// `skerry export`
pub fn export(node: &Node<'_>, asked: &Export) -> Result<()> {
    let [name] = &asked.names[..] else { return save(node, asked) };
    match kind(node, asked, name)? {
        Kind::Container => files(node, name, asked.output.as_deref()),
        Kind::Image => save(node, asked),
    }
}

fn kind(node: &Node<'_>, asked: &Export, name: &str) -> Result<Kind> {
    match (asked.container, asked.format) {
        (true, _) => Ok(Kind::Container),
        (false, Some(_)) => Ok(Kind::Image),
        (false, None) => {
            let image = images::find(node, name).map(drop);
            let container = node.answer(&Request::Inspect { name: name.to_owned() }).map(drop);
            which(name, container, image)
        }
    }
}

fn which(name: &str, container: Result<()>, image: Result<()>) -> Result<Kind> {
    match (container, image) {
        (Ok(()), Ok(())) => Err(Error::new(format!(
            "{name:?} is a container and an image: container export {name} writes the one, save {name} the other"
        ))),
        (Ok(()), Err(_)) => Ok(Kind::Container),
        (Err(_), Ok(())) => Ok(Kind::Image),
        (Err(told), Err(_)) if !inspect::is_missing(&told) => Err(told),
        (Err(_), Err(told)) if told.code.is_some() => Err(inspect::neither(name)),
        (Err(_), Err(told)) => Err(told),
    }
}

/// The files of a container, without what is mounted in it.
fn files(node: &Node<'_>, name: &str, output: Option<&Path>) -> Result<()> {
    let Some(path) = output else {
        not_a_terminal()?;
        return copy::files(node, name, Stdio::inherit());
    };
    write_to(path, |file| {
        let file = file.try_clone().context(|| format!("write {}", path.display()))?;
        copy::files(node, name, file.into())
    })
}

/// `skerry save`
pub fn save(node: &Node<'_>, asked: &Export) -> Result<()> {
    // What is written must not be removed meanwhile.
    let store = Store::open(node.store)?;
    let stores = node.stores_with(&store);
    let name = |text: &String| {
        let image = images::find(node, text)?;
        let name = image.name.to_string();
        // One without a name is known by its digest alone.
        Ok(stores.digest(&name)?.map_or_else(|| image.digest.to_string(), |_| name))
    };
    let names = asked.names.iter().map(name).collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = Shown::unless(asked.quiet, "Exporting");
    let form = match (asked.format.unwrap_or(Written::OciArchive), &asked.output) {
        (Written::Oci, Some(folder)) => return Ok(store.export_layout(&names, folder, &*shown)?),
        (Written::Oci, None) => return Err(Error::new("export: a folder needs --output")),
        (Written::OciArchive, _) => Form::Oci,
        (Written::DockerArchive, _) => Form::Docker,
    };
    match &asked.output {
        Some(path) => write_to(path, |file| Ok(store.export(&names, form, file, &*shown)?)),
        None => {
            not_a_terminal()?;
            Ok(store.export(&names, form, &mut std::io::stdout().lock(), &*shown)?)
        }
    }
}

fn not_a_terminal() -> Result<()> {
    match std::io::stdout().is_terminal() {
        true => Err(Error::new("export: standard output is a terminal; --output names a file")),
        false => Ok(()),
    }
}

/// Writes a file whole and for good, or leaves what is there. What is no file, as a device or a pipe, is written to as
/// it is.
fn write_to(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let context = || format!("write {}", path.display());
    // A link stays what it is.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = match fs::symlink_metadata(&target) {
        Ok(known) if known.is_file() => known.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0o666,
        _ => return write(&mut File::create(path).context(context)?),
    };
    let mut new = New::beside(&target, mode).context(context)?;
    write(&mut new.file)?;
    new.publish().context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_containers_or_an_images_and_not_both() {
        let missing = || Err(Error::missing("there is none"));
        let which = |container, image| which("web", container, image).map_err(|error| error.message);
        assert_eq!(which(Ok(()), missing()), Ok(Kind::Container));
        assert_eq!(which(missing(), Ok(())), Ok(Kind::Image));
        assert_eq!(which(Err(Error::new("the monitor went away")), Ok(())), Ok(Kind::Image));
        assert_eq!(
            which(Ok(()), Ok(())).unwrap_err(),
            "\"web\" is a container and an image: container export web writes the one, save web the other"
        );
        let told = which(missing(), missing()).unwrap_err();
        assert_eq!(told, "\"web\": there is no such container or image");
        assert_eq!(which(Err(Error::new("it went away")), missing()).unwrap_err(), "it went away");
        assert_eq!(which(missing(), Err(Error::new("it is damaged"))).unwrap_err(), "it is damaged");
    }
}
