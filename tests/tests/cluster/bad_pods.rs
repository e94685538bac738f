//! Pods that ask for too much, for what is not there, or that end while they begin: each says so, and leaves nothing.

use crate::pods::TRACES;
use std::thread::sleep;
use std::time::Duration;
use tests::{Bare, Cluster, Result};

/// A node, a namespace of the same name, and what the node keeps of pods when there is none.
pub(super) fn node(cluster: &Cluster, name: &str) -> Result<(Bare, String)> {
    let node = cluster.bare(name, cluster.server())?;
    cluster.run_until(&format!("kubectl wait --for=condition=Ready node/{name} --timeout=1s"))?;
    cluster.kubectl(&format!("create namespace {name}"))?;
    cluster.run_until(&format!("kubectl -n {name} get serviceaccount default"))?;
    let before = node.run(&format!("{TRACES} || :"))?;
    Ok((node, before))
}

/// Nothing of any pod is left on the node.
pub(super) fn is_clean(node: &Bare, before: &str) -> Result {
    let same = format!("[ \"$({TRACES})\" = '{}' ]", before.trim());
    node.run_until(&format!("{same} || {{ {TRACES}; exit 1; }} >&2")).map(drop)
}

/// A pod on node `place` whose one container sleeps; `container` are more of its fields, `spec` more of the pod's, as JSON
/// without the braces.
pub(super) fn pod(place: &str, name: &str, container: &str, spec: &str) -> String {
    format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "{name}", "namespace": "{place}" }}, "spec": {{
            "nodeName": "{place}", "terminationGracePeriodSeconds": 1, {spec}
            "containers": [{{ "name": "main", "image": "busybox", "imagePullPolicy": "Never",
                {container} "command": ["sh", "-c", "exec sleep 400000"] }}] }} }}"#
    )
}

#[test]
fn what_is_not_there_is_told_by_its_name() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "missing")?;
    let image = |name: &str, image: &str, policy: &str| {
        pod("missing", name, "", "")
            .replace("\"busybox\"", &format!("\"{image}\""))
            .replace("\"Never\"", &format!("\"{policy}\""))
    };
    let volume = |name: &str, source: &str| {
        pod("missing", name, "", &format!(r#""volumes": [{{ "name": "v", {source} }}],"#))
    };
    for object in [
        image("odd", "Upper//Case", "IfNotPresent"),
        image("nowhere", "127.0.0.1:1/none:1", "IfNotPresent"),
        image("never", "none:1", "Never"),
        volume("map", r#""configMap": { "name": "late" }"#),
        volume("folder", r#""hostPath": { "path": "/run/late", "type": "Directory" }"#),
    ] {
        cluster.apply(&object)?;
    }
    let reason = "{.status.containerStatuses[0].state.waiting.reason}";
    for (name, word) in
        [("odd", "InvalidImageName"), ("nowhere", "ImagePullBackOff"), ("never", "ErrImageNeverPull")]
    {
        cluster
            .run_until(&format!("kubectl -n missing get pod {name} -o jsonpath='{reason}' | grep {word}"))?;
    }
    for (name, words) in [("map", "late"), ("folder", "/run/late")] {
        cluster.run_until(&format!(
            "kubectl -n missing get events --field-selector reason=FailedMount,involvedObject.name={name} | grep -F {words}"
        ))?;
    }
    // What comes later is found.
    cluster.kubectl("-n missing create configmap late --from-literal=a=b")?;
    node.run("mkdir /run/late")?;
    for name in ["map", "folder"] {
        cluster
            .run_until(&format!("kubectl -n missing wait --for=condition=Ready pod/{name} --timeout=1s"))?;
    }
    cluster.kubectl("-n missing delete pod --all --timeout=300s")?;
    is_clean(&node, &before)
}

#[test]
#[ignore = "long"]
fn large_pods_run() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "large")?;
    let text = "x".repeat(100_000);
    let variables: Vec<String> =
        (0..9).map(|number| format!(r#"{{ "name": "V{number}", "value": "{text}" }}"#)).collect();
    let wide = pod("large", "wide", &format!("\"env\": [{}],", variables.join(",")), "");
    // Not applied: what that keeps of the object would not fit beside it.
    cluster.kubectl(&format!("create -f {}", cluster.scratch_file("wide", &wide)?.display()))?;
    let first: Vec<String> = (0..100)
        .map(|number| {
            format!(
                r#"{{ "name": "first-{number}", "image": "busybox", "imagePullPolicy": "Never", "command": ["true"] }}"#
            )
        })
        .collect();
    cluster.apply(&pod("large", "long", "", &format!("\"initContainers\": [{}],", first.join(","))))?;
    for name in ["wide", "long"] {
        cluster.run_until(&format!("kubectl -n large wait --for=condition=Ready pod/{name} --timeout=1s"))?;
    }
    cluster.kubectl("-n large delete pod --all --timeout=300s")?;
    is_clean(&node, &before)
}

#[test]
#[ignore = "long"]
fn a_probe_that_hangs_is_killed_with_all_that_it_started() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "hangs")?;
    let probe = r#""livenessProbe": { "exec": { "command": ["sh", "-c", "sleep 400001 & sleep 400001"] },
        "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2 },"#;
    cluster.apply(&pod("hangs", "box", probe, ""))?;
    let restarts = "{.status.containerStatuses[0].restartCount}";
    cluster.run_until(&format!("kubectl -n hangs get pod box -o jsonpath='{restarts}' | grep -x [1-9]"))?;
    // Those of a probe that has its time yet are two.
    node.run("[ $(pgrep -cxf 'sleep 400001') -le 2 ]")?;
    cluster.kubectl("-n hangs delete pod box --timeout=300s")?;
    is_clean(&node, &before)
}

#[test]
fn who_is_deleted_while_it_begins_leaves_nothing() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "hasty")?;
    cluster.kubectl("-n hasty create configmap some --from-literal=a=b")?;
    let volumes = r#""volumes": [{ "name": "a", "configMap": { "name": "some" } }, { "name": "b", "emptyDir": { "medium": "Memory" } }],"#;
    for step in 0..10 {
        let name = format!("box-{step}");
        cluster.apply(&pod("hasty", &name, "", volumes))?;
        sleep(Duration::from_millis(step * 60));
        let force = if step % 2 == 0 { "" } else { "--force --grace-period=0" };
        cluster.kubectl(&format!("-n hasty delete pod {name} --wait=false {force}"))?;
    }
    cluster.run_until("! kubectl -n hasty get pod --no-headers | grep .")?;
    is_clean(&node, &before)
}
