//! Pods that write more than they may.

use tests::{Cluster, Result};

/// Each writes 4 MiB, to where its name says; `within` has room for them.
const PODS: [(&str, &str, &str, &str); 4] = [
    ("volume", "/own/file", "{ sizeLimit: 1Mi }", "{}"),
    ("root", "/file", "{}", "{ limits: { ephemeral-storage: 2Mi } }"),
    ("whole", "/own/file", "{}", "{ limits: { ephemeral-storage: 3Mi } }"),
    ("within", "/own/file", "{ sizeLimit: 8Mi }", "{ limits: { ephemeral-storage: 16Mi } }"),
];

fn pod((name, file, volume, resources): (&str, &str, &str, &str)) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{ name: {name}, namespace: written }}
spec:
  nodeName: writes
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'dd if=/dev/zero of={file} bs=1M count=4; exec sleep 400000']
    resources: {resources}
    volumeMounts: [{{ name: own, mountPath: /own }}]
  volumes: [{{ name: own, emptyDir: {volume} }}]
---"#
    )
}

#[test]
#[ignore = "long"]
fn a_pod_that_writes_more_than_it_may_is_evicted() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("writes")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/writes --timeout=1s")?;
    cluster.kubectl("create namespace written")?;
    cluster.run_until("kubectl -n written get serviceaccount default")?;
    cluster.apply(&PODS.map(pod).concat())?;
    let of = |pod: &str, path: &str| format!("kubectl -n written get pod {pod} -o jsonpath='{{{path}}}'");
    for (pod, words) in [
        ("volume", "Usage of EmptyDir volume \"own\" exceeds the limit \"1Mi\". "),
        // The limit of its one container is that of the pod, which is looked at first.
        ("root", "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "),
        ("whole", "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "),
    ] {
        cluster.run_until(&format!(
            "{} | grep -x 'Failed Evicted'",
            of(pod, ".status.phase} {.status.reason")
        ))?;
        assert_eq!(cluster.run(&of(pod, ".status.message"))?, words);
        let target = ".status.conditions[?(@.type==\"DisruptionTarget\")].status";
        assert_eq!(cluster.run(&of(pod, target))?, "", "{pod} is to blame itself");
    }
    cluster.run_until("kubectl -n written get events -o jsonpath='{.items[*].reason}' | grep Evicted")?;
    assert_eq!(cluster.run(&of("within", ".status.phase"))?, "Running");
    let summary = cluster.kubectl("get --raw /api/v1/nodes/writes/proxy/stats/summary")?;
    let summary: serde_json::Value = serde_json::from_str(&summary)?;
    let own =
        summary["pods"].as_array().and_then(|all| all.iter().find(|one| one["podRef"]["name"] == "within"));
    let own = own.cloned().unwrap_or_default();
    let bytes = |value: &serde_json::Value| value["usedBytes"].as_u64().unwrap_or(0) >> 20;
    assert_eq!((bytes(&own["volume"][0]), bytes(&own["ephemeral-storage"])), (4, 4), "{own}");
    assert!(own["containers"][0]["rootfs"]["usedBytes"].as_u64().is_some_and(|own| own < 1 << 20), "{own}");
    let none =
        "kubectl get node writes -o jsonpath='{.status.conditions[?(@.type==\"DiskPressure\")].status}'";
    assert_eq!(cluster.run(none)?, "False");
    // More than the node has is refused.
    let large = r#"{"spec":{"nodeName":"writes","containers":[{"name":"large","image":"busybox","resources":{"requests":{"ephemeral-storage":"9Ti"}}}]}}"#;
    cluster
        .kubectl(&format!("-n written run large --image=busybox --restart=Never --overrides='{large}'"))?;
    cluster.run_until(&format!("{} | grep -x OutOfephemeral-storage", of("large", ".status.reason")))?;
    node.power_off()
}
