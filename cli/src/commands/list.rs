//! `ps` and `port`.

use super::{Node, print, print_all, unexpected};
use crate::arguments::{List, Port};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::format;
use crate::human;
use crate::table::shorten;
use crate::time;
use serde_json::{Value, json};
use spec::monitor::{self, Health, Reply, Request, Status, Summary};
use spec::timestamp::rfc3339_seconds;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    let objects: Vec<Value> = containers.iter().map(|container| object(container, list.no_trunc)).collect();
    print_all(&format::show(&list.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

/// Every container of the machine.
pub fn all(node: &Node<'_>) -> Result<Vec<Summary>> {
    let (mut client, mut all) = (Client::ask(node.socket, &Request::List)?, Vec::new());
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
    let ports: Vec<&monitor::Port> = summary.ports.iter().filter(fits).collect();
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

fn is_alive(status: &Status) -> bool {
    matches!(status.state.as_str(), "running" | "paused" | "restarting" | "stopping")
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.to_owned() } else { id.chars().take(SHORT).collect() }
}

fn object(container: &Summary, whole: bool) -> Value {
    let created = container.created / 1_000_000_000;
    let command = container.command.join(" ");
    let command = if whole { command } else { shorten(&command, COMMAND) };
    let ports: Vec<String> = ranges(&container.ports).into_iter().flat_map(published).collect();
    let labels: Vec<String> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let networks: Vec<&str> = container.networks.keys().map(String::as_str).collect();
    json!({
        "ID": short(&container.id, whole),
        "Image": container.image,
        "Command": format!("{command:?}"),
        "CreatedAt": rfc3339_seconds(created),
        "RunningFor": format!("{} ago", human::ago(time::since(created))),
        "Status": status(&container.status),
        "State": container.status.state,
        "Ports": ports.join(", "),
        "Names": container.name,
        "Labels": labels.join(","),
        "Networks": networks.join(","),
        "Origin": if container.configured { "node.toml" } else { "person" },
    })
}

/// Ports that follow one another, put together.
fn ranges(ports: &[monitor::Port]) -> Vec<&[monitor::Port]> {
    let next = |a: &monitor::Port, b: &monitor::Port| {
        a.address == b.address
            && a.protocol == b.protocol
            && a.node.checked_add(1) == Some(b.node)
            && a.container.checked_add(1) == Some(b.container)
    };
    ports.chunk_by(next).collect()
}

/// `0.0.0.0:8080->80/tcp` and `[::]:8080->80/tcp`, `127.0.0.1:8000-8010->8000-8010/tcp`
fn published(range: &[monitor::Port]) -> Vec<String> {
    let [first, rest @ ..] = range else { return Vec::new() };
    let last = |port: fn(&monitor::Port) -> u16| {
        rest.last().map_or_else(String::new, |last| format!("-{}", port(last)))
    };
    let (node, container) = (last(|port| port.node), last(|port| port.container));
    let line = |address| {
        let here = here(address, first.node);
        format!("{here}{node}->{}{container}/{}", first.container, first.protocol)
    };
    addresses(first).map(line).collect()
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

/// `--filter`: of each key, one value must fit; of labels all.
struct Filters(Vec<(String, String)>);

const KEYS: [&str; 8] = ["name", "id", "status", "exited", "label", "network", "origin", "health"];

impl Filters {
    fn new(words: &[String]) -> Result<Self> {
        let pair = |word: &String| match word.split_once('=') {
            Some((key, value)) if KEYS.contains(&key) => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Error::new(format!("--filter {word:?}: not KEY=VALUE with one of {}", KEYS.join(", ")))),
        };
        words.iter().map(pair).collect::<Result<_>>().map(Self)
    }

    fn asks_for_a_status(&self) -> bool {
        self.0.iter().any(|(key, _)| key == "status" || key == "exited")
    }

    fn take(&self, container: &Summary) -> bool {
        KEYS.iter().all(|key| {
            let mut given = self.0.iter().filter(|(known, _)| known == key).peekable();
            match *key {
                "label" => given.all(|(_, value)| fits(container, key, value)),
                _ => given.peek().is_none() || given.any(|(_, value)| fits(container, key, value)),
            }
        })
    }
}

fn fits(container: &Summary, key: &str, value: &str) -> bool {
    match key {
        "name" => is_named(&container.name, value),
        "id" => container.id.starts_with(value),
        "status" => container.status.state == value,
        "exited" => {
            container.status.state == "exited"
                && container.status.exit.is_some_and(|exit| exit.to_string() == value)
        }
        "network" => container.networks.contains_key(value),
        "origin" => (value == "node.toml") == container.configured,
        "health" => {
            container.status.health.is_some_and(|health| format!("{health:?}").eq_ignore_ascii_case(value))
        }
        _ => match value.split_once('=') {
            Some((label, value)) => container.labels.get(label).is_some_and(|is| is == value),
            None => container.labels.contains_key(value),
        },
    }
}

/// A part of the name, as in Docker's patterns: `^` and `/` stand for its beginning, `$` for its end.
fn is_named(name: &str, pattern: &str) -> bool {
    let whole = pattern.strip_suffix('$');
    let text = whole.unwrap_or(pattern);
    let end = text.trim_start_matches(['^', '/']);
    match (end.len() < text.len(), whole.is_some()) {
        (true, true) => name == end,
        (true, false) => name.starts_with(end),
        (false, true) => name.ends_with(end),
        (false, false) => name.contains(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: &str) -> Summary {
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
    fn ports_in_a_row_are_told_as_one_range() {
        let port = |node, container| monitor::Port { address: None, node, container, protocol: "tcp".into() };
        let local = monitor::Port { address: Some(Ipv4Addr::LOCALHOST.into()), ..port(9000, 83) };
        let ports = [port(8000, 80), port(8001, 81), port(8003, 82), local];
        let told: Vec<String> = ranges(&ports).into_iter().flat_map(published).collect();
        let expected = [
            "0.0.0.0:8000-8001->80-81/tcp",
            "[::]:8000-8001->80-81/tcp",
            "0.0.0.0:8003->82/tcp",
            "[::]:8003->82/tcp",
            "127.0.0.1:9000->83/tcp",
        ];
        assert_eq!(told, expected);
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
    fn filters_choose() {
        for (words, takes) in [
            (&["name=we"][..], true),
            (&["name=db", "name=web"], true),
            (&["label=tier=front", "status=running"], true),
            (&["label=tier=back"], false),
            (&["label=tier", "label=tier=front"], true),
            (&["label=tier=front", "label=stage=test"], false),
            (&["name=^web$"], true),
            (&["name=/web"], true),
            (&["name=^/we", "name=db"], true),
            (&["name=eb$"], true),
            (&["name=^eb"], false),
            (&["name=we$"], false),
            (&["exited=137"], false),
            (&["network=back"], false),
            (&["origin=node.toml"], false),
            (&["health=healthy"], false),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(Filters::new(&words).unwrap().take(&container("running")), takes, "{words:?}");
        }
        assert!(Filters::new(&["colour=red".to_owned()]).is_err());
    }
}
