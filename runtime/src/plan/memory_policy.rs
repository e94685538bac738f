//! `linux.memoryPolicy`: on which nodes of a large machine memory is taken (set_mempolicy(2)).

use super::scheduling::{list, number};
use super::{Step, refuse};
use crate::error::Result;
use spec::bundle::Linux;
use sys::memory::MOST_NODES;

/// Modes by the kernel's numbers, and how many nodes each takes.
const MODES: [(&str, (u32, Nodes)); 7] = [
    ("MPOL_DEFAULT", (0, Nodes::None)),
    ("MPOL_PREFERRED", (1, Nodes::Any)),
    ("MPOL_BIND", (2, Nodes::Some)),
    ("MPOL_INTERLEAVE", (3, Nodes::Some)),
    ("MPOL_LOCAL", (4, Nodes::None)),
    ("MPOL_PREFERRED_MANY", (5, Nodes::Some)),
    ("MPOL_WEIGHTED_INTERLEAVE", (6, Nodes::Some)),
];

const FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nodes {
    None,
    Some,
    Any,
}

/// Names of the modes, for `features`.
pub fn modes() -> Vec<&'static str> {
    MODES.iter().map(|(name, _)| *name).collect()
}

/// Names of the flags, for `features`.
pub fn flags() -> Vec<&'static str> {
    FLAGS.iter().map(|(name, _)| *name).collect()
}

/// The step that sets it, if there is one.
pub(super) fn step(linux: &Linux) -> Result<Option<Step>> {
    let Some(asked) = &linux.memory_policy else { return Ok(None) };
    let (mode, takes) = number(&MODES, &asked.mode, "linux.memoryPolicy.mode", "memory policy mode")?;
    let flags = asked.flags.iter().enumerate().map(|(place, name)| {
        number(&FLAGS, name, &format!("linux.memoryPolicy.flags[{place}]"), "memory policy flag")
    });
    let flags = flags.collect::<Result<Vec<u32>>>()?;
    let path = "linux.memoryPolicy.nodes";
    let nodes = list(&asked.nodes, MOST_NODES, path, "memory policy nodes")?;
    match (takes, nodes.is_empty()) {
        (Nodes::None, false) => {
            Err(refuse::at(path, &format!("{} mode requires 0 nodes but got {}", asked.mode, nodes.len())))
        }
        (Nodes::Some, true) => Err(refuse::at(path, &format!("{} takes at least one", asked.mode))),
        _ => Ok(Some(Step::MemoryPolicy {
            mode: flags.into_iter().fold(mode, |mode, flag| mode | flag),
            nodes,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str) -> Result<Option<Step>> {
        step(&serde_json::from_str(&format!("{{\"memoryPolicy\": {policy}}}")).unwrap())
    }

    #[test]
    fn names_become_the_kernels_numbers() {
        let policy = r#"{"mode": "MPOL_INTERLEAVE", "nodes": "2-3,7", "flags": ["MPOL_F_STATIC_NODES"]}"#;
        assert_eq!(of(policy).unwrap(), Some(Step::MemoryPolicy { mode: 0x8003, nodes: vec![2, 3, 7] }));
        let policy = r#"{"mode": "MPOL_PREFERRED"}"#;
        assert_eq!(of(policy).unwrap(), Some(Step::MemoryPolicy { mode: 1, nodes: vec![] }));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_path() {
        for (policy, words) in [
            (r#"{"nodes": "0"}"#, "mode: invalid memory policy mode \"\""),
            (r#"{"mode": "MPOL_BIND"}"#, "nodes: MPOL_BIND takes at least one"),
            (r#"{"mode": "MPOL_LOCAL", "nodes": "0"}"#, "nodes: MPOL_LOCAL mode requires 0 nodes but got 1"),
            (
                r#"{"mode": "MPOL_BIND", "nodes": "1024"}"#,
                "nodes: invalid memory policy nodes \"1024\", not a list such as 0-3,7",
            ),
            (r#"{"mode": "MPOL_DEFAULT", "flags": ["X"]}"#, "flags[0]: invalid memory policy flag \"X\""),
        ] {
            let error = of(policy).unwrap_err().0;
            assert!(error.starts_with(&format!("linux.memoryPolicy.{words}")), "{error}");
        }
    }
}
