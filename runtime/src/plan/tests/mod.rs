//! Plans of whole configurations as golden files: `plan/tests/*.plan`. With
//! `UPDATE_PLANS=1` they are written anew.

use super::*;
use std::fmt::Write as _;
use std::fs;

mod refusals;

/// A configuration as Docker's engine writes it, with the terminal and a read-only root.
pub(super) const DOCKER: &str = include_str!("docker.json");
/// A user namespace, a host's network namespace, hooks of every kind, a bound `/dev/null`.
const MAPPED: &str = include_str!("mapped.json");
/// A user namespace by path, with mappings that mean nothing, a PID namespace by path, new others.
const JOINED: &str = include_str!("joined.json");

/// The caller's mount namespace.
const SHARED: &str = include_str!("shared.json");
/// Limits of every kind in a scope of systemd's, with properties of the caller's.
const SCOPE: &str = include_str!("scope.json");

/// SELinux's labels, a class of service, a memory policy.
const LABELLED: &str = include_str!("labelled.json");

const GIVEN: Given<'_> = Given {
    id: "abc",
    bundle: "/bundle",
    no_pivot: false,
    no_new_keyring: false,
    preserve_fds: 0,
    listen_fds: 0,
    systemd_cgroup: false,
    is_rootless: || false,
};

pub(super) fn plan(text: &str) -> Result<Plan> {
    Plan::new(&serde_json::from_str(text).unwrap(), &GIVEN)
}

fn text_of(plan: &Plan) -> String {
    let mut text = String::new();
    writeln!(
        text,
        "parent: makes {:?}, then the child {:?}",
        plan.namespaces.at_clone(),
        plan.namespaces.after_clone()
    )
    .unwrap();
    if plan.namespaces.birth() == Birth::Between {
        writeln!(text, "parent: through a process between").unwrap();
    }
    for (kind, path) in &plan.namespaces.joined {
        writeln!(text, "parent: opens {kind} {path}").unwrap();
    }
    for (file, map) in [("uid_map", &plan.namespaces.uid_map), ("gid_map", &plan.namespaces.gid_map)] {
        map.lines().for_each(|line| writeln!(text, "parent: {file} {line}").unwrap());
    }
    match &plan.cgroup.scope {
        None => writeln!(text, "parent: cgroup {}", plan.cgroup.path).unwrap(),
        Some(new) => writeln!(text, "parent: {:?}", new.scope).unwrap(),
    }
    for (name, value) in plan.cgroup.scope.iter().flat_map(|new| &new.properties) {
        writeln!(text, "parent: property {name} = {value:?}").unwrap();
    }
    for write in &plan.cgroup.writes {
        writeln!(text, "parent: {} = {}", write.file, write.value).unwrap();
    }
    let devices = plan.cgroup.devices.as_ref().map_or(0, Vec::len);
    writeln!(text, "parent: device filter of {devices} instructions").unwrap();
    let (label, rdt) = (plan.selinux, &plan.rdt);
    label.iter().for_each(|path| writeln!(text, "parent: SELinux is on for {path}").unwrap());
    rdt.iter().for_each(|rdt| writeln!(text, "parent: {rdt:?}").unwrap());
    for device in &plan.net_devices {
        writeln!(text, "parent: moves {} in as {}", device.name, device.inside).unwrap();
    }
    plan.steps.iter().for_each(|step| writeln!(text, "{step}").unwrap());
    text
}

fn is_golden(name: &str, text: &str) {
    is_golden_given(name, text, &GIVEN);
}

fn is_golden_given(name: &str, text: &str, given: &Given<'_>) {
    let path = format!("{}/src/plan/tests/{name}.plan", env!("CARGO_MANIFEST_DIR"));
    let plan = text_of(&Plan::new(&serde_json::from_str(text).unwrap(), given).unwrap());
    if std::env::var_os("UPDATE_PLANS").is_some() {
        fs::write(&path, &plan).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    let differs = golden.lines().zip(plan.lines()).find(|(golden, plan)| golden != plan);
    assert!(golden == plan, "{name}.plan: first difference: {differs:?}\n{plan}");
}

#[test]
fn a_container_of_dockers_is_planned_so() {
    is_golden("docker", DOCKER);
}

#[test]
fn a_container_in_a_user_namespace_is_planned_so() {
    is_golden("mapped", MAPPED);
}

#[test]
fn a_container_in_anothers_user_namespace_is_planned_so() {
    is_golden("joined", JOINED);
}

#[test]
fn a_container_in_the_callers_mount_namespace_is_planned_so() {
    is_golden("shared", SHARED);
}

#[test]
fn a_container_in_a_scope_is_planned_so() {
    is_golden_given("scope", SCOPE, &Given { systemd_cgroup: true, ..GIVEN });
}

#[test]
fn a_container_with_labels_and_a_class_of_service_is_planned_so() {
    is_golden("labelled", LABELLED);
}

#[test]
fn a_filter_is_loaded_before_capabilities_go_unless_privileges_cannot_be_gained() {
    let order = |no_new_privileges: bool| {
        let text = DOCKER
            .replace("\"noNewPrivileges\": false", &format!("\"noNewPrivileges\": {no_new_privileges}"));
        let steps = plan(&text).unwrap().steps;
        let place = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        let filter = place(|step| matches!(step, Step::Seccomp(_)));
        let capabilities = place(|step| matches!(step, Step::Capabilities { .. }));
        (filter < capabilities, filter > place(|step| matches!(step, Step::Wait)))
    };
    assert_eq!((order(false), order(true)), ((true, true), (false, true)));
}

#[test]
fn a_shared_root_makes_its_parent_private_first() {
    let text = DOCKER.replace("\"maskedPaths\"", "\"rootfsPropagation\": \"rshared\", \"maskedPaths\"");
    let steps = plan(&text).unwrap().steps;
    let private = steps.iter().position(|step| matches!(step, Step::PrivateParent(_))).unwrap();
    assert!(
        matches!(&steps[private + 1], Step::Root(path) if path == "/bundle/rootfs"),
        "{:?}",
        steps[private + 1]
    );
    assert!(steps.contains(&Step::RootPropagation(libc::MS_SHARED, true)));
}

#[test]
fn an_agent_hears_of_a_filter_before_the_container_is_created() {
    for (action, privileges, first) in [
        ("SCMP_ACT_NOTIFY", true, "Capabilities"),
        ("SCMP_ACT_NOTIFY", false, "Seccomp"),
        ("SCMP_ACT_LOG", true, "Wait"),
        ("SCMP_ACT_LOG", false, "Wait"),
    ] {
        let mut config: Config = serde_json::from_str(DOCKER).unwrap();
        let rule = serde_json::json!({ "names": ["mkdir"], "action": action });
        let profile = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": [rule] });
        config.linux.as_mut().unwrap().seccomp = Some(serde_json::from_value(profile).unwrap());
        config.process.as_mut().unwrap().no_new_privileges = privileges;
        let steps = Plan::new(&config, &GIVEN).unwrap().steps;
        let names = steps.iter().map(|step| format!("{step:?}")).filter_map(|text| {
            ["Seccomp", "Capabilities", "Wait"].into_iter().find(|name| text.starts_with(name))
        });
        let names: Vec<&str> = names.collect();
        let seccomp = names.iter().position(|name| *name == "Seccomp").unwrap();
        let wait = names.iter().position(|name| *name == "Wait").unwrap();
        assert_eq!((names[0], seccomp < wait), (first, action == "SCMP_ACT_NOTIFY"), "{names:?}");
    }
}
