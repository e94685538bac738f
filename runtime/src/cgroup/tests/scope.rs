//! Names and properties of scopes.

use crate::bus::Value;
use crate::cgroup::{annotation, scope};
use std::collections::BTreeMap;

/// The unit and its slice.
fn named(path: &str, user: bool) -> (String, Value) {
    let new = scope::plan(path, "abc", user).unwrap();
    let slice = new.properties.into_iter().find(|(name, _)| name == "Slice").unwrap();
    (new.scope.unit, slice.1)
}

#[test]
fn a_path_names_slice_and_unit() {
    for (path, user, slice, unit) in [
        ("system.slice:docker:0123", false, "system.slice", "docker-0123.scope"),
        ("a-b-c.slice:cri:x", false, "a-b-c.slice", "cri-x.scope"),
        ("user.slice:libpod:0123", true, "user.slice", "libpod-0123.scope"),
        ("-.slice:p:n", false, "-.slice", "p-n.scope"),
        ("::only", false, "system.slice", "only.scope"),
        ("::only", true, "user.slice", "only.scope"),
        ("", false, "system.slice", "skerry-abc.scope"),
    ] {
        assert_eq!(named(path, user), (unit.into(), Value::Text(slice.into())), "{path}");
    }
}

#[test]
fn a_path_that_names_none_is_refused() {
    for (path, words) in [
        ("/docker/abc", "is not slice:prefix:name, which --systemd-cgroup takes"),
        ("a.slice:b", "is not slice:prefix:name"),
        ("a.slice:b:c:d", "is not slice:prefix:name"),
        ("docker:a:b", "does not begin with the name of a slice"),
        (".slice:a:b", "does not begin with the name of a slice"),
        ("a--b.slice:a:b", "does not begin with the name of a slice"),
        ("-a.slice:a:b", "does not begin with the name of a slice"),
        ("a/b.slice:a:b", "does not begin with the name of a slice"),
        ("a.slice:b:", "does not make the name of a unit"),
        ("a.slice:b/c:d", "does not make the name of a unit"),
        ("a.slice:b:c d", "does not make the name of a unit"),
        (&format!("a.slice:b:{}", "c".repeat(248)), "does not make the name of a unit"),
    ] {
        let error = scope::plan(path, "abc", false).unwrap_err().0;
        assert!(error.starts_with("linux.cgroupsPath: ") && error.contains(words), "{path}: {error}");
    }
}

fn annotated(name: &str, text: &str) -> Result<(String, Value), String> {
    let annotations = BTreeMap::from([(format!("org.systemd.property.{name}"), text.to_owned())]);
    annotation::properties(&annotations).map(|mut all| all.remove(0)).map_err(|error| error.0)
}

#[test]
fn annotations_are_properties() {
    let texts = |list: &[&str]| Value::Texts(list.iter().map(|text| (*text).to_owned()).collect());
    for (text, value) in [
        ("'a b'", Value::Text("a b".into())),
        ("\"it's\"", Value::Text("it's".into())),
        ("'it\\'s'", Value::Text("it's".into())),
        ("true", Value::Bool(true)),
        (" false ", Value::Bool(false)),
        ("-7", Value::Int32(-7)),
        ("int32 7", Value::Int32(7)),
        ("uint32 7", Value::Uint32(7)),
        ("int64 -7", Value::Int64(-7)),
        ("uint64 90000000", Value::Uint64(90_000_000)),
        ("['a', \"b\"]", texts(&["a", "b"])),
        ("@as []", texts(&[])),
    ] {
        assert_eq!(annotated("Name", text), Ok(("Name".into(), value)), "{text}");
    }
    for text in ["90", "uint64 90", "90.0"] {
        assert_eq!(
            annotated("TimeoutStopSec", text),
            Ok(("TimeoutStopUSec".into(), Value::Uint64(90_000_000))),
            "{text}"
        );
    }
    assert_eq!(annotated("TimeoutStopSec", "1.5"), Ok(("TimeoutStopUSec".into(), Value::Uint64(1_500_000))));
    assert_eq!(annotated("TimeoutStopUSec", "uint64 9"), Ok(("TimeoutStopUSec".into(), Value::Uint64(9))));
}

#[test]
fn an_annotation_that_is_no_property_is_refused_by_its_name() {
    for (name, text) in [
        ("Name", ""),
        ("Name", "word"),
        ("Name", "'open"),
        ("Name", "'a' 'b'"),
        ("Name", "['a' 'b']"),
        ("Name", "['a'"),
        ("Name", "é"),
        ("Name", "double 1.5"),
        ("Name", "3000000000"),
        ("TimeoutStopSec", "-1"),
        ("TimeoutStopSec", "1.5s"),
        ("TimeoutStopSec", "soon"),
        ("name", "true"),
        ("Na", "true"),
        ("N_ame", "true"),
    ] {
        let error = annotated(name, text).unwrap_err();
        let start = format!("annotations[\"org.systemd.property.{name}\"]: {text:?}");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn what_only_the_kernel_understands_is_left_to_it() {
    let writes = |text: &str| super::super::resources::writes(&serde_json::from_str(text).unwrap()).unwrap();
    let properties = |text: &str| scope::properties(&writes(text));
    let unified = r#"{"unified": {"memory.max": "1G", "cpuset.cpus": "0-x", "cpu.max": "5 0", "io.max": "8:0",
        "io.weight": "all 7", "pids.max": "max"}}"#;
    assert_eq!(properties(unified), [("TasksMax".into(), Value::Uint64(u64::MAX))]);
    let weights = |text: &str| properties(text).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(weights(r#"{"cpu": {"idle": 1}}"#), [Value::Uint64(0)]);
    assert_eq!(weights(r#"{"unified": {"io.weight": "default 7"}}"#), [Value::Uint64(7)]);
    assert_eq!(
        properties(r#"{"cpu": {"quota": -1}}"#)[0],
        ("CPUQuotaPerSecUSec".into(), Value::Uint64(u64::MAX))
    );
}
