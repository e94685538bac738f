//! Debian's kubectl, 1.20, through today's API server: what it asks is older than WebSockets between the two.

use crate::bad_pods::{is_clean, node};
use tests::{Cluster, Result, unpacked};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: box, namespace: aged }
spec:
  nodeName: aged
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo up; echo page >/tmp/page; exec httpd -f -p 8080 -h /tmp']
"#;

#[test]
fn kubectl_of_debian_gets_into_pods() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "aged")?;
    let kubectl = unpacked("kubernetes-client")?.join("usr/bin/kubectl").display().to_string();
    let old = |words: &str| cluster.run(&format!("{kubectl} -n aged {words}"));
    let version = old("version --client --short")?;
    assert!(version.contains("v1.20."), "{version}");
    cluster.apply(POD)?;
    cluster.run_until("kubectl -n aged wait --for=condition=Ready pod/box --timeout=1s")?;
    assert_eq!(old("exec box -- echo inside")?, "inside\n");
    let typed = format!(
        "echo typed | {kubectl} -n aged exec -i box -- sh -c 'cat; echo error >&2; exit 7' 2>&1; echo $?"
    );
    let said = cluster.run(&typed)?;
    assert!(said.contains("typed\n") && said.contains("error\n") && said.ends_with("\n7\n"), "{said}");
    assert_eq!(old("logs box")?, "up\n");
    // Who follows it, and who is attached, is told what it says, and stays until it leaves.
    let stays = |verb: &str, word: &str, meanwhile: &str| {
        let said = cluster.scratch_file("said", "")?.display().to_string();
        cluster.run(&format!(
            "{kubectl} -n aged {verb} box >{said} & p=$!; \
             until grep -qx {word} {said}; do kill -0 $p || exit 1; {meanwhile}; sleep 0.1; done; \
             sleep 1; kill $p && cat {said}"
        ))
    };
    assert_eq!(stays("logs -f", "up", ":")?, "up\n");
    let speaks = format!("{kubectl} -n aged exec box -- sh -c 'echo seen >/proc/1/fd/1'");
    stays("attach", "seen", &speaks)?;
    let folder = cluster.scratch_file("sent", "there and back\n")?;
    let (sent, back) = (folder.display(), format!("{}.back", folder.display()));
    old(&format!("cp {sent} box:/tmp/sent"))?;
    old(&format!("cp box:/tmp/sent {back}"))?;
    assert_eq!(cluster.run(&format!("cat {back}"))?, "there and back\n");
    let forwarded = format!(
        "{kubectl} -n aged port-forward pod/box 18080:8080 >{sent}.log 2>&1 & p=$!; \
         until grep -q Forwarding {sent}.log; do kill -0 $p || exit 1; sleep 0.1; done; \
         curl -s -m 10 http://127.0.0.1:18080/page http://127.0.0.1:18080/sent; kill $p; wait"
    );
    assert_eq!(cluster.run(&forwarded)?, "page\nthere and back\n");
    old("delete pod box --timeout=300s")?;
    is_clean(&node, &before)
}
