//! `linux.netDevices`: interfaces of the host that move into the container's network namespace.

use super::{has, refuse};
use crate::error::Result;
use spec::bundle::{Linux, NamespaceKind};
use std::collections::BTreeSet;

/// An interface that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub name: String,
    /// Its name in the container; with `%d` in it the kernel puts the first number that is free.
    pub inside: String,
}

/// `IFNAMSIZ` of netdevice(7), with the zero byte at the end.
const LONGEST: usize = 16;

/// All of them, by their names on the host.
pub(super) fn devices(linux: &Linux) -> Result<Vec<NetDevice>> {
    if !linux.net_devices.is_empty() && !has(linux, NamespaceKind::Network) {
        return Err(refuse::at("linux.netDevices", "there is no network namespace"));
    }
    let one = |(name, device): (&String, &spec::bundle::NetDevice)| {
        let path = format!("linux.netDevices[{name:?}]");
        let inside = if device.name.is_empty() { name } else { &device.name };
        if !is_name(name) {
            return Err(refuse::at(&path, "no interface can have this name"));
        }
        if !is_name(inside) {
            return Err(refuse::at(
                &format!("{path}.name"),
                &format!("no interface can be called {inside:?}"),
            ));
        }
        Ok(NetDevice { name: name.clone(), inside: inside.clone() })
    };
    let devices = linux.net_devices.iter().map(one).collect::<Result<Vec<_>>>()?;
    // Of a pattern each has a name of its own.
    let mut named = devices.iter().filter(|device| !device.inside.contains('%'));
    let mut names = BTreeSet::new();
    if let Some(second) = named.find(|device| !names.insert(&device.inside)) {
        let path = format!("linux.netDevices[{:?}].name", second.name);
        return Err(refuse::at(&path, &format!("{:?} is another's name, too", second.inside)));
    }
    Ok(devices)
}

/// As the kernel's `dev_valid_name`.
fn is_name(name: &str) -> bool {
    let is_odd = |byte: u8| matches!(byte, 0 | b'/' | b':') || byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() < LONGEST && !name.bytes().any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(devices_of: &str) -> Result<Vec<NetDevice>> {
        let namespaces = "\"namespaces\": [{\"type\": \"network\"}]";
        devices(&serde_json::from_str(&format!("{{{namespaces}, \"netDevices\": {devices_of}}}")).unwrap())
    }

    #[test]
    fn each_keeps_its_name_or_gets_another() {
        let planned = of(r#"{"eth0": {}, "eth1": {"name": "net%d"}}"#).unwrap();
        let names: Vec<(&str, &str)> = planned.iter().map(|one| (&*one.name, &*one.inside)).collect();
        assert_eq!(names, [("eth0", "eth0"), ("eth1", "net%d")]);
    }

    #[test]
    fn names_that_no_interface_has_are_refused_by_their_path() {
        for name in ["", ".", "a/b", "a b", "a:b", "sixteen-letters-"] {
            let error = of(&format!("{{{name:?}: {{}}}}")).unwrap_err().0;
            assert_eq!(error, format!("linux.netDevices[{name:?}]: no interface can have this name"));
        }
        let error = of(r#"{"eth0": {"name": "a"}, "eth1": {"name": "a"}}"#).unwrap_err().0;
        assert_eq!(error, "linux.netDevices[\"eth1\"].name: \"a\" is another's name, too");
        assert_eq!(of(r#"{"eth0": {"name": "a%d"}, "eth1": {"name": "a%d"}}"#).unwrap().len(), 2);
        let error = of(r#"{"eth0": {"name": "a/b"}}"#).unwrap_err().0;
        assert_eq!(error, "linux.netDevices[\"eth0\"].name: no interface can be called \"a/b\"");
    }
}
