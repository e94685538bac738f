//! Which services can never start, judged from `after` alone: members of a cycle,
//! and those that wait for a name that does not exist.
//!
//! Whoever waits for such a service stays down with it; everybody else starts.

use std::collections::BTreeMap;

/// Names of services and what each must come after.
pub type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Every service that stays down, with the reason.
pub fn down(graph: &Graph<'_>) -> BTreeMap<String, String> {
    let mut reasons = BTreeMap::new();
    for (name, after) in graph {
        if let Some(missing) = after.iter().find(|other| !graph.contains_key(*other)) {
            reasons.insert((*name).to_owned(), format!("waits for {missing}, which does not exist"));
        } else if let Some(cycle) = cycle_through(graph, name) {
            reasons.insert((*name).to_owned(), format!("waits for itself: {}", cycle.join(" after ")));
        }
    }
    // What waits for one that is down is down too; each round finds the next ring.
    loop {
        let next =
            graph.iter().filter(|(name, _)| !reasons.contains_key(**name)).find_map(|(name, after)| {
                after.iter().find(|other| reasons.contains_key(**other)).map(|other| (name, other))
            });
        let Some((name, other)) = next else { return reasons };
        reasons.insert((*name).to_owned(), format!("waits for {other}, which stays down"));
    }
}

/// The shortest way from a service back to itself.
fn cycle_through<'a>(graph: &Graph<'a>, name: &'a str) -> Option<Vec<&'a str>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut edge = vec![name];
    while !edge.is_empty() {
        let mut next = Vec::new();
        for here in edge {
            for &other in graph.get(here).into_iter().flatten() {
                if other == name {
                    return Some(trace(&from, name, here));
                }
                if !from.contains_key(other) {
                    from.insert(other, here);
                    next.push(other);
                }
            }
        }
        edge = next;
    }
    None
}

fn trace<'a>(from: &BTreeMap<&'a str, &'a str>, name: &'a str, last: &'a str) -> Vec<&'a str> {
    let mut path = vec![name];
    let mut here = last;
    while here != name {
        path.push(here);
        here = from[here];
    }
    path.push(name);
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&'static str, &[&'static str])]) -> BTreeMap<String, String> {
        down(&edges.iter().map(|(name, after)| (*name, after.to_vec())).collect())
    }

    #[test]
    fn an_order_without_fault_keeps_nobody_down() {
        assert!(graph(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])]).is_empty());
    }

    #[test]
    fn a_cycle_keeps_its_members_and_who_waits_for_them_down() {
        let down =
            graph(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"]), ("e", &[]), ("f", &["f"])]);
        assert_eq!(down.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "f"]);
        assert_eq!(down["a"], "waits for itself: a after c after b after a");
        assert_eq!(down["f"], "waits for itself: f after f");
        assert_eq!(down["d"], "waits for c, which stays down");
    }

    #[test]
    fn a_name_that_does_not_exist_is_said() {
        let down = graph(&[("a", &["x"]), ("b", &["a"])]);
        assert_eq!(down["a"], "waits for x, which does not exist");
        assert_eq!(down["b"], "waits for a, which stays down");
    }
}
