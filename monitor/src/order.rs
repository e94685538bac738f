//! Whose turn it is: `after` of the configuration, and the reverse of it when
//! the node stops.
//!
//! A container that names itself by way of others in `after` can never have its
//! turn. Such a cycle keeps its members down and nobody else: who comes after a
//! member does not wait for it. A name that the configuration lacks keeps down the
//! container that comes after it, in the same way.

use spec::node::{Container, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a container never has its turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bar {
    /// It is to come after this container, which does not exist.
    Unknown(Name, Name),
    /// These come each after the other.
    Cycle(Vec<Name>),
}

impl fmt::Display for Bar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name, other) => {
                write!(out, "{name}: stays down: it comes after {:?}, which is no container", &**other)
            }
            Self::Cycle(members) if members.len() == 1 => {
                write!(out, "{}: stays down: it comes after itself", members[0])
            }
            Self::Cycle(members) => {
                let names: Vec<&str> = members.iter().map(|name| &**name).collect();
                write!(out, "{}: stay down: each comes after the other", names.join(", "))
            }
        }
    }
}

/// The order among the node's containers.
#[derive(Debug, Default)]
pub struct Order {
    after: BTreeMap<Name, Vec<Name>>,
    barred: BTreeMap<Name, Bar>,
}

impl Order {
    /// Reads the order from the configuration.
    pub fn of(containers: &BTreeMap<Name, Container>) -> Self {
        let barred: BTreeMap<Name, Bar> =
            containers.keys().filter_map(|name| Some((name.clone(), bar(name, containers)?))).collect();
        let waits_for = |name: &Name| !barred.contains_key(name);
        let after = containers
            .iter()
            .map(|(name, container)| {
                (name.clone(), before(container).filter(|other| waits_for(other)).cloned().collect())
            })
            .collect();
        Self { after, barred }
    }

    /// This container never starts.
    pub fn is_barred(&self, name: &Name) -> bool {
        self.barred.contains_key(name)
    }

    /// All containers that `name` comes after satisfy `tried`.
    pub fn may_start(&self, name: &Name, tried: impl Fn(&Name) -> bool) -> bool {
        self.after.get(name).is_none_or(|others| others.iter().all(tried))
    }

    /// All containers that come after `name` satisfy `gone`.
    pub fn may_stop(&self, name: &Name, gone: impl Fn(&Name) -> bool) -> bool {
        let mut later = self.after.iter().filter(|(_, others)| others.contains(name));
        later.all(|(other, _)| gone(other))
    }

    /// One line for each cycle and each unknown name.
    pub fn faults(&self) -> Vec<String> {
        let bars: BTreeSet<&Bar> = self.barred.values().collect();
        bars.into_iter().map(Bar::to_string).collect()
    }
}

fn bar(name: &Name, containers: &BTreeMap<Name, Container>) -> Option<Bar> {
    let reached = reach(name, containers);
    if reached.contains(name) {
        let member = |other: &&Name| reach(other, containers).contains(name);
        return Some(Bar::Cycle(reached.into_iter().filter(member).cloned().collect()));
    }
    let unknown = before(&containers[name]).find(|other| !containers.contains_key(*other))?;
    Some(Bar::Unknown(name.clone(), unknown.clone()))
}

/// Those that a container comes after: who shares another's namespaces needs it to run.
fn before(container: &Container) -> impl Iterator<Item = &Name> {
    container.after.iter().chain(container.others())
}

/// All names that come before `name`, directly or by way of others.
fn reach<'a>(name: &Name, containers: &'a BTreeMap<Name, Container>) -> BTreeSet<&'a Name> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&Name> = containers.get(name).into_iter().flat_map(before).collect();
    while let Some(other) = ahead.pop() {
        if reached.insert(other) {
            ahead.extend(containers.get(other).into_iter().flat_map(before));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(after: &[(&str, &[&str])]) -> Order {
        let text: String = after
            .iter()
            .map(|(name, others)| format!("[containers.{name}]\nimage = \"i\"\nafter = {others:?}\n"))
            .collect();
        let layer = spec::node::Layer { origin: "test".into(), text };
        Order::of(&spec::node::load(&[layer]).unwrap().containers)
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_container_waits_for_those_it_comes_after() {
        let order = order(&[("web", &["db", "cache"]), ("db", &[]), ("cache", &["db"])]);
        assert!(order.may_start(&name("db"), |_| false));
        assert!(!order.may_start(&name("web"), |other| &**other == "db"));
        assert!(order.may_start(&name("web"), |_| true));
        assert_eq!(order.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_container_stops_when_those_after_it_are_gone() {
        let order = order(&[("web", &["db"]), ("db", &[])]);
        assert!(order.may_stop(&name("web"), |_| false));
        assert!(!order.may_stop(&name("db"), |_| false));
        assert!(order.may_stop(&name("db"), |other| &**other == "web"));
    }

    #[test]
    fn a_cycle_keeps_its_members_down_and_nobody_else() {
        let order =
            order(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("later", &["a"]), ("self", &["self"])]);
        assert_eq!(
            order.faults(),
            ["a, b, c: stay down: each comes after the other", "self: stays down: it comes after itself"]
        );
        for (text, barred) in [("a", true), ("b", true), ("c", true), ("self", true), ("later", false)] {
            assert_eq!(order.is_barred(&name(text)), barred, "{text}");
        }
        assert!(order.may_start(&name("later"), |_| false));
    }

    #[test]
    fn who_shares_anothers_namespaces_comes_after_it() {
        for key in ["network", "pid", "ipc"] {
            let text = format!(
                "[containers.a]\nimage = \"i\"\n{key} = \"container:b\"\n[containers.b]\nimage = \"i\"\n"
            );
            let layer = spec::node::Layer { origin: "test".into(), text };
            let order = Order::of(&spec::node::load(&[layer]).unwrap().containers);
            assert!(
                !order.may_start(&name("a"), |_| false) && order.may_start(&name("b"), |_| false),
                "{key}"
            );
        }
    }

    #[test]
    fn an_unknown_name_keeps_its_writer_down() {
        let order = order(&[("web", &["ghost"]), ("later", &["web"])]);
        assert_eq!(order.faults(), ["web: stays down: it comes after \"ghost\", which is no container"]);
        assert!(order.may_start(&name("later"), |_| false));
    }
}
