//! `ps` and `port`.

pub mod filters;

use super::{Node, images, print, print_all, unexpected, volumes};
use crate::arguments::{List, Port};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::format;
use crate::human;
use crate::table::shorten;
use crate::time;
use filters::Filters;
use serde_json::{Value, json};
use spec::monitor::{self, Health, Reply, Request, Status, Summary};
use spec::node::{Container, Mount};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

const COLUMNS: [(&str, &str); 8] = [
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
    ("ORIGIN", "Origin"),
];

/// Letters of an ID, and of a command, in a table.
const SHORT: usize = 12;
const COMMAND: usize = 20;

/// `skerry ps`
pub fn list(node: &Node<'_>, list: &List) -> Result<()> {
    let filters = Filters::new(&list.filter)?;
    let mut containers = all(node)?;
    let filters = filters.settle(node, &containers)?;
    containers.sort_by_key(|container| std::cmp::Reverse(container.created));
    let newest = list.last.or(list.latest.then_some(1));
    let all = list.all || newest.is_some() || filters.asks_for_a_status();
    containers.retain(|container| (all || is_alive(&container.status)) && filters.take(container));
    containers.truncate(newest.unwrap_or(usize::MAX));
    let id = |container: &Summary| short(&container.id, list.no_trunc);
    if list.quiet {
        containers.iter().for_each(|container| print(&id(container)));
        return Ok(());
    }
    let (mut columns, size) = (COLUMNS.to_vec(), list.size || list.format.names("Size"));
    if list.size {
        columns.insert(columns.len() - 1, ("SIZE", "Size"));
    }
    let mounts = list.format.shows("Mounts") || list.format.shows("LocalVolumes");
    let mut objects = Vec::new();
    for container in &containers {
        let mut object = object(container, list.no_trunc);
        if size || mounts {
            let Some((definition, written)) = filters::more(node, container)? else { continue };
            add_mounts(&mut object, &definition, list.no_trunc);
            if size {
                object["Size"] = told_sizes(sizes(node, container, &written)).into();
            }
        }
        objects.push(object);
    }
    print_all(&format::show(&list.format, &columns, &objects).map_err(Error::new)?);
    Ok(())
}

/// Letters of a mount in a list.
const MOUNT: usize = 15;

fn add_mounts(object: &mut Value, container: &Container, whole: bool) {
    let short = |text: &str| if whole { text.to_owned() } else { shorten(text, MOUNT) };
    let name = |mount: &Mount| match mount {
        Mount::Volume { name, .. } => Some(short(name)),
        Mount::Bind { source, .. } => Some(short(source)),
        Mount::Tmpfs { .. } => None,
    };
    let names: Vec<String> = container.mounts.iter().filter_map(name).collect();
    let volumes = container.mounts.iter().filter_map(Mount::volume).count();
    object["Mounts"] = names.join(",").into();
    object["LocalVolumes"] = volumes.to_string().into();
}

/// `2B (virtual 187MB)`
fn told_sizes((own, all): (u64, u64)) -> String {
    format!("{} (virtual {})", human::decimal(own), human::decimal(all))
}

/// What a container has written, in this folder, and that and its image together, in bytes.
pub fn sizes(node: &Node<'_>, container: &Summary, written: &str) -> (u64, u64) {
    let own = volumes::folders::size(&Path::new(written).join("upper"));
    let stores = node.stores();
    let image = images::digest_of(&stores, container).ok().flatten();
    let image = image.and_then(|digest| stores.resolve_digest(&container.image, &digest).ok());
    let layers = image.iter().flat_map(|image| &image.layers);
    let below: u64 = layers.filter_map(|layer| fs::metadata(&layer.path).ok()).map(|about| about.len()).sum();
    (own, own + below)
}

/// Every container of the machine.
pub fn all(node: &Node<'_>) -> Result<Vec<Summary>> {
    listed(Client::ask(node.socket, &Request::List)?)
}

/// The same of a monitor that is there; none is started for it.
///
/// # Errors
/// There is none, or what it says.
pub fn all_there(node: &Node<'_>) -> Result<Vec<Summary>> {
    listed(Client::ask_there(node.socket, &Request::List)?)
}

fn listed(mut client: Client) -> Result<Vec<Summary>> {
    let mut all = Vec::new();
    loop {
        let (containers, more) = match client.reply()? {
            Reply::Containers { containers, more } => (containers, more),
            other => return Err(unexpected(&other)),
        };
        all.extend(containers);
        if !more {
            return Ok(all);
        }
    }
}

/// `skerry port`
pub fn port(node: &Node<'_>, asked: &Port) -> Result<()> {
    let summary = match node.answer(&Request::Inspect { name: asked.container.clone() })? {
        Reply::Container { summary, .. } => summary,
        other => return Err(unexpected(&other)),
    };
    let fits = |port: &&monitor::Port| {
        let name = format!("{}/{}", port.container, port.protocol);
        asked.port.as_ref().is_none_or(|asked| *asked == name || name == format!("{asked}/tcp"))
    };
    let mut ports: Vec<&monitor::Port> = summary.ports.iter().filter(fits).collect();
    ports.sort_by_key(|port| (port.container, &port.protocol, port.address, port.node));
    if let (true, Some(port)) = (ports.is_empty(), &asked.port) {
        return Err(Error::new(format!("container {}: port {port} is not published", asked.container)));
    }
    for port in ports {
        for here in addresses(port).map(|address| here(address, port.node)) {
            match asked.port {
                Some(_) => print(&here),
                None => print(&format!("{}/{} -> {here}", port.container, port.protocol)),
            }
        }
    }
    Ok(())
}

/// It runs, if not at this moment.
pub fn is_alive(status: &Status) -> bool {
    matches!(status.state.as_str(), "running" | "paused" | "restarting" | "stopping")
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.to_owned() } else { id.chars().take(SHORT).collect() }
}

fn object(container: &Summary, whole: bool) -> Value {
    let created = container.created / 1_000_000_000;
    let command = container.command.join(" ");
    let command = if whole { command } else { shorten(&command, COMMAND) };
    let ports: Vec<String> = ranges(ports(container)).iter().map(Range::to_string).collect();
    let labels: Vec<String> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let networks: Vec<&str> = container.networks.keys().map(String::as_str).collect();
    json!({
        "ID": short(&container.id, whole),
        "Image": container.image,
        "Command": format!("{command:?}"),
        "CreatedAt": time::gos(created),
        "RunningFor": format!("{} ago", human::ago(time::since(created))),
        "Status": status(&container.status),
        "State": container.status.state,
        "Ports": ports.join(", "),
        "Names": container.name,
        "Labels": labels.join(","),
        (format::LABEL): container.labels,
        "Networks": networks.join(","),
        "Origin": if container.configured { "node.toml" } else { "person" },
    })
}

/// A container's port, and where it is reached from outside, if it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown<'a> {
    container: u16,
    outside: Option<(IpAddr, u16)>,
    protocol: &'a str,
}

/// A container's ports, published and only exposed, in order.
fn ports(container: &Summary) -> BTreeSet<Shown<'_>> {
    let published = container.ports.iter().flat_map(|port| {
        addresses(port).map(|address| Shown {
            container: port.container,
            outside: Some((address, port.node)),
            protocol: &port.protocol,
        })
    });
    let exposed = container.exposed.iter().filter_map(|text| {
        let (number, protocol) = text.split_once('/')?;
        let is_published = |port: &monitor::Port| format!("{}/{}", port.container, port.protocol) == *text;
        let number = number.parse().ok().filter(|_| !container.ports.iter().any(is_published))?;
        Some(Shown { container: number, outside: None, protocol })
    });
    published.chain(exposed).collect()
}

/// Ports that follow one another, the first of them and the last.
struct Range<'a>(Shown<'a>, Shown<'a>);

impl Range<'_> {
    fn goes_on_with(&self, next: &Shown<'_>) -> bool {
        let Self(_, last) = self;
        let outside = match (last.outside, next.outside) {
            (None, None) => true,
            (Some((here, last)), Some((there, next))) => here == there && last.checked_add(1) == Some(next),
            _ => false,
        };
        outside && last.protocol == next.protocol && last.container.checked_add(1) == Some(next.container)
    }

    /// Another number leads to it.
    fn is_mapped(&self) -> bool {
        self.0.outside.is_some_and(|(_, node)| node != self.0.container)
    }
}

/// `80/tcp`, `0.0.0.0:8080->80/tcp`, `[::]:8000-8010->8000-8010/tcp`
impl fmt::Display for Range<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, last) = self;
        let to =
            |last: u16| if first.container == self.1.container { String::new() } else { format!("-{last}") };
        if let (Some((address, node)), Some((_, last))) = (first.outside, last.outside) {
            write!(out, "{}{}->", here(address, node), to(last))?;
        }
        write!(out, "{}{}/{}", first.container, to(last.container), first.protocol)
    }
}

/// Ports put together, as Docker tells them: those that have the same number on both sides, or none outside, come first.
fn ranges(ports: BTreeSet<Shown<'_>>) -> Vec<Range<'_>> {
    let mut ranges: Vec<Range<'_>> = Vec::new();
    for port in ports {
        match ranges.iter_mut().find(|range| range.goes_on_with(&port)) {
            Some(range) => range.1 = port,
            None => ranges.push(Range(port.clone(), port)),
        }
    }
    ranges.sort_by_key(Range::is_mapped);
    ranges
}

/// Where a port is reached; those of both families when none was named.
pub fn addresses(port: &monitor::Port) -> impl Iterator<Item = IpAddr> {
    match port.address {
        Some(address) => [Some(address), None],
        None => [Some(Ipv4Addr::UNSPECIFIED.into()), Some(Ipv6Addr::UNSPECIFIED.into())],
    }
    .into_iter()
    .flatten()
}

fn here(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// In Docker's words: `Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`.
fn status(status: &Status) -> String {
    let up = || format!("Up {}", human::ago(time::since(status.started.unwrap_or(0))));
    match (status.state.as_str(), status.finished) {
        ("running", _) => match status.health {
            None => up(),
            Some(Health::Starting) => format!("{} (health: starting)", up()),
            Some(Health::Healthy) => format!("{} (healthy)", up()),
            Some(Health::Unhealthy) => format!("{} (unhealthy)", up()),
        },
        ("paused", _) => format!("{} (Paused)", up()),
        ("stopping", _) => format!("{} (stopping)", up()),
        ("restarting", Some(at)) => format!("Restarting {} ago", ended(status, at)),
        ("exited", Some(at)) => format!("Exited {} ago", ended(status, at)),
        (other, _) => {
            other.chars().take(1).flat_map(char::to_uppercase).chain(other.chars().skip(1)).collect()
        }
    }
}

fn ended(status: &Status, at: u64) -> String {
    format!("({}) {}", status.exit.unwrap_or(0), human::ago(time::since(at)))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// One called `web`.
    pub fn container(state: &str) -> Summary {
        Summary {
            id: "0123456789abcdef".repeat(4),
            name: "web".parse().unwrap(),
            image: "nginx".into(),
            digest: None,
            command: vec!["nginx".into(), "-g".into(), "daemon off; and more".into()],
            created: time::now() - 7_200_000_000_000,
            configured: false,
            status: Status {
                state: state.into(),
                started: Some(time::now() / 1_000_000_000 - 60),
                finished: Some(time::now() / 1_000_000_000 - 180),
                exit: Some(137),
                ..Status::default()
            },
            ports: vec![monitor::Port { address: None, node: 8080, container: 80, protocol: "tcp".into() }],
            exposed: Vec::new(),
            networks: Default::default(),
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            tty: false,
            volumes: Vec::new(),
            images: Vec::new(),
        }
    }

    #[test]
    fn a_container_is_a_line_in_dockers_words() {
        let objects = [object(&container("running"), false)];
        let text = format::show(&format::Format::Table, &COLUMNS, &objects).unwrap();
        assert_eq!(
            text,
            "CONTAINER ID   IMAGE   COMMAND                  CREATED       STATUS              \
             PORTS                                     NAMES   ORIGIN\n\
             0123456789ab   nginx   \"nginx -g daemon off…\"   2 hours ago   Up About a minute   \
             0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   web     person\n"
        );
    }

    #[test]
    fn exposed_ports_that_are_not_published_are_told_alone() {
        let exposed = ["80/tcp", "53/udp", "443/tcp", "443/tcp"].map(str::to_owned).into();
        let told = object(&Summary { exposed, ..container("running") }, false);
        assert_eq!(told["Ports"], "53/udp, 443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    }

    #[test]
    fn ports_in_a_row_are_told_as_one_range() {
        let port = |node, container| monitor::Port { address: None, node, container, protocol: "tcp".into() };
        let local = |node, container| monitor::Port {
            address: Some(Ipv4Addr::LOCALHOST.into()),
            ..port(node, container)
        };
        let ports = vec![
            port(8001, 81),
            local(9000, 83),
            local(71, 71),
            port(8000, 80),
            local(70, 70),
            port(8003, 82),
        ];
        let exposed = ["7002/tcp", "7000/tcp", "7001/udp", "7001/tcp", "70/tcp"].map(str::to_owned).into();
        let told = object(&Summary { ports, exposed, ..container("running") }, false);
        let expected = [
            "127.0.0.1:70-71->70-71/tcp",
            "7000-7002/tcp",
            "7001/udp",
            "0.0.0.0:8000-8001->80-81/tcp",
            "[::]:8000-8001->80-81/tcp",
            "0.0.0.0:8003->82/tcp",
            "[::]:8003->82/tcp",
            "127.0.0.1:9000->83/tcp",
        ];
        assert_eq!(told["Ports"], expected.join(", "));
    }

    #[test]
    fn states_are_told_in_dockers_words() {
        let mut healthy = container("running").status;
        healthy.health = Some(Health::Healthy);
        for (is, text) in [
            (healthy, "Up About a minute (healthy)"),
            (container("exited").status, "Exited (137) 3 minutes ago"),
            (container("created").status, "Created"),
            (container("paused").status, "Up About a minute (Paused)"),
        ] {
            assert_eq!(status(&is), text);
        }
    }

    #[test]
    fn mounts_are_told_by_what_they_show() {
        let container = Container {
            mounts: vec![
                Mount::Volume {
                    name: "data".parse().unwrap(),
                    target: "/d".into(),
                    read_only: false,
                    no_copy: false,
                },
                Mount::Bind {
                    source: "/srv/some/long/path".into(),
                    target: "/b".into(),
                    read_only: false,
                    propagation: Default::default(),
                },
            ],
            ..Container::of("i")
        };
        let mut told = json!({});
        add_mounts(&mut told, &container, false);
        assert_eq!(told, json!({ "Mounts": "data,/srv/some/long…", "LocalVolumes": "1" }));
    }
}
