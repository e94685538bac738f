//! `linux.intelRdt`: the class of service that a container's processes are in, for cache and
//! memory bandwidth (the kernel's `filesystems/resctrl.rst`).

use super::refuse;
use crate::error::Result;
use spec::bundle::{IntelRdt, Linux};

/// A group of resctrl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rdt {
    /// Its folder below the mount point, empty for that itself.
    pub group: String,
    /// It is the container's own: made for it, and removed with it.
    pub own: bool,
    /// Lines of `schemata`.
    pub schemata: Vec<String>,
    /// Folder of a monitoring group within, if there is to be one.
    pub monitor: Option<String>,
}

/// The group of this container, if it asks for one.
pub(super) fn group(linux: &Linux, id: &str) -> Result<Option<Rdt>> {
    let Some(asked) = &linux.intel_rdt else { return Ok(None) };
    let group = match asked.clos_id.as_str() {
        "" => id,
        "/" => "",
        "." | ".." | "info" | "mon_data" | "mon_groups" => return Err(no_group(&asked.clos_id)),
        name if name.contains('/') => return Err(no_group(name)),
        name => name,
    };
    Ok(Some(Rdt {
        group: group.to_owned(),
        own: asked.clos_id.is_empty(),
        schemata: schemata(asked)?,
        monitor: asked.enable_monitoring.then(|| id.to_owned()),
    }))
}

fn no_group(name: &str) -> crate::error::Error {
    refuse::at("linux.intelRdt.closID", &format!("{name:?} cannot be a class of service"))
}

/// In the order in which they are written.
fn schemata(asked: &IntelRdt) -> Result<Vec<String>> {
    if !asked.mem_bw_schema.is_empty() && !asked.mem_bw_schema.starts_with("MB:") {
        return Err(refuse::at("linux.intelRdt.memBwSchema", "does not begin with MB:"));
    }
    // What older engines write has more lines than one.
    let mut lines: Vec<String> = asked.l3_cache_schema.lines().map(str::to_owned).collect();
    lines.extend((!asked.mem_bw_schema.is_empty()).then(|| asked.mem_bw_schema.clone()));
    lines.extend(asked.schemata.iter().cloned());
    match lines.iter().any(|line| line.contains('\n') || !line.contains(':')) {
        true => Err(refuse::at("linux.intelRdt", "a line of schemata is one such as L3:0=f;1=f")),
        false => Ok(lines),
    }
}

/// Whether what a line asks for is in force already by the text of `schemata`.
pub fn is_in_force(line: &str, schemata: &str) -> bool {
    let asked = Line::read(line);
    schemata.lines().map(Line::read).any(|there| {
        there.resource == asked.resource && asked.domains.iter().all(|domain| there.domains.contains(domain))
    })
}

/// `RESOURCE:DOMAIN=VALUE;DOMAIN=VALUE`
struct Line<'a> {
    resource: &'a str,
    domains: Vec<(&'a str, String)>,
}

impl<'a> Line<'a> {
    /// Numbers are written with zeros in front, or without.
    fn read(line: &'a str) -> Self {
        let (resource, rest) = line.trim().split_once(':').unwrap_or_default();
        let short =
            |value: &str| value.trim().trim_start_matches("0x").trim_start_matches('0').to_lowercase();
        let domains = rest.split(';').filter_map(|domain| domain.split_once('='));
        Self { resource, domains: domains.map(|(id, value)| (id.trim(), short(value))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: &str) -> Result<Rdt> {
        let linux = serde_json::from_str(&format!("{{\"intelRdt\": {asked}}}")).unwrap();
        group(&linux, "abc").map(Option::unwrap)
    }

    #[test]
    fn lines_are_in_the_specifications_order() {
        let asked = r#"{"closID": "gold", "schemata": ["L2:0=f"], "memBwSchema": "MB:0=20",
            "l3CacheSchema": "L3:0=7f0;1=1f", "enableMonitoring": true}"#;
        let lines = ["L3:0=7f0;1=1f", "MB:0=20", "L2:0=f"].map(str::to_owned).into();
        let monitor = Some("abc".to_owned());
        assert_eq!(of(asked).unwrap(), Rdt { group: "gold".into(), own: false, schemata: lines, monitor });
    }

    #[test]
    fn a_group_is_named_or_the_containers_own_or_the_root() {
        let group = |asked: &str| of(asked).map(|group| (group.group, group.own)).unwrap();
        assert_eq!(group("{}"), ("abc".to_owned(), true));
        assert_eq!(group(r#"{"closID": "/"}"#), (String::new(), false));
        for name in ["..", "a/b", "mon_groups"] {
            let error = of(&format!(r#"{{"closID": "{name}"}}"#)).unwrap_err().0;
            assert_eq!(error, format!("linux.intelRdt.closID: {name:?} cannot be a class of service"));
        }
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        let error = of(r#"{"memBwSchema": "L3:0=f"}"#).unwrap_err().0;
        assert_eq!(error, "linux.intelRdt.memBwSchema: does not begin with MB:");
        assert!(of(r#"{"schemata": ["L3:0=f\nMB:0=9"]}"#).is_err() && of(r#"{"schemata": [""]}"#).is_err());
        assert_eq!(of(r#"{"l3CacheSchema": "L3:0=f\nMB:0=9"}"#).unwrap().schemata, ["L3:0=f", "MB:0=9"]);
    }

    #[test]
    fn what_is_in_force_is_compared_by_domain() {
        let schemata = "    L3:0=007f0;1=1f\n    MB:0= 20;1=100\n";
        for line in ["L3:0=7f0;1=1f", "L3:1=0x1F", "MB:1=100;0=20"] {
            assert!(is_in_force(line, schemata), "{line}");
        }
        for line in ["L3:0=7ff;1=1f", "L3:2=1f", "L2:0=f", "MB:0=2"] {
            assert!(!is_in_force(line, schemata), "{line}");
        }
    }
}
