//! Two nodes with pods: `Cluster` itself is the first, the second has files of its own beside it.

use crate::helpers::{PROGRAM, Scene};
use crate::place::Program;
use std::ops::Deref;

/// The second node is on the first one's subnet.
pub const SAME_SUBNET: &str = "
    ip -n world link add lan type bridge
    ip -n world address flush dev world0
    ip -n world address add 192.0.2.1/24 dev lan
    ip -n world address add 2001:db8::1/64 dev lan nodad
    ip -n world link set world0 master lan
    ip -n world link set world1 master lan
    ip -n world link set lan up
    ip -n world link set world1 up
    ip -n two address add 192.0.2.3/24 dev up0
    ip -n two address add 2001:db8::3/64 dev up0 nodad
    ip -n two link set up0 up
    ip address add fe80::2/64 dev up0 nodad
    ip -n two address add fe80::3/64 dev up0 nodad
    ip -n two route add default via 192.0.2.1
    ip -n two -6 route add default via 2001:db8::1
";

/// The world routes between the two.
pub const ROUTED: &str = "
    ip -n world address add 198.51.100.1/24 dev world1
    ip -n world link set world1 up
    ip netns exec world sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
    ip -n two address add 198.51.100.2/24 dev up0
    ip -n two link set up0 up
    ip -n two route add default via 198.51.100.1
";

const SECOND: &str = "
    ip netns add two
    ip -n two link add up0 type veth peer name world1 netns world
    ip -n two link set up0 mtu 1400 addrgenmode none
    ip -n two link set lo up
";

const HOLDER: &str = "
    exec ip netns exec two unshare --mount sh -c '
        mount -t tmpfs run /run
        mount -t tmpfs var /var
        mkdir -p /run/skerry/config
        echo $$
        exec sleep infinity' 2>&1
";

pub struct Cluster {
    first: Scene,
    second: Option<(Program, String)>,
}

impl Deref for Cluster {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.first
    }
}

impl Cluster {
    /// One node, whose pods' network is there.
    pub fn of_one() -> Self {
        let cluster = Self { first: Scene::new(), second: None };
        cluster.apply("pods", &pods(1));
        cluster
    }

    /// Two nodes with pods' networks, and how the second is reached.
    pub fn of_two(world: &str) -> Self {
        let mut cluster = Self::of_one();
        cluster.run(&format!("{SECOND}{world}"));
        let mut holder = cluster.start(HOLDER);
        let pid = holder.says("").trim().to_owned();
        cluster.second = Some((holder, pid));
        cluster.run("cp /run/echo /run/ask /var");
        cluster.on_two(&format!("echo '{}' | {} pods", pods(2), AGENT));
        cluster
    }

    /// Says what should be, as an agent would.
    pub fn apply(&self, verb: &str, wanted: &str) -> String {
        self.run(&format!("{} {verb} <<'END'\n{wanted}\nEND", AGENT))
    }

    /// Starts an agent that is told this line, and then a line for each that is written to `/run/lines`.
    pub fn agent(&self, verb: &str, line: &str) -> Program {
        self.run(&format!("mkfifo /run/lines; cat > /run/first <<'END'\n{line}\nEND"));
        let mut agent = self
            .start(&format!("(cat /run/first; while cat /run/lines; do :; done) | exec {AGENT} {verb} 2>&1"));
        agent.says("done");
        agent
    }

    /// Runs a script on the second node.
    pub fn on_two(&self, script: &str) -> String {
        let (_, pid) = self.second.as_ref().expect("there is a second node");
        self.run(&format!("nsenter --target {pid} --mount --net sh -c '{}'", script.replace('\'', r"'\''")))
    }

    /// Starts a pod on the first node.
    pub fn pod(&self, name: &str, ports: &str) -> [String; 2] {
        self.attach(name, &format!(r#"{{"networks": [{{"network": "pods"}}], "ports": [{ports}]}}"#));
        self.addresses(name)
    }

    /// Starts a pod on the second node, whose namespace the first may enter as that of `two-NAME`.
    pub fn pod_on_two(&self, name: &str) -> [String; 2] {
        let request = r#"{"networks": [{"network": "pods"}]}"#;
        let said = self.on_two(&format!("echo '{request}' | {PROGRAM} attach --container {name}"));
        let (_, pid) = self.second.as_ref().expect("there is a second node");
        self.run(&format!(
            "mkdir -p /run/skerry/netns; touch /run/skerry/netns/two-{name}
             mount --bind /proc/{pid}/root/run/skerry/netns/{name} /run/skerry/netns/two-{name}"
        ));
        let all = said.split('"').filter(|word| word.ends_with("/32") || word.ends_with("/128"));
        let mut each = all.filter_map(|word| word.split_once('/')).map(|(address, _)| address.to_owned());
        [each.next().unwrap(), each.next().unwrap()]
    }
}

/// The agent's part, `examples/cluster-agent.rs`.
pub const AGENT: &str = "cluster-agent";

fn pods(node: u32) -> String {
    format!(
        r#"{{"subnets": ["10.244.{node}.0/24", "fd44:0:0:{node}::/64"], "cluster": ["10.244.0.0/16", "fd44::/48"], "mtu": 1350}}"#
    )
}
