//! `/configz`: the node's configuration in a kubelet's words (`KubeletConfiguration`, kubelet.config.k8s.io/v1beta1), as far as
//! it has them. No secret is in it.

use crate::duration;
use crate::node::object::PORT;
use crate::pod::quantity::{of_cpu, of_memory};
use serde_json::{Map, Value, json};
use spec::node::Cluster;

/// That of a node of this cluster.
pub fn configuration(cluster: &Cluster) -> Value {
    let mut all = json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "port": PORT,
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true } },
        "authorization": { "mode": "Webhook" },
        "rotateCertificates": true,
        "serverTLSBootstrap": true,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        "memorySwap": { "swapBehavior": "NoSwap" },
        "maxPods": cluster.max_pods,
        "podPidsLimit": cluster.pod_pids_limit.map_or(-1, i64::from),
        "containerLogMaxSize": of_memory(cluster.container_log_max_size.0),
        // What is written now, and one before.
        "containerLogMaxFiles": 2,
        "systemReserved": {
            "cpu": of_cpu((cluster.reserved_cpus * 1000.0).round() as u64),
            "memory": of_memory(cluster.reserved_memory.0),
        },
        "imageGCHighThresholdPercent": cluster.image_gc_high,
        "imageGCLowThresholdPercent": cluster.image_gc_low,
        "imageMinimumGCAge": duration::words(cluster.image_gc_age.0),
        "imageMaximumGCAge": duration::words(cluster.image_gc_max_age.map(|age| age.0).unwrap_or_default()),
        "clusterDomain": cluster.domain,
        "clusterDNS": cluster.dns,
        "allowedUnsafeSysctls": cluster.allowed_sysctls,
        "staticPodPath": cluster.static_pods.clone().unwrap_or_default(),
    });
    if let Some(all) = all.as_object_mut() {
        all.extend(eviction(cluster));
    }
    all
}

fn eviction(cluster: &Cluster) -> Map<String, Value> {
    let signals = |memory: Option<String>, disk: Option<u8>| -> Map<String, Value> {
        let disk = disk.map(|percent| format!("{percent}%"));
        let all = [("memory.available", memory), ("nodefs.available", disk)];
        all.into_iter().filter_map(|(signal, own)| Some((signal.to_owned(), own?.into()))).collect()
    };
    let mut hard = signals(Some(of_memory(cluster.eviction_memory.0)), Some(cluster.eviction_disk));
    hard.extend(["nodefs.inodesFree", "pid.available"].map(|signal| (signal.to_owned(), "5%".into())));
    let soft = signals(cluster.eviction_soft_memory.map(|own| of_memory(own.0)), cluster.eviction_soft_disk);
    let grace = duration::words(cluster.eviction_soft_grace.0);
    let graces = soft.keys().map(|signal| (signal.clone(), grace.clone().into())).collect();
    let reclaimed = signals(
        Some(of_memory(cluster.eviction_minimum_reclaim_memory.0)).filter(|own| own != "0"),
        Some(cluster.eviction_minimum_reclaim_disk).filter(|own| *own > 0),
    );
    let all: [(&str, Map<String, Value>); 4] = [
        ("evictionHard", hard),
        ("evictionSoft", soft),
        ("evictionSoftGracePeriod", graces),
        ("evictionMinimumReclaim", reclaimed),
    ];
    let said = all.into_iter().filter(|(_, own)| !own.is_empty());
    said.map(|(name, own)| (name.to_owned(), own.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::quantity::Bytes;

    #[test]
    fn a_kubelets_words_say_what_the_node_was_told() {
        let usual = configuration(&Cluster::default());
        let told = Cluster {
            max_pods: 7,
            pod_pids_limit: Some(1024),
            container_log_max_size: Bytes(50 << 20),
            reserved_cpus: 0.5,
            eviction_soft_memory: Some(Bytes(64 << 20)),
            eviction_minimum_reclaim_disk: 2,
            dns: vec!["10.96.0.10".parse().unwrap()],
            static_pods: Some("/etc/pods".to_owned()),
            token: Some("a.secret".to_owned()),
            ..Cluster::default()
        };
        let told = configuration(&told);
        let hard = json!({ "memory.available": "8Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "pid.available": "5%" });
        for (key, before, now) in [
            ("maxPods", json!(110), json!(7)),
            ("podPidsLimit", json!(-1), json!(1024)),
            ("containerLogMaxSize", json!("10Mi"), json!("50Mi")),
            (
                "systemReserved",
                json!({ "cpu": "0", "memory": "24Mi" }),
                json!({ "cpu": "500m", "memory": "24Mi" }),
            ),
            ("evictionHard", hard.clone(), hard),
            ("evictionSoft", Value::Null, json!({ "memory.available": "64Mi" })),
            ("evictionSoftGracePeriod", Value::Null, json!({ "memory.available": "1m30s" })),
            ("evictionMinimumReclaim", Value::Null, json!({ "nodefs.available": "2%" })),
            ("imageMinimumGCAge", json!("2m0s"), json!("2m0s")),
            ("clusterDNS", json!([]), json!(["10.96.0.10"])),
            ("staticPodPath", json!(""), json!("/etc/pods")),
        ] {
            assert_eq!((&usual[key], &told[key]), (&before, &now), "{key}");
        }
        assert!(!told.to_string().contains("secret"));
    }
}
