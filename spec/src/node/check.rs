//! What of a configuration no type refuses: a value out of its range, and those that do not go with one another.
//!
//! It is the merged whole that is judged, as one layer may leave out what another gives.

use super::{Bridge, Cluster, Container, HOST_GATEWAY, Interface, Name, Node, Service};
use crate::bundle::{CAPABILITIES, RLIMITS};
use crate::quantity::Bytes;
use crate::signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

/// A key whose value is refused.
pub(super) struct Wrong {
    /// The way to it, from the root of the file.
    pub(super) keys: Vec<String>,
    message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.keys.join("."), self.message)
    }
}

type Judged = Result<(), Wrong>;

fn demand(good: bool, keys: &[&str], message: &str) -> Judged {
    let keys = || keys.iter().map(|key| (*key).to_owned()).collect();
    if good { Ok(()) } else { Err(Wrong { keys: keys(), message: message.to_owned() }) }
}

/// The first value that is refused.
pub(super) fn check(node: &Node) -> Judged {
    demand(node.data.memory != Some(Bytes(0)), &["data", "memory"], "0 would be no limit")?;
    node.network.interfaces.iter().try_for_each(|(name, own)| interface(name, own))?;
    node.services.iter().try_for_each(|(name, own)| service(name, own))?;
    node.networks.iter().try_for_each(|(name, own)| network(name, own))?;
    node.containers.iter().try_for_each(|(name, own)| container(name, own))?;
    node.hostname.iter().try_for_each(|name| of_host(name, &["hostname"]))?;
    cluster(&node.cluster, node.hostname.as_deref())
}

/// A host's name, which that of a container of `node.toml` is, too.
fn of_host(name: &Name, keys: &[&str]) -> Judged {
    let most = Name::LONGEST_OF_HOST;
    demand(name.len() <= most, keys, &format!("a name of more than {most} letters"))
}

fn interface(name: &Name, own: &Interface) -> Judged {
    let at = |key| ["network", "interfaces", &**name, key];
    demand(name.len() <= 15, &at("")[..3], "the name of an interface has at most 15 letters")?;
    packet(own.mtu, &at("mtu"))?;
    let of = |v4| own.gateways.iter().filter(|gateway| gateway.is_ipv4() == v4).count();
    demand(of(true) <= 1 && of(false) <= 1, &at("gateways"), "more than one of a family")
}

fn network(name: &Name, own: &Bridge) -> Judged {
    packet(own.mtu, &["networks", &**name, "mtu"])
}

/// What the kernel takes: no less than IPv4 needs (RFC 791), no more than any packet can have.
fn packet(mtu: Option<u32>, keys: &[&str]) -> Judged {
    demand(mtu.is_none_or(|mtu| (68..=65_535).contains(&mtu)), keys, "not between 68 and 65535")
}

fn service(name: &Name, own: &Service) -> Judged {
    let at = |key| ["services", &**name, key];
    cgroup(name, &at("")[..2])?;
    of_host(name, &at("")[..2])?;
    let program = own.command.first().is_some_and(|program| program.starts_with('/'));
    demand(program, &at("command"), "does not begin with an absolute path")?;
    demand(!own.command.iter().any(|word| word.contains('\0')), &at("command"), "has a zero byte")?;
    environment(&own.env, &at("env"))
}

/// Cgroups are named so, and their folder has files (Documentation/admin-guide/cgroup-v2.rst, "Avoid Name Collisions").
fn cgroup(name: &Name, keys: &[&str]) -> Judged {
    let owners = ["cgroup", "cpu", "cpuset", "hugetlb", "io", "irq", "memory", "misc", "pids", "rdma"];
    let owner = name.split_once('.').map(|(owner, _)| owner);
    let free = owner.is_none_or(|owner| !owners.contains(&owner));
    demand(free, keys, "files of cgroups are named so")
}

fn environment(env: &BTreeMap<String, String>, keys: &[&str]) -> Judged {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let good = env.iter().all(|(name, value)| is_name(name) && !value.contains('\0'));
    demand(good, keys, "a name is empty or has '=' in it, or there is a zero byte")
}

impl Container {
    /// What of one that does not come from a file no type refuses.
    ///
    /// # Errors
    /// Its key, and why its value is refused.
    pub fn check(&self) -> Result<(), String> {
        of_container("", self)
            .map_err(|Wrong { keys, message }| format!("{}: {message}", keys[2..].join(".")))
    }
}

fn container(name: &Name, own: &Container) -> Judged {
    cgroup(name, &["containers", &**name])?;
    of_host(name, &["containers", &**name])?;
    of_container(name, own)
}

fn of_container(name: &str, own: &Container) -> Judged {
    let at = |key| ["containers", name, key];
    environment(&own.env, &at("env"))?;
    let absolute = |path: &str| path.starts_with('/');
    let folder = own.working_dir.as_deref().filter(|folder| !folder.is_empty());
    demand(folder.is_none_or(absolute), &at("working-dir"), "not an absolute path")?;
    let paths = |mount: &super::Mount| absolute(mount.target()) && mount.source().is_none_or(absolute);
    demand(own.mounts.iter().all(paths), &at("mounts"), "a path is not absolute")?;
    let mode = |mount: &super::Mount| !matches!(mount, super::Mount::Tmpfs { mode: Some(0o10000..), .. });
    demand(own.mounts.iter().all(mode), &at("mounts"), "a mode is more than 0o7777")?;
    let mut places = BTreeSet::new();
    let twice = own.mounts.iter().map(super::Mount::target).find(|target| !places.insert(Path::new(*target)));
    demand(twice.is_none(), &at("mounts"), &format!("duplicate mount point: {}", twice.unwrap_or_default()))?;
    let line = |line: &String| {
        line.split_once(':').is_some_and(|(name, address)| {
            let known = address == HOST_GATEWAY || address.parse::<IpAddr>().is_ok();
            known && !name.is_empty()
        })
    };
    demand(own.add_hosts.iter().all(line), &at("add-hosts"), "one is not NAME:ADDRESS or NAME:host-gateway")?;
    let word =
        |word: &String| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
    demand(own.dns_search.iter().all(word), &at("dns-search"), "one is empty or has blanks in it")?;
    demand(own.dns_options.iter().all(word), &at("dns-options"), "one is empty or has blanks in it")?;
    host_names(own, &at)?;
    limits(own, &at)?;
    for key in own.ulimits.keys() {
        let known = RLIMITS.iter().any(|known| known.eq_ignore_ascii_case(key));
        demand(known, &["containers", name, "ulimits", key], "there is no such limit")?;
    }
    capabilities(&own.cap_add, &at("cap-add"))?;
    capabilities(&own.cap_drop, &at("cap-drop"))?;
    let signal = own.stop_signal.as_deref().filter(|signal| !signal.is_empty());
    demand(signal.is_none_or(|signal| signal::number(signal).is_ok()), &at("stop-signal"), "not a signal")
}

/// Most bytes of a NIS domain name (`__NEW_UTS_LEN`).
const DOMAIN_NAME_MAX: usize = 64;

fn host_names<'a>(own: &Container, at: &impl Fn(&'static str) -> [&'a str; 3]) -> Judged {
    let plain = |name: &String| {
        let blank = name.contains(|c: char| c.is_whitespace() || c.is_control());
        (1..=DOMAIN_NAME_MAX).contains(&name.len()) && !blank
    };
    demand(own.domainname.as_ref().is_none_or(plain), &at("domainname"), "not 1 to 64 bytes without blanks")?;
    let hosts = own.uts == super::Sharing::Host;
    for (key, said) in [("hostname", own.hostname.is_some()), ("domainname", own.domainname.is_some())] {
        demand(!(hosts && said), &at(key), "it is the node's, with uts = \"host\"")?;
    }
    demand(!own.annotations.contains_key(""), &at("annotations"), "one has no name")
}

fn limits<'a>(own: &Container, at: &impl Fn(&'static str) -> [&'a str; 3]) -> Judged {
    let cpus = own.cpus.is_none_or(|cpus| (0.01..=8192.0).contains(&cpus));
    demand(cpus, &at("cpus"), "not between 0.01 and 8192")?;
    let shares = own.cpu_shares.is_none_or(|shares| (2..=262_144).contains(&shares));
    demand(shares, &at("cpu-shares"), "not between 2 and 262144")?;
    let score = own.oom_score_adj.is_none_or(|score| (-1000..=1000).contains(&score));
    demand(score, &at("oom-score-adj"), "not between -1000 and 1000")?;
    let without = own.memory_swap.is_some() && own.memory.is_none();
    demand(!without, &at("memory-swap"), "without memory, which is a part of it")?;
    let swap = own.memory_swap.zip(own.memory).is_none_or(|(swap, memory)| memory <= swap);
    demand(swap, &at("memory-swap"), "below memory, which is a part of it")?;
    let spared = own.memory_reservation.zip(own.memory).is_none_or(|(spared, memory)| spared <= memory);
    demand(spared, &at("memory-reservation"), "above memory")
}

fn capabilities(names: &[String], keys: &[&str]) -> Judged {
    let known = |name: &str| name == "ALL" || CAPABILITIES.contains(&name);
    names.iter().try_for_each(|name| {
        let plain = name.strip_prefix("CAP_").unwrap_or(name);
        demand(known(plain), keys, &format!("{name:?} is not a capability"))
    })
}

fn cluster(own: &Cluster, hostname: Option<&str>) -> Judged {
    let at = |key| ["cluster", key];
    let host = |server: &String| {
        server.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with([':', '/']))
    };
    demand(own.server.as_ref().is_none_or(host), &at("server"), "not https://HOST:PORT")?;
    let halves = |token: &String| {
        token.split_once('.').is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty())
    };
    demand(own.token.as_ref().is_none_or(halves), &at("token"), "not ID.SECRET")?;
    let cpus = own.reserved_cpus.is_finite() && own.reserved_cpus >= 0.0;
    demand(cpus, &at("reserved-cpus"), "not a number of processors")?;
    let memory = own.reserved_memory.0.checked_add(own.eviction_memory.0);
    demand(memory.is_some(), &at("reserved-memory"), "too much, with eviction-memory")?;
    for (key, percent) in [
        ("eviction-disk", own.eviction_disk),
        ("eviction-soft-disk", own.eviction_soft_disk.unwrap_or(0)),
        ("eviction-minimum-reclaim-disk", own.eviction_minimum_reclaim_disk),
        ("image-gc-high", own.image_gc_high),
        ("image-gc-low", own.image_gc_low),
    ] {
        demand(percent <= 100, &at(key), "more than 100 percent")?;
    }
    demand(own.image_gc_low <= own.image_gc_high, &at("image-gc-low"), "above image-gc-high")?;
    let longer = own.image_gc_max_age.is_none_or(|most| most.0 > own.image_gc_age.0);
    demand(longer, &at("image-gc-max-age"), "not above image-gc-age")?;
    let none = own.pod_pids_limit == Some(0);
    demand(!none, &at("pod-pids-limit"), "no container could begin")?;
    let folder = own.static_pods.as_ref().is_none_or(|folder| folder.starts_with('/'));
    demand(folder, &at("static-pods"), "not an absolute path")?;
    let node = own.server.is_none() || hostname.is_none_or(is_node);
    demand(node, &["hostname"], "not a name for a node of a cluster: parts of letters, digits and '-' within")
}

/// A subdomain (RFC 1123), in which capitals count as small letters.
fn is_node(name: &str) -> bool {
    name.split('.').all(|part| {
        let edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
        edge(part.chars().next()) && edge(part.chars().last()) && !part.contains('_')
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, load};

    fn refusal(texts: &[&str]) -> String {
        let layer =
            |(number, text): (usize, &&str)| Layer { origin: format!("l{number}"), text: (*text).into() };
        let layers: Vec<Layer> = texts.iter().enumerate().map(layer).collect();
        load(&layers).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_with_line_and_column() {
        let service = "[services.a]\ncommand = [\"/a\"]\n";
        let container = "[containers.a]\nimage = \"i\"\n";
        let interface = "[network.interfaces.a]\nslaac = false\n";
        for (before, line, column, words) in [
            ("[data]\n", "memory = 0", 10, "data.memory: 0 would"),
            ("", "[network.interfaces.abcdefghijklmnop]", 21, "at most 15 letters"),
            (interface, "mtu = 67", 7, "not between 68 and 65535"),
            (interface, "gateways = [\"10.0.0.1\", \"10.0.0.2\"]", 12, "more than one"),
            ("[networks.a]\n", "mtu = 4294967295", 7, "networks.a.mtu: not between"),
            ("[services.a]\n", "command = []", 11, "absolute path"),
            ("[services.a]\n", "command = [\"sh\"]", 11, "absolute path"),
            ("[services.a]\n", "command = [\"/sh\", \"\\u0000\"]", 11, "zero byte"),
            (service, "env = { \"A=B\" = \"\" }", 1, "services.a.env: a name"),
            (service, "env = { \"\" = \"\" }", 1, "a name"),
            (service, "env = { A = \"\\u0000\" }", 1, "zero byte"),
            ("", "services.\"cgroup.procs\".command = [\"/a\"]", 10, "files of cgroups"),
            ("", "containers.\"memory.max\".image = \"i\"", 12, "files of cgroups"),
            (container, "cpus = 0", 8, "not between 0.01"),
            (container, "cpus = -1.5", 8, "not between 0.01"),
            (container, "cpus = nan", 8, "not between 0.01"),
            (container, "cpus = inf", 8, "not between 0.01"),
            (container, "cpu-shares = 1", 14, "not between 2"),
            (container, "oom-score-adj = 1001", 17, "not between -1000"),
            (container, "memory-swap = 1", 15, "without memory"),
            (container, "ulimits = { nofiles = \"1\" }", 23, "containers.a.ulimits.nofiles: there"),
            (container, "cap-add = [\"NET_ADMN\"]", 11, "\"NET_ADMN\" is not a capability"),
            (container, "cap-drop = [\"net_raw\"]", 12, "\"net_raw\" is not a capability"),
            (container, "stop-signal = \"FLY\"", 15, "not a signal"),
            (container, "working-dir = \"srv\"", 15, "absolute"),
            (container, "mounts = [{ type = \"tmpfs\", target = \"t\" }]", 10, "absolute"),
            (container, "mounts = [{ type = \"bind\", source = \"s\", target = \"/t\" }]", 10, "absolute"),
            (
                container,
                "mounts = [{ type = \"tmpfs\", target = \"/x/\" }, { type = \"volume\", name = \"v\", target = \"/x\" }]",
                10,
                "containers.a.mounts: duplicate mount point: /x",
            ),
            (container, "add-hosts = [\"db\"]", 13, "NAME:ADDRESS"),
            (container, "add-hosts = [\"db:10\"]", 13, "NAME:ADDRESS"),
            (container, "dns-search = [\"a b\"]", 14, "has blanks"),
            (container, "dns-options = [\"\"]", 15, "is empty"),
            (container, "domainname = \"a b\"", 14, "without blanks"),
            ("[containers.a]\nimage = \"i\"\nuts = \"host\"\n", "hostname = \"h\"", 12, "it is the node's"),
            (container, "annotations = { \"\" = \"\" }", 1, "one has no name"),
            (container, "env = { \"\" = \"\" }", 1, "containers.a.env"),
            ("[cluster]\n", "server = \"api:6443\"", 10, "https://HOST:PORT"),
            ("[cluster]\n", "server = \"http://api\"", 10, "https://HOST:PORT"),
            ("[cluster]\n", "server = \"https://:6443\"", 10, "https://HOST:PORT"),
            ("[cluster]\n", "token = \"abc\"", 9, "ID.SECRET"),
            ("[cluster]\n", "reserved-cpus = -1", 17, "processors"),
            ("[cluster]\n", "reserved-cpus = inf", 17, "processors"),
            ("[cluster]\n", "eviction-disk = 101", 17, "100 percent"),
            ("[cluster]\n", "eviction-soft-disk = 255", 22, "100 percent"),
            ("[cluster]\n", "eviction-minimum-reclaim-disk = 101", 33, "100 percent"),
            ("[cluster]\n", "image-gc-high = 101", 17, "100 percent"),
            ("[cluster]\n", "image-gc-low = 86", 16, "above image-gc-high"),
            ("[cluster]\n", "image-gc-max-age = \"2m\"", 20, "not above image-gc-age"),
            ("[cluster]\n", "pod-pids-limit = 0", 18, "no container could begin"),
            ("[cluster]\n", "static-pods = \"pods\"", 15, "absolute"),
        ] {
            let error = refusal(&[&format!("{before}{line}\n")]);
            let place = format!("l0:{}:{column}: ", before.lines().count() + 1);
            assert!(error.starts_with(&place) && error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn names_that_are_hosts_names_are_no_longer_than_those() {
        let (most, long) = ("a".repeat(63), "a".repeat(64));
        for (text, name) in [
            (format!("hostname = \"{long}\""), "hostname"),
            (format!("[containers.{long}]\nimage = \"i\""), "containers.aaa"),
            (format!("[services.{long}]\ncommand = [\"/a\"]"), "services.aaa"),
        ] {
            let error = refusal(&[&text]);
            assert!(error.contains(name) && error.contains("more than 63 letters"), "{error}");
            assert_eq!(refusal(&[&text.replace(&long, &most)]), "");
        }
    }

    #[test]
    fn a_container_that_comes_from_no_file_is_judged_by_the_same_rules() {
        let container = super::Container::of("i");
        assert_eq!(container.check(), Ok(()));
        let signal = super::Container { stop_signal: Some("FLY".into()), ..container.clone() };
        assert_eq!(signal.check(), Err("stop-signal: not a signal".into()));
        let limit = [("fly".to_owned(), "1".parse().unwrap())].into();
        let limit = super::Container { ulimits: limit, ..container };
        assert_eq!(limit.check(), Err("ulimits.fly: there is no such limit".into()));
    }

    #[test]
    fn values_that_do_not_go_together_are_refused_where_the_last_of_them_stands() {
        let worker = "cluster.server = \"https://a:6443\"\n";
        for (below, above, words) in [
            ("[containers.a]\nimage = \"i\"\nmemory = 2\n", "[containers.a]\nmemory-swap = 1\n", "l1:2:15: "),
            ("[containers.a]\nimage = \"i\"\nmemory-swap = 2\n", "[containers.a]\nmemory = 3\n", "l0:3:15: "),
            (
                "[containers.a]\nimage = \"i\"\nmemory-reservation = 2\n",
                "containers.a.memory = 1\n",
                "l0:3:22: ",
            ),
            ("", "[cluster]\nimage-gc-high = 70\n", "l1:1:2: cluster.image-gc-low: above"),
            ("", "[cluster]\neviction-memory = \"8388608T\"\nreserved-memory = \"8388608T\"", "l1:3:19: "),
            (worker, "hostname = \"node_1\"", "l1:1:12: hostname: not a name for a node"),
            (worker, "hostname = \"a-\"", "l1:1:12: "),
            ("hostname = \"a.\"", worker, "l0:1:12: "),
        ] {
            let error = refusal(&[below, above]);
            assert!(error.starts_with(words), "{above}: {error}");
        }
    }

    #[test]
    fn what_is_within_its_range_is_taken() {
        for text in [
            "hostname = \"Node_1\"\n",
            "hostname = \"Node-1.example\"\ncluster.server = \"https://[fd00::1]:6443\"\ncluster.token = \"a.b\"\n",
            "[network.interfaces.eth0]\nmtu = 68\ngateways = [\"10.0.0.1\", \"fe80::1\"]\n",
            "[cluster]\neviction-disk = 100\nimage-gc-high = 80\nreserved-cpus = 0.5\nstatic-pods = \"/etc/pods\"\n",
            "[services.\"cpu-top.1\"]\ncommand = [\"/a\"]\nenv = { A = \"b=c\" }\n",
            "[containers.a]\nimage = \"i\"\ncpus = 0.01\nmemory = 1\nmemory-swap = 1\nmemory-reservation = 1\nulimits = { NOFILE = \"1\" }\n\
             cap-add = [\"CAP_CHOWN\"]\ncap-drop = [\"ALL\"]\nstop-signal = \"rtmin+1\"\nadd-hosts = [\"db:fd00::1\", \"up:host-gateway\"]\nworking-dir = \"\"\n",
        ] {
            assert_eq!(refusal(&[text]), "", "{text}");
        }
    }
}
