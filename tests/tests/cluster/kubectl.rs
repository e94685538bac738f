//! Pods on a node, as whoever uses kubectl sees them. `SKERRY_TEST_NODE=kubelet` takes a node with
//! Kubernetes' own kubelet in place of ours, to prove the tests on that.

use std::sync::{Arc, OnceLock};
use tests::{Cluster, Failure, Kubelet, Result, Running};

/// The node of this test program, which ends with it.
enum Worker {
    Ours { node: Running },
    Reference { _node: Kubelet },
}

/// The cluster with a node that takes pods, and a namespace for this test.
struct Place {
    cluster: Cluster,
    namespace: &'static str,
}

static WORKER: OnceLock<std::result::Result<Arc<Worker>, String>> = OnceLock::new();

impl Place {
    fn new(namespace: &'static str) -> Result<Self> {
        let cluster = Cluster::shared()?;
        let worker =
            WORKER.get_or_init(|| worker(&cluster).map(Arc::new).map_err(|failure| failure.to_string()));
        worker.as_ref().map_err(|words| Failure::new(format!("worker: {words}")))?;
        cluster.kubectl(&format!("create namespace {namespace}"))?;
        cluster.run_until(&format!("kubectl -n {namespace} get serviceaccount default"))?;
        Ok(Self { cluster, namespace })
    }

    fn kubectl(&self, words: &str) -> Result<String> {
        self.cluster.kubectl(&format!("-n {} {words}", self.namespace))
    }

    /// What kubectl says once it says `text`.
    fn until(&self, words: &str, text: &str) -> Result<String> {
        self.cluster.run_until(&format!("kubectl -n {} {words} | grep -F -e '{text}'", self.namespace))
    }

    fn apply(&self, objects: &str) -> Result {
        let file = self.cluster.scratch_file("objects", objects)?;
        self.kubectl(&format!("apply -f {}", file.display())).map(drop)
    }

    fn phase(&self, pod: &str, phase: &str) -> Result {
        self.until(&format!("get pod {pod} -o jsonpath='{{.status.phase}}'"), phase).map(drop)
    }
}

impl Drop for Place {
    /// Shows what the node has said with a test that fails: the node itself outlives it.
    fn drop(&mut self) {
        if let (true, Some(Ok(worker))) = (self.cluster.has_failed(), WORKER.get())
            && let Worker::Ours { node } = &**worker
        {
            eprintln!("--- serial console of worker ---\n{}", node.machine().console().text());
        }
    }
}

fn worker(cluster: &Cluster) -> Result<Worker> {
    if std::env::var("SKERRY_TEST_NODE").is_ok_and(|kind| kind == "kubelet") {
        return Ok(Worker::Reference { _node: cluster.kubelet("worker")? });
    }
    let node = cluster.node("worker")?.memory(1024).boot()?;
    let ready = cluster.run_until("kubectl wait --for=condition=Ready node/worker --timeout=1s");
    node.machine().blame(ready)?;
    Ok(Worker::Ours { node })
}

/// A pod of busybox that runs a line of shell.
fn pod(name: &str, image: &str, more: &str, line: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n  \
         terminationGracePeriodSeconds: 2\n  nodeSelector: {{kubernetes.io/hostname: worker}}\n  \
         containers:\n  - name: main\n    image: {image}\n    command: [sh, -c, {line:?}]\n{more}"
    )
}

#[test]
fn a_pod_runs_to_its_end_and_its_log_stays() -> Result {
    let place = Place::new("ends")?;
    let image = place.cluster.push("busybox")?;
    place.apply(&pod("good", &image, "  restartPolicy: Never\n", "echo out; echo err >&2"))?;
    place.apply(&pod("bad", &image, "  restartPolicy: Never\n", "exit 3"))?;
    place.phase("good", "Succeeded")?;
    place.phase("bad", "Failed")?;
    let mut log: Vec<String> = place.kubectl("logs good")?.lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["err", "out"]);
    let state = "get pod bad -o jsonpath='{.status.containerStatuses[0].state.terminated.reason} \
                 {.status.containerStatuses[0].state.terminated.exitCode}'";
    assert_eq!(place.kubectl(state)?, "Error 3");
    Ok(())
}

#[test]
fn a_command_in_a_pod_has_its_input_output_and_exit_status() -> Result {
    let place = Place::new("exec")?;
    let image = place.cluster.push("busybox")?;
    place.apply(&pod("box", &image, "", "exec sleep 1000000"))?;
    place.phase("box", "Running")?;
    assert_eq!(place.kubectl("exec box -- echo inside")?, "inside\n");
    let said =
        place.cluster.run("echo typed | kubectl -n exec exec -i box -- sh -c 'cat; exit 7'; echo $?")?;
    assert_eq!(said, "typed\n7\n");
    assert_eq!(place.kubectl("exec box -- hostname")?, "box\n");
    Ok(())
}

#[test]
fn a_terminal_in_a_pod_is_as_large_as_the_users() -> Result {
    let place = Place::new("terminal")?;
    let image = place.cluster.push("busybox")?;
    place.apply(&pod("box", &image, "", "exec sleep 1000000"))?;
    place.phase("box", "Running")?;
    let typed = r#"tty; until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; exit 3"#;
    // In a process group of its own, as timeout(1) makes one, kubectl would be stopped for touching the terminal.
    let kubectl = "stty rows 33 cols 77; timeout --foreground 100 kubectl -n terminal exec -it box -- sh";
    let script = format!("SHELL=/bin/sh script -qec '{kubectl}' /dev/null");
    let line = format!("printf '%s\\n' '{typed}' | {script}; echo exit $?");
    let said = place.cluster.run(&line)?;
    assert!(said.contains("/dev/pts/") && said.ends_with("exit 3\n"), "{said}");
    Ok(())
}

#[test]
fn a_person_attaches_copies_forwards_and_looks_into_a_pod_and_its_node() -> Result {
    let place = Place::new("person")?;
    let image = place.cluster.push("busybox")?;
    let line = "echo page >/tmp/page; httpd -p 8080 -h /tmp; exec cat";
    place.apply(&pod("box", &image, "    stdin: true\n", line))?;
    place.phase("box", "Running")?;

    let said = place.cluster.scratch_file("said", "")?.display().to_string();
    // Its input may come to an end, it stays attached: the container has not ended.
    let attached = place.cluster.run(&format!(
        "echo typed | kubectl -n person attach -qi box >{said} & p=$!; \
         until grep -qx typed {said}; do kill -0 $p || exit 1; sleep 0.1; done; kill $p; cat {said}"
    ))?;
    assert_eq!(attached, "typed\n");

    let sent = place.cluster.scratch_file("sent", "there and back\n")?;
    let (sent, back) = (sent.display(), format!("{}.back", sent.display()));
    place.kubectl(&format!("cp {sent} box:/tmp/sent"))?;
    place.kubectl(&format!("cp box:/tmp/sent {back}"))?;
    assert_eq!(place.cluster.run(&format!("cat {back}"))?, "there and back\n");

    let forwarded = place.cluster.run(&format!(
        "kubectl -n person port-forward pod/box :8080 >{said} 2>&1 & p=$!; \
         until port=$(grep -om 1 '127.0.0.1:[0-9]*' {said}); do kill -0 $p || exit 1; sleep 0.1; done; \
         curl -s -m 10 http://$port/page http://$port/sent; kill $p"
    ))?;
    assert_eq!(forwarded, "page\nthere and back\n");

    // Beside the program, whose processes it sees; and on the node, whose files it sees.
    place.kubectl(&format!(
        "debug box --image={image} --target=main -c beside -- sh -c 'cat /proc/1/comm; echo end'"
    ))?;
    assert_eq!(
        place.until("logs box -c beside", "end").and_then(|_| place.kubectl("logs box -c beside"))?,
        "cat\nend\n"
    );
    place.kubectl(&format!(
        "debug node/worker --image={image} -- sh -c 'hostname; ls -d /host/var/lib/kubelet'"
    ))?;
    let debugger = "logs -l app.kubernetes.io/managed-by=kubectl-debug";
    place.until(debugger, "/host/var/lib/kubelet")?;
    assert!(place.kubectl(debugger)?.starts_with("worker\n"));
    Ok(())
}

#[test]
fn a_container_that_ends_is_started_again_and_counted() -> Result {
    let place = Place::new("restarts")?;
    let image = place.cluster.push("busybox")?;
    place.apply(&pod("again", &image, "", "echo life; exit 1"))?;
    place.until("get pod again -o jsonpath='{.status.containerStatuses[0].restartCount}'", "2")?;
    place.until("get pod again", "CrashLoopBackOff")?;
    assert_eq!(place.kubectl("logs again --previous")?, "life\n");
    Ok(())
}

#[test]
fn configuration_and_secrets_are_in_variables_and_files() -> Result {
    let place = Place::new("volumes")?;
    let image = place.cluster.push("busybox")?;
    place.kubectl("create configmap settings --from-literal=color=blue")?;
    place.kubectl("create secret generic key --from-literal=word=open")?;
    let env = "    env:\n    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}\n    \
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}\n    \
        - {name: WRITTEN, valueFrom: {fileKeyRef: {volumeName: empty, path: env, key: WORD}}}\n    \
        volumeMounts:\n    - {name: key, mountPath: /key}\n    - {name: empty, mountPath: /empty}\n  \
        restartPolicy: Never\n  volumes:\n  - {name: key, secret: {secretName: key, defaultMode: 256}}\n  \
        - {name: empty, emptyDir: {medium: Memory}}\n";
    let more = format!(
        "{env}  initContainers:\n  - name: writes\n    image: {image}\n    \
         command: [sh, -c, \"echo \\\"WORD='from $(id -u)'\\\" >/empty/env\"]\n    \
         volumeMounts: [{{name: empty, mountPath: /empty}}]\n"
    );
    let line = "echo $COLOR $NODE $WRITTEN $(cat /key/word); echo x >/empty/x; \
        ls /var/run/secrets/kubernetes.io/serviceaccount | tr '\\n' ' '";
    place.apply(&pod("reads", &image, &more, line))?;
    place.phase("reads", "Succeeded")?;
    assert_eq!(place.kubectl("logs reads")?, "blue worker from 0 open\nca.crt namespace token ");
    Ok(())
}

#[test]
fn init_containers_run_in_order_before_the_others() -> Result {
    let place = Place::new("init")?;
    let image = place.cluster.push("busybox")?;
    let init = |name: &str| {
        format!(
            "  - name: {name}\n    image: {image}\n    command: [sh, -c, 'echo {name} >>/shared/order']\n    \
             volumeMounts: [{{name: shared, mountPath: /shared}}]\n"
        )
    };
    let more = format!(
        "    volumeMounts: [{{name: shared, mountPath: /shared}}]\n  restartPolicy: Never\n  \
         initContainers:\n{}{}  volumes: [{{name: shared, emptyDir: {{}}}}]\n",
        init("one"),
        init("two")
    );
    place.apply(&pod("ordered", &image, &more, "cat /shared/order"))?;
    place.phase("ordered", "Succeeded")?;
    assert_eq!(place.kubectl("logs ordered -c main")?, "one\ntwo\n");
    Ok(())
}

#[test]
fn a_pod_has_an_address_and_is_ready_when_its_probe_says_so() -> Result {
    let place = Place::new("probes")?;
    let image = place.cluster.push("busybox")?;
    let more = "    readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}\n";
    let line = "mkdir /www; echo served >/www/page; httpd -f -p 8080 -h /www";
    place.apply(&pod("web", &image, more, line))?;
    place.phase("web", "Running")?;
    let ready = r#"get pod web -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'"#;
    assert_eq!(place.kubectl(ready)?, "False");
    // It runs, and may not have made the folder yet.
    place.kubectl("exec web -- sh -c 'until touch /www/ready 2>/dev/null; do sleep 0.1; done'")?;
    place.until(ready, "True")?;
    place.cluster.route_to_pods()?;
    let address: std::net::IpAddr = place.kubectl("get pod web -o jsonpath='{.status.podIP}'")?.parse()?;
    assert_eq!(place.cluster.page((address, 8080), "/page")?, "served\n");
    Ok(())
}

#[test]
fn a_pod_that_is_deleted_is_asked_to_end_first() -> Result {
    let place = Place::new("deletion")?;
    let image = place.cluster.push("busybox")?;
    let line = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    // A machine that does other things as well needs more than two seconds at times.
    place.apply(&pod("polite", &image, "", line).replace("Seconds: 2", "Seconds: 60"))?;
    place.until("logs polite", "up")?;
    let log = place.cluster.scratch_file("polite", "")?;
    let follower = format!(
        "timeout 300 kubectl -n deletion logs -f polite >{0} & p=$!; \
         until grep -q up {0}; do kill -0 $p || exit 1; sleep 0.1; done; \
         kubectl -n deletion delete pod polite --wait >/dev/null; wait; cat {0}",
        log.display()
    );
    assert_eq!(place.cluster.run(&follower)?, "up\nasked\n");
    assert_eq!(place.kubectl("get pods -o name")?, "");
    Ok(())
}

#[test]
#[ignore = "long"]
fn an_image_that_is_not_there_is_told() -> Result {
    let place = Place::new("images")?;
    place.apply(&pod("nothing", "10.30.0.1:5000/nothing:1", "", "true"))?;
    place.until("get pod nothing", "ImagePullBackOff")?;
    place.until("get events --field-selector reason=Failed", "10.30.0.1:5000/nothing:1")?;
    Ok(())
}
