//! Names among containers, and those of the rest of the world.

use crate::Scene;
use crate::helpers::PROGRAM;
use crate::place::Program;

/// The world's name server.
fn world_names(scene: &Scene) -> Program {
    let long =
        (1..=60).map(|n| format!("--host-record=long.example,203.0.113.{n}")).collect::<Vec<_>>().join(" ");
    let mut server = scene.world(&format!(
        "dnsmasq -d -C /dev/null --no-resolv --no-hosts --interface=world0 --bind-interfaces --pid-file= \
         --local=/example/ --address=/web.example/203.0.113.7 --address=/web.example/2001:db8::7 {long}"
    ));
    server.says("started");
    server
}

/// An address of the world, 192.0.2.9, at which its name server does not listen.
fn other_address(scene: &Scene) {
    scene.run(
        "ip -n world link add other0 type veth peer name other1
         ip -n world address add 192.0.2.9/32 dev other0
         ip -n world link set other0 up
         ip -n world link set other1 up",
    );
}

/// What a container's own resolver (glibc's) finds.
fn resolve(scene: &Scene, who: &str, name: &str) -> String {
    let gateway = scene.run(&format!(
        "python3 -c \"import json, sys; print(json.load(sys.stdin)['interfaces'][0]['addresses'][0])\" \
         < /run/skerry/network/containers/{who}.json"
    ));
    let gateway = gateway.trim().rsplit_once('.').unwrap().0.to_owned() + ".1";
    scene.run(&format!(
        "printf 'nameserver {gateway}\\noptions ndots:0 timeout:2\\n' > /run/resolv.{who}
         nsenter --net=/run/skerry/netns/{who} unshare --mount sh -c '
             mount --bind /run/resolv.{who} /etc/resolv.conf
             getent ahosts {name} | cut -d\" \" -f1 | sort -u' || true"
    ))
}

#[test]
fn containers_find_each_other_by_name_and_alias_within_their_networks() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.run(&format!("{PROGRAM} networks create back --subnet 10.9.0.0/24 --internal"));
    scene.publish("web", "");
    scene.attach("both", r#"{"networks": [{"network": "bridge", "aliases": ["www"]}, {"network": "back", "aliases": ["front"]}]}"#);
    scene.attach("db", r#"{"networks": [{"network": "back"}]}"#);
    let [_, v6] = scene.addresses("both");
    let both = format!("10.210.0.3\n{v6}\n");
    for name in ["both", "Both.bridge", "www"] {
        assert_eq!(resolve(&scene, "web", name), both, "{name}");
    }
    assert_eq!(resolve(&scene, "db", "front.back"), "10.9.0.2\n");
    for (who, name) in [("web", "db"), ("db", "web"), ("db", "www"), ("web", "front")] {
        assert_eq!(resolve(&scene, who, name), "", "{who} asks for {name}");
    }
    scene.detach("both");
    assert_eq!(resolve(&scene, "web", "both"), "", "gone with its container");
}

#[test]
fn other_names_are_asked_of_the_nodes_servers_and_long_answers_come_by_tcp() {
    let scene = Scene::new();
    let _service = scene.service();
    let server = world_names(&scene);
    scene.publish("web", "");
    scene.run(&format!("{PROGRAM} networks create back --subnet 10.9.0.0/24 --internal"));
    scene.attach("closed", r#"{"networks": [{"network": "back"}]}"#);
    assert_eq!(resolve(&scene, "web", "web.example"), "2001:db8::7\n203.0.113.7\n");
    assert_eq!(resolve(&scene, "web", "long.example").lines().count(), 60);
    assert_eq!(resolve(&scene, "closed", "web.example"), "", "no way out through names");
    server.kill();
    assert_eq!(resolve(&scene, "web", "web.example"), "", "and a name server that is gone holds up nobody");
}

#[test]
fn a_container_with_servers_of_its_own_asks_them_for_what_is_no_containers() {
    let scene = Scene::new();
    let _service = scene.service();
    let _nodes = world_names(&scene);
    other_address(&scene);
    let mut other = scene.world(
        "dnsmasq -d -C /dev/null --no-resolv --no-hosts --interface=other0 --except-interface=lo \
         --bind-interfaces --pid-file= --address=/web.example/203.0.113.9",
    );
    other.says("started");
    scene.publish("web", "");
    scene.attach("own", r#"{"networks": [{"network": "bridge"}], "dns": ["192.0.2.9"]}"#);
    assert_eq!(resolve(&scene, "own", "web.example"), "203.0.113.9\n");
    assert!(resolve(&scene, "own", "web").starts_with("10.210.0.2\n"));
    assert_eq!(resolve(&scene, "web", "web.example"), "2001:db8::7\n203.0.113.7\n");
}

#[test]
fn an_address_has_its_containers_name() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.publish("web", "");
    scene.publish("other", "");
    let [v4, v6] = scene.addresses("other");
    for address in [v4, v6] {
        let said =
            scene.run(&format!("nsenter --net=/run/skerry/netns/web busybox nslookup {address} 10.210.0.1"));
        assert!(said.contains("name = other.bridge"), "{said}");
    }
}

#[test]
fn who_is_no_container_is_not_answered() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.publish("web", "");
    scene.run("ip -n world route add 10.210.0.0/22 via 192.0.2.2");
    let said = scene.run("ip netns exec world busybox nslookup web 10.210.0.1 || true");
    assert!(said.contains("REFUSED") && !said.contains("10.210.0.2"), "{said}");
}

/// A container that serves names to the world does not get its neighbours' questions.
#[test]
fn port_53_can_be_published() {
    let scene = Scene::new();
    let _service = scene.service();
    scene.publish("first", "");
    let said = scene.publish("server", r#""53:53/udp", "53:53""#);
    assert!(!said.contains("warnings"), "{said}");
    let _server = scene.serve("server", 53);
    for kind in ["udp", "tcp"] {
        assert_eq!(scene.ask("world", "192.0.2.2", 53, kind), "server to 192.0.2.1");
    }
    assert!(resolve(&scene, "first", "server").starts_with("10.210.0.3\n"));
}

/// Asks once by TCP, and says no more; told is what came and whether that was the end.
const ASK_AND_STAY: &str = r#"
import socket, sys
question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1"
client = socket.create_connection((sys.argv[1], 53), 30)
client.sendall(len(question).to_bytes(2, "big") + question)
print("answered" if client.recv(1000) else "refused", flush=True)
print("over" if client.recv(1000) == b"" else "more")
"#;

#[test]
fn a_client_that_asks_by_tcp_and_stays_is_let_go() {
    let scene = Scene::new();
    let _service = scene.service();
    let _server = world_names(&scene);
    scene.publish("web", "");
    scene.run(&format!("cat > /run/stay <<'END'\n{ASK_AND_STAY}\nEND"));
    let said = scene.run("nsenter --net=/run/skerry/netns/web python3 /run/stay 10.210.0.1");
    assert_eq!(said, "answered\nover\n");
}

/// Never answers.
const SILENCE: &str = r#"
import signal, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.0.2.9", 53))
print("silent", flush=True)
signal.pause()
"#;

/// Asks very much; all but the first questions are refused (SERVFAIL).
const ASK_MUCH: &str = r#"
import socket, struct, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(30)
client.connect((sys.argv[1], 53))
for number in range(200):
    head = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0)
    client.send(head + b"\3web\7example\0\0\1\0\1")
    if number >= 64:
        said = struct.unpack(">HH", client.recv(1000)[:4])
        while said[0] < 64:
            said = struct.unpack(">HH", client.recv(1000)[:4])
        assert said[0] == number and said[1] & 15 == 2, (number, said)
print("asked")
"#;

#[test]
fn a_container_whose_server_is_silent_leaves_others_their_names() {
    let scene = Scene::new();
    let _service = scene.service();
    let _server = world_names(&scene);
    other_address(&scene);
    scene.run(&format!(
        "cat > /run/silence <<'END'\n{SILENCE}\nEND\ncat > /run/much <<'END'\n{ASK_MUCH}\nEND"
    ));
    scene.world("python3 /run/silence").says("silent");
    scene.publish("web", "");
    scene.attach("much", r#"{"networks": [{"network": "bridge"}], "dns": ["192.0.2.9"]}"#);
    let asked = scene.run("nsenter --net=/run/skerry/netns/much python3 /run/much 10.210.0.1");
    assert_eq!(asked, "asked\n");
    assert_eq!(resolve(&scene, "web", "web.example"), "2001:db8::7\n203.0.113.7\n");
}
