//! config.json to plan.

use crate::bundle;
use crate::plan::{Given, Plan, Step};
use serde_json::Value;
use spec::bundle::Config;
use std::path::Path;

const GIVEN: Given<'_> = Given {
    id: "abc",
    bundle: "/bundle",
    no_pivot: false,
    no_new_keyring: false,
    preserve_fds: u32::MAX,
    listen_fds: u32::MAX,
    is_rootless: || false,
    systemd_cgroup: false,
};

/// What config.json may begin a path with.
const FIELDS: [&str; 9] =
    ["ociVersion", "process", "root", "hostname", "domainname", "mounts", "hooks", "annotations", "linux"];

/// There is a plan, the same each time and in its order, or one error that names a JSON path.
pub fn config(text: &[u8]) {
    let config: Config = match bundle::parse(text, Path::new("config.json")) {
        Ok(config) => config,
        Err(error) => return assert!(error.0.starts_with("config.json: "), "{error}"),
    };
    match (Plan::new(&config, &GIVEN), Plan::new(&config, &GIVEN)) {
        (Ok(plan), Ok(again)) => {
            assert_eq!(format!("{plan:?}"), format!("{again:?}"));
            ordered(&plan.steps);
            let text = serde_json::to_vec(&config).unwrap();
            let read: Config = serde_json::from_slice(&text).unwrap();
            assert_eq!(read, config, "what is kept beside the container says the same");
        }
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            named(&error.0, &serde_json::from_slice(text).unwrap_or(Value::Null));
        }
        (one, other) => panic!("{one:?} and then {other:?}"),
    }
}

/// Once: root, then all that is in it, then the host's descriptors closed, then pivot, then rights given up, then the wait, then exec.
fn ordered(steps: &[Step]) {
    let all = |wanted: fn(&Step) -> bool| {
        (0..steps.len()).filter(|&place| wanted(&steps[place])).collect::<Vec<_>>()
    };
    let one = |wanted| {
        let places = all(wanted);
        assert_eq!(places.len(), 1, "{steps:?}");
        places[0]
    };
    let root = one(|step| matches!(step, Step::Root(_) | Step::SharedRoot(_)));
    let pivot = one(|step| matches!(step, Step::Pivot { .. } | Step::Chroot));
    let close = one(|step| matches!(step, Step::CloseFrom(_)));
    let undumpable = one(|step| matches!(step, Step::Undumpable));
    let wait = one(|step| matches!(step, Step::Wait));
    let order = match steps.last() {
        Some(Step::NoProgram) => vec![root, close, pivot, undumpable, wait, steps.len() - 1],
        last => {
            assert_eq!(last, Some(&Step::Exec), "{steps:?}");
            let user = one(|step| matches!(step, Step::User(_)));
            let capabilities = one(|step| matches!(step, Step::Capabilities { .. }));
            vec![root, close, pivot, undumpable, user, wait, capabilities, steps.len() - 1]
        }
    };
    assert!(order.is_sorted(), "{steps:?}");
    let inside = all(|step| {
        matches!(
            step,
            Step::Mount(_) | Step::Device { .. } | Step::Link { .. } | Step::Mask(_) | Step::ReadOnly(_)
        )
    });
    assert!(inside.into_iter().all(|place| root < place && place < pivot), "{steps:?}");
    let first =
        steps.iter().find_map(|step| if let Step::CloseFrom(first) = step { Some(*first) } else { None });
    assert!(first >= Some(3), "the standard three stay open");
}

/// `linux.devices[3].path: …` begins with a field, and an index is of a list that long.
fn named(error: &str, config: &Value) {
    let end = error.find(": ").unwrap_or(error.len());
    let path = &error[..end];
    let first = path.split(['.', '[']).next().unwrap_or("");
    assert!(FIELDS.contains(&first), "{error}");
    let mut at = config;
    for part in path.split('.') {
        let (key, index) = part.split_once('[').unwrap_or((part, ""));
        at = &at[key];
        let Ok(index) = index.trim_end_matches(']').parse::<usize>() else { continue };
        let list = at.as_array().map_or(usize::MAX, Vec::len);
        assert!(index < list, "{error}: {at}");
        at = at.get(index).unwrap_or(&Value::Null);
    }
}
