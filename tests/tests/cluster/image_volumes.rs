//! Images as volumes of pods: seen, not written, not executed, and gone with the pod.

use crate::bad_pods::{is_clean, node, pod};
use tests::{Cluster, Result};

#[test]
fn an_image_is_seen_as_a_volume_and_goes_with_its_pod() -> Result {
    let cluster = Cluster::shared()?;
    let image = cluster.push("busybox")?;
    let (node, before) = node(&cluster, "pictures")?;
    // Of the image of the containers' own root, too: its layers are mounted once for all.
    let mounts = r#""volumeMounts": [{ "name": "far", "mountPath": "/far" }, { "name": "far", "mountPath": "/part", "subPath": "bin" },
        { "name": "near", "mountPath": "/near" }],"#;
    let volumes = format!(
        r#""volumes": [{{ "name": "far", "image": {{ "reference": "{image}" }} }},
            {{ "name": "near", "image": {{ "reference": "busybox", "pullPolicy": "Never" }} }}],"#
    );
    for (name, users) in [("box", ""), ("own", "\"hostUsers\": false,")] {
        cluster.apply(&pod("pictures", name, mounts, &format!("{volumes} {users}")))?;
        cluster
            .run_until(&format!("kubectl -n pictures wait --for=condition=Ready pod/{name} --timeout=1s"))?;
        let says = |line: &str| {
            cluster.run_until(&format!("kubectl -n pictures exec {name} -- sh -c '{line}; :' 2>&1"))
        };
        assert_eq!(
            says(
                "cmp /far/bin/sh /bin/sh; cmp /part/sh /near/bin/sh; stat -c %u:%g:%a /far /part /near/bin/sh | sort -u"
            )?,
            says("stat -c %u:%g:%a / /bin /bin/sh | sort -u")?
        );
        let refused = says("echo x >/far/x; echo x >/near/bin/sh")?;
        assert_eq!(refused.matches("Read-only file system").count(), 2, "{refused}");
        let refused = says("/far/bin/sh -c true; /part/sh -c true")?;
        assert_eq!(refused.matches("Permission denied").count(), 2, "{refused}");
    }
    // An agent that comes anew finds them as they are.
    let look = "kubectl -n pictures get pod box own -o jsonpath='{.items[*].status.containerStatuses[0].containerID}'";
    let first = cluster.run(look)?;
    node.kill("skerry-agent")?;
    node.run("pkill -KILL -xf -o 'sleep 400000'")?;
    cluster.run_until(&format!("[ \"$({look})\" != '{first}' ]"))?;
    cluster.run_until("kubectl -n pictures wait --for=condition=Ready pod/box pod/own --timeout=1s")?;
    assert_eq!(node.run("grep -c kubernetes.io~image/ /proc/mounts")?.trim(), "4");
    // One that is killed while they end leaves nothing to the next.
    cluster.kubectl("-n pictures delete pod --all --wait=false")?;
    node.run_until("[ $(grep -c kubernetes.io~image/ /proc/mounts) -lt 4 ]")?;
    node.kill("skerry-agent")?;
    cluster.run_until("! kubectl -n pictures get pod --no-headers | grep .")?;
    is_clean(&node, &before)?;
    node.run_until("! ls /run/skerry/layers | grep .").map(drop)
}

#[test]
#[ignore = "long"]
fn an_image_that_cannot_be_a_volume_is_told_by_the_containers_that_want_it() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "unseen")?;
    let table = [
        ("odd", r#"{ "reference": "Upper//Case" }"#, "InvalidImageName"),
        ("nowhere", r#"{ "reference": "127.0.0.1:1/none:1" }"#, "ImagePullBackOff"),
        ("never", r#"{ "reference": "none:1", "pullPolicy": "Never" }"#, "ErrImageNeverPull"),
    ];
    for (name, image, _) in table {
        let mount = r#""volumeMounts": [{ "name": "v", "mountPath": "/v" }],"#;
        let volume = format!(r#""volumes": [{{ "name": "v", "image": {image} }}],"#);
        cluster.apply(&pod("unseen", name, mount, &volume))?;
    }
    let reason = "{.status.containerStatuses[0].state.waiting.reason}";
    for (name, _, word) in table {
        cluster
            .run_until(&format!("kubectl -n unseen get pod {name} -o jsonpath='{reason}' | grep {word}"))?;
    }
    cluster.kubectl("-n unseen delete pod --all --timeout=300s")?;
    is_clean(&node, &before)
}
