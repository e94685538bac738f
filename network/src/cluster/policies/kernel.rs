//! The kernel's table made as it should be.

use super::ruleset::{Form, Ruleset, Set, TABLE, Way, map_name};
use crate::netlink::nft::difference::difference;
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::*;
use crate::netlink::nft::standing::{Rules, asked};
use std::collections::BTreeSet;
use std::io;
use sys::netlink::Netlink;
use sys::netlink::wire::{Nest, Request};

/// Puts the table in the place of whatever there is; none, when no pod is under a policy.
///
/// # Errors
/// What the kernel refused; nothing is changed then.
pub fn replace(wanted: &Ruleset) -> io::Result<()> {
    // It is made first, so that it is there to be taken away.
    let mut changes = vec![table(TABLE, ""), delete_table(TABLE)];
    if !wanted.is_empty() {
        changes.extend(make());
        changes.extend(difference_of(&Ruleset::default(), wanted));
    }
    match write(changes) {
        // A kernel without nftables has no table: enough, when none is wanted.
        Err(error) if wanted.is_empty() && error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => Ok(()),
        result => result,
    }
}

/// Changes the table by what differs.
///
/// # Errors
/// What the kernel refused; nothing is changed then.
pub fn change(before: &Ruleset, wanted: &Ruleset) -> io::Result<()> {
    match (before.is_empty(), wanted.is_empty()) {
        _ if before == wanted => Ok(()),
        (false, false) => write(difference_of(before, wanted)),
        _ => replace(wanted),
    }
}

/// How many rules the table's chains have.
pub fn counts(wanted: &Ruleset) -> Rules {
    asked(make().iter().chain(&difference_of(&Ruleset::default(), wanted)))
}

fn write(changes: Vec<Request>) -> io::Result<()> {
    match changes.is_empty() {
        true => Ok(()),
        false => Netlink::netfilter()?.batch(batch(changes)),
    }
}

/// The table, and what is always in it.
fn make() -> Vec<Request> {
    const ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;
    let mut requests = vec![table(TABLE, "")];
    for (way, priority) in [(Way::Out, -2), (Way::In, -1)] {
        let name = way.names().1;
        requests.push(chain(TABLE, name, Some(Hook { kind: "filter", number: 2, priority })));
        let known =
            [connection(Connection::State, FIRST), mask(ESTABLISHED_OR_RELATED, FIRST), not_zero(FIRST)];
        requests.push(rule(TABLE, name, &[&known[..], &[verdict(Verdict::Accept)]].concat()));
        for (v4, id) in [(true, 1), (false, 2)] {
            let map = map_name(way, v4);
            let shape = Set { form: Form::Chains, v4, elements: BTreeSet::new() };
            requests.push(set(TABLE, &shape.shape(&map), id + if way == Way::In { 2 } else { 0 }));
            requests.push(rule(TABLE, name, &to_pod(way, v4, &map)));
        }
    }
    requests
}

/// To the chain of the pod that sends, or that is sent to.
fn to_pod(way: Way, v4: bool, map: &str) -> Vec<Nest> {
    let family = if v4 { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 } as u8;
    let (offset, length) = match (way, v4) {
        (Way::Out, true) => (12, 4),
        (Way::Out, false) => (8, 16),
        (Way::In, true) => (16, 4),
        (Way::In, false) => (24, 16),
    };
    vec![
        meta(Meta::Family, FIRST),
        equal(FIRST, &[family]),
        network_header(offset, length, FIRST),
        mapped(map, FIRST, VERDICT),
    ]
}

/// The changes, each after what it needs: sets, chains, their rules, who is led to them; and what nothing leads to any
/// more goes.
fn difference_of(before: &Ruleset, wanted: &Ruleset) -> Vec<Request> {
    let mut changes = Vec::new();
    let is_map = |set: &Set| set.form == Form::Chains;
    let new = wanted.sets.iter().filter(|(name, set)| !before.sets.contains_key(*name) && !is_map(set));
    changes.extend(new.zip(10..).map(|((name, one), id)| set(TABLE, &one.shape(name), id)));
    changes.extend(elements(before, wanted, |set| !is_map(set)));
    let new = wanted.chains.keys().filter(|name| !before.chains.contains_key(*name));
    changes.extend(new.map(|name| chain(TABLE, name, None)));
    for (name, rules) in wanted.chains.iter().filter(|(name, rules)| before.chains.get(*name) != Some(rules))
    {
        changes.extend(before.chains.get(name).map(|_| flush_chain(TABLE, name)));
        changes.extend(rules.iter().map(|steps| rule(TABLE, name, steps)));
    }
    changes.extend(elements(before, wanted, is_map));
    let gone = || before.chains.keys().filter(|name| !wanted.chains.contains_key(*name));
    changes.extend(gone().map(|name| flush_chain(TABLE, name)));
    changes.extend(gone().map(|name| delete_chain(TABLE, name)));
    let gone = before.sets.iter().filter(|(name, set)| !wanted.sets.contains_key(*name) && !is_map(set));
    changes.extend(gone.map(|(name, _)| delete_set(TABLE, name)));
    changes
}

/// What goes into and out of sets of a kind. Those that are about to go are left as they are.
fn elements(before: &Ruleset, wanted: &Ruleset, of_kind: impl Fn(&Set) -> bool) -> Vec<Request> {
    let none = BTreeSet::new();
    let all = before.sets.iter().chain(&wanted.sets).filter(|(_, set)| of_kind(set));
    let names: BTreeSet<&String> = all.map(|(name, _)| name).collect();
    let each = names.into_iter().filter_map(|name| {
        let (there, should) = (before.sets.get(name), wanted.sets.get(name));
        let set = should.or_else(|| there.filter(|set| set.form == Form::Chains))?;
        let of = |set: Option<&Set>| set.map_or(&none, |set| &set.elements).clone();
        Some(difference(TABLE, &set.shape(name), &of(there), &of(should)).into_iter().flatten())
    });
    each.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::ruleset::ruleset;
    use super::*;

    fn decide(policies: &[(&str, &str)]) -> Ruleset {
        let read = |&(name, json): &(&str, &str)| (name.to_owned(), serde_json::from_str(json).unwrap());
        ruleset(&policies.iter().map(read).collect())
    }

    fn policy(peers: &str) -> String {
        format!(
            r#"{{"pods": [{{"addresses": ["10.244.1.2"]}}], "ingress": [{{"peers": {{"pods": [{peers}]}}}}]}}"#
        )
    }

    #[test]
    fn a_pod_that_comes_is_an_element_and_no_rule() {
        let one = r#"{"addresses": ["10.244.2.2"]}"#;
        let before = decide(&[("a/p", &policy(one)), ("a/q", &policy(one))]);
        let two = policy(r#"{"addresses": ["10.244.2.2"]}, {"addresses": ["10.244.2.9"]}"#);
        let after = decide(&[("a/p", &two), ("a/q", &policy(one))]);
        assert_eq!(difference_of(&before, &after).len(), 1);
        assert!(difference_of(&before, &before).is_empty());
    }

    #[test]
    fn a_policy_that_goes_takes_its_chain_and_sets_along() {
        let one = r#"{"addresses": ["10.244.2.2"]}"#;
        let before = decide(&[("a/p", &policy(one)), ("a/q", &policy(one))]);
        let after = decide(&[("a/q", &policy(one))]);
        // The pod's chain is flushed and has three rules; one policy's chain is flushed and goes; a set goes.
        assert_eq!(difference_of(&before, &after).len(), 4 + 2 + 1);
    }
}
