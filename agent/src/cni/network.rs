//! A network as a file of `/etc/cni/net.d` describes it, what its plugins are told, and what they answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Versions of CNI whose requests and results are written alike.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Network {
    /// `cniVersion`: the newest that the file names and we speak.
    pub version: String,
    /// Its name, which plugins keep their state by.
    pub name: String,
    /// Configurations of its plugins, in their order.
    pub plugins: Vec<Map<String, Value>>,
}

impl Network {
    /// The network of a folder: that of the first file by name, as container runtimes take it.
    ///
    /// # Errors
    /// There is none, or the first file is none; the message names it.
    pub fn find(folder: &Path) -> Result<Self, String> {
        let entries = fs::read_dir(folder)
            .map_err(|error| format!("no network config in {}: {}", folder.display(), cause(&error)))?;
        let is_one = |path: &PathBuf| {
            let extension = path.extension().and_then(|own| own.to_str());
            path.is_file() && matches!(extension, Some("conf" | "conflist" | "json"))
        };
        let first = entries.flatten().map(|entry| entry.path()).filter(is_one).min();
        let path = first.ok_or_else(|| format!("no network config found in {}", folder.display()))?;
        let text = fs::read_to_string(&path).map_err(|error| cause(&error));
        text.and_then(|text| Self::parse(&text)).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    /// Reads a `.conflist`, or the configuration of a single plugin.
    fn parse(text: &str) -> Result<Self, String> {
        let mut all: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let version = version(&all)?;
        let name = all.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !is_name(&name) {
            return Err(format!("name: {name:?} is no name of a network"));
        }
        let plugins = match all.remove("plugins") {
            Some(Value::Array(plugins)) => plugins,
            Some(_) => return Err("plugins: not a list".to_owned()),
            None => vec![Value::Object(all)],
        };
        if plugins.is_empty() {
            return Err("plugins: there are none".to_owned());
        }
        let plugins = plugins.into_iter().enumerate().map(|(index, plugin)| match plugin {
            Value::Object(plugin) => {
                let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
                if kind.is_empty() || kind.contains('/') || kind.starts_with('.') {
                    return Err(format!("plugins[{index}].type: {kind:?} is no name of a plugin"));
                }
                Ok(plugin)
            }
            _ => Err(format!("plugins[{index}]: not an object")),
        });
        Ok(Self { version, name, plugins: plugins.collect::<Result<_, _>>()? })
    }

    /// What plugin `index` reads: its configuration, those of a pod's wants that it can do, and what the plugins before
    /// it made.
    pub fn input(&self, index: usize, wants: &Map<String, Value>, before: Option<&Value>) -> Value {
        let mut input = self.plugins[index].clone();
        input.insert("cniVersion".to_owned(), json!(self.version));
        input.insert("name".to_owned(), json!(self.name));
        let can = match input.remove("capabilities") {
            Some(Value::Object(can)) => can,
            _ => Map::new(),
        };
        let told: Map<String, Value> = wants
            .iter()
            .filter(|(name, _)| can.get(*name) == Some(&Value::Bool(true)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !told.is_empty() {
            input.insert("runtimeConfig".to_owned(), told.into());
        }
        if let Some(before) = before {
            input.insert("prevResult".to_owned(), before.clone());
        }
        input.into()
    }
}

fn version(all: &Map<String, Value>) -> Result<String, String> {
    let single = all.get("cniVersion").and_then(Value::as_str);
    let several = all.get("cniVersions").and_then(Value::as_array);
    let named = several.into_iter().flatten().filter_map(Value::as_str).chain(single);
    let rank = |version: &str| VERSIONS.iter().position(|own| *own == version);
    let best = named.filter_map(rank).max();
    best.map(|rank| VERSIONS[rank].to_owned()).ok_or_else(|| {
        format!("cniVersion: {:?} is none of {}", single.unwrap_or_default(), VERSIONS.join(", "))
    })
}

/// Section 1 of the specification: a letter or digit, then those and `_`, `.`, `-`.
fn is_name(name: &str) -> bool {
    let inner = |own: char| own.is_ascii_alphanumeric() || "_.-".contains(own);
    name.starts_with(|own: char| own.is_ascii_alphanumeric()) && name.chars().all(inner)
}

/// Addresses of a result on the interface of this name in the pod; those of no interface are its, too.
///
/// # Errors
/// There is none.
pub(super) fn addresses(result: &Value, name: &str) -> Result<Vec<IpAddr>, String> {
    let interfaces = result["interfaces"].as_array().cloned().unwrap_or_default();
    let is_its = |index: u64| {
        let interface = usize::try_from(index).ok().and_then(|index| interfaces.get(index));
        interface.is_some_and(|own| own["name"] == name && !own["sandbox"].as_str().unwrap_or("").is_empty())
    };
    let listed = result["ips"].as_array().into_iter().flatten();
    let its = listed.filter(|one| one["interface"].as_u64().is_none_or(is_its));
    let found: Vec<IpAddr> =
        its.filter_map(|one| one["address"].as_str()?.split('/').next()?.parse().ok()).collect();
    if found.is_empty() {
        return Err(format!("the plugins gave {name} no address"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{
        "cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.0.0", "9.0.0"], "name": "pods",
        "plugins": [
            { "type": "bridge", "ipam": { "type": "host-local" } },
            { "type": "portmap", "capabilities": { "portMappings": true, "bandwidth": false } }
        ]
    }"#;

    #[test]
    fn plugins_are_told_what_they_can_do_and_what_was_done() {
        let network = Network::parse(LIST).unwrap();
        assert_eq!((&*network.version, network.plugins.len()), ("1.0.0", 2));
        let wants = json!({ "portMappings": [1], "bandwidth": {} });
        let first = network.input(0, wants.as_object().unwrap(), None);
        let own = json!({ "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "ipam": { "type": "host-local" } });
        assert_eq!(first, own);
        let second = network.input(1, wants.as_object().unwrap(), Some(&json!({ "ips": [] })));
        assert_eq!(
            second,
            json!({
                "cniVersion": "1.0.0", "name": "pods", "type": "portmap",
                "runtimeConfig": { "portMappings": [1] }, "prevResult": { "ips": [] },
            })
        );
    }

    #[test]
    fn a_file_of_one_plugin_is_a_network_of_one() {
        let network = Network::parse(r#"{"cniVersion":"0.3.1","name":"n","type":"ptp"}"#).unwrap();
        assert_eq!(network.plugins[0]["type"], "ptp");
        assert_eq!(
            Network::parse(&serde_json::to_string(&network.input(0, &Map::new(), None)).unwrap())
                .unwrap()
                .name,
            "n"
        );
    }

    #[test]
    fn what_is_no_network_is_refused_by_its_place() {
        for (text, words) in [
            ("", "EOF while parsing"),
            ("[]", "invalid type"),
            (r#"{"name":"n","type":"x"}"#, r#"cniVersion: "" is none of"#),
            (r#"{"cniVersion":"0.2.0","name":"n","type":"x"}"#, r#"cniVersion: "0.2.0" is none of"#),
            (r#"{"cniVersion":"1.0.0","type":"x"}"#, "name: \"\""),
            (r#"{"cniVersion":"1.0.0","name":"../n","type":"x"}"#, "name: \"../n\""),
            (r#"{"cniVersion":"1.0.0","name":"n"}"#, "plugins[0].type"),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#, "plugins: there are none"),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":{}}"#, "plugins: not a list"),
            (
                r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"},{"type":"../sh"}]}"#,
                "plugins[1].type",
            ),
            (r#"{"cniVersion":"1.0.0","name":"n","plugins":[7]}"#, "plugins[0]: not an object"),
        ] {
            let refused = Network::parse(text).unwrap_err();
            assert!(refused.starts_with(words), "{text}: {refused}");
        }
    }

    #[test]
    fn the_first_file_is_the_network() {
        let folder = std::env::temp_dir().join(format!("skerry-cni-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let missing = Network::find(&folder).unwrap_err();
        assert!(missing.starts_with("no network config found in "), "{missing}");
        let one = |name: &str| format!(r#"{{"cniVersion":"1.0.0","name":"{name}","type":"x"}}"#);
        for name in ["10-b.conf", "20-a.conflist", "00-z.tmp"] {
            fs::write(folder.join(name), one(&name[3..4])).unwrap();
        }
        assert_eq!(Network::find(&folder).unwrap().name, "b");
        fs::write(folder.join("05-c.json"), "{").unwrap();
        let broken = Network::find(&folder).unwrap_err();
        assert!(broken.contains("05-c.json: EOF"), "{broken}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_pods_addresses_are_those_of_its_interface() {
        let result = json!({
            "interfaces": [
                { "name": "cni0" }, { "name": "veth1" }, { "name": "eth0", "sandbox": "/run/n" }, { "name": "eth0" },
            ],
            "ips": [
                { "address": "10.0.0.1/24", "interface": 0 }, { "address": "10.0.0.2/24", "interface": 2 },
                { "address": "10.0.0.3/24", "interface": 3 }, { "address": "fd00::2/64", "interface": 2 },
                { "address": "10.0.0.9/24" },
            ],
        });
        let found = addresses(&result, "eth0").unwrap();
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.2", "fd00::2", "10.0.0.9"]
        );
        assert!(addresses(&json!({}), "eth0").is_err());
    }
}
