//! What the kernel's table holds, and changes of it as one batch.

use super::place::Elements;
use super::table::{self, Kind, Map, TABLE};
use crate::netlink::nft::answer;
use crate::netlink::nft::difference::difference;
use crate::netlink::nft::message::{self, Element};
use crate::netlink::nft::standing;
use std::collections::BTreeSet;
use std::io;
use sys::netlink::Netlink;
use sys::netlink::wire::Request;

/// The table's content, or as much of it as matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What its maps hold.
    pub elements: Elements,
    /// The chains that pick.
    pub kinds: BTreeSet<Kind>,
}

/// Reads the table; nothing when there is none, or one of other rules, or of fewer.
///
/// # Errors
/// What the kernel answered.
pub fn read() -> io::Result<Option<Held>> {
    let mut kernel = Netlink::netfilter()?;
    let mut ours = false;
    kernel.dump(message::list_tables(), |kind, body| {
        ours |= answer::comment(kind, body, TABLE) == Some(table::version());
    })?;
    if !ours {
        return Ok(None);
    }
    let mut held = Held::default();
    for (map, v4) in all_maps() {
        let list = elements(&mut kernel, map.name(v4))?;
        held.elements.insert((map, v4), list.into_iter().collect());
    }
    // What leads to a chain is an element that names it.
    let chains = held.elements.iter().filter(|((map, v4), _)| map.shape(*v4).verdicts);
    held.kinds = chains.flat_map(|(_, list)| list).filter_map(|element| Kind::of(&element.data)).collect();
    let whole = standing::found(&mut kernel, TABLE)? == table::counts(&held.kinds);
    Ok(whole.then_some(held))
}

/// The elements of a map.
///
/// # Errors
/// What the kernel answered.
pub fn elements(kernel: &mut Netlink, map: &str) -> io::Result<Vec<Element>> {
    let mut list = Vec::new();
    kernel
        .dump(message::list_elements(TABLE, map), |kind, body| list.extend(answer::elements(kind, body)))?;
    Ok(list)
}

/// All but what rules write themselves.
fn all_maps() -> impl Iterator<Item = (Map, bool)> {
    let maps = Map::ALL.into_iter().filter(|map| *map != Map::Kept);
    maps.flat_map(|map| [(map, true), (map, false)])
}

/// Makes the table hold what it should, from what it holds: nothing, when there is none.
///
/// # Errors
/// What the kernel refused; nothing is changed then.
pub fn write(before: Option<&Held>, after: &Held) -> io::Result<()> {
    let changes = changes(before, after);
    match changes.is_empty() {
        true => Ok(()),
        false => Netlink::netfilter()?.batch(message::batch(changes)),
    }
}

fn changes(before: Option<&Held>, after: &Held) -> Vec<Request> {
    let nothing = Held::default();
    let mut changes = if before.is_some() { Vec::new() } else { table::make() };
    let before = before.unwrap_or(&nothing);
    // A chain is there before anything leads to it, and goes when nothing does.
    changes.extend(after.kinds.difference(&before.kinds).flat_map(|&kind| table::add_kind(kind)));
    let none = BTreeSet::new();
    for (map, v4) in all_maps() {
        let [there, wanted] = [before, after].map(|held| held.elements.get(&(map, v4)).unwrap_or(&none));
        let shape = map.shape(v4);
        changes.extend(difference(TABLE, &shape, there, wanted).into_iter().flatten());
    }
    changes.extend(before.kinds.difference(&after.kinds).flat_map(|&kind| table::remove_kind(kind)));
    changes
}

#[cfg(test)]
mod tests {
    use super::super::content::View;
    use super::*;

    fn held(kinds: &[Kind], addresses: &[u8]) -> Held {
        let element = |&last: &u8| Element { key: vec![10, 96, 0, last], data: Vec::new(), end: false };
        let elements = [((Map::Addresses, true), addresses.iter().map(element).collect())];
        Held { elements: elements.into(), kinds: kinds.iter().copied().collect() }
    }

    #[test]
    fn a_change_is_as_small_as_what_changes() {
        let one = held(&[Kind::Pick(View::Common, 2)], &[1, 2]);
        assert!(changes(Some(&one), &one).is_empty());
        assert_eq!(changes(Some(&one), &held(&[Kind::Pick(View::Common, 2)], &[1, 2, 3])).len(), 1);
        assert_eq!(changes(Some(&one), &held(&[Kind::Pick(View::Common, 2)], &[1, 3])).len(), 2);
        // A chain's rules and the chain.
        assert_eq!(changes(Some(&one), &held(&[], &[1, 2])).len(), 2);
        let made = changes(None, &one);
        assert!(made.starts_with(&table::make()) && made.len() > table::make().len());
    }
}
