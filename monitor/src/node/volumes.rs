//! Volumes that go. The client that wants one removed empties it, which may take long; that it goes is decided here,
//! by one rename, so that no container can be made with it meanwhile.

use super::Monitor;
use super::talk::{Outcome, Then, failure};
use crate::life::State;
use crate::{definition, image, place};
use spec::bundle::Config;
use spec::monitor::{Code, Happening, Object, Reply};
use spec::node::{Mount, Name};
use spec::volume;
use std::fs;
use std::io;
use std::path::Path;
use sys::cause::cause;

impl Monitor {
    /// Puts a volume aside that no container is made with.
    pub(super) fn remove_volume(&mut self, name: &Name) -> Outcome {
        let users = self.users_of(name);
        let users = users.map_err(|reason| failure(Code::Internal, format!("volume {name}: {reason}")))?;
        if let Some(reason) = refusal(&users) {
            return Err(failure(Code::State, format!("volume {name}: {reason}")));
        }
        match fs::rename(volume::folder(name), volume::aside(name)) {
            Ok(()) => {
                self.happened_to_volume(name, "destroy");
                Ok(Then::Reply(Reply::Done))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(failure(Code::NotFound, format!("volume {name}: there is none")))
            }
            Err(error) => {
                Err(failure(Code::Internal, format!("volume {name}: put it aside: {}", cause(&error))))
            }
        }
    }

    /// Puts aside the volumes that nobody named and this container alone is made with, if they are to go with it. What they
    /// held goes as what it wrote does.
    pub(super) fn put_nameless_aside(&mut self, index: usize) {
        let cell = &self.cells[index];
        let own = cell.definition.as_ref().filter(|own| cell.with_volumes || own.remove);
        for name in own.map(|own| own.nameless.clone()).unwrap_or_default() {
            if !volume::folder(&name).exists() {
                continue;
            }
            let put = match self.users_of(&name) {
                Ok(users) if users.len() > 1 => continue,
                Ok(_) => image::put_aside(&volume::folder(&name)).map_err(|error| cause(&error)),
                Err(reason) => Err(reason),
            };
            match put {
                Ok(()) => self.happened_to_volume(&name, "destroy"),
                Err(reason) => self.console.say(&format!("volume {name}: not put aside: {reason}")),
            }
        }
    }

    /// Those of these mounts' volumes that are not there yet are about to be.
    pub(super) fn tell_new_volumes(&mut self, mounts: &[Mount]) {
        for name in mounts.iter().filter_map(Mount::volume).filter(|name| !volume::folder(name).exists()) {
            self.happened_to_volume(name, "create");
        }
    }

    fn happened_to_volume(&mut self, name: &Name, action: &str) {
        let attributes = [("driver".to_owned(), "local".to_owned())].into();
        let (id, action) = (name.to_string(), action.to_owned());
        self.happened(Happening { object: Object::Volume, id, action, attributes });
    }

    /// Names of the containers that are made with a volume: as they are now, as they will be, and those that stay down
    /// for another of their name, too.
    ///
    /// # Errors
    /// A definition or bundle that cannot be read, of which nobody knows what it uses.
    fn users_of(&self, volume: &Name) -> Result<Vec<String>, String> {
        let mut users = Vec::new();
        for (_, cell) in self.cells.iter() {
            let will = cell.container.as_ref().is_some_and(|container| uses(&container.mounts, volume));
            // `node.toml` may have lost it since, or gives it others.
            if will || (cell.observed.state != State::Absent && has(&place::folder(&cell.key), volume)?) {
                users.push(cell.name.to_string());
            }
        }
        for key in definition::keys()?.iter().filter(|key| !self.is_defined(key)) {
            let (own, container) = definition::read(key)?;
            if uses(&container.mounts, volume) {
                users.push(own.name.to_string());
            }
        }
        Ok(users)
    }

    /// A definition that the monitor has read and goes by.
    fn is_defined(&self, key: &str) -> bool {
        let cell = self.cells.find_key(key).map(|index| &self.cells[index]);
        cell.is_some_and(|cell| cell.definition.is_some())
    }
}

fn uses(mounts: &[Mount], volume: &Name) -> bool {
    mounts.iter().filter_map(Mount::volume).any(|name| name == volume)
}

/// What lies in this folder, if anything, was made with a volume.
fn has(bundle: &Path, volume: &Name) -> Result<bool, String> {
    let path = bundle.join("config.json");
    let text = match fs::read(&path) {
        // It is not made yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text.map_err(|error| format!("read {}: {}", path.display(), cause(&error)))?,
    };
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| format!("read {}: {error}", path.display()))?;
    let data = place::volume(volume);
    Ok(config
        .mounts
        .iter()
        .any(|mount| mount.source.as_deref().is_some_and(|source| data == Path::new(source))))
}

/// Why a volume stays.
fn refusal(users: &[String]) -> Option<String> {
    match users {
        [] => None,
        [one] => Some(format!("container {one} is made with it")),
        many => Some(format!("containers {} are made with it", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_goes_when_no_container_is_made_with_it() {
        let volume = |name: &str| Mount::Volume {
            name: name.parse().unwrap(),
            target: "/d".into(),
            read_only: false,
            no_copy: false,
        };
        let data: Name = "data".parse().unwrap();
        assert!(uses(&[volume("other"), volume("data")], &data) && !uses(&[volume("other")], &data));
        assert_eq!(refusal(&[]), None);
        let bundle = std::env::temp_dir().join(format!("skerry-volume-users-{}", std::process::id()));
        fs::create_dir_all(&bundle).unwrap();
        assert_eq!(has(&bundle, &data), Ok(false));
        let text = r#"{"ociVersion":"1.0.0","mounts":[{"destination":"/proc","type":"proc"},
            {"destination":"/d","type":"bind","source":"/var/lib/skerry/volumes/data/data"}]}"#;
        fs::write(bundle.join("config.json"), text).unwrap();
        assert_eq!((has(&bundle, &data), has(&bundle, &"other".parse().unwrap())), (Ok(true), Ok(false)));
        fs::write(bundle.join("config.json"), "{").unwrap();
        assert!(has(&bundle, &data).is_err());
        fs::remove_dir_all(&bundle).unwrap();
        let names = ["a", "b"].map(str::to_owned);
        assert_eq!(refusal(&names[..1]).unwrap(), "container a is made with it");
        assert_eq!(refusal(&names).unwrap(), "containers a, b are made with it");
    }
}
