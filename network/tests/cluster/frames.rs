//! What no honest program sends, and who hears it.

use crate::nodes::Cluster;
use crate::place::Program;

/// Sends frames by `eth0`, one for a line of standard input each: `udp FROM-MAC TO-MAC FROM TO`, to port 7000;
/// `arp FROM-MAC MAC ADDRESS`: who has that address; `na FROM-MAC TO-MAC FROM ABOUT`, the same in IPv6, to all;
/// `lldp FROM-MAC`; and from a socket, `vxlan NODE PORT FROM-MAC TO-MAC FROM TO`, such a datagram
/// wrapped as nodes do it.
const SAY: &str = r#"
import ipaddress, socket, struct, sys
eth = None
def frame(data):
    global eth
    if not eth:
        eth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        eth.bind(("eth0", 0))
    eth.send(data)
mac = lambda text: bytes.fromhex(text.replace(":", ""))
packed = lambda text: ipaddress.ip_address(text).packed
def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def whole(source, to, next, payload, at):
    pseudo = source + to + struct.pack("!IBBBB" if len(source) == 16 else "!BBH", *((len(payload), 0, 0, 0, next) if len(source) == 16 else (0, next, len(payload))))
    payload = payload[:at] + struct.pack("!H", sum16(pseudo + payload) or 0xffff) + payload[at + 2:]
    if len(source) == 16:
        return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), next, 255) + source + to + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, next, 0) + source + to
    return b"\x08\x00" + head[:10] + struct.pack("!H", sum16(head)) + head[12:] + payload
def datagram(sender, receiver, source, to):
    words = f"{sender} {source}".encode()
    udp = struct.pack("!HHHH", 5000, 7000, 8 + len(words), 0) + words
    return mac(receiver) + mac(sender) + whole(packed(source), packed(to), 17, udp, 6)
for line in sys.stdin:
    kind, sender, *rest = line.split()
    if kind == "udp":
        frame(datagram(sender, *rest))
    elif kind == "vxlan":
        node, port = sender, int(rest[0])
        words = b"\x08\0\0\0\0\0\x53\0" + datagram(*rest[1:])
        outer = socket.socket(socket.AF_INET6 if ":" in node else socket.AF_INET, socket.SOCK_DGRAM)
        outer.sendto(words, (node, port))
    elif kind == "arp":
        who, address = mac(rest[0]), packed(rest[1])
        frame(b"\xff" * 6 + mac(sender) + b"\x08\x06\0\x01\x08\0\x06\x04\0\x01" + who + address + b"\xff" * 6 + address)
    elif kind == "na":
        receiver, source, about = rest
        na = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + packed(about) + b"\x02\x01" + mac(sender)
        frame(mac(receiver) + mac(sender) + whole(packed(source), packed("ff02::1"), 58, na, 2))
    else:
        frame(mac("01:80:c2:00:00:0e") + mac(sender) + b"\x88\xcc" + b"\0" * 46)
"#;

/// Says what comes to port 7000.
const HEAR: &str = r#"
import socket
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 7000))
print("listening", flush=True)
while True: print(server.recv(100).decode(), flush=True)
"#;

/// Puts the programs where `say` and `hear` find them.
pub fn write(cluster: &Cluster) {
    cluster.run(&format!("cat > /var/say <<'END'\n{SAY}\nEND\ncat > /var/hear <<'END'\n{HEAR}\nEND"));
}

/// Sends frames, a line each, from where such a command leads.
pub fn say(cluster: &Cluster, place: &str, frames: &str) {
    cluster.run(&format!("{place} python3 /var/say <<'END'\n{frames}\nEND"));
}

/// What is said to port 7000, a line each: the sender's hardware address and the source.
pub fn hear(cluster: &Cluster, place: &str) -> Program {
    let mut program = cluster.start(&format!("exec {place} python3 /var/hear 2>&1"));
    program.says("listening");
    program
}
