//! What a container's program may do: Docker's default set, changed by
//! `cap-add` and `cap-drop` (capabilities(7)).

use spec::bundle::{CAPABILITIES, Capabilities};
use std::collections::BTreeSet;

/// Docker's default set.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The set, by names such as `CAP_CHOWN`, in order.
///
/// # Errors
/// A name that Linux does not know.
pub fn set(add: &[String], drop: &[String]) -> Result<BTreeSet<String>, String> {
    let mut set: BTreeSet<&str> = DEFAULT.into();
    for name in drop {
        match plain(name)? {
            "ALL" => set.clear(),
            one => _ = set.remove(one),
        }
    }
    for name in add {
        match plain(name)? {
            "ALL" => set.extend(CAPABILITIES),
            one => _ = set.insert(one),
        }
    }
    // A single name is stronger than ALL, whichever list it is in.
    for name in drop.iter().filter(|_| add.iter().any(|name| plain(name) == Ok("ALL"))) {
        set.remove(plain(name)?);
    }
    Ok(set.into_iter().map(|name| format!("CAP_{name}")).collect())
}

fn plain(name: &str) -> Result<&'static str, String> {
    let short = name.strip_prefix("CAP_").unwrap_or(name);
    let known = CAPABILITIES.into_iter().chain(["ALL"]).find(|known| *known == short);
    known.ok_or_else(|| format!("{name:?} is not a capability"))
}

/// The sets of a process that `holds` its capabilities from the start. Docker's of a user other than root has only the
/// bound of what a program's file may give it; that of a pod holds them whoever it is, as the container runtime interface
/// has it: with `no_new_privs` a file gives no more than the process held (capabilities(7)).
pub fn process(set: &BTreeSet<String>, holds: bool) -> Capabilities {
    let names: Vec<String> = set.iter().cloned().collect();
    let own = if holds { names.clone() } else { Vec::new() };
    Capabilities { bounding: names, effective: own.clone(), permitted: own, ..Capabilities::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(add: &[&str], drop: &[&str]) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        set(&own(add), &own(drop)).unwrap().into_iter().collect()
    }

    #[test]
    fn the_default_is_dockers_fourteen() {
        assert_eq!(names(&[], &[]).len(), 14);
        assert!(names(&[], &[]).contains(&"CAP_NET_BIND_SERVICE".to_owned()));
    }

    #[test]
    fn one_is_added_and_one_taken_with_or_without_the_prefix() {
        let set = names(&["NET_ADMIN", "CAP_SYS_TIME"], &["CAP_CHOWN", "KILL"]);
        assert_eq!(set.len(), 14);
        assert!(set.contains(&"CAP_NET_ADMIN".to_owned()) && !set.contains(&"CAP_KILL".to_owned()));
    }

    #[test]
    fn all_gives_way_to_single_names() {
        assert_eq!(names(&[], &["ALL"]), Vec::<String>::new());
        assert_eq!(names(&["CHOWN"], &["ALL"]), ["CAP_CHOWN"]);
        assert_eq!(names(&["ALL"], &[]).len(), 41);
        assert_eq!(names(&["ALL"], &["SYS_ADMIN"]).len(), 40);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = set(&["CAP_FLY".into()], &[]).unwrap_err();
        assert_eq!(error, "\"CAP_FLY\" is not a capability");
    }

    #[test]
    fn who_holds_none_is_bound_by_them() {
        let set = set(&[], &[]).unwrap();
        assert_eq!(process(&set, true).effective.len(), 14);
        let other = process(&set, false);
        assert_eq!((other.bounding.len(), other.effective.len(), other.permitted.len()), (14, 0, 0));
    }
}
