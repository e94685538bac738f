//! What is taken away from under pods and the agent: what volumes are made of, and room on the disk.

use crate::bad_pods::{is_clean, node, pod};
use tests::{Cluster, Result};

/// A container's ID and how often it was started again.
fn life(namespace: &str, pod: &str) -> String {
    format!(
        "kubectl -n {namespace} get pod {pod} -o jsonpath='{{.status.containerStatuses[0].containerID}} \
         {{.status.containerStatuses[0].restartCount}}'"
    )
}

#[test]
#[ignore = "long"]
fn a_container_goes_on_when_what_its_volumes_are_made_of_is_gone() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "robbed")?;
    cluster.kubectl("-n robbed create configmap map --from-literal=word=mapped")?;
    cluster.kubectl("-n robbed create secret generic key --from-literal=word=secret")?;
    node.run("mkdir /run/host && echo lies >/run/host/word")?;
    let mounts = r#""volumeMounts": [{ "name": "map", "mountPath": "/map" }, { "name": "key", "mountPath": "/key" },
        { "name": "host", "mountPath": "/host" }],"#;
    let volumes = r#""volumes": [{ "name": "map", "configMap": { "name": "map" } }, { "name": "key", "secret": { "secretName": "key" } },
        { "name": "host", "hostPath": { "path": "/run/host", "type": "Directory" } }],"#;
    cluster.apply(&pod("robbed", "box", mounts, volumes))?;
    let ready = "kubectl -n robbed wait --for=condition=Ready pod/box --timeout=1s";
    cluster.run_until(ready)?;
    let first = cluster.run(&life("robbed", "box"))?;

    cluster.kubectl("-n robbed delete configmap map")?;
    cluster.kubectl("-n robbed delete secret key")?;
    node.run("rm -r /run/host")?;
    let events = "kubectl -n robbed get events --field-selector reason=FailedMount,involvedObject.name=box";
    for words in ["configmap \"map\" not found", "secret \"key\" not found"] {
        cluster.run_until(&format!("{events} | grep -F '{words}'"))?;
    }
    let reads = "kubectl -n robbed exec box -- sh -c 'cat /map/word /key/word; ls /host'";
    assert_eq!(cluster.run_until(reads)?, "mappedsecret");
    assert_eq!(cluster.run(&life("robbed", "box"))?, first, "nobody touched it");
    cluster.run_until(ready)?;

    // One that ends now begins again when all is back.
    node.run("pkill -KILL -xf 'sleep 400000'")?;
    cluster.run_until(&format!("[ \"$({})\" != '{first}' ]", life("robbed", "box")))?;
    cluster.kubectl("-n robbed create configmap map --from-literal=word=again")?;
    cluster.kubectl("-n robbed create secret generic key --from-literal=word=too")?;
    node.run("mkdir /run/host && echo here >/run/host/word")?;
    cluster.run_until(ready)?;
    cluster.run_until(
        "kubectl -n robbed exec box -- sh -c 'cat /map/word /key/word /host/word' | grep -x againtoohere",
    )?;
    cluster.kubectl("-n robbed delete pod box --timeout=300s")?;
    is_clean(&node, &before)
}

/// Gives a folder of a node so little room, and what lies in it.
const SMALL: &str = "mkdir -p /run/small $folder && mount -t tmpfs -o size=$size,mode=755 small /run/small && \
     cp -a $folder/. /run/small/ && mount --move /run/small $folder";

#[test]
#[ignore = "long"]
fn a_full_disk_is_told_once_and_nothing_is_lost() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "full")?;
    for (folder, size) in [("/var/lib/skerry/agent", "128k"), ("/var/lib/kubelet", "512k")] {
        node.run(&format!("folder={folder} size={size}; {SMALL}"))?;
    }
    let ready = |pod: &str| format!("kubectl -n full wait --for=condition=Ready pod/{pod} --timeout=1s");
    let volume = r#""volumes": [{ "name": "e", "emptyDir": {} }],"#;
    let mount = r#""volumeMounts": [{ "name": "e", "mountPath": "/e" }],"#;
    cluster.apply(&pod("full", "first", mount, volume))?;
    cluster.run_until(&ready("first"))?;
    let life = life("full", "first");
    let first = cluster.run(&life)?;

    // Whoever takes the last of it is refused, as are those after him.
    for folder in ["/var/lib/skerry/agent", "/var/lib/kubelet"] {
        node.run(&format!("! dd if=/dev/zero of={folder}/filler bs=4k 2>/dev/null"))?;
    }
    cluster.kubectl("-n full label pod first full=yes")?;
    cluster.apply(&pod("full", "second", mount, volume))?;
    cluster.run_until(
        "kubectl -n full get events --field-selector involvedObject.name=second | grep -F 'no space left on device'",
    )?;
    let said = "pod.json: no space left on device";
    node.wait_for(said)?;
    node.kill("skerry-agent")?;
    node.wait_for_times(said, 4)?;
    let told = |node: &tests::Bare| node.said().lines().filter(|line| line.contains(said)).count();
    assert!(told(&node) <= 4, "each agent says it once of each pod:\n{}", node.said());
    cluster.run_until(&ready("first"))?;
    assert_eq!(cluster.run(&life)?, first, "nobody touched it");

    node.run("rm /var/lib/skerry/agent/filler /var/lib/kubelet/filler")?;
    cluster.run_until(&ready("second"))?;
    assert_eq!(cluster.run(&life)?, first, "nobody touched it");
    // What was not written then is written now: an agent that the API server does not answer knows both.
    node.run_until("grep -l 400000 /var/lib/kubelet/pods/*/pod.json | grep -c . | grep -x 2")?;
    node.run("[ -s /var/lib/skerry/agent/client.pem ]")?;
    cluster.kubectl("-n full delete pod --all --timeout=300s")?;
    // The agent has its own folder open as long as it lives.
    node.run_until("umount /var/lib/kubelet")?;
    node.run("umount -l /var/lib/skerry/agent")?;
    is_clean(&node, &before)
}
