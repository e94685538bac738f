//! Pods run on a machine that has joined.

use tests::{Cluster, Result};

/// A namespace whose pods are admitted.
fn namespace(cluster: &Cluster, name: &str) -> Result {
    cluster.kubectl(&format!("create namespace {name}"))?;
    cluster.run_until(&format!("kubectl -n {name} get serviceaccount default")).map(drop)
}

const POD: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: words, namespace: whole }
data: { greeting: hello, file: "from a map\n" }
---
apiVersion: v1
kind: Secret
metadata: { name: key, namespace: whole }
stringData: { password: open }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: whole, labels: { app: web } }
spec:
  nodeName: runs
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: first
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo "$GREETING from $NAME" > /shared/page; cat /key/password >> /shared/page']
    env:
    - { name: GREETING, valueFrom: { configMapKeyRef: { name: words, key: greeting } } }
    - { name: NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    volumeMounts: [{ name: shared, mountPath: /shared }, { name: key, mountPath: /key }]
  - name: side
    image: busybox
    imagePullPolicy: Never
    restartPolicy: Always
    command: [sh, -c, 'trap "exit 0" TERM; echo side is up; while :; do sleep 1 & wait $!; done']
  containers:
  - name: server
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'echo serving; exec httpd -f -h /shared']
    readinessProbe: { httpGet: { path: /page, port: 80 }, periodSeconds: 1 }
    livenessProbe: { exec: { command: [cat, /words/file] }, periodSeconds: 2, timeoutSeconds: 5 }
    lifecycle: { postStart: { exec: { command: [sh, -c, 'echo started > /shared/hook'] } } }
    resources: { requests: { memory: 4Mi, cpu: 10m }, limits: { memory: 32Mi } }
    volumeMounts:
    - { name: shared, mountPath: /shared }
    - { name: words, mountPath: /words }
    - { name: words, mountPath: /one, subPath: file }
  volumes:
  - { name: shared, emptyDir: {} }
  - { name: key, secret: { secretName: key } }
  - { name: words, configMap: { name: words } }
"#;

#[test]
fn a_pod_runs_from_its_first_container_to_its_last() -> Result {
    let cluster = Cluster::shared()?;
    let node = cluster.node("runs")?.boot()?;
    cluster.run_until("kubectl wait --for=condition=Ready node/runs --timeout=1s")?;
    namespace(&cluster, "whole")?;
    cluster.apply(POD)?;
    cluster.run_until("kubectl -n whole wait --for=condition=Ready pod/web --timeout=1s")?;
    let of = |path: &str| cluster.kubectl(&format!("-n whole get pod web -o jsonpath='{{{path}}}'"));
    assert_eq!(of(".status.phase")?, "Running");
    assert_eq!(of(".status.qosClass")?, "Burstable");
    assert_eq!(of(".status.initContainerStatuses[0].state.terminated.reason")?, "Completed");
    let address = of(".status.podIP")?;
    assert!(address.starts_with("10.244."), "{address}");
    let subnet = cluster.kubectl("get node runs -o jsonpath='{.spec.podCIDR}'")?;
    cluster.run(&format!("ip route replace {subnet} via {}", cluster.address_of("runs")))?;
    let page = cluster.run(&format!("curl -s http://{address}/page"))?;
    assert_eq!(page, "hello from web\nopen");
    assert_eq!(cluster.kubectl("-n whole logs web -c server")?, "serving\n");
    assert_eq!(cluster.kubectl("-n whole logs web -c side")?, "side is up\n");
    assert_eq!(
        cluster.kubectl("-n whole exec web -c server -- cat /shared/hook /one /etc/hostname")?,
        "started\nfrom a map\nweb\n"
    );
    let failed = cluster.kubectl("-n whole exec web -c server -- sh -c 'exit 3'").unwrap_err().to_string();
    assert!(failed.contains("exit code 3"), "{failed}");
    let events = cluster.run_until(
        "kubectl -n whole get events -o custom-columns=R:.reason --no-headers | sort -u | grep Started",
    )?;
    assert!(events.contains("Started"), "{events}");
    cluster.kubectl("-n whole delete pod web --wait=true --timeout=60s")?;
    node.power_off()
}
