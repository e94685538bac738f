//! Whether and when what has ended, or could not be made, is tried again ("Pod Lifecycle", "How Pods handle
//! problems with containers").

use super::next::{Kind, containers, find};
use super::observed::{Instance, State};
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

/// Restarts wait so long, in seconds: the second, and at most.
const BACKOFF: (i64, i64) = (10, 300);

/// A container that has run so long, in seconds, is restarted at once again.
const STABLE: i64 = 600;

/// What only this node is asked for waits so long at most, in seconds: it costs nobody else anything.
const SOON: i64 = 20;

/// Whether a time, in seconds, is still to come. One that is further ahead than anything waits was told before the clock was
/// set back, and has come.
pub fn is_ahead(at: i64, now: i64) -> bool {
    (1..=BACKOFF.1).contains(&(at - now))
}

/// How long after its end the container is started again, in seconds.
fn delay(streak: u32) -> i64 {
    match streak {
        0 => 0,
        n => (BACKOFF.0 << (n - 1).min(10)).min(BACKOFF.1),
    }
}

/// The streak of the one that follows; one of another image begins anew.
pub fn streak_after(spec: &PodSpec, ended: &Instance) -> u32 {
    let asked = find(spec, &ended.container).and_then(|(_, own)| own.image.as_deref());
    match ended.state {
        _ if asked.is_some_and(|asked| asked != ended.image) => 0,
        State::Exited { started, finished, .. } if finished - started >= STABLE => 0,
        _ => ended.streak + 1,
    }
}

/// The rule action by which all of a pod's containers begin anew.
const ALL: &str = "RestartAllContainers";

/// What the first of a container's own rules that is about such an end has done (core/v1 Container `restartPolicyRules`).
fn ruled(container: &Container, code: i32) -> Option<&str> {
    let is_about = |rule: &&ContainerRestartRule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let named = codes.values.iter().flatten().any(|own| *own == code);
            (codes.operator == "In") == named
        })
    };
    container.restart_policy_rules.iter().flatten().find(is_about).map(|rule| rule.action.as_str())
}

/// After such an end of this container all of the pod's begin anew.
pub fn renews(container: &Container, code: i32) -> bool {
    ruled(container, code) == Some(ALL)
}

/// There is an end of some container after which all of the pod's begin anew.
pub fn may_renew(spec: &PodSpec) -> bool {
    let mut rules = containers(spec).flat_map(|(_, own)| own.restart_policy_rules.iter().flatten());
    rules.any(|rule| rule.action == ALL)
}

/// A container is started again after such an end: when one of its own rules says so, else by its own policy, else
/// by the pod's (core/v1 Container `restartPolicyRules` and `restartPolicy`).
pub fn is_restarted(spec: &PodSpec, kind: Kind, name: &str, code: i32) -> bool {
    let Some((_, container)) = find(spec, name) else { return false };
    if renews(container, code) {
        return true;
    }
    if kind == Kind::Init && code == 0 {
        return false;
    }
    let of_pod = spec.restart_policy.as_deref().unwrap_or("Always");
    ruled(container, code) == Some("Restart")
        || match container.restart_policy.as_deref().unwrap_or(of_pod) {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        }
}

/// A container is started again after some end at least.
pub fn has_policy(spec: &PodSpec, container: &Container) -> bool {
    container.restart_policy.as_ref().or(spec.restart_policy.as_ref()).is_none_or(|own| own != "Never")
}

/// When a container that has ended is started again; none when it is not. One that begins `anew` is, whatever its end.
pub fn restart_at(spec: &PodSpec, kind: Kind, ended: &Instance, anew: bool) -> Option<i64> {
    let State::Exited { code, finished, .. } = ended.state else { return None };
    let soon = streak_after(spec, ended).saturating_sub(1);
    (anew || is_restarted(spec, kind, &ended.container, code)).then(|| finished + delay(soon))
}

/// It is for a registry that something waits, by the reason of its state.
pub fn is_of_a_registry(reason: &str) -> bool {
    matches!(reason, "ErrImagePull" | "ImagePullBackOff")
}

/// Seconds until what could not be done for this reason is tried again, after so many failures before.
pub fn pause(reason: &str, first: i64, failures: u32) -> i64 {
    let most = if is_of_a_registry(reason) { BACKOFF.1 } else { SOON };
    (first << failures.min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_may_have_a_policy_and_rules_of_its_own() {
        let is = |own: serde_json::Value, code| {
            let mut spec = json!({ "restartPolicy": "Never", "containers": [{ "name": "a", "image": "i" }] });
            spec["containers"][0].as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            is_restarted(&serde_json::from_value(spec).unwrap(), Kind::Main, "a", code)
        };
        assert!(!is(json!({}), 1));
        assert!(
            is(json!({ "restartPolicy": "OnFailure" }), 1) && !is(json!({ "restartPolicy": "OnFailure" }), 0)
        );
        let rule = |operator| {
            let codes = json!({ "operator": operator, "values": [42, 43] });
            json!({ "restartPolicy": "Never", "restartPolicyRules": [{ "action": "Restart", "exitCodes": codes }] })
        };
        assert!(is(rule("In"), 42) && !is(rule("In"), 1));
        assert!(is(rule("NotIn"), 1) && !is(rule("NotIn"), 43));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_wait() {
        assert!(is_ahead(1300, 1000) && !is_ahead(1000, 1000));
        assert!(!is_ahead(8200, 1000), "nothing waits two hours");
    }

    #[test]
    fn the_first_rule_that_is_about_an_end_counts() {
        let rule = |action, operator| json!({ "action": action, "exitCodes": { "operator": operator, "values": [42] } });
        let own = json!({ "name": "a", "restartPolicy": "Never",
            "restartPolicyRules": [rule("Restart", "In"), rule("RestartAllContainers", "NotIn"), rule(ALL, "In")] });
        let spec: PodSpec = serde_json::from_value(json!({ "containers": [own] })).unwrap();
        let is = |code| (renews(&spec.containers[0], code), is_restarted(&spec, Kind::Main, "a", code));
        assert_eq!((is(42), is(1), is(0)), ((false, true), (true, true), (true, true)));
        assert!(may_renew(&spec) && !may_renew(&PodSpec::default()));
    }

    #[test]
    fn a_registry_is_asked_ever_less_and_the_node_again_soon() {
        let of = |reason, first| [0, 1, 2, 9].map(|failures| pause(reason, first, failures));
        assert_eq!(of("ErrImagePull", 10), [10, 20, 40, 300]);
        assert_eq!(of("CreateContainerConfigError", 5), [5, 10, 20, 20]);
    }
}
