//! Answers about a pod whose cgroups are files that were written here.

use super::*;
use crate::server::pods::{Container, Pod};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const POD: &str = "kubepods/pod1";
const APP: &str = "kubepods/pod1/app";

/// A node with one pod of one container.
fn node(name: &str) -> (Arc<Stats>, Pods, PathBuf) {
    let root = std::env::temp_dir().join(format!("skerry-stats-{name}-{}", std::process::id()));
    for (cgroup, usec, memory) in [
        ("", 9_000_000, 0),
        ("kubepods", 4_000_000, 4000),
        (POD, 3_000_000, 3000),
        (APP, 2_000_000, 2000),
        ("system/agent", 1_000_000, 1000),
    ] {
        let folder = root.join(cgroup);
        fs::create_dir_all(&folder).unwrap();
        let cpu = format!("usage_usec {usec}\nuser_usec {usec}\nsystem_usec 0\n");
        fs::write(folder.join("cpu.stat"), cpu).unwrap();
        fs::write(folder.join("memory.stat"), "anon 100\nfile 50\ninactive_file 500\npgmajfault 4\n")
            .unwrap();
        fs::write(folder.join("pids.current"), "2\n").unwrap();
        if memory > 0 {
            fs::write(folder.join("memory.current"), format!("{memory}\n")).unwrap();
        }
    }
    fs::write(root.join(APP).join("memory.max"), "8000\n").unwrap();
    fs::write(root.join("system/agent/cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
    fs::write(root.join(APP).join("cpu.max"), "50000 100000\n").unwrap();
    fs::write(root.join(APP).join("cpu.weight"), "100\n").unwrap();
    // Numbers that no disk has.
    fs::write(root.join(APP).join("io.stat"), "0:1 rbytes=7 wbytes=8\n0:2 rbytes=9\n").unwrap();
    let pressure =
        "some avg10=0 avg60=0 avg300=0 total=3000000\nfull avg10=0 avg60=0 avg300=0 total=1000000\n";
    fs::write(root.join(APP).join("io.pressure"), pressure).unwrap();
    let container = |name: &str, running, cgroup: &str| Container {
        name: name.into(),
        instance: Some(format!("web-{name}")),
        image: "nginx".into(),
        running,
        started: Some(1_700_000_000),
        cgroup: cgroup.into(),
        ..Container::default()
    };
    let pods = Pods::default();
    let done = Pod { namespace: "ns".into(), name: "done".into(), uid: "over".into(), ..Pod::default() };
    pods.replace(vec![
        Pod {
            namespace: "ns".into(),
            name: "web".into(),
            uid: "u1".into(),
            cgroup: POD.into(),
            started: 1_700_000_000,
            containers: vec![container("app", true, APP), container("old", false, "kubepods/pod1/old")],
            ..Pod::default()
        },
        done,
    ]);
    (Stats::at("worker-1", &Cluster::default(), root.clone(), root.join("pods")), pods, root)
}

async fn body(answer: Answer) -> String {
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_summary_has_what_is_used_by_whom() {
    let (stats, pods, root) = node("summary");
    let summary: Value = serde_json::from_str(&body(super::summary(&stats, &pods, "").await).await).unwrap();
    let own = &summary["node"];
    assert_eq!(
        (&own["nodeName"], &own["cpu"]["usageCoreNanoSeconds"]),
        (&"worker-1".into(), &9_000_000_000_u64.into())
    );
    assert!(
        own["memory"]["availableBytes"].as_u64() > Some(0) && own["fs"]["capacityBytes"].as_u64() > Some(0)
    );
    assert!(own["rlimit"]["curproc"].as_u64() > Some(0), "{own}");
    let parts = own["systemContainers"].as_array().unwrap();
    let part = |at: usize| (&parts[at]["name"], parts[at]["memory"]["usageBytes"].as_u64());
    assert_eq!(parts.len(), 2, "there is no monitor");
    assert_eq!((part(0), part(1)), ((&"kubelet".into(), Some(1000)), (&"pods".into(), Some(4000))));
    assert_eq!(parts[1]["startTime"], own["startTime"], "nobody is in it himself");
    assert!(parts[0]["startTime"].as_str() > own["startTime"].as_str(), "{own}");
    assert_eq!(summary["pods"].as_array().unwrap().len(), 1, "what is over uses nothing");
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"], serde_json::json!({ "name": "web", "namespace": "ns", "uid": "u1" }));
    assert_eq!(pod["startTime"], "2023-11-14T22:13:20Z");
    assert_eq!(pod["memory"]["workingSetBytes"], 2500);
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1, "what does not run uses nothing");
    let app = &pod["containers"][0];
    assert_eq!((&app["name"], &app["memory"]["workingSetBytes"]), (&"app".into(), &1500.into()));
    assert_eq!(app["memory"]["availableBytes"], 6500, "of its limit");
    assert!(app["cpu"]["usageNanoCores"].is_u64() && app["memory"]["rssBytes"] == 100);
    // Nobody has written anything: there are no such files on this machine.
    assert_eq!(
        (&pod["ephemeral-storage"]["usedBytes"], &pod["volume"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn who_asks_for_processors_and_memory_has_no_more() {
    let (stats, pods, root) = node("lean");
    let answer = super::summary(&stats, &pods, "only_cpu_and_memory=true").await;
    let summary: Value = serde_json::from_str(&body(answer).await).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let pod = &summary["pods"][0];
    assert_eq!(keys(pod), ["containers", "cpu", "memory", "podRef", "startTime", "swap"]);
    assert_eq!(keys(&pod["containers"][0]), ["cpu", "memory", "name", "startTime", "swap"]);
    let node = ["cpu", "memory", "nodeName", "startTime", "swap", "systemContainers"];
    assert_eq!(keys(&summary["node"]), node);
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn resource_metrics_are_those_that_metrics_server_reads() {
    let (stats, pods, root) = node("resource");
    let text = body(super::resource(&stats, &pods).await).await;
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let labels = r#"{container="app",namespace="ns",pod="web"}"#;
    for (name, value) in [
        (format!("container_cpu_usage_seconds_total{labels} "), "2"),
        (format!("container_memory_working_set_bytes{labels} "), "1500"),
        (format!("container_start_time_seconds{labels} "), "1700000000"),
        (r#"pod_cpu_usage_seconds_total{namespace="ns",pod="web"} "#.into(), "3"),
        ("node_cpu_usage_seconds_total ".into(), "9"),
        ("resource_scrape_error ".into(), "0"),
    ] {
        let found = line(&name).unwrap_or_else(|| panic!("{name} is missing: {text}"));
        assert_eq!(found[name.len()..].split(' ').next(), Some(value), "{found}");
    }
    assert!(line("node_memory_working_set_bytes ").is_some());
    well_formed(&text);
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn cadvisors_metrics_have_its_labels() {
    let (stats, pods, root) = node("cadvisor");
    let text = body(super::cadvisor(&stats, &pods).await).await;
    let labels = r#"container="app",cpu="total",id="/kubepods/pod1/app",image="nginx",name="web-app",namespace="ns",pod="web""#;
    assert!(text.contains(&format!("container_cpu_usage_seconds_total{{{labels}}} 2 ")), "{text}");
    let pod = r#"container="",id="/kubepods/pod1",image="",name="",namespace="ns",pod="web""#;
    assert!(text.contains(&format!("container_memory_working_set_bytes{{{pod}}} 2500 ")), "{text}");
    assert!(text.contains("machine_cpu_cores "), "{text}");
    let of = |name: &str| {
        let is = |line: &&str| line.starts_with(&format!("{name}{{container=\"app\","));
        let value = |line: &str| line.rsplit_once("} ")?.1.split(' ').next().map(str::to_owned);
        text.lines().filter(is).filter_map(value).collect::<Vec<_>>()
    };
    assert_eq!(of("container_fs_reads_bytes_total"), ["7", "9"], "a line for each disk");
    assert!(text.contains(r#"container_fs_writes_bytes_total{container="app",device="0:1","#), "{text}");
    let disk = r#"device="0:1",id="/kubepods/pod1/app",image="nginx",major="0",minor="1""#;
    assert!(text.contains(&format!(r#"usage_total{{container="app",{disk},name="web-app""#)), "{text}");
    assert_eq!(of("container_blkio_device_usage_total"), ["7", "8", "9", "0"]);
    assert_eq!(
        (of("container_spec_cpu_quota"), of("container_spec_cpu_period")),
        (vec!["50000".to_owned()], vec!["100000".to_owned()])
    );
    assert_eq!(text.matches("container_spec_cpu_quota{").count(), 1, "the pod has no limit of its own");
    assert_eq!(of("container_spec_cpu_shares"), ["1024"]);
    assert_eq!(of("container_memory_total_inactive_file_bytes"), ["500"]);
    assert!(text.contains("machine_swap_bytes "), "{text}");
    assert_eq!(of("container_memory_failures_total"), ["0", "4"]);
    assert_eq!(of("container_pressure_io_waiting_seconds_total"), ["3"]);
    assert_eq!(of("container_pressure_io_stalled_seconds_total"), ["1"]);
    assert_eq!(of("container_last_seen").len(), 1);
    well_formed(&text);
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn probes_are_counted_while_their_pod_is_there() {
    let (stats, pods, root) = node("probes");
    let count = |uid: &str, result| {
        let probe = Probe { uid: uid.into(), container: "app".into(), kind: "Liveness", result };
        stats.probes.count(probe, Duration::from_millis(20));
    };
    (0..3).for_each(|_| count("u1", "failed"));
    count("u1", "successful");
    count("u0", "failed");
    let text = body(super::probes(&stats, &pods)).await;
    let labels =
        r#"container="app",namespace="ns",pod="web",pod_uid="u1",probe_type="Liveness",result="failed""#;
    assert!(text.contains(&format!("prober_probe_total{{{labels}}} 3\n")), "{text}");
    assert!(!text.contains("u0"));
    let labels = r#"container="app",namespace="ns",pod="web",probe_type="Liveness""#;
    for line in [&format!("bucket{{{labels},le=\"0.01\"}} 0"), &format!("count{{{labels}}} 1")] {
        assert!(text.contains(&format!("prober_probe_duration_seconds_{line}\n")), "{text}");
    }
    well_formed(&text);
    let own = body(super::metrics(&stats, &pods).await).await;
    assert!(own.contains("kubelet_node_name{node=\"worker-1\"} 1\n"), "{own}");
    assert!(own.contains("\nkubelet_server_expiration_renew_errors 0\n"), "an alert waits for it: {own}");
    assert!(own.contains("\nkubelet_certificate_manager_server_ttl_seconds +Inf\n"), "{own}");
    assert!(own.contains("kubelet_running_containers{container_state=\"running\"} 1\n"), "{own}");
    well_formed(&own);
    let configuration: Value = serde_json::from_str(&body(super::configz(&stats)).await).unwrap();
    assert_eq!(configuration["kubeletconfig"]["kind"], "KubeletConfiguration");
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn checks_of_health_are_counted() {
    let (stats, _, root) = node("checks");
    let before = body(super::checks(&stats)).await;
    assert!(before.contains("kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 1\n"), "{before}");
    assert_eq!(body(super::healthz(&stats.checks, "")).await, "ok");
    let after = body(super::checks(&stats)).await;
    for check in CHECKS {
        let line = |count: u32| {
            let labels = format!(r#"name="{check}",status="success",type="healthz""#);
            format!("kubernetes_healthchecks_total{{{labels}}} {count}\n")
        };
        assert!(before.contains(&line(0)) && after.contains(&line(1)), "{before}{after}");
    }
    well_formed(&after);
    let verbose = body(super::healthz(&stats.checks, "verbose&exclude=log")).await;
    assert_eq!(verbose, "[+]ping ok\n[+]log excluded: ok\n[+]syncloop ok\nhealthz check passed\n");
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn what_claims_lead_to_is_measured() {
    let (stats, pods, root) = node("claims");
    let object: k8s_openapi::api::core::v1::Pod = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "web" },
        "spec": { "containers": [], "volumes": [
            { "name": "data", "persistentVolumeClaim": { "claimName": "disk" } },
            { "name": "made", "ephemeral": {} },
            { "name": "path", "persistentVolumeClaim": { "claimName": "of-a-path" } },
            { "name": "shared", "persistentVolumeClaim": { "claimName": "not-mounted" } },
        ] },
    }))
    .unwrap();
    let mut all = pods.all().to_vec();
    all[0].object = Some(Arc::new(object));
    // Another pod has one of them, too.
    all.push(Pod { uid: "u2".into(), ..all[0].clone() });
    pods.replace(all);
    for uid in ["u1", "u2"] {
        let links = root.join("pods").join(uid).join(place::LOCAL);
        fs::create_dir_all(&links).unwrap();
        fs::create_dir_all(root.join("pods").join(uid).join("volumes/kubernetes.io~nfs/shared")).unwrap();
        for name in ["data", "made"] {
            std::os::unix::fs::symlink(&root, links.join(name)).unwrap();
        }
    }
    let text = body(super::metrics(&stats, &pods).await).await;
    let claims = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    for name in ["capacity_bytes", "available_bytes", "used_bytes", "inodes", "inodes_free", "inodes_used"] {
        assert_eq!(claims(&format!("kubelet_volume_stats_{name}")), 2, "{text}");
    }
    let labels = r#"namespace="ns",persistentvolumeclaim="web-made""#;
    assert!(text.contains(&format!("kubelet_volume_stats_capacity_bytes{{{labels}}} ")), "{text}");
    well_formed(&text);
    let summary: Value = serde_json::from_str(&body(super::summary(&stats, &pods, "").await).await).unwrap();
    let volumes = summary["pods"][0]["volume"].as_array().unwrap();
    assert_eq!(volumes.len(), 2, "{volumes:?}");
    assert_eq!(volumes[0]["name"], "data");
    assert_eq!(volumes[0]["pvcRef"], serde_json::json!({ "name": "disk", "namespace": "ns" }));
    assert!(volumes[0]["capacityBytes"].as_u64() > Some(0), "{volumes:?}");
    fs::remove_dir_all(root).unwrap();
}

/// Each family stands once and together, each series once, and every value is a number.
fn well_formed(text: &str) {
    let (mut families, mut series, mut current) = (BTreeSet::new(), BTreeSet::new(), "");
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let (kind, rest) = head.split_once(' ').unwrap();
            let name = rest.split(' ').next().unwrap();
            match kind {
                "HELP" => assert!(families.insert(name), "{name} stands twice"),
                _ => assert_eq!((kind, name), ("TYPE", current), "{line}"),
            }
            current = name;
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        assert!(name == current || whole == Some(current), "{line}");
        let end = line.rfind('}').map_or(name.len(), |place| place + 1);
        assert!(series.insert(&line[..end]), "{line} stands twice");
        let numbers = line[end..].split_whitespace().map(|word| word.parse::<f64>().unwrap());
        assert!((1..=2).contains(&numbers.count()), "{line}");
    }
}
