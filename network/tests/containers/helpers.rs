//! A node with containers: what is attached, who speaks to whom.

#![allow(dead_code, reason = "each test program uses its share")]

use crate::place::{Place, Program};
use std::ops::Deref;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_skerry-network");

/// Serves at a port, and tells each client who it is to it: TCP and UDP, both families.
const ECHO: &str = r#"
import selectors, socket, sys
port, words = int(sys.argv[1]), sys.argv[2]
waiting = selectors.DefaultSelector()
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    if kind == socket.SOCK_STREAM: server.listen(100)
    waiting.register(server, selectors.EVENT_READ)
print("listening", flush=True)
def answer(address): return f"{words} to {address[0].removeprefix('::ffff:')}".encode()
while True:
    for key, _ in waiting.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            client, address = key.fileobj.accept()
            client.sendall(answer(address))
            client.close()
        else:
            _, address = key.fileobj.recvfrom(100)
            key.fileobj.sendto(answer(address), address)
"#;

/// Asks such a server; two seconds without an answer are none.
const ASK: &str = r#"
import socket, sys
host, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
client = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
client.settimeout(float(sys.argv[4]))
try:
    client.connect(socket.getaddrinfo(host, port, family)[0][4])
    if kind == "udp": client.send(b"?")
    print(client.recv(100).decode() or "closed")
except OSError as error:
    print("nothing:", error)
"#;

/// The node's uplink is looked after, with the addresses that it has.
const NODE: &str = "
    [network]
    dns = [\"192.0.2.1\"]
    [network.interfaces.up0]
    addresses = [\"192.0.2.2/24\", \"2001:db8::2/64\"]
    gateways = [\"192.0.2.1\", \"2001:db8::1\"]
    mtu = 1400
    [networks.bridge]
    ipv6 = true
";

/// A place with containers.
pub struct Scene(Place);

impl Deref for Scene {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl Scene {
    pub fn new() -> Self {
        let place = Place::in_the_world(NODE);
        place.run(&format!("cat > /run/echo <<'END'\n{ECHO}\nEND\ncat > /run/ask <<'END'\n{ASK}\nEND"));
        Self(place)
    }

    /// Starts the network service, and waits until verbs are heard.
    pub fn service(&self) -> Program {
        let mut service = self.node();
        service.says("up0: ");
        self.wait_for("ls /run/skerry/network", "service.sock");
        service
    }

    /// Attaches a container; gives what was printed.
    pub fn attach(&self, name: &str, request: &str) -> String {
        self.run(&format!("echo '{request}' | {PROGRAM} attach --container {name}"))
    }

    /// Attaches a container to the default network with these published ports.
    pub fn publish(&self, name: &str, ports: &str) -> String {
        self.attach(name, &format!(r#"{{"networks": [{{"network": "bridge"}}], "ports": [{ports}]}}"#))
    }

    pub fn detach(&self, name: &str) {
        self.run(&format!("{PROGRAM} detach --container {name}"));
    }

    /// Serves in a container, naming it.
    pub fn serve(&self, container: &str, port: u16) -> Program {
        let mut server = self.inside(container, &format!("python3 /run/echo {port} {container}"));
        server.says("listening");
        server
    }

    pub fn serve_in_the_world(&self, port: u16) -> Program {
        let mut server = self.world(&format!("python3 /run/echo {port} world"));
        server.says("listening");
        server
    }

    pub fn inside(&self, container: &str, command: &str) -> Program {
        self.start(&format!("exec nsenter --net=/run/skerry/netns/{container} {command} 2>&1"))
    }

    /// What a server says to a client in a container, `world` or `node`.
    pub fn ask(&self, who: &str, host: &str, port: u16, kind: &str) -> String {
        self.ask_for(who, host, port, kind, 10)
    }

    /// That nothing is said within a second.
    pub fn hears_nothing(&self, who: &str, host: &str, port: u16, kind: &str) {
        let said = self.ask_for(who, host, port, kind, 1);
        assert!(said.starts_with("nothing:"), "{who} from {host} {port}/{kind}: {said}");
    }

    fn ask_for(&self, who: &str, host: &str, port: u16, kind: &str, seconds: u32) -> String {
        let place = match who {
            "node" => String::new(),
            "world" => "ip netns exec world".to_owned(),
            container => format!("nsenter --net=/run/skerry/netns/{container}"),
        };
        self.run(&format!("{place} python3 /run/ask {host} {port} {kind} {seconds}")).trim_end().to_owned()
    }

    /// The IPv4 and IPv6 address of a container's first interface.
    pub fn addresses(&self, container: &str) -> [String; 2] {
        let script = "import json, sys; print(*json.load(sys.stdin)['interfaces'][0]['addresses'])";
        let said =
            self.run(&format!("python3 -c \"{script}\" < /run/skerry/network/containers/{container}.json"));
        let mut each = said.split_whitespace().map(|cidr| cidr.split('/').next().unwrap().to_owned());
        [each.next().unwrap(), each.next().unwrap()]
    }

    /// Everything of the node's network that a verb may change, as others' tools see
    /// it; link-local addresses come and go by themselves.
    pub fn everything(&self) -> String {
        self.run(
            "ip -br link | cut -d' ' -f1
             (ip -o address; ip route show table all; ip -6 route show table all) | grep -v -e fe80: -e ff00: | sed 's/ linkdown//' | sort
             nft list ruleset
             ls -R /run/skerry/netns /run/skerry/network/containers
             grep netns/ /proc/mounts || true",
        )
    }
}
