//! A node that dies: what runs elsewhere goes on, what ran there is made again elsewhere, and it is used when it comes back.

use std::time::Instant;
use tests::{Bare, Cluster, Result};

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: NAMESPACE }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  template:
    metadata: { labels: { app: web } }
    spec:
      nodeSelector: { for: NAMESPACE }
      terminationGracePeriodSeconds: 5
      topologySpreadConstraints:
      - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: web } } }
      tolerations:
      - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
      - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
      containers:
      - name: web
        image: busybox
        imagePullPolicy: Never
        command: [sh, -c, 'echo hello >/tmp/index.html; exec httpd -f -p 8080 -h /tmp']
        readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
        lifecycle: { preStop: { sleep: { seconds: 3 } } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: NAMESPACE }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
"#;

/// A Deployment of two and its Service on nodes of the label `for=NAMESPACE`, and somebody who asks it from one of them.
struct Web<'a> {
    cluster: &'a Cluster,
    namespace: &'static str,
    asks: &'a Bare,
    address: String,
}

impl<'a> Web<'a> {
    /// On these nodes, each of which has a pod at least; `asks` is one of them.
    fn on(cluster: &'a Cluster, namespace: &'static str, asks: &'a Bare, nodes: [&str; 2]) -> Result<Self> {
        nodes.iter().try_for_each(|name| is_ready(cluster, name))?;
        cluster.kubectl(&format!("label node {} for={namespace}", nodes.join(" ")))?;
        cluster.kubectl(&format!("create namespace {namespace}"))?;
        cluster.run_until(&format!("kubectl -n {namespace} get serviceaccount default"))?;
        cluster.apply(&WEB.replace("NAMESPACE", namespace))?;
        let address =
            cluster.kubectl(&format!("-n {namespace} get service web -o jsonpath='{{.spec.clusterIP}}'"))?;
        let web = Self { cluster, namespace, asks, address };
        nodes.iter().try_for_each(|name| web.runs_on(name, 1))?;
        asks.run_until(&format!("curl -s -m 1 http://{}/ | grep hello", web.address))?;
        Ok(web)
    }

    fn kubectl(&self, words: &str) -> Result<String> {
        self.cluster.kubectl(&format!("-n {} {words}", self.namespace))
    }

    /// So many pods are ready on a node, at least.
    fn runs_on(&self, node: &str, count: usize) -> Result {
        let pods = format!(
            "kubectl -n {} get pod -l app=web --field-selector spec.nodeName={node},status.phase=Running --no-headers",
            self.namespace
        );
        self.cluster.run_until(&format!("[ $({pods} | grep -c ' 1/1 ') -ge {count} ]")).map(drop)
    }

    /// Somebody who asks the Service ten times a second, until told to stop, and waits so many seconds for an answer.
    fn begin_to_ask(&self, patience: u32) -> Result {
        let address = &self.address;
        let line = format!(
            "rm -f /run/stop; (while [ ! -e /run/stop ]; do curl -s -m {patience} -o /dev/null http://{address}/ \
             && echo well || echo failed; sleep 0.1; done; echo over) >/run/asked 2>&1 </dev/null &"
        );
        self.asks.run(&line).map(drop)
    }

    /// How many of the questions since then were answered, and how many not.
    fn stop_asking(&self) -> Result<(usize, usize)> {
        self.asks.run("touch /run/stop")?;
        let words = self.asks.run_until("grep -q over /run/asked && cat /run/asked")?;
        Ok((words.matches("well").count(), words.matches("failed").count()))
    }

    /// A node has just died. Until the cluster knows, some of the questions go to the dead pods: that is the API's own grace.
    /// What was asked of the others is answered, and both run on `stays` in the end.
    fn outlives(&self, dead: &str, stays: &str) -> Result {
        let died = Instant::now();
        self.begin_to_ask(1)?;
        self.cluster
            .run_until(&format!("kubectl wait --for=condition=Ready=Unknown node/{dead} --timeout=1s"))?;
        let slices = format!("kubectl -n {} get endpointslice -o yaml", self.namespace);
        self.cluster
            .run_until(&format!("! {slices} | grep -A 12 'ready: true' | grep 'nodeName: {dead}'"))?;
        let (well, _failed) = self.stop_asking()?;
        assert!(well > 3, "nobody answered while the cluster did not know: {well}");
        self.runs_on(stays, 2)?;
        println!("{dead}: made again elsewhere after {:?}; {well} answers meanwhile", died.elapsed());
        // The dead are not asked any more.
        let address = &self.address;
        let all =
            format!("for n in $(seq 20); do curl -s -m 1 -o /dev/null http://{address}/ || exit 1; done");
        self.asks.run_until(&all).map(drop)
    }

    /// Nothing stays.
    fn end(&self) -> Result {
        self.kubectl("delete deployment web --timeout=300s")?;
        self.cluster.run_until(&format!("! kubectl -n {} get pod --no-headers | grep .", self.namespace))?;
        self.kubectl("delete service web").map(drop)
    }
}

/// A node is ready, and the cluster has taken back that pods are kept off it.
fn is_ready(cluster: &Cluster, node: &str) -> Result {
    cluster.run_until(&format!("kubectl wait --for=condition=Ready node/{node} --timeout=1s"))?;
    let taints = format!("kubectl get node {node} -o jsonpath='{{.spec.taints[*].key}}'");
    cluster.run_until(&format!("! {taints} | grep -e unreachable -e not-ready")).map(drop)
}

#[test]
fn a_node_that_dies_is_done_without_and_used_again() -> Result {
    let cluster = Cluster::shared()?;
    let outlives = cluster.bare("outlives", cluster.server())?;
    let falls = cluster.bare("falls", cluster.server())?;
    let web = Web::on(&cluster, "fall", &outlives, ["outlives", "falls"])?;
    // All of it, as by a power cut.
    drop(falls);
    web.outlives("falls", "outlives")?;
    let falls = cluster.bare("falls", cluster.server())?;
    is_ready(&cluster, "falls")?;
    web.kubectl("scale deployment web --replicas=5")?;
    web.runs_on("falls", 1)?;
    web.end()?;
    drop(falls);
    cluster.kubectl("delete node outlives falls --wait=false").map(drop)
}

/// As above with a machine that is killed; then from two pods to thirty and to three, and a rolling update while somebody asks.
#[test]
#[ignore = "long"]
fn a_machine_that_dies_is_used_again_up_to_thirty_pods_and_a_rolling_update() -> Result {
    let cluster = Cluster::shared()?;
    let stays = cluster.bare("stays", cluster.server())?;
    let second = cluster.bare("second", cluster.server())?;
    let dies = cluster.node("dies")?.boot()?;
    let web = Web::on(&cluster, "death", &stays, ["stays", "dies"])?;
    // QEMU is killed.
    drop(dies);
    web.outlives("dies", "stays")?;
    let dies = cluster.node("dies")?.boot()?;
    dies.machine().blame(is_ready(&cluster, "dies"))?;
    is_ready(&cluster, "second")?;
    cluster.kubectl("label node second for=death")?;
    // A machine that emulates three others may be late; who is dead answers never.
    web.begin_to_ask(30)?;
    // Scaled up, the machine that was dead is used; scaled down and updated, no question fails.
    web.kubectl("scale deployment web --replicas=30")?;
    let done =
        |count: usize| format!("[ $(kubectl -n death get pod --no-headers | grep -c ' 1/1 ') = {count} ]");
    cluster.run_until(&done(30))?;
    web.runs_on("dies", 5)?;
    web.runs_on("second", 5)?;
    web.kubectl("scale deployment web --replicas=3")?;
    cluster.run_until("[ $(kubectl -n death get pod --no-headers | grep -c .) = 3 ]")?;
    web.kubectl("set env deployment web NEW=yes")?;
    cluster.run_until("kubectl -n death rollout status deployment web --timeout=60s")?;
    let (well, failed) = web.stop_asking()?;
    assert!(failed == 0 && well > 10, "{failed} questions failed, {well} were answered");
    web.end()?;
    dies.power_off()?;
    drop(second);
    cluster.kubectl("delete node stays second dies --wait=false").map(drop)
}
