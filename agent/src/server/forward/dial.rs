//! Connects inside a pod's network namespace. A thread of its own enters it and is gone with the
//! connection made: a namespace is a thread's, and the others' must not change.

use crate::server::pods::{Network, Pod};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use sys::cause::cause;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How long a pod may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// The thread's stack, in bytes.
const STACK: usize = 128 * 1024;

/// Where to connect.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file of a network namespace; the node's own without.
    pub network: Option<PathBuf>,
    /// The pod's name, for words.
    pub name: String,
    /// Its UID, for words.
    pub uid: String,
}

impl Place {
    /// Where a pod's ports are. Nothing without a network: the node's own is nobody's but a pod's that
    /// has asked for it, and on its loopback are programs that trust whoever comes there.
    pub fn of(pod: Pod) -> Option<Self> {
        let network = match pod.network {
            Network::Absent => return None,
            Network::Node => None,
            Network::Own(path) => Some(path),
        };
        Some(Self { network, name: pod.name, uid: pod.uid })
    }
}

/// A connection to a port of a pod's loopback, by IPv4 or else IPv6.
///
/// # Errors
/// In the words of the kubelet.
pub async fn dial(place: &Place, port: u16) -> Result<TcpStream, String> {
    let network = place.network.clone();
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("dial".into()).stack_size(STACK);
    let started = thread.spawn(move || drop(sender.send(connect(network, port))));
    let connected = match started {
        Ok(_) => receiver.await.unwrap_or_else(|_| Err("the thread ended".into())),
        Err(error) => Err(format!("start a thread: {}", cause(&error))),
    };
    let made = connected.and_then(|stream| TcpStream::from_std(stream).map_err(|error| cause(&error)));
    made.map_err(|reason| {
        format!("error forwarding port {port} to pod {}, uid {}: {reason}", place.name, place.uid)
    })
}

/// On the thread that is used for nothing else.
fn connect(network: Option<PathBuf>, port: u16) -> Result<std::net::TcpStream, String> {
    if let Some(path) = network {
        let words = |reason: io::Error| format!("enter {}: {}", path.display(), cause(&reason));
        let file = File::open(&path).map_err(words)?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| words(error.into()))?;
    }
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut reasons = Vec::new();
    for address in addresses.map(|address| SocketAddr::new(address, port)) {
        match std::net::TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
                return ready.map(|()| stream).map_err(|error| cause(&error));
            }
            Err(error) => reasons.push(format!("connect to {address}: {}", cause(&error))),
        }
    }
    Err(reasons.join(", "))
}
