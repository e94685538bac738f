//! What a load balancer asks a node.

use crate::bad_pods::{is_clean, node};
use tests::{Cluster, Result};

const OBJECTS: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: web, namespace: balanced }
spec: { type: LoadBalancer, externalTrafficPolicy: Local, selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: balanced, labels: { app: web } }
spec:
  nodeName: balanced
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, 'exec httpd -f -p 8080 -h /tmp']
"#;

#[test]
fn a_node_says_whether_it_has_endpoints_of_a_service() -> Result {
    let cluster = Cluster::shared()?;
    let (node, before) = node(&cluster, "balanced")?;
    cluster.apply(OBJECTS)?;
    let port = cluster.run_until(
        "kubectl -n balanced get service web -o jsonpath='{.spec.healthCheckNodePort}' | grep .",
    )?;
    let page = format!("http://{}:{}/", cluster.address_of("balanced"), port.trim());
    let says = |count: u32, status: u32| {
        cluster.run_until(&format!(
            "curl -s -m 1 -w ' %{{http_code}}' {page} | grep -F '\"localEndpoints\":{count}' | grep -F '\"namespace\":\"balanced\"' | \
             grep '\"serviceProxyHealthy\":true.* {status}$'"
        ))
    };
    says(1, 200)?;
    cluster.kubectl("-n balanced delete pod web --timeout=300s")?;
    says(0, 503)?;
    cluster.kubectl(r#"-n balanced patch service web -p '{"spec":{"externalTrafficPolicy":"Cluster"}}'"#)?;
    cluster.run_until(&format!("! curl -s -m 1 {page}"))?;
    cluster.kubectl("-n balanced delete service web")?;
    is_clean(&node, &before)
}
