//! The files that every container finds in its `/etc`, which it may change: copies of its own, beside what
//! else it writes. So it changes nobody else's, and fills no memory of the node's.
//!
//! A container may start long before the node has an address, and a file that
//! is bound into it must stay the same file to be seen. So the `resolv.conf` of each that follows the node's is
//! rewritten in place whenever the network service puts a new one at [`paths::RESOLV_CONF`]. What they were
//! given last is written down, so that a monitor that comes back leaves alone what is as it was.

use crate::bundle::EtcFiles;
use crate::life::Time;
use crate::network;
use crate::place;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use spec::network::Attached;
use spec::node::{Container, ContainerNetwork, HOST_GATEWAY, Name, Sharing};
use spec::paths;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::cause::cause;

/// How a container reaches others.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over the node's own interfaces, or not at all.
    None,
    /// Over interfaces of its own.
    Own(Box<Attached>),
    /// Over another container's, which has this key, by the path of their namespace; its host name.
    Other { key: Name, netns: String, hostname: String },
}

impl Connection {
    /// The namespace that it joins.
    pub fn netns(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Own(attached) => Some(attached.netns.clone()),
            Self::Other { netns, .. } => Some(netns.clone()),
        }
    }

    /// Where the node is reached: at the routers of its first network that has some, or at itself.
    fn gateways(&self) -> &[IpAddr] {
        const SELF: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        match self {
            Self::None => &SELF,
            Self::Own(attached) => {
                let mut gateways = attached.interfaces.iter().map(|interface| &*interface.gateways);
                gateways.find(|gateways| !gateways.is_empty()).unwrap_or_default()
            }
            Self::Other { .. } => &[],
        }
    }

    fn attached(&self) -> Option<&Attached> {
        match self {
            Self::Own(attached) => Some(attached),
            Self::None | Self::Other { .. } => None,
        }
    }
}

/// A container that is to reach the node by a name can reach it.
///
/// # Errors
/// Which name leads nowhere.
pub fn check(container: &Container, connection: &Connection) -> Result<(), String> {
    let mut lines = container.add_hosts.iter().filter_map(|line| line.split_once(':'));
    match lines.find(|(_, address)| *address == HOST_GATEWAY) {
        Some((name, _)) if connection.gateways().is_empty() => {
            Err(format!("add-hosts: {name}:{HOST_GATEWAY}: none of its networks leads to the node"))
        }
        _ => Ok(()),
    }
}

/// The host name of a container that is not on another's network.
pub fn hostname(key: &Name, container: &Container) -> String {
    match (&container.hostname, container.uts) {
        (Some(own), _) => own.clone(),
        (None, Sharing::Private) => key.to_string(),
        (None, Sharing::Host) => {
            let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            node.trim_end().to_owned()
        }
    }
}

/// Writes the container's own files and says where all of them are.
pub fn write(
    key: &Name,
    hostname: &str,
    container: &Container,
    connection: &Connection,
) -> io::Result<EtcFiles> {
    let folder = place::etc(key);
    fs::create_dir_all(&folder)?;
    put(&folder.join("hostname"), format!("{hostname}\n").as_bytes())?;
    // All of one network read the same files (docker-run(1), `--network container:`).
    let shared = match connection {
        Connection::Other { key, .. } => place::etc(key),
        Connection::None | Connection::Own(_) => {
            let attached = connection.attached();
            let named = match &container.domainname {
                Some(domain) => format!("{hostname}.{domain} {hostname}"),
                None => hostname.to_owned(),
            };
            put(&folder.join("hosts"), hosts(&named, connection, &container.add_hosts).as_bytes())?;
            put(&folder.join("resolv.conf"), resolver(container, attached, &of_the_node()).as_bytes())?;
            folder.clone()
        }
    };
    let text = |path: PathBuf| path.display().to_string();
    Ok(EtcFiles {
        resolv_conf: text(shared.join("resolv.conf")),
        hosts: text(shared.join("hosts")),
        hostname: text(folder.join("hostname")),
    })
}

/// Writes a file that stays the same file; one that says so already is left alone, since the disk may be full.
fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    // The container may hold a lease on it (fcntl(2)), and is not waited for.
    let flags = OFlag::O_NONBLOCK.bits();
    let mut options = File::options();
    let mut file = options.read(true).write(true).create(true).custom_flags(flags).mode(0o644).open(path)?;
    let mut before = Vec::new();
    (&file).take(text.len() as u64 + 1).read_to_end(&mut before)?;
    if before == text {
        return Ok(());
    }
    // Cut off last: what it lies in is not given up before it is written, since the disk may be full.
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)
}

/// Gives containers what their `resolv.conf` has of the node's, if that is another by now; gives what could not be
/// written. What is tried again is that alone: the other containers may have changed theirs since.
pub fn follow<'a>(
    running: impl Iterator<Item = (&'a Name, &'a Container, Option<&'a Attached>)>,
    faults: &[Fault],
) -> Vec<Fault> {
    let (given, now) = (place::resolv_conf(), of_the_node());
    let before = fs::read_to_string(&given).ok();
    // What they may have: some also what not all could be given.
    let tried = faults.first().map(|fault| &fault.node);
    if before.as_ref() == Some(&now) && tried.is_none_or(|tried| *tried == now) {
        return Vec::new();
    }
    let changed = |(key, container, attached): (&Name, &Container, Option<&Attached>)| {
        let of = |node: &String| resolver(container, attached, node);
        let is_as_it_was = before
            .as_ref()
            .is_some_and(|before| [before].into_iter().chain(tried).all(|node| of(node) == of(&now)));
        let now = of(&now);
        // Who shares another's network has no such file of its own, nor who is only being made.
        let path = place::etc(key).join("resolv.conf");
        let shared = matches!(container.network(), ContainerNetwork::Container(_));
        (!is_as_it_was && !shared && path.exists()).then_some((path, now))
    };
    let files = running.filter_map(changed).filter(|(path, _)| is_due(path, &now, faults));
    let mut faults: Vec<Fault> =
        files.filter_map(|(path, text)| fault(&path, &now, put(&path, text.as_bytes()))).collect();
    // Last, so that a monitor that is killed meanwhile is followed by one that does it again.
    if faults.is_empty() {
        faults.extend(fault(&given, &now, sys::file::replace(&given, now.as_bytes())));
    }
    faults
}

/// A file that could not be written when the node's `resolv.conf` said this, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    path: PathBuf,
    node: String,
    why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "write {}: {}", self.path.display(), self.why)
    }
}

fn fault(path: &Path, node: &str, written: io::Result<()>) -> Option<Fault> {
    let (path, node) = (path.to_owned(), node.to_owned());
    written.err().map(|error| Fault { path, node, why: cause(&error) })
}

/// A file is to be written, unless all were that are not among the faults.
fn is_due(path: &Path, node: &str, faults: &[Fault]) -> bool {
    let mut same = faults.iter().filter(|fault| fault.node == node).peekable();
    same.peek().is_none() || same.any(|fault| fault.path == path)
}

/// Where no network service of ours looks after the machine, the machine's own file is what there is.
fn of_the_node() -> String {
    let text = fs::read(paths::RESOLV_CONF).or_else(|_| fs::read("/etc/resolv.conf")).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

/// The text of a container's `resolv.conf`, from the node's: what the container or its network says stands in place of
/// the lines of that kind. Names of containers have no dots, and are asked for as they are before they are looked for in
/// any domain.
fn resolver(container: &Container, attached: Option<&Attached>, node: &str) -> String {
    let Container { dns, dns_search, dns_options, .. } = container;
    // Its network's resolver knows of `dns`, and asks there for what is no container's name.
    let own = attached.map(|attached| &*attached.dns).filter(|own| !own.is_empty());
    let servers = own.unwrap_or(dns);
    let mut options = dns_options.clone();
    if own.is_some() && !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    let replaced = |line: &&str| match line.split_whitespace().next() {
        Some("nameserver") => !servers.is_empty(),
        Some("search" | "domain") => !dns_search.is_empty(),
        Some("options") => !dns_options.is_empty(),
        // It is of the node's file that they speak.
        Some(word) => word.starts_with(['#', ';']),
        None => true,
    };
    if servers.is_empty() && dns_search.is_empty() && options.is_empty() {
        return node.to_owned();
    }
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for line in node.lines().filter(|line| !replaced(line)) {
        text += &format!("{line}\n");
    }
    let domains: Vec<&str> = dns_search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
    for (key, words) in [("search", domains.join(" ")), ("options", options.join(" "))] {
        if !words.is_empty() {
            text += &format!("{key} {words}\n");
        }
    }
    text
}

fn hosts(named: &str, connection: &Connection, more: &[String]) -> String {
    let mut hosts =
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n"
            .to_owned();
    let own: Vec<IpAddr> = connection.attached().into_iter().flat_map(network::addresses).collect();
    let own = if own.is_empty() { vec![IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1))] } else { own };
    own.iter().for_each(|own| hosts.push_str(&format!("{own}\t{named}\n")));
    for (name, address) in more.iter().filter_map(|line| line.split_once(':')) {
        match address {
            HOST_GATEWAY => connection
                .gateways()
                .iter()
                .for_each(|gateway| hosts.push_str(&format!("{gateway}\t{name}\n"))),
            address => hosts.push_str(&format!("{address}\t{name}\n")),
        }
    }
    hosts
}

/// How long after not all could be written, or without a watch, it is looked again.
pub const AGAIN: Duration = Duration::from_secs(10);

/// Tells when the network service has written the resolver's configuration.
#[derive(Debug)]
pub struct Resolver {
    /// None: somebody's root has all that its user may have (fs.inotify.max_user_instances).
    watch: Option<Inotify>,
    /// When it is to be looked at though nothing is told.
    pub again: Option<Time>,
    /// What could not be written.
    pub faults: Vec<Fault>,
}

impl Resolver {
    /// Watches for it.
    pub fn open() -> Self {
        let watch = || -> nix::Result<Inotify> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch(paths::RUN, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE)?;
            Ok(inotify)
        };
        Self { watch: watch().ok(), again: None, faults: Vec::new() }
    }

    /// Where it is told.
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Whether it was that file that changed.
    pub fn changed(&self) -> bool {
        let name = paths::RESOLV_CONF.rsplit('/').next();
        let events = self.watch.as_ref().and_then(|watch| watch.read_events().ok()).unwrap_or_default();
        events.iter().any(|event| event.name.as_deref().and_then(|file| file.to_str()) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_has_its_own_name_and_what_was_added() {
        let more = ["db:10.0.0.7".into(), "six:2001:db8::1".into()];
        let hosts = hosts("web", &Connection::None, &more);
        assert!(hosts.contains("127.0.1.1\tweb\n") && hosts.ends_with("10.0.0.7\tdb\n2001:db8::1\tsix\n"));
    }

    #[test]
    fn the_node_has_a_name_where_it_can_be_reached() {
        let interface = |network: &str, gateways: &[&str]| spec::network::Interface {
            name: "eth0".into(),
            network: network.parse().unwrap(),
            host_name: "skerry0p1".into(),
            mac: spec::network::Mac::default(),
            addresses: Vec::new(),
            gateways: gateways.iter().map(|gateway| gateway.parse().unwrap()).collect(),
            mtu: 1500,
        };
        let on =
            |interfaces: Vec<_>| Connection::Own(Box::new(Attached { interfaces, ..Attached::default() }));
        let more = ["up:host-gateway".to_owned()];
        let own = on(vec![interface("inner", &[]), interface("bridge", &["10.210.0.1", "fd00::1"])]);
        assert!(hosts("web", &own, &more).ends_with("10.210.0.1\tup\nfd00::1\tup\n"));
        assert!(hosts("web", &Connection::None, &more).ends_with("127.0.0.1\tup\n"));
        let container = Container { add_hosts: more.into(), ..Container::of("busybox") };
        assert_eq!(check(&container, &own), Ok(()));
        let nowhere = on(vec![interface("inner", &[])]);
        assert!(check(&container, &nowhere).unwrap_err().starts_with("add-hosts: up:host-gateway: none"));
    }

    #[test]
    fn a_file_stays_the_same_one_and_is_written_when_it_says_something_else() {
        use std::os::unix::fs::MetadataExt;
        let path = std::env::temp_dir().join(format!("skerry-etc-{}", std::process::id()));
        let state = |path: &Path| {
            let about = fs::metadata(path).unwrap();
            (about.ino(), about.mtime(), about.mtime_nsec())
        };
        put(&path, b"nameserver 192.0.2.1\n").unwrap();
        let first = state(&path);
        put(&path, b"nameserver 192.0.2.1\n").unwrap();
        assert_eq!(state(&path), first, "nothing was to be written");
        for text in ["nameserver 192.0.2.1\nmore\n", "short\n"] {
            put(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(state(&path).0, first.0);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_has_no_other_written_again() {
        let error = || Err(io::Error::from_raw_os_error(nix::libc::EROFS));
        let fault = |path: &str| fault(Path::new(path), "nameserver 192.0.2.1", error()).unwrap();
        let faults = [fault("/a")];
        let is_due = |path: &str, node: &str, faults: &[Fault]| is_due(Path::new(path), node, faults);
        assert!(
            is_due("/a", "nameserver 192.0.2.1", &faults) && !is_due("/b", "nameserver 192.0.2.1", &faults)
        );
        assert!(is_due("/b", "nameserver 192.0.2.2", &faults), "the node's says something else");
        assert!(is_due("/b", "nameserver 192.0.2.1", &[]), "the first time");
        assert_eq!(faults[0].to_string(), "write /a: read-only file system");
    }

    #[test]
    fn what_a_container_says_of_its_resolver_stands_in_place_of_the_nodes() {
        let node = "# of the node\nnameserver 9.9.9.9\nsearch example.org\noptions edns0\n";
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let plain = Container::of("busybox");
        assert_eq!(resolver(&plain, None, node), node);
        let own = Container { dns: vec!["192.0.2.1".parse().unwrap()], ..plain.clone() };
        let expected = "nameserver 192.0.2.1\nsearch example.org\noptions edns0\n";
        assert_eq!(resolver(&own, None, node), expected);
        let own =
            Container { dns_search: words(&["a.b", "c"]), dns_options: words(&["rotate"]), ..plain.clone() };
        let expected = "nameserver 9.9.9.9\nsearch a.b c\noptions rotate\n";
        assert_eq!(resolver(&own, None, node), expected);
        let none = Container { dns_search: words(&["."]), ..plain.clone() };
        let expected = "nameserver 9.9.9.9\noptions edns0\n";
        assert_eq!(resolver(&none, None, node), expected);
        let attached = Attached { dns: vec!["10.210.0.1".parse().unwrap()], ..Attached::default() };
        let of = |container: &Container| resolver(container, Some(&attached), node);
        let expected = "nameserver 10.210.0.1\nsearch example.org\noptions edns0\noptions ndots:0\n";
        assert_eq!(of(&plain), expected);
        let own = Container { dns_options: words(&["ndots:2", "rotate"]), ..plain };
        assert_eq!(of(&own), "nameserver 10.210.0.1\nsearch example.org\noptions ndots:2 rotate\n");
    }
}
