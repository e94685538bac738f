//! `Mounts` and `HostConfig`: what a container has of the machine.

use serde_json::{Map, Value, json};
use spec::network::Port;
use spec::node::{Container, ContainerNetwork, Mount, Pid, Propagation, Restart, Sharing, Ulimit};
use spec::paths::VOLUMES;
use spec::quantity::Bytes;
use std::path::Path;

/// `Mounts`, by where they are.
pub fn mounts(container: &Container) -> Vec<Value> {
    let mut mounts: Vec<&Mount> = container.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target());
    mounts.into_iter().map(mount).collect()
}

fn mount(mount: &Mount) -> Value {
    let mode = |read_only: &bool| if *read_only { "ro" } else { "" };
    match mount {
        Mount::Bind { source, target, read_only, propagation } => json!({
            "Type": "bind",
            "Source": source,
            "Destination": target,
            "Mode": mode(read_only),
            "RW": !read_only,
            "Propagation": propagation.name(),
        }),
        Mount::Volume { name, target, read_only, no_copy: _ } => json!({
            "Type": "volume",
            "Name": name,
            "Source": Path::new(VOLUMES).join(&**name).join("data"),
            "Destination": target,
            "Driver": "local",
            "Mode": mode(read_only),
            "RW": !read_only,
            "Propagation": "",
        }),
        Mount::Tmpfs { target, read_only, .. } => json!({
            "Type": "tmpfs",
            "Source": "",
            "Destination": target,
            "Mode": "",
            "RW": !read_only,
            "Propagation": "",
        }),
    }
}

/// `HostConfig`
pub fn config(container: &Container) -> Value {
    let bytes = |bytes: Option<Bytes>| bytes.map_or(0, |Bytes(bytes)| bytes);
    let (restart, times) = restart(container.restart);
    let ulimits: Vec<Value> = container.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect();
    let security: Vec<String> = container.security.iter().map(ToString::to_string).collect();
    json!({
        "Binds": binds(container),
        "Tmpfs": tmpfs(container),
        "NetworkMode": network(container),
        "PortBindings": ports(&container.ports),
        "PublishAllPorts": container.publish_all,
        "RestartPolicy": { "Name": restart, "MaximumRetryCount": times },
        "CapAdd": container.cap_add,
        "CapDrop": container.cap_drop,
        "Privileged": container.privileged,
        "SecurityOpt": security,
        "ReadonlyRootfs": container.read_only,
        "Dns": container.dns,
        "DnsSearch": container.dns_search,
        "DnsOptions": container.dns_options,
        "ExtraHosts": container.add_hosts,
        "GroupAdd": container.group_add,
        "IpcMode": container.ipc.to_string(),
        "PidMode": if container.pid == Pid::Private { String::new() } else { container.pid.to_string() },
        "UTSMode": if container.uts == Sharing::Host { "host" } else { "" },
        "CgroupnsMode": container.cgroup,
        "Annotations": container.annotations,
        "ShmSize": container.shm_size.map_or(64 << 20, |Bytes(size)| size),
        "Sysctls": container.sysctls,
        "Memory": bytes(container.memory),
        "MemorySwap": swap(container.memory_swap),
        "MemoryReservation": bytes(container.memory_reservation),
        "NanoCpus": container.cpus.map_or(0, |cpus| (cpus * 1e9).round() as i64),
        "CpuShares": container.cpu_shares.unwrap_or(0),
        "CpusetCpus": container.cpuset_cpus.as_deref().unwrap_or_default(),
        "PidsLimit": container.pids,
        "Ulimits": ulimits,
        "Devices": container.devices.iter().map(|text| device(text)).collect::<Vec<_>>(),
        "Init": container.init,
        "OomScoreAdj": container.oom_score_adj.unwrap_or(0),
        "LogConfig": { "Type": "k8s-file", "Config": { "max-size": container.log_size.0.to_string() } },
    })
}

/// `SOURCE:TARGET[:ro,…]`
fn binds(container: &Container) -> Vec<String> {
    let bind = |mount: &Mount| match mount {
        Mount::Bind { source, target, read_only, propagation } => {
            let own = Some(propagation.name()).filter(|_| *propagation != Propagation::default());
            Some(written(source, target, *read_only, own))
        }
        Mount::Volume { name, target, read_only, no_copy } => {
            Some(written(name, target, *read_only, no_copy.then_some("nocopy")))
        }
        Mount::Tmpfs { .. } => None,
    };
    container.mounts.iter().filter_map(bind).collect()
}

fn written(source: &str, target: &str, read_only: bool, more: Option<&str>) -> String {
    let options: Vec<&str> = read_only.then_some("ro").into_iter().chain(more).collect();
    let colon = if options.is_empty() { "" } else { ":" };
    format!("{source}:{target}{colon}{}", options.join(","))
}

fn tmpfs(container: &Container) -> Map<String, Value> {
    let one = |mount: &Mount| match mount {
        Mount::Tmpfs { target, size, mode, uid, gid, exec, read_only } => {
            let size = size.map(|Bytes(size)| format!("size={size}"));
            let mode = mode.map(|mode| format!("mode={mode:o}"));
            let uid = uid.map(|uid| format!("uid={uid}"));
            let gid = gid.map(|gid| format!("gid={gid}"));
            let exec = exec.then(|| "exec".to_owned());
            let read_only = read_only.then(|| "ro".to_owned());
            let options: Vec<String> =
                [size, mode, uid, gid, exec, read_only].into_iter().flatten().collect();
            Some((target.clone(), options.join(",").into()))
        }
        Mount::Bind { .. } | Mount::Volume { .. } => None,
    };
    container.mounts.iter().filter_map(one).collect()
}

/// The first of several.
fn network(container: &Container) -> String {
    match container.network() {
        ContainerNetwork::Host => "host".to_owned(),
        ContainerNetwork::None => "none".to_owned(),
        ContainerNetwork::Container(other) => format!("container:{other}"),
        ContainerNetwork::On(all) => {
            all.first().map_or_else(|| "none".to_owned(), |one| one.network.to_string())
        }
    }
}

/// `80/tcp` and where it is to lead from; an empty port is left to the machine.
fn ports(ports: &[Port]) -> Map<String, Value> {
    let mut bindings = Map::new();
    for port in ports {
        let address = port.address.map(|address| address.to_string()).unwrap_or_default();
        for (outside, inside) in port.pairs() {
            let outside = match (port.host, port.among) {
                (0, _) => String::new(),
                (first, among @ 2..) => format!("{first}-{}", first + (among - 1)),
                _ => outside.to_string(),
            };
            let key = format!("{inside}/{}", port.protocol);
            let binding = json!({ "HostIp": address, "HostPort": outside });
            if let Value::Array(list) = bindings.entry(key).or_insert_with(|| json!([])) {
                list.push(binding);
            }
        }
    }
    bindings
}

fn restart(restart: Restart) -> (&'static str, u32) {
    match restart {
        Restart::Always => ("always", 0),
        Restart::UnlessStopped => ("unless-stopped", 0),
        Restart::OnFailure(times) => ("on-failure", times.unwrap_or(0)),
        Restart::No => ("no", 0),
    }
}

/// 0 where nothing was said, −1 where there is no limit.
fn swap(limit: Option<Bytes>) -> i64 {
    match limit {
        None => 0,
        Some(Bytes(bytes)) => i64::try_from(bytes).ok().filter(|bytes| *bytes < i64::MAX).unwrap_or(-1),
    }
}

fn ulimit(name: &str, limit: Ulimit) -> Value {
    let number = |limit| i64::try_from(limit).unwrap_or(-1);
    json!({ "Name": name, "Soft": number(limit.soft), "Hard": number(limit.hard) })
}

/// `OUTSIDE[:INSIDE[:rwm]]`
fn device(text: &str) -> Value {
    let mut parts = text.split(':');
    let outside = parts.next().unwrap_or_default();
    let (inside, may) = match (parts.next(), parts.next()) {
        (Some(path), may) if path.starts_with('/') => (path, may),
        (may, _) => (outside, may),
    };
    json!({ "PathOnHost": outside, "PathInContainer": inside, "CgroupPermissions": may.unwrap_or("rwm") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_by_where_they_are() {
        let memory = |target: &str, size, mode, is| Mount::Tmpfs {
            target: target.into(),
            size,
            mode,
            uid: mode,
            gid: None,
            exec: is,
            read_only: is,
        };
        let container = Container {
            mounts: vec![
                Mount::Volume {
                    name: "data".parse().unwrap(),
                    target: "/d".into(),
                    read_only: true,
                    no_copy: true,
                },
                Mount::Bind {
                    source: "/a".into(),
                    target: "/b".into(),
                    read_only: false,
                    propagation: Propagation::Rslave,
                },
                memory("/m", Some(Bytes(4096)), Some(0o750), true),
                memory("/n", None, None, false),
            ],
            ..Container::of("i")
        };
        let told = mounts(&container);
        assert_eq!((&told[0]["Destination"], &told[0]["Type"]), (&json!("/b"), &json!("bind")));
        assert_eq!(told[1]["Source"], "/var/lib/skerry/volumes/data/data");
        assert_eq!((&told[1]["RW"], &told[1]["Mode"]), (&json!(false), &json!("ro")));
        assert_eq!((&told[2]["RW"], &told[3]["RW"]), (&json!(false), &json!(true)));
        let config = config(&container);
        assert_eq!(config["Binds"], json!(["data:/d:ro,nocopy", "/a:/b:rslave"]));
        assert_eq!(config["Tmpfs"], json!({ "/m": "size=4096,mode=750,uid=488,exec,ro", "/n": "" }));
    }

    #[test]
    fn limits_and_ports_are_told_in_dockers_words() {
        let container = Container {
            ports: ["127.0.0.1:8080:80", "80", "9000-9010:81/udp", "7000-7001:70-71"]
                .map(|text| text.parse().unwrap())
                .into(),
            restart: Restart::OnFailure(Some(3)),
            memory: Some(Bytes(64 << 20)),
            memory_swap: Some(Bytes(i64::MAX as u64)),
            cpus: Some(1.5),
            ulimits: [("nofile".to_owned(), "1024:-1".parse().unwrap())].into(),
            devices: vec!["/dev/fuse".into(), "/dev/sda:/dev/xvda:r".into()],
            ..Container::of("i")
        };
        let told = config(&container);
        assert_eq!(
            told["PortBindings"],
            json!({
                "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "8080" }, { "HostIp": "", "HostPort": "" }],
                "81/udp": [{ "HostIp": "", "HostPort": "9000-9010" }],
                "70/tcp": [{ "HostIp": "", "HostPort": "7000" }],
                "71/tcp": [{ "HostIp": "", "HostPort": "7001" }],
            })
        );
        assert_eq!(told["RestartPolicy"], json!({ "Name": "on-failure", "MaximumRetryCount": 3 }));
        assert_eq!((&told["Memory"], &told["MemorySwap"]), (&json!(64 << 20), &json!(-1)));
        assert_eq!(told["NanoCpus"], 1_500_000_000);
        assert_eq!(told["Ulimits"], json!([{ "Name": "nofile", "Soft": 1024, "Hard": -1 }]));
        assert_eq!(told["Devices"][0]["PathInContainer"], "/dev/fuse");
        let second =
            json!({ "PathOnHost": "/dev/sda", "PathInContainer": "/dev/xvda", "CgroupPermissions": "r" });
        assert_eq!(told["Devices"][1], second);
        assert_eq!(told["NetworkMode"], "bridge");
        assert_eq!(config(&Container::of("i"))["MemorySwap"], 0);
    }
}
