//! The agent at work: who the node is, then everything at once, for ever.

use crate::api::Api;
use crate::cluster_network::Places;
use crate::events::{self, Events};
use crate::identity::Identity;
use crate::image::Images;
use crate::node::report::{Own, Standing};
use crate::node::roads::Roads;
use crate::node::{allocatable, facts, membership, oom, version};
use crate::pod::cgroup;
use crate::say::{Trouble, say};
use crate::worker::Context;
use crate::{
    cluster_network, config, evict, folder, healthz, join, pods, policies, sandbox, serving, static_pods,
};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sys::cause::cause;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How often an address is looked for although the kernel tells of no change.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is looked at whether the node still has its address although the kernel tells of no change.
const LOOK: Duration = Duration::from_secs(10);

/// How long an address may be away: one of IPv6 is until the kernel has asked whether others have it, one of a lease between
/// two.
const AWAY: Duration = Duration::from_secs(3);

/// How often the images are looked at.
const IMAGES: Duration = Duration::from_secs(30);

/// What the API server lets be done to pods of a node, or passes on to it, only when the node says that it can
/// (`status.declaredFeatures`): in the order of the alphabet, without which the node is refused.
const FEATURES: [&str; 4] = [
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
];

/// Serves the cluster until the process is ended.
///
/// # Errors
/// What the agent cannot do without; and that the node has another address by now, which all that it says of itself
/// follows from. Who starts it again has it begin with that one.
pub async fn run(node: config::Node) -> Result<(), String> {
    // Two would make and remove the same pods.
    let folder = Path::new(spec::paths::AGENT);
    let _alone =
        sys::file::alone(folder).map_err(|error| format!("{}: {}", folder.display(), cause(&error)))?;
    let mirrors = node.mirrors();
    let Begun { identity, server, roads, address, api, own } = begin(node).await?;
    let unready = Some("the pod network is not ready".to_owned());
    let first = Standing { unready, features: FEATURES.to_vec(), ..Standing::default() };
    let (sender, mut standing) = watch::channel(first);
    let (orders, evicted) = mpsc::channel(1);
    let (services, places) = (watch::Sender::default(), watch::Sender::<Arc<Places>>::default());
    let (owner, owned) = watch::channel(None);
    let (found, own_pods) = watch::channel(pods::Static::default());
    let (taken, mirrored) = watch::channel(pods::Static::default());
    let (pictures, known) = watch::channel(None);
    let (events, waiting) = Events::new();
    let images = Images::open(mirrors);
    let context =
        Context::new(api.clone(), own.clone(), images, standing.clone(), events, services.subscribe());
    or_say(cgroup::make_classes());
    // Pods that are here go on while the API server is away.
    let subnets = or_say(network::cluster::pods::in_use()).iter().map(ToString::to_string).collect();
    let member = (&own, &api, &context.events);
    let registered = membership::keep(member, &mut standing, &owner, &context.allocations.node, subnets);
    let all = async {
        tokio::join!(
            registered,
            version::keep(&api),
            join::rotate(&identity, &own.cluster, &server, &own.name, &api),
            events::keep(&api, &own.name, waiting),
            context.table.keep(),
            context.table.look(&sender),
            static_pods::read(&context, &found),
            static_pods::keep_mirrors(&context, &owned, mirrored, known),
            pods::keep(context.clone(), owned.clone(), own_pods, evicted, pictures, taken),
            allocatable::enforce(&own, &context.events),
            oom::watch(&own.name, &context.events),
            evict::keep(&context, &sender, orders.clone()),
            evict::keep_limits(&context, orders),
            cluster_network::keep(&api, &own, &places, &services, &sender),
            policies::keep(&api, &own, &context.isolation),
            self::images(&context, &sender),
            serving::keep(&context, &identity, &server),
            healthz::keep(),
        );
    };
    let (host, follows) = (host(&server), own.cluster.node_ip.is_empty());
    tokio::select! {
        () = all => Ok(()),
        new = moved(&host, address, &roads), if follows => {
            Err(format!("this node's address is {new} by now, in place of {address}: all begins anew with it"))
        }
    }
}

/// A node that is one of the cluster's.
struct Begun {
    identity: Identity,
    server: String,
    roads: Roads,
    /// From which it reaches the API server.
    address: IpAddr,
    api: Api,
    own: Arc<Own>,
}

/// Finds out who this node is, and joins; as much as can be is done while the network comes up.
async fn begin(node: config::Node) -> Result<Begun, String> {
    let cluster = node.cluster;
    let server = cluster.server.clone().ok_or("cluster.server: the configuration names no cluster")?;
    sandbox::say_unfit(&cluster.allowed_sysctls);
    let identity = Identity::open(Path::new(spec::paths::AGENT))?;
    or_say(folder::make_all());
    let machine = facts::machine(&machine_id(&identity)?);
    join::prepare(&identity)?;
    let roads = Roads::watch()?;
    let address = address(&host(&server), &roads).await;
    let hostname = node.hostname.map(|name| name.to_string());
    let name = name(&identity, hostname.as_deref())?;
    let addresses = if cluster.node_ip.is_empty() { vec![address] } else { cluster.node_ip.clone() };
    let api = Api::new(join::join(&identity, &cluster, &server, &name).await);
    version::first(&api).await;
    let own = Arc::new(Own { cluster, name, addresses, machine });
    Ok(Begun { identity, server, roads, address, api, own })
}

/// What was made; what could not be is said, and done without.
fn or_say<T: Default>(made: Result<T, String>) -> T {
    made.unwrap_or_else(|reason| {
        say(format_args!("{reason}"));
        T::default()
    })
}

/// The Node object names the images that are there.
async fn images(context: &Arc<Context>, standing: &watch::Sender<Standing>) {
    loop {
        let own = context.clone();
        let images = spawn_blocking(move || own.images.list()).await.unwrap_or_default();
        standing.send_if_modified(|standing| {
            let changes = standing.images != images;
            standing.images = images;
            changes
        });
        sleep(IMAGES).await;
    }
}

/// The API server as `HOST:PORT`.
fn host(server: &str) -> String {
    let host = server.trim_start_matches("https://").trim_end_matches('/');
    if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:443")
    }
}

/// The address of this node, once there is a way to the API server.
async fn address(host: &str, roads: &Roads) -> IpAddr {
    let mut trouble = Trouble::default();
    loop {
        if let Some(address) = trouble.of("wait for the network", facts::address_towards(host)) {
            return address;
        }
        roads.changed(PAUSE).await;
    }
}

/// Returns once the node has no longer the address that it is known by, but another: that one.
async fn moved(host: &str, known: IpAddr, roads: &Roads) -> IpAddr {
    loop {
        roads.changed(LOOK).await;
        if !stays_away(|| is_own(known)).await {
            continue;
        }
        let host = host.to_owned();
        // It may wait for a name server.
        let found = spawn_blocking(move || facts::address_towards(&host)).await;
        match found {
            Ok(Ok(address)) if address != known => return address,
            _ => {}
        }
    }
}

/// Whether an address that is not there is not there after a while, either.
async fn stays_away(is_there: impl Fn() -> bool) -> bool {
    if is_there() {
        return false;
    }
    sleep(AWAY).await;
    !is_there()
}

/// Whether an address is one of this machine's, as far as the kernel tells.
fn is_own(address: IpAddr) -> bool {
    !UdpSocket::bind((address, 0)).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// The Node object's name: what the configuration says, else that of the first time.
fn name(identity: &Identity, configured: Option<&str>) -> Result<String, String> {
    let is_one = |name: &String| {
        let is_ours = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        !name.is_empty() && name.bytes().all(is_ours)
    };
    let kept = identity.read("name")?.filter(is_one);
    let own = match (configured, &kept) {
        (Some(name), _) => name.to_lowercase(),
        (None, Some(name)) => return Ok(name.clone()),
        (None, None) => {
            fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase()
        }
    };
    if kept.as_deref() != Some(own.as_str()) {
        identity.write("name", &own)?;
    }
    Ok(own)
}

/// 32 hexadecimal digits, chosen once, which anybody may read (machine-id(5)).
fn machine_id(identity: &Identity) -> Result<String, String> {
    let is_one = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = identity.read("machine-id")?.map(|id| id.trim().to_owned()).filter(|id| is_one(id));
    let is_known = known.is_some();
    let id = known.unwrap_or_else(|| {
        fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default().trim().replace('-', "")
    });
    let shown = identity.show("machine-id", &format!("{id}\n"));
    // A full disk keeps nobody from what would free it.
    if is_known {
        or_say(shown)
    } else {
        shown?
    };
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_follows_its_address_when_that_is_gone() {
        let (own, another) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        assert!(is_own(own) && !is_own(another));
        let roads = Roads::watch().unwrap();
        assert_eq!(moved("127.0.0.1:1", another, &roads).await, own);
        let stays = tokio::time::timeout(LOOK * 3, moved("127.0.0.1:1", own, &roads));
        assert!(stays.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_may_be_away_for_a_moment() {
        let begun = tokio::time::Instant::now();
        assert!(!stays_away(|| true).await && begun.elapsed().is_zero());
        assert!(!stays_away(|| !begun.elapsed().is_zero()).await, "it is back");
        assert!(stays_away(|| false).await);
    }

    #[test]
    fn the_node_declares_what_its_server_can_in_order() {
        assert!(FEATURES.is_sorted());
        assert!(FEATURES.contains(&"ExtendWebSocketsToKubelet"), "see server::remote::websocket");
    }
}
