//! A container's own network: what `skerry-network` is asked for, and what it has answered.
//!
//! Its verbs are short-lived processes, as the runtime's are, and talk by files of the container's
//! folder:
//!
//! ```text
//! network.request    what `attach` reads
//! network.answer     what it prints, while it is at work
//! network            the last whole answer; it stays when the container has ended, so that the next
//!                    instance asks for the addresses of this one
//! network.log        why a verb did not work
//! ```
//!
//! What is attached is written down by `skerry-network` itself, before it makes anything: so whether there
//! is something to be detached is seen from its files, whatever was killed when.

use crate::place;
use crate::verb;
use spec::network::{Attach, Attached, Membership, Port};
use spec::node::{Container, ContainerNetwork, HOST_GATEWAY, Name};
use spec::paths;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use sys::cause::cause;
use sys::process::{Spawn, spawn};

/// What the network is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Put the container on its networks, or mend what is there.
    Attach,
    /// Make a running one's networks what they are to be by now.
    Mend,
    /// Take it off.
    Detach,
}

/// Where a container's packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the node's own interfaces.
    Node,
    /// Nowhere.
    Nowhere,
    /// To another container's interfaces.
    Other(Name),
    /// To interfaces of its own, which are asked for so.
    Own(Attach),
}

/// Where a container's packets go; `exposed` is what its image names, `before` what it had.
///
/// # Errors
/// What of it cannot be, in words.
pub fn way(
    key: &Name,
    name: &Name,
    container: &Container,
    exposed: &[Port],
    before: Option<&Attached>,
) -> Result<Way, String> {
    let network = container.network();
    let own = matches!(network, ContainerNetwork::On(_));
    for (key, wanted) in [
        ("ports", !container.ports.is_empty()),
        ("publish-all", container.publish_all),
        ("network-alias", !container.network_alias.is_empty()),
    ] {
        if wanted && !own {
            return Err(format!("{key}: the container has no network of its own"));
        }
    }
    let to_node = |line: &String| line.split_once(':').is_some_and(|(_, address)| address == HOST_GATEWAY);
    if network == ContainerNetwork::None && container.add_hosts.iter().any(to_node) {
        return Err(format!("add-hosts: {HOST_GATEWAY}: the container has no network"));
    }
    let shared = matches!(network, ContainerNetwork::Container(_));
    for (key, wanted) in [
        ("hostname", container.hostname.is_some()),
        ("dns", !container.dns.is_empty()),
        ("dns-search", !container.dns_search.is_empty()),
        ("dns-options", !container.dns_options.is_empty()),
        ("add-hosts", !container.add_hosts.is_empty()),
    ] {
        if wanted && shared {
            return Err(format!("{key}: it comes from the container whose network is shared"));
        }
    }
    Ok(match network {
        ContainerNetwork::Host => Way::Node,
        ContainerNetwork::None => Way::Nowhere,
        ContainerNetwork::Container(other) => Way::Other(other),
        ContainerNetwork::On(networks) => Way::Own(Attach {
            name: (name != key).then(|| name.clone()),
            // Of one that was taken off its last network nothing can be published.
            ports: if networks.is_empty() { Vec::new() } else { ports(container, exposed)? },
            networks: networks.into_iter().map(|one| membership(one, container, before)).collect(),
            dns: container.dns.clone(),
        }),
    })
}

fn membership(mut one: Membership, container: &Container, before: Option<&Attached>) -> Membership {
    one.aliases.extend(container.network_alias.iter().cloned());
    let had = before.map(|before| &*before.interfaces).unwrap_or_default();
    let had = had.iter().filter(|interface| interface.network == one.network);
    one.preferred = had.flat_map(|interface| interface.addresses.iter().map(|cidr| cidr.address)).collect();
    one
}

fn ports(container: &Container, exposed: &[Port]) -> Result<Vec<Port>, String> {
    let mut ports = container.ports.clone();
    if let Some(port) = container.expose.iter().find(|port| port.host != 0 || port.address.is_some()) {
        return Err(format!("expose {port}: not PORT[-PORT][/udp]"));
    }
    if container.publish_all {
        for &port in container.expose.iter().chain(exposed) {
            let same = |other: &Port| Port { host: 0, among: 1, address: None, ..*other } == port;
            if !ports.iter().any(same) {
                ports.push(port);
            }
        }
    }
    Ok(ports)
}

fn file(key: &Name, name: &str) -> PathBuf {
    place::folder(key).join(name)
}

/// The last whole answer.
pub fn answer(key: &Name) -> Option<Attached> {
    serde_json::from_slice(&fs::read(file(key, "network")).ok()?).ok()
}

/// Takes the answer of an `attach` that has worked.
///
/// # Errors
/// It is none, in words.
pub fn take_answer(key: &Name) -> Result<Attached, String> {
    let take = || -> io::Result<Attached> {
        let new = file(key, "network.answer");
        let attached = serde_json::from_slice(&fs::read(&new)?)?;
        fs::rename(&new, file(key, "network"))?;
        Ok(attached)
    };
    take().map_err(|error| format!("read the answer of skerry-network: {}", cause(&error)))
}

/// Whether a container is attached as it asks now: the last `attach` came to its end, and asked for
/// the same.
pub fn is_settled(key: &Name, asked: &Attach) -> bool {
    let plain = |asked: &Attach| {
        let mut asked = asked.clone();
        asked.networks.iter_mut().for_each(|one| one.preferred.clear());
        asked
    };
    let before: Option<Attach> =
        fs::read(file(key, "network.request")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    before.is_some_and(|before| plain(&before) == plain(asked)) && !file(key, "network.answer").exists()
}

/// Something of a container's network may be there.
pub fn is_held(key: &Name) -> bool {
    let record = Path::new(paths::CONTAINER_NETWORKS).join(format!("{key}.json"));
    record.exists() || Path::new(paths::NETNS).join(&**key).exists()
}

/// Begins to attach a container, and gives the process.
///
/// # Errors
/// Those of writing a file and of starting a program, in words.
pub fn attach(key: &Name, asked: &Attach) -> Result<i32, String> {
    let write = || -> io::Result<(File, File)> {
        let request = file(key, "network.request");
        // First, so that a half one is never taken for one that is done.
        let answer = File::create(file(key, "network.answer"))?;
        sys::file::replace(&request, &serde_json::to_vec(asked)?)?;
        Ok((File::open(request)?, answer))
    };
    let (request, answer) =
        write().map_err(|error| format!("write what skerry-network is asked for: {}", cause(&error)))?;
    begin("attach", key, &request, &answer)
}

/// Begins to detach a container, and gives the process.
///
/// # Errors
/// As [`attach`].
pub fn detach(key: &Name) -> Result<i32, String> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("open /dev/null: {}", cause(&error)))?;
    begin("detach", key, &null, &null)
}

fn begin(verb: &str, key: &Name, input: &File, output: &File) -> Result<i32, String> {
    let program = verb::program("skerry-network");
    let begun = || -> io::Result<i32> {
        let log = File::create(file(key, "network.log"))?;
        let words = [&*program.to_string_lossy(), verb, "--container", key].map(CString::new);
        let argv = words.into_iter().collect::<Result<Vec<_>, _>>()?;
        let env = [c"PATH=/sbin:/bin:/usr/sbin:/usr/bin".to_owned()];
        let descriptors = [input.as_fd(), output.as_fd(), log.as_fd()];
        spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup: None, oom_score_adj: None })
    };
    begun().map_err(|error| format!("start {}: {}", program.display(), cause(&error)))
}

/// Why a verb did not work, without the program's name and the container's.
pub fn reason(key: &Name, status: i32) -> String {
    let log = fs::read_to_string(file(key, "network.log")).unwrap_or_default();
    told(&log).unwrap_or_else(|| format!("skerry-network ended with wait status {status}"))
}

fn told(log: &str) -> Option<String> {
    let line = log.lines().last()?;
    let line = line.strip_prefix("skerry-network: ").unwrap_or(line);
    let rest = line.strip_prefix("attach ").or_else(|| line.strip_prefix("detach "));
    Some(rest.and_then(|rest| rest.split_once(": ")).map_or(line, |(_, reason)| reason).to_owned())
}

/// Name servers that a container asks, and its names for its own addresses.
pub fn addresses(attached: &Attached) -> impl Iterator<Item = IpAddr> {
    attached.interfaces.iter().flat_map(|interface| &interface.addresses).map(|cidr| cidr.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        let text = format!("[containers.web]\nimage = \"i\"\n{text}");
        let layer = spec::node::Layer { origin: "test".into(), text };
        spec::node::load(&[layer]).unwrap().containers.remove("web").unwrap()
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn asked(text: &str) -> Result<String, String> {
        let exposed = ["80".parse().unwrap(), "53/udp".parse().unwrap()];
        let way = way(&name("web"), &name("web"), &container(text), &exposed, None)?;
        Ok(match way {
            Way::Own(attach) => serde_json::to_string(&attach).unwrap(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn what_is_said_leads_somewhere() {
        for (text, way) in [
            ("", "Node"),
            ("network = \"none\"", "Nowhere"),
            ("network = \"container:db\"", "Other(Name(\"db\"))"),
            ("ports = [\"8080:80\"]", r#"{"networks":[{"network":"bridge"}],"ports":["8080:80"]}"#),
            (
                "network = \"back:ip=10.9.0.7\"\nnetwork-alias = [\"db\"]",
                r#"{"networks":[{"network":"back","addresses":["10.9.0.7"],"aliases":["db"]}]}"#,
            ),
            (
                "network = \"back\"\ndns = [\"9.9.9.9\"]",
                r#"{"networks":[{"network":"back"}],"dns":["9.9.9.9"]}"#,
            ),
            (
                "publish-all = true\nexpose = [\"81\"]\nports = [\"8080:80\"]",
                r#"{"networks":[{"network":"bridge"}],"ports":["8080:80","81","53/udp"]}"#,
            ),
        ] {
            assert_eq!(asked(text).as_deref(), Ok(way), "{text}");
        }
        for (text, words) in [
            ("network = \"host\"\nports = [\"8080:80\"]", "ports: the container has no network of its own"),
            ("network = \"none\"\npublish-all = true", "publish-all: the container has no network"),
            ("network = \"container:db\"\nhostname = \"h\"", "hostname: it comes from the container whose"),
            ("network = \"container:db\"\ndns = [\"9.9.9.9\"]", "dns: it comes from the container whose"),
            (
                "network = \"container:db\"\ndns-search = [\"a\"]",
                "dns-search: it comes from the container whose",
            ),
            ("network = \"back\"\nexpose = [\"1:80\"]", "expose 1:80: not PORT"),
            ("network = \"none\"\nadd-hosts = [\"up:host-gateway\"]", "host-gateway: the container has no"),
        ] {
            assert!(asked(text).unwrap_err().contains(words), "{text}");
        }
    }

    #[test]
    fn a_persons_container_has_its_name_and_asks_for_its_address_again() {
        let had = r#"{"netns":"/n","interfaces":[{"name":"eth0","network":"bridge","host-name":"skerry0p1",
            "mac":"02:00:00:00:00:01","addresses":["10.210.0.9/22"],"gateways":[],"mtu":1500}],"dns":[]}"#;
        let had: Attached = serde_json::from_str(had).unwrap();
        let way = way(&name("0123"), &name("web"), &container("network = \"bridge\""), &[], Some(&had));
        let Ok(Way::Own(attach)) = way else { panic!("{way:?}") };
        assert_eq!(attach.name, Some(name("web")));
        assert_eq!(attach.networks[0].preferred, ["10.210.0.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_reason_is_told_without_the_programs_words() {
        let log = "skerry-network: attach 0123456789ab: publish 8080:80: port 8080/tcp is in use by nginx (pid 812)\n";
        assert_eq!(told(log).as_deref(), Some("publish 8080:80: port 8080/tcp is in use by nginx (pid 812)"));
        assert_eq!(told(""), None);
    }
}
