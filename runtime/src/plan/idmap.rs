//! Idmapped mounts: a file's owner on its file system is seen as another
//! (`config.md`, Mounts; mount_setattr(2), ID-mapped mounts).

use super::namespaces::map;
use super::{Namespaces, Options, refuse};
use crate::error::Result;
use spec::bundle::{Mount, NamespaceKind};

/// How owners are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// By which user namespace.
    pub users: Users,
    /// With all mounts below.
    pub recursive: bool,
}

/// A user namespace that says how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// One with these maps.
    New {
        /// `uid_map`
        uid_map: String,
        /// `gid_map`
        gid_map: String,
    },
    /// The one that the container joins, by path.
    Joined(String),
}

/// The mount's own mappings, or else the container's when it asks for any; none when it does
/// not.
pub fn of(name: &str, mount: &Mount, options: &Options, namespaces: &Namespaces) -> Result<Option<IdMap>> {
    let recursive = options.idmap.unwrap_or(false);
    let users = match (mount.uid_mappings.is_empty(), mount.gid_mappings.is_empty()) {
        (true, true) if options.idmap.is_none() => return Ok(None),
        (true, true) => containers(namespaces).ok_or_else(|| {
            let words = "idmap without mappings needs a user namespace of the container's";
            refuse::at(&format!("{name}.options"), words)
        })?,
        (false, false) => Users::New { uid_map: map(&mount.uid_mappings), gid_map: map(&mount.gid_mappings) },
        (true, false) => return Err(refuse::at(&format!("{name}.gidMappings"), "there are no uidMappings")),
        (false, true) => return Err(refuse::at(&format!("{name}.uidMappings"), "there are no gidMappings")),
    };
    Ok(Some(IdMap { users, recursive }))
}

fn containers(namespaces: &Namespaces) -> Option<Users> {
    if namespaces.maps_users() {
        let (uid_map, gid_map) = (namespaces.uid_map.clone(), namespaces.gid_map.clone());
        return Some(Users::New { uid_map, gid_map });
    }
    let joined = namespaces.joined.iter().find(|(kind, _)| *kind == NamespaceKind::User);
    joined.map(|(_, path)| Users::Joined(path.clone()))
}
