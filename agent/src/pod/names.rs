//! Names: a pod's `/etc/hosts` and `/etc/resolv.conf` ("DNS for Services and Pods"), and the environment that
//! tells of Services.

use super::container::hostname;
use k8s_openapi::api::core::v1::{Pod, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Most domains that are searched, the most signs of one, and of all with what is between them.
const DOMAINS: usize = 32;
const DOMAIN: usize = 253;
const LINE: usize = 2048;

/// Most name servers (resolv.conf(5), `MAXNS`).
const SERVERS: usize = 3;

/// The cluster's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// `cluster.local`
    pub domain: String,
    /// The cluster's name servers; none when nobody has told of them yet.
    pub servers: Option<Vec<IpAddr>>,
}

/// The pod's `/etc/hosts`; with the node's network it is the node's own, in which the node has no name yet.
pub fn hosts(pod: &Pod, addresses: &[IpAddr], cluster: &Cluster, node: Option<&str>) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut text = if spec.host_network == Some(true) {
        let plain = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback";
        let own = node.unwrap_or(plain).trim_end_matches('\n');
        format!("# Kubernetes-managed hosts file (host network).\n{own}\n")
    } else {
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
            .to_owned()
    };
    let host = hostname(pod);
    let full = fqdn(pod, cluster).filter(|_| spec.host_network != Some(true));
    let full = full.map(|full| format!("{full}\t")).unwrap_or_default();
    addresses
        .iter()
        .filter(|_| !host.is_empty())
        .for_each(|own| text.push_str(&format!("{own}\t{full}{host}\n")));
    if let Some(aliases) = &spec.host_aliases {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            text.push_str(&format!(
                "{}\t{}\n",
                alias.ip,
                alias.hostnames.clone().unwrap_or_default().join("\t")
            ));
        }
    }
    Some(text)
}

/// The pod's whole name, when it has a subdomain; a name of `hostnameOverride` is whole as it is.
pub fn fqdn(pod: &Pod, cluster: &Cluster) -> Option<String> {
    let spec = pod.spec.as_ref().filter(|spec| spec.hostname_override.is_none())?;
    let subdomain = spec.subdomain.as_ref().filter(|own| !own.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{}.{subdomain}.{namespace}.svc.{}", hostname(pod), cluster.domain))
}

/// A pod's `/etc/resolv.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// Its text.
    pub text: String,
    /// What is not in it, in a kubelet's words: an event's reason and message each.
    pub omitted: Vec<(&'static str, String)>,
}

/// The pod's `/etc/resolv.conf`, from the node's own; none when it is to have name servers of the cluster that nobody
/// has told of yet.
pub fn resolver(pod: &Pod, cluster: &Cluster, node: &str) -> Option<Resolver> {
    let (mut servers, mut search, mut options) = by_policy(pod, cluster, node)?;
    let mut omitted = Vec::new();
    if asks_cluster(pod) && cluster.servers.as_ref().is_some_and(Vec::is_empty) {
        let metadata = &pod.metadata;
        let text = |own: &Option<String>| own.clone().unwrap_or_default();
        let words = format!(
            "pod: \"{}_{}({})\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \
             \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
            text(&metadata.name),
            text(&metadata.namespace),
            text(&metadata.uid)
        );
        omitted.push(("MissingClusterDNS", words));
    }
    if let Some(more) = pod.spec.as_ref().and_then(|spec| spec.dns_config.as_ref()) {
        servers.extend(more.nameservers.clone().unwrap_or_default());
        search.extend(more.searches.clone().unwrap_or_default());
        for option in more.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            options.retain(|known| known.split(':').next() != Some(name.as_str()));
            options
                .push(option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")));
        }
    }
    for list in [&mut servers, &mut search] {
        let mut seen = BTreeSet::new();
        list.retain(|own| seen.insert(own.clone()));
    }
    let mut tell = |what: &str, which: &str, line: &str, applied: &[String]| {
        let words = format!(
            "{what} limits were exceeded, some {which} have been omitted, the applied {line} line is: {}",
            applied.join(" ")
        );
        omitted.push(("DNSConfigForming", words));
    };
    if servers.len() > SERVERS {
        servers.truncate(SERVERS);
        tell("Nameserver", "nameservers", "nameserver", &servers);
    }
    if shorten(&mut search) {
        tell("Search Line", "search paths", "search", &search);
    }
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    Some(Resolver { text, omitted })
}

/// Leaves out domains that have no room in a line; says whether it did.
fn shorten(search: &mut Vec<String>) -> bool {
    let all = search.len();
    search.truncate(DOMAINS);
    search.retain(|domain| domain.len() <= DOMAIN);
    while search.join(" ").len() > LINE {
        search.pop();
    }
    search.len() < all
}

/// Name servers, domains that are searched, and options.
type Lines = (Vec<String>, Vec<String>, Vec<String>);

/// Those that the pod has by its `dnsPolicy`.
fn by_policy(pod: &Pod, cluster: &Cluster, node: &str) -> Option<Lines> {
    let empty = Default::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let own = |key: &str| {
        let lines = node.lines().filter_map(|line| line.strip_prefix(key));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
    };
    let of_cluster = if asks_cluster(pod) { cluster.servers.as_deref()? } else { &[] };
    Some(match spec.dns_policy.as_deref() {
        Some("None") => Lines::default(),
        // Without a name server of the cluster, the node's are better than none.
        _ if of_cluster.is_empty() => (own("nameserver "), own("search "), own("options ")),
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let domain = &cluster.domain;
            let mut search =
                vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
            search.extend(own("search "));
            (of_cluster.iter().map(ToString::to_string).collect(), search, vec!["ndots:5".to_owned()])
        }
    })
}

/// Its `dnsPolicy` is for the cluster's name servers.
fn asks_cluster(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let is_on_node = spec.and_then(|spec| spec.host_network) == Some(true);
    !matches!((policy, is_on_node), ("ClusterFirst", true) | ("Default" | "None", _))
}

/// Variables that tell of a namespace's Services, and of `default/kubernetes`.
pub fn services<'a>(pod: &Pod, all: impl Iterator<Item = &'a Service>) -> BTreeMap<String, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().is_none_or(|spec| spec.enable_service_links != Some(false));
    let mut env = BTreeMap::new();
    for service in all {
        let of = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let is_api = (of, name) == ("default", "kubernetes");
        if is_api || (links && of == namespace) {
            variables(&mut env, name, service);
        }
    }
    env
}

fn variables(env: &mut BTreeMap<String, String>, name: &str, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let Some(address) = spec.cluster_ip.as_deref().filter(|own| !matches!(*own, "" | "None")) else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let name = upper(name);
    env.insert(format!("{name}_SERVICE_HOST"), address.to_owned());
    env.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    for (number, port) in ports.iter().enumerate() {
        if let Some(own) = port.name.as_deref().filter(|own| !own.is_empty()) {
            env.insert(format!("{name}_SERVICE_PORT_{}", upper(own)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if number == 0 {
            env.insert(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
        env.insert(format!("{prefix}_PROTO"), protocol.to_lowercase());
        env.insert(format!("{prefix}_PORT"), port.port.to_string());
        env.insert(format!("{prefix}_ADDR"), address.to_owned());
        env.insert(prefix, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "web-0", "namespace": "n" }, "spec": spec }))
            .unwrap()
    }

    fn cluster() -> Cluster {
        Cluster { domain: "cluster.local".into(), servers: Some(vec!["10.96.0.10".parse().unwrap()]) }
    }

    const NODE: &str = "nameserver 192.0.2.1\nsearch example.com\noptions timeout:1\n";

    #[test]
    fn hosts_names_the_pod_and_its_aliases() {
        let own = ["10.1.0.2".parse().unwrap()];
        let of = |spec| hosts(&pod(spec), &own, &cluster(), Some("127.0.1.1\tn1\n"));
        let text = of(json!({ "containers": [], "subdomain": "web", "hostAliases": [{ "ip": "1.2.3.4", "hostnames": ["a", "b"] }] })).unwrap();
        assert!(text.contains("10.1.0.2\tweb-0.web.n.svc.cluster.local\tweb-0\n"), "{text}");
        assert!(text.ends_with("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
        assert!(of(json!({ "containers": [] })).unwrap().contains("10.1.0.2\tweb-0\n"));
        let whole = json!({ "containers": [], "subdomain": "web", "hostnameOverride": "a.example.com" });
        assert!(of(whole).unwrap().contains("10.1.0.2\ta.example.com\n"), "it is whole as it is");
        let on_node = "# Kubernetes-managed hosts file (host network).\n127.0.1.1\tn1\n10.1.0.2\tn1\n";
        let spec = json!({ "containers": [], "hostNetwork": true, "nodeName": "n1", "subdomain": "web" });
        assert_eq!(of(spec).unwrap(), on_node, "programs find the node's own name");
        let aliases = json!([{ "ip": "1.2.3.4", "hostnames": ["a"] }]);
        assert_eq!(
            of(json!({ "containers": [], "hostNetwork": true, "nodeName": "n1", "hostAliases": aliases }))
                .unwrap(),
            "# Kubernetes-managed hosts file (host network).\n127.0.1.1\tn1\n10.1.0.2\tn1\n\n# Entries added by HostAliases.\n1.2.3.4\ta\n"
        );
    }

    #[test]
    fn names_are_asked_of_whom_the_policy_says() {
        let resolver = |pod: &Pod, cluster: &Cluster| {
            resolver(pod, cluster, NODE).map(|own| {
                assert!(own.omitted.is_empty(), "{own:?}");
                own.text
            })
        };
        let of = |spec| resolver(&pod(spec), &cluster()).unwrap();
        let first = "nameserver 10.96.0.10\nsearch n.svc.cluster.local svc.cluster.local cluster.local example.com\noptions ndots:5\n";
        assert_eq!(of(json!({ "containers": [] })), first);
        assert_eq!(
            of(json!({ "containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" })),
            first
        );
        for spec in [
            json!({ "containers": [], "dnsPolicy": "Default" }),
            json!({ "containers": [], "hostNetwork": true }),
        ] {
            assert_eq!(of(spec), NODE);
        }
        let more = json!({ "nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{ "name": "ndots", "value": "2" }, { "name": "edns0" }] });
        assert_eq!(
            of(json!({ "containers": [], "dnsPolicy": "None", "dnsConfig": more })),
            "nameserver 1.1.1.1\nsearch x\noptions ndots:2 edns0\n"
        );
        assert!(of(json!({ "containers": [], "dnsConfig": more })).ends_with("options ndots:2 edns0\n"));
        let unknown = Cluster { servers: None, ..cluster() };
        assert_eq!(resolver(&pod(json!({ "containers": [] })), &unknown), None, "it waits for them");
        let own = json!({ "containers": [], "dnsPolicy": "Default" });
        assert_eq!(resolver(&pod(own), &unknown).as_deref(), Some(NODE));
        let none = Cluster { servers: Some(Vec::new()), ..cluster() };
        let own = super::resolver(&pod(json!({ "containers": [] })), &none, NODE).unwrap();
        assert_eq!((own.text.as_str(), own.omitted[0].0), (NODE, "MissingClusterDNS"));
        assert_eq!(
            resolver(&pod(json!({ "containers": [], "hostNetwork": true })), &none).as_deref(),
            Some(NODE)
        );
    }

    #[test]
    fn what_has_no_room_is_left_out_and_told() {
        let of = |servers: &[&str], searches: &[String]| {
            let more = json!({ "nameservers": servers, "searches": searches });
            let spec = json!({ "containers": [], "dnsPolicy": "None", "dnsConfig": more });
            resolver(&pod(spec), &cluster(), NODE).unwrap()
        };
        let twice = of(&["1.1.1.1", "1.1.1.1", "1.1.1.2", "1.1.1.3"], &[]);
        assert_eq!(twice.text, "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n");
        assert!(twice.omitted.is_empty(), "nothing is lost");
        let told = |words: &str| [("DNSConfigForming", words.to_owned())];
        let words = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1 2 3";
        assert_eq!(of(&["1", "2", "3", "4"], &[]).omitted, told(words));
        let words = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: a";
        assert_eq!(of(&[], &["x".repeat(254), "a".to_owned()]).omitted, told(words));
        let many: Vec<String> = (0..40).map(|number| format!("d{number}")).collect();
        assert!(of(&[], &many).omitted[0].1.ends_with(" d31"));
        let long: Vec<String> = (0..10).map(|number| format!("{number}{}", "x".repeat(249))).collect();
        let told = of(&[], &long);
        assert_eq!((told.text.len(), told.omitted.len()), ("search \n".len() + 8 * 251 - 1, 1));
    }

    #[test]
    fn services_are_told_as_docker_links_were() {
        let service = |namespace: &str, name: &str, address: &str| -> Service {
            serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "clusterIP": address, "ports": [{ "name": "http", "port": 80 }] },
            }))
            .unwrap()
        };
        let all = [
            service("default", "kubernetes", "10.96.0.1"),
            service("n", "my-db", "fd00::1"),
            service("n", "headless", "None"),
            service("m", "other", "10.96.0.7"),
        ];
        let env = services(&pod(json!({ "containers": [] })), all.iter());
        assert_eq!(env["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        assert_eq!(
            (env["MY_DB_SERVICE_PORT_HTTP"].as_str(), env["MY_DB_PORT"].as_str()),
            ("80", "tcp://[fd00::1]:80")
        );
        assert_eq!(env["MY_DB_PORT_80_TCP_ADDR"], "fd00::1");
        assert!(env.keys().all(|key| !key.starts_with("OTHER") && !key.starts_with("HEADLESS")));
        let without = services(&pod(json!({ "containers": [], "enableServiceLinks": false })), all.iter());
        assert!(without.keys().all(|key| key.starts_with("KUBERNETES")) && !without.is_empty());
    }
}
