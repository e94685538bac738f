//! Policies: who gets through to a pod, and to whom a pod gets through.

use crate::nodes::Cluster;
use crate::place::Program;

/// A node with pods `web`, `friend` and `stranger`, the first two of which serve at 80 and 81.
struct Scene {
    cluster: Cluster,
    web: [String; 2],
    friend: [String; 2],
    _servers: Vec<Program>,
}

fn scene() -> Scene {
    let cluster = Cluster::of_one();
    let [web, friend, _] = ["web", "friend", "stranger"].map(|name| cluster.pod(name, ""));
    let serve = |name| [80, 81].map(|port| cluster.serve(name, port));
    let servers = [serve("web"), serve("friend")].into_iter().flatten().collect();
    cluster.run(
        "ip -n world route add 10.244.0.0/16 via 192.0.2.2; ip -n world route add fd44::/48 via 2001:db8::2",
    );
    Scene { cluster, web, friend, _servers: servers }
}

impl Scene {
    /// Says which policies there are.
    fn policies(&self, policies: &str) {
        self.cluster.apply("policies", &policies.replace('\n', " "));
    }

    fn reaches(&self, who: &str, host: &str, port: u16) {
        let said = self.cluster.ask(who, host, port, "tcp");
        assert!(said.contains(" to "), "{who} at {host} {port}: {said}");
    }

    fn does_not_reach(&self, who: &str, host: &str, port: u16) {
        self.cluster.hears_nothing(who, host, port, "tcp");
    }
}

fn pod([v4, v6]: &[String; 2]) -> String {
    format!(
        r#"{{"addresses": ["{v4}", "{v6}"], "ports": [{{"name": "admin", "protocol": "TCP", "port": 81}}]}}"#
    )
}

#[test]
fn a_pod_under_a_policy_hears_nobody_but_its_node_and_itself() {
    let scene = scene();
    scene.policies(&format!(r#"{{"default/deny": {{"pods": [{}], "ingress": []}}}}"#, pod(&scene.web)));
    for address in &scene.web {
        for who in ["friend", "world"] {
            scene.does_not_reach(who, address, 80);
        }
        scene.reaches("node", address, 80);
        scene.reaches("web", address, 80);
    }
    for address in &scene.friend {
        scene.reaches("web", address, 80);
        scene.reaches("stranger", address, 80);
    }
    scene.policies("{}");
    scene.reaches("friend", &scene.web[0], 80);
    assert!(!scene.cluster.run("nft list tables").contains("policies"));
}

#[test]
fn a_table_that_somebody_flushes_or_deletes_is_whole_at_the_next_look() {
    let scene = scene();
    let deny = format!(r#"{{"default/deny": {{"pods": [{}], "ingress": []}}}}"#, pod(&scene.web));
    let mut agent = scene.cluster.agent("policies", &deny);
    for damage in ["flush ruleset", "flush table inet skerry-policies", "delete table inet skerry-policies"] {
        scene.cluster.run("echo > /run/lines");
        agent.says("whole");
        scene.does_not_reach("friend", &scene.web[0], 80);
        scene.cluster.run(&format!("nft {damage}"));
        scene.reaches("friend", &scene.web[0], 80);
        scene.cluster.run("echo > /run/lines");
        agent.says("made anew");
        scene.does_not_reach("friend", &scene.web[0], 80);
    }
    scene.cluster.run("echo '{\"default/deny\": null}' > /run/lines");
    agent.says("done");
    scene.cluster.run("echo > /run/lines");
    agent.says("whole");
}

#[test]
fn peers_ports_and_names_of_ports_are_allowed() {
    let scene = scene();
    let with = |rules: &str| {
        scene.policies(&format!(
            r#"{{"default/some": {{"pods": [{}], "ingress": [{rules}]}}}}"#,
            pod(&scene.web)
        ));
    };
    let friend = format!(r#""peers": {{"pods": [{}]}}"#, pod(&scene.friend));
    with(&format!(r#"{{{friend}, "ports": [{{"protocol": "TCP", "port": 79, "end-port": 80}}]}}"#));
    for address in &scene.web {
        scene.reaches("friend", address, 80);
        scene.does_not_reach("friend", address, 81);
        scene.does_not_reach("stranger", address, 80);
        scene.cluster.hears_nothing("friend", address, 80, "udp");
    }
    with(&format!(r#"{{{friend}, "ports": [{{"protocol": "TCP", "port": "admin"}}]}}"#));
    for address in &scene.web {
        scene.reaches("friend", address, 81);
        scene.does_not_reach("friend", address, 80);
        scene.does_not_reach("stranger", address, 81);
    }
    with(
        r#"{"peers": {"blocks": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}, {"cidr": "2001:db8::/64"}]}}"#,
    );
    for address in &scene.web {
        scene.reaches("world", address, 80);
        scene.does_not_reach("friend", address, 80);
    }
    with(r#"{"peers": {"blocks": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}]}}"#);
    scene.does_not_reach("world", &scene.web[0], 80);
}

#[test]
fn what_a_pod_says_is_looked_at_where_it_gets_to() {
    let scene = scene();
    let _world = scene.cluster.serve_in_the_world(7000);
    let policy = |egress: &str| {
        scene.policies(&format!(
            r#"{{"default/out": {{"pods": [{}], "egress": [{egress}]}}}}"#,
            pod(&scene.web)
        ));
    };
    // A Service that leads to the friend.
    scene.cluster.apply(
        "services",
        &format!(
            r#"{{"here": {{"node": "one", "pods": ["10.244.0.0/16"]}}, "changes": [{{"name": "default/friend", "now": {{"service": {{"cluster-ips": ["10.96.0.10"], "ports": [{{"protocol": "TCP", "port": 8000}}]}}, "slices": [{{"ports": [{{"protocol": "TCP", "port": 80}}], "endpoints": [{{"address": "{}", "node": "one"}}]}}]}}}}]}}"#,
            scene.friend[0]
        ),
    );
    policy("");
    scene.does_not_reach("web", &scene.friend[0], 80);
    scene.does_not_reach("web", "10.96.0.10", 8000);
    scene.does_not_reach("web", "192.0.2.1", 7000);
    scene.reaches("friend", &scene.web[0], 80);
    let mut node = scene.cluster.start("exec python3 /run/echo 82 node 2>&1");
    node.says("listening");
    scene.reaches("web", "10.244.1.1", 82);
    policy(&format!(
        r#"{{"peers": {{"pods": [{}]}}, "ports": [{{"protocol": "TCP", "port": 80}}]}}"#,
        pod(&scene.friend)
    ));
    scene.reaches("web", &scene.friend[0], 80);
    scene.reaches("web", &scene.friend[1], 80);
    scene.reaches("web", "10.96.0.10", 8000);
    scene.does_not_reach("web", &scene.friend[0], 81);
    scene.does_not_reach("web", "192.0.2.1", 7000);
    policy(&format!(
        r#"{{"peers": {{"pods": [{}]}}, "ports": [{{"protocol": "TCP", "port": "admin"}}]}}"#,
        pod(&scene.friend)
    ));
    scene.reaches("web", &scene.friend[0], 81);
    scene.does_not_reach("web", &scene.friend[0], 80);
    policy(&format!(
        r#"{{"named": [{}], "ports": [{{"protocol": "TCP", "port": "admin"}}]}}"#,
        pod(&scene.friend)
    ));
    scene.reaches("web", &scene.friend[0], 81);
    scene.reaches("web", &scene.friend[1], 81);
    scene.does_not_reach("web", &scene.friend[0], 80);
    scene.does_not_reach("web", "192.0.2.1", 7000);
    policy(r#"{"peers": {"blocks": [{"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}]}}"#);
    scene.reaches("web", "192.0.2.1", 7000);
    scene.does_not_reach("web", "2001:db8::1", 7000);
    // "Yes" from one side is not "yes" from the other.
    scene.policies(&format!(
        r#"{{"default/out": {{"pods": [{}], "egress": [{{}}]}}, "default/in": {{"pods": [{}], "ingress": []}}}}"#,
        pod(&scene.web),
        pod(&scene.friend)
    ));
    scene.does_not_reach("web", &scene.friend[0], 80);
    scene.reaches("web", "192.0.2.1", 7000);
}

#[test]
fn policies_add_up_and_what_is_established_goes_on_while_they_change() {
    let scene = scene();
    let script = format!(
        "
import socket
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((\"{}\", 90)); server.listen(1); print(\"listening\", flush=True)
peer, _ = server.accept()
while True: peer.sendall(peer.recv(100))",
        scene.web[0]
    );
    let client = format!(
        "
import socket
peer = socket.create_connection((\"{}\", 90)); peer.settimeout(20)
for number in range(3):
    peer.send(b\"?\"); print(\"heard\", number, peer.recv(100).decode(), flush=True); open(\"/run/go\").read()",
        scene.web[0]
    );
    scene.cluster.run(&format!(
        "mkfifo /run/go; cat > /run/long <<'END'\n{script}\nEND\ncat > /run/talk <<'END'\n{client}\nEND"
    ));
    let mut server = scene.cluster.inside("web", "python3 /run/long");
    server.says("listening");
    let mut talk = scene.cluster.inside("friend", "python3 /run/talk");
    talk.says("heard 0 ?");
    let (web, friend) = (pod(&scene.web), pod(&scene.friend));
    let allow =
        |peers: &str| format!(r#"{{"pods": [{web}], "ingress": [{{"peers": {{"pods": [{peers}]}}}}]}}"#);
    let stranger = pod(&scene.cluster.addresses("stranger"));
    // In one agent: a deny, then two that allow somebody each, then one of them goes.
    let lines = [
        format!(r#"{{"a/deny": {{"pods": [{web}], "ingress": [], "egress": []}}}}"#),
        format!(r#"{{"a/one": {}, "a/two": {}}}"#, allow(&friend), allow(&stranger)),
        r#"{"a/two": null}"#.to_owned(),
    ];
    scene.policies(&lines[0]);
    scene.cluster.run("echo > /run/go");
    talk.says("heard 1 ?");
    scene.does_not_reach("friend", &scene.web[0], 80);
    scene.cluster.apply("policies", &lines[..2].join("\n"));
    scene.reaches("friend", &scene.web[0], 80);
    scene.reaches("stranger", &scene.web[0], 80);
    scene.cluster.apply("policies", &lines.join("\n"));
    scene.reaches("friend", &scene.web[0], 80);
    scene.does_not_reach("stranger", &scene.web[0], 80);
    let table = scene.cluster.run("nft list table inet skerry-policies");
    assert!(!table.contains("a/two") && table.contains("a/one"), "{table}");
    scene.cluster.run("echo > /run/go");
    talk.says("heard 2 ?");
    // What is changed from one to the next is what a new agent makes of the last.
    let all = format!(
        r#"{{"a/deny": {{"pods": [{web}], "ingress": [], "egress": []}}, "a/one": {}}}"#,
        allow(&friend)
    );
    let sorted = "nft list table inet skerry-policies | sort";
    let before = scene.cluster.run(sorted);
    scene.policies(&all);
    assert_eq!(scene.cluster.run(sorted), before);
}
