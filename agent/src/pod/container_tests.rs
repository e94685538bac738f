use super::*;
use serde_json::json;

fn made(pod: serde_json::Value, container: serde_json::Value, image_user: &str) -> Result<Create, String> {
    let mut pod: Pod = serde_json::from_value(
        json!({ "metadata": { "name": "web-0", "namespace": "n", "uid": "u-1" }, "spec": pod }),
    )
    .unwrap();
    let container: Container = serde_json::from_value(container).unwrap();
    pod.spec.as_mut().unwrap().containers = vec![container.clone()];
    create(Parts {
        pod: &pod,
        container: &container,
        kind: Kind::Main,
        attempt: 2,
        streak: 1,
        sandbox: &Sandbox {
            id: "s".into(),
            network: Some("/net".into()),
            pid: Some("/pid".into()),
            users: (pod.spec.as_ref().unwrap().host_users == Some(false)).then_some(65_536),
            ..Sandbox::default()
        },
        digest: "sha256:7",
        image_id: "docker.io/library/web@sha256:8",
        image_user,
        image_volumes: &["/data".to_owned(), "/cache/".to_owned(), "/".to_owned()],
        env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        mounts: Vec::new(),
        seccomp: None,
        memory: 1 << 30,
        log_size: Bytes(7 << 20),
        volume_groups: &BTreeSet::from([1234]),
    })
}

#[test]
fn a_container_is_asked_for_in_the_monitors_words() {
    let created = made(
        json!({ "containers": [], "securityContext": { "runAsUser": 7, "fsGroup": 9 } }),
        json!({
            "name": "m", "image": "nginx", "command": ["sh", "-c"], "args": ["echo $(A)"],
            "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } },
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsGroup": 8 },
        }),
        "",
    )
    .unwrap();
    let own = &created.container;
    assert_eq!(
        (own.entrypoint.clone().unwrap(), own.args.clone().unwrap()),
        (vec!["sh".to_owned(), "-c".into()], vec!["echo 1".to_owned()])
    );
    assert_eq!(
        (own.user.as_deref(), &own.group_add[..]),
        (Some("7:8"), &["9".to_owned(), "1234".into()][..])
    );
    assert_eq!(own.log_size, Bytes(7 << 20));
    assert_eq!((own.memory.unwrap().0, own.cpus, own.cpu_shares), (64 << 20, Some(0.5), Some(512)));
    assert!(
        own.security.contains(&Security::NoNewPrivileges)
            && own.security.contains(&Security::SeccompUnconfined)
    );
    assert_eq!((own.labels[label::ATTEMPT].as_str(), own.labels[label::UID].as_str()), ("2", "u-1"));
    assert_eq!(own.oom_score_adj, Some(-997));
    let sandbox = created.sandbox.unwrap();
    assert_eq!(sandbox.cgroup, "kubepods/podu-1");
    let joined = |kind| sandbox.namespaces.iter().find(|one| one.kind == kind).unwrap().path.as_deref();
    assert_eq!((joined(NamespaceKind::Network), joined(NamespaceKind::Pid)), (Some("/net"), Some("/pid")));
    assert_eq!(joined(NamespaceKind::Ipc), None);
}

#[test]
fn a_name_is_the_same_each_time_and_another_for_each_attempt() {
    let pod: Pod =
        serde_json::from_value(json!({ "metadata": { "name": "a".repeat(200), "uid": "u" } })).unwrap();
    let long = "c".repeat(63);
    assert_eq!(name(&pod, &long, 1), name(&pod, &long, 1));
    assert_ne!(name(&pod, &long, 1), name(&pod, &long, 2));
}

#[test]
fn who_must_not_be_root_is_not() {
    let user = |own: serde_json::Value, image: &str| {
        let mut context = own;
        context["runAsNonRoot"] = true.into();
        made(
            json!({ "containers": [] }),
            json!({ "name": "m", "image": "i", "securityContext": context }),
            image,
        )
        .map(|created| created.container.user)
    };
    assert_eq!(user(json!({}), "1000"), Ok(None));
    assert_eq!(user(json!({ "runAsUser": 5 }), "").unwrap().as_deref(), Some("5"));
    for (own, image, words) in [
        (json!({}), "", "image will run as root"),
        (json!({}), "0:7", "image will run as root"),
        (json!({}), "www", "non-numeric user (www)"),
        (json!({ "runAsUser": 0 }), "7", "breaks non-root policy"),
    ] {
        assert!(user(own, image).unwrap_err().contains(words), "{image:?}");
    }
}

#[test]
fn a_filter_is_there_when_it_is_asked_for() {
    let with = |profile: serde_json::Value| {
        made(
            json!({ "containers": [], "securityContext": { "seccompProfile": profile } }),
            json!({ "name": "m", "image": "i" }),
            "",
        )
        .map(|created| created.container.security)
    };
    assert_eq!(with(json!({ "type": "RuntimeDefault" })), Ok(vec![]));
    assert_eq!(with(json!({ "type": "Unconfined" })), Ok(vec![Security::SeccompUnconfined]));
    assert!(
        with(json!({ "type": "Localhost", "localhostProfile": "a.json" }))
            .unwrap_err()
            .contains("not on this node")
    );
}

#[test]
fn a_host_name_fits() {
    let of = |name: &str| hostname(&serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap());
    assert_eq!(of("web-0"), "web-0");
    assert_eq!(of(&format!("{}-b", "a".repeat(62))), "a".repeat(62));
}

#[test]
fn volumes_of_the_image_are_where_the_pod_mounts_nothing() {
    let volumes = |container: &str, taken: &[&str]| {
        let targets = ["/data", "/cache/", "/", "relative", "/cache"].map(str::to_owned);
        let at = |target: &&str| Mount { destination: (*target).to_owned(), ..Mount::default() };
        let taken: Vec<Mount> = taken.iter().map(at).collect();
        image_volumes(&container.parse().unwrap(), &targets, &taken)
    };
    let targets = |taken: &[&str]| {
        volumes("c", taken)
            .iter()
            .map(|one| one.target().trim_end_matches('/').to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&[]), ["/cache", "/data"]);
    assert_eq!(targets(&["/data/", "/cache/in"]), ["/cache"]);
    assert_eq!(volumes("c", &[]), volumes("c", &[]), "whoever asks again finds them");
    assert_ne!(volumes("c", &[]), volumes("d", &[]), "each instance has its own");
    for host_users in [true, false] {
        let pod = json!({ "containers": [], "hostUsers": host_users });
        assert_eq!(made(pod, json!({ "name": "m" }), "").unwrap().container.mounts.len(), 2, "{host_users}");
    }
}

#[test]
fn a_privileged_container_sees_the_nodes_cgroups() {
    let of = |privileged: bool| {
        let own = json!({ "name": "m", "securityContext": { "privileged": privileged } });
        made(json!({ "containers": [] }), own, "").unwrap().container.cgroup
    };
    assert_eq!([of(true), of(false)], [Sharing::Host, Sharing::Private]);
}
