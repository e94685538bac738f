//! The node's network, as a node and its containers see it. What the network service
//! says to DHCP servers and routers is tested in `network/tests`.

use tests::{Network, Node, Result, Running};

const WEB: &str = "[containers.web]\nimage = \"nginx\"\n";

/// nginx may be running for a moment before it listens.
fn serves_itself(node: &Running) -> Result {
    node.console().wait_for("web: running")?;
    node.run_until("wget -q -O /run/page http://127.0.0.1/")?;
    node.run("grep -q Skerry /run/page").map(drop)
}

#[test]
fn boots_without_a_network_card_and_says_so() -> Result {
    let node = Node::with_images().network(Network::None).config(WEB).boot()?;
    serves_itself(&node)?;
    node.console().wait_for("network: no interface")?;
    node.power_off()
}

#[test]
fn boots_without_a_dhcp_server_and_says_so() -> Result {
    let node = Node::with_images().network(Network::Silent).config(WEB).boot()?;
    serves_itself(&node)?;
    node.console().wait_for("eth0: no answer from a DHCP server, still asking")?;
    node.power_off()
}

#[test]
fn dhcp_and_a_router_give_addresses_and_a_name_server() -> Result {
    // A service that comes after the network begins with an address.
    let look = "busybox=/usr/libexec/probe/busybox; $busybox ip -o addr show dev eth0 | $busybox grep -v 'scope link' | \
                $busybox grep -q inet && echo late has an address; exec $busybox sleep 1000000";
    let command = format!("command = [\"/usr/libexec/probe/busybox\", \"sh\", \"-c\", \"{look}\"]");
    let node = Node::new().config(format!("[services.late]\n{command}\nafter = [\"network\"]\n")).boot()?;
    node.console().wait_for("late: late has an address")?;
    node.console().wait_for("eth0: 10.0.2.15/24 from DHCP server 10.0.2.2")?;
    let line = node.console().wait_for("/64 from a router's advertisement")?;
    assert!(line.contains("eth0: fec0:"), "{line}");
    node.run("ip -4 route | grep -q '^default via 10.0.2.2 dev eth0'")?;
    node.run("ip -6 route | grep -q '^default via fe80:.* dev eth0'")?;
    node.run_until("grep -qx 'nameserver 10.0.2.3' /etc/resolv.conf")
}

#[test]
fn static_addresses_of_both_families_take_the_place_of_dhcp() -> Result {
    let node = Node::with_images()
        .config(format!(
            r#"
            {WEB}
            [network]
            dns = ["192.0.2.53", "2001:db8::53"]
            search = ["example.org"]
            [network.interfaces.eth0]
            addresses = ["10.0.2.15/24", "2001:db8::15/64"]
            gateways = ["10.0.2.2", "2001:db8::1"]
            slaac = false
            "#
        ))
        .boot()?;
    node.console().wait_for("eth0: 10.0.2.15/24 from the configuration")?;
    node.console().wait_for("eth0: 2001:db8::15/64 from the configuration")?;
    assert!(node.page("/")?.contains("Skerry"));
    let routes = node.run("ip -4 route; ip -6 route")?;
    for route in ["default via 10.0.2.2 dev eth0", "default via 2001:db8::1 dev eth0"] {
        assert!(routes.contains(route), "no {route:?} in {routes}");
    }
    let resolv_conf = node.run("grep -v '^#' /etc/resolv.conf")?;
    assert_eq!(resolv_conf, "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\n");
    let text = node.console().text();
    assert!(!text.contains("DHCP") && !text.contains("advertisement"), "somebody was asked");
    Ok(())
}

/// Answers every question for an IPv4 address with 192.0.2.77.
const NAME_SERVER: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("listening", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    found = bytes.fromhex("c00c00010001000000000004c000024d") if query[end - 3] == 1 else b""
    head = query[:2] + bytes([0x81, 0x80, 0, 1, 0, len(found) > 0, 0, 0, 0, 0])
    server.sendto(head + query[12:end] + found, client)
"#;

#[test]
fn a_container_resolves_names_by_the_nodes_name_server() -> Result {
    let node = Node::with_images()
        .config(format!(
            r#"
            [network]
            dns = ["127.0.0.1"]

            [containers.server]
            image = "python"
            args = ["-c", '''{NAME_SERVER}''']
            console = true

            [containers.client]
            image = "busybox"
            args = ["sh", "-c", "until nslookup web.example.org; do sleep 1; done; exec sleep 1000000"]
            console = true
            "#
        ))
        .boot()?;
    node.console().wait_for("server: listening")?;
    node.console().wait_for("client: Address: 192.0.2.77")?;
    Ok(())
}

#[test]
fn a_containers_resolv_conf_follows_the_nodes() -> Result {
    // No router writes it anew meanwhile.
    let config = "[network.interfaces.eth0]\nslaac = false\n\
                  [containers.box]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000000\"]\n";
    let node = Node::with_images().config(config).boot()?;
    node.console().wait_for("box: running")?;
    let inside = |line: &str| {
        format!("/sbin/skerry-runtime --root /run/skerry/runtime exec box grep -qx '{line}' /etc/resolv.conf")
    };
    // What QEMU's DHCP server names, most likely after the container has started.
    node.run_until(&inside("nameserver 10.0.2.3"))?;
    node.run("cmp /etc/resolv.conf /run/skerry/resolv.conf")?;
    // As the network does it: another file under the same name.
    node.run("cd /run/skerry && echo nameserver 192.0.2.9 >new && mv new resolv.conf")?;
    node.run_until(&inside("nameserver 192.0.2.9"))
}

/// The modules for it lie in the image and are loaded for the first such container.
#[test]
fn a_container_on_a_network_of_its_own_is_reached_by_its_published_port() -> Result {
    let node = Node::new().boot()?;
    node.console().wait_for("eth0: 10.0.2.15/24 from DHCP server")?;
    node.run("echo '{}' | /sbin/skerry-network attach --container alone")?;
    node.run("nsenter --net=/run/skerry/netns/alone ping -c 1 127.0.0.1")?;
    node.run("[ ! -e /proc/modules ] || ! grep -q -e '^bridge ' -e '^nf_tables ' /proc/modules")?;
    let request = r#"{"networks": [{"network": "bridge"}], "ports": ["80:8000"]}"#;
    let attached = node.run(&format!("echo '{request}' | /sbin/skerry-network attach --container web"))?;
    assert!(attached.contains("10.210.0.2/22") && !attached.contains("warnings"), "{attached}");
    node.run("mkdir /run/www && echo from inside > /run/www/index.html")?;
    node.run("nsenter --net=/run/skerry/netns/web httpd -p 8000 -h /run/www")?;
    assert_eq!(node.page("/")?, "from inside\n");
    assert_eq!(node.run("wget -q -O - http://127.0.0.1/")?, "from inside\n");
    assert_eq!(node.run("wget -q -O - http://10.0.2.15/")?, "from inside\n");
    let named = node.run("nsenter --net=/run/skerry/netns/web nslookup web.bridge 10.210.0.1")?;
    assert!(named.contains("Address: 10.210.0.2"), "{named}");
    // Modules without their types are none that the kernel complains about.
    node.run("! dmesg | grep -i btf")?;
    node.run("killall httpd; for name in web alone; do /sbin/skerry-network detach --container $name; done")?;
    node.run("! ip link | grep skerry")?;
    node.power_off()
}

/// As node.toml says it: the monitor attaches them, whoever dies and comes back.
#[test]
fn containers_of_node_toml_have_networks_ports_and_names() -> Result {
    let config = r#"
        [networks.back]
        subnets = ["10.9.0.0/24"]
        internal = true
        [containers.web]
        image = "nginx"
        network = ["bridge", "back:alias=site"]
        ports = ["80:80"]
        [containers.client]
        image = "busybox"
        network = "back:ip=10.9.0.7"
        console = true
        init = true
        restart = "no"
        args = ["sh", "-c", "until wget -q -O /page http://site/; do sleep 0.1; done; grep -q Skerry /page && ip -4 -o address show dev eth0 | awk '{print $4}' && exec sleep 1000000"]
    "#;
    let node = Node::with_images().config(config).boot()?;
    node.console().wait_for("client: 10.9.0.7/24")?;
    let (web, client) = (node.life_of("web")?, node.life_of("client")?);
    assert!(node.page("/")?.contains("Skerry"));
    node.run("wget -q -O - http://127.0.0.1/ | grep -q Skerry")?;
    node.end_service("skerry-monitor", "KILL")?;
    node.end_service("skerry-network", "KILL")?;
    node.console().wait_for("web: still running")?;
    assert!(node.page("/")?.contains("Skerry"));
    node.run_until("wget -q -O - http://127.0.0.1/ | grep -q Skerry")?;
    assert_eq!((node.life_of("web")?, node.life_of("client")?), (web, client));
    assert!(!node.console().text().contains("does not answer"), "the service is waited for");
    node.power_off()
}
