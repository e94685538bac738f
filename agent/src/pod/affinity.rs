//! Whether a pod asks for a node like this one: its labels and its taints ("Assigning Pods to Nodes", "Taints and
//! Tolerations"). The scheduler looks at that, but not everybody asks it, and both may change before the pod begins.

use super::admission::Refusal;
use crate::static_pods::is_static;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use std::collections::BTreeMap;

/// The operating system that a pod's label names.
const OS: &str = "kubernetes.io/os";

/// What the cluster has put on the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    name: String,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
}

impl Marks {
    /// Those of a Node object.
    pub fn of(node: &Node) -> Self {
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default(),
        }
    }

    /// The pod asks for a node with such labels.
    pub fn suits(&self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return true };
        let selected =
            spec.node_selector.iter().flatten().all(|(key, value)| self.labels.get(key) == Some(value));
        let required = spec.affinity.as_ref().and_then(|own| own.node_affinity.as_ref());
        let required =
            required.and_then(|own| own.required_during_scheduling_ignored_during_execution.as_ref());
        selected && required.is_none_or(|own| own.node_selector_terms.iter().any(|term| self.fits(term)))
    }

    /// One that says nothing is that of no node.
    fn fits(&self, term: &NodeSelectorTerm) -> bool {
        let name = BTreeMap::from([("metadata.name".to_owned(), self.name.clone())]);
        let mut labels = term.match_expressions.iter().flatten().peekable();
        let mut fields = term.match_fields.iter().flatten().peekable();
        (labels.peek().is_some() || fields.peek().is_some())
            && labels.all(|one| holds(one, &self.labels))
            && fields.all(|one| matches!(one.operator.as_str(), "In" | "NotIn") && holds(one, &name))
    }

    /// The pod bears those of the node's taints that end who does not.
    fn are_borne(&self, pod: &Pod) -> bool {
        let all = || pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
        let mut ending = self.taints.iter().filter(|taint| taint.effect == "NoExecute");
        is_static(pod) || ending.all(|taint| all().any(|one| tolerates(one, taint)))
    }

    /// Why a pod that has not begun is refused, in a kubelet's words: whoever made it makes it anew.
    pub fn refusal(&self, pod: &Pod) -> Option<Refusal> {
        let because = |reason: &str, words: &str| {
            Some((reason.to_owned(), format!("Predicate {reason} failed: node(s) {words}")))
        };
        let os = pod.metadata.labels.as_ref().and_then(|labels| labels.get(OS));
        if os.is_some_and(|os| os != "linux") {
            let words = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
            Some(("PodOSSelectorNodeLabelDoesNotMatch".to_owned(), words.to_owned()))
        } else if !self.suits(pod) {
            because("NodeAffinity", "didn't match Pod's node affinity/selector")
        } else if !self.are_borne(pod) {
            because("TaintToleration", "had taints that the pod didn't tolerate")
        } else {
            None
        }
    }
}

/// What is asked of a label holds.
fn holds(asked: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let own = labels.get(&asked.key);
    let values = asked.values.as_deref().unwrap_or_default();
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let both = || Some((number(own)?, number(values.first())?));
    match asked.operator.as_str() {
        "In" => own.is_some_and(|own| values.contains(own)),
        "NotIn" => own.is_none_or(|own| !values.contains(own)),
        "Exists" => own.is_some(),
        "DoesNotExist" => own.is_none(),
        "Gt" => both().is_some_and(|(own, than)| own > than),
        "Lt" => both().is_some_and(|(own, than)| own < than),
        _ => false,
    }
}

fn tolerates(own: &Toleration, taint: &Taint) -> bool {
    let any = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    let value = || own.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    (any(&own.effect) || own.effect.as_deref() == Some(taint.effect.as_str()))
        && (any(&own.key) || own.key.as_deref() == Some(taint.key.as_str()))
        && match own.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => value(),
            "Exists" => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn marks() -> Marks {
        let node = json!({
            "metadata": { "name": "n1", "labels": { "disk": "ssd", "cores": "8" } },
            "spec": { "taints": [
                { "key": "gone", "value": "soon", "effect": "NoExecute" },
                { "key": "full", "effect": "NoSchedule" },
            ] },
        });
        Marks::of(&serde_json::from_value(node).unwrap())
    }

    fn reason(labels: Value, spec: Value) -> Option<String> {
        let mut pod = json!({ "metadata": { "name": "p", "labels": labels }, "spec": { "containers": [] } });
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        marks().refusal(&serde_json::from_value(pod).unwrap()).map(|(reason, _)| reason)
    }

    #[test]
    fn a_node_has_the_labels_that_are_asked_for() {
        let bears = json!([{ "key": "gone", "operator": "Exists" }]);
        let of = |spec: Value| {
            let mut spec = spec;
            spec["tolerations"] = bears.clone();
            reason(json!({}), spec)
        };
        let refused = || Some("NodeAffinity".to_owned());
        assert_eq!(of(json!({ "nodeSelector": { "disk": "ssd" } })), None);
        assert_eq!(of(json!({ "nodeSelector": { "disk": "hdd" } })), refused());
        let terms = |terms: Value| {
            let required =
                json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
            of(json!({ "affinity": { "nodeAffinity": required } }))
        };
        let one = |key: &str, operator: &str, values: Value| json!({ "key": key, "operator": operator, "values": values });
        for (asked, fits) in [
            (one("disk", "In", json!(["hdd", "ssd"])), true),
            (one("disk", "NotIn", json!(["ssd"])), false),
            (one("zone", "NotIn", json!(["a"])), true),
            (one("zone", "Exists", json!([])), false),
            (one("zone", "DoesNotExist", json!([])), true),
            (one("cores", "Gt", json!(["7"])), true),
            (one("cores", "Lt", json!(["8"])), false),
            (one("disk", "Gt", json!(["7"])), false),
        ] {
            let expected = if fits { None } else { refused() };
            assert_eq!(terms(json!([{ "matchExpressions": [asked.clone()] }])), expected, "{asked}");
        }
        let (good, bad) = (one("disk", "Exists", json!([])), one("zone", "Exists", json!([])));
        assert_eq!(terms(json!([{ "matchExpressions": [good.clone(), bad.clone()] }])), refused());
        assert_eq!(terms(json!([{ "matchExpressions": [bad] }, { "matchExpressions": [good] }])), None);
        assert_eq!(terms(json!([{}])), refused(), "what asks for nothing fits nowhere");
        assert_eq!(terms(json!([{ "matchFields": [one("metadata.name", "In", json!(["n1"]))] }])), None);
        assert_eq!(terms(json!([{ "matchFields": [one("metadata.name", "In", json!(["n2"]))] }])), refused());
    }

    #[test]
    fn a_taint_that_ends_pods_keeps_them_from_beginning() {
        let of = |toleration: Value| reason(json!({}), json!({ "tolerations": [toleration] }));
        let refused = || Some("TaintToleration".to_owned());
        assert_eq!(of(json!({ "key": "gone", "operator": "Equal", "value": "soon" })), None);
        assert_eq!(of(json!({ "key": "gone", "value": "later" })), refused());
        assert_eq!(of(json!({ "key": "gone", "operator": "Exists", "effect": "NoSchedule" })), refused());
        assert_eq!(of(json!({ "operator": "Exists" })), None);
        let mut own = Pod::default();
        assert!(!marks().are_borne(&own));
        own.metadata.annotations =
            Some([("kubernetes.io/config.source".to_owned(), "file".to_owned())].into());
        assert!(marks().are_borne(&own), "the node's own stay");
        let os = reason(json!({ "kubernetes.io/os": "windows" }), json!({}));
        assert_eq!(os.as_deref(), Some("PodOSSelectorNodeLabelDoesNotMatch"));
    }
}
