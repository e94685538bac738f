//! What is to be taken out of a set, and what to be put into it.

use super::Table;
use super::message::{Element, Shape, add_elements, delete_elements};
use std::collections::BTreeSet;
use sys::netlink::wire::Request;

/// The changes from what a set holds to what it should. Those of intervals go and come in pairs, of a
/// first key and the one behind the last, as the kernel wants them.
pub fn difference(
    table: Table,
    set: &Shape<'_>,
    there: &BTreeSet<Element>,
    wanted: &BTreeSet<Element>,
) -> [Vec<Request>; 2] {
    let (gone, new): (Vec<Element>, Vec<Element>) = match set.interval {
        false => (there.difference(wanted).cloned().collect(), wanted.difference(there).cloned().collect()),
        true => {
            let (there, wanted) = (pairs(there), pairs(wanted));
            let left = |of: &BTreeSet<Vec<Element>>, other| of.difference(other).flatten().cloned().collect();
            (left(&there, &wanted), left(&wanted, &there))
        }
    };
    [delete_elements(table, set, &gone), add_elements(table, set, &new)]
}

/// A pair for each interval; the last may go on to the last key there is.
fn pairs(elements: &BTreeSet<Element>) -> BTreeSet<Vec<Element>> {
    let mut pairs: Vec<Vec<Element>> = Vec::new();
    for element in elements {
        match pairs.last_mut() {
            Some(pair) if element.end => pair.push(element.clone()),
            _ => pairs.push(vec![element.clone()]),
        }
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &[(u8, bool)]) -> BTreeSet<Element> {
        keys.iter().map(|&(key, end)| Element { key: vec![key; 4], data: Vec::new(), end }).collect()
    }

    fn counts(interval: bool, there: &[(u8, bool)], wanted: &[(u8, bool)]) -> [usize; 2] {
        let request = |elements: &[(u8, bool)]| {
            add_elements(
                Table::inet("t"),
                &Shape::set("s", &[]),
                &set(elements).into_iter().collect::<Vec<_>>(),
            )
        };
        let [gone, new] = difference(
            Table::inet("t"),
            &Shape { interval, ..Shape::set("s", &[]) },
            &set(there),
            &set(wanted),
        );
        assert!(gone.len() <= 1 && new.len() <= 1 && request(&[]).is_empty());
        let bytes = |list: Vec<Request>| list.into_iter().map(|one| one.finish(0).len()).sum::<usize>();
        let (empty, one) = (bytes(request(&[(1, false)])), bytes(request(&[(1, false), (2, false)])));
        [gone, new].map(|list| if list.is_empty() { 0 } else { 1 + (bytes(list) - empty) / (one - empty) })
    }

    #[test]
    fn only_what_differs_goes_and_comes() {
        assert_eq!(counts(false, &[(1, false), (2, false)], &[(2, false), (3, false)]), [1, 1]);
        assert_eq!(counts(false, &[(1, false)], &[(1, false)]), [0, 0]);
    }

    #[test]
    fn an_interval_that_grows_goes_and_comes_as_a_whole() {
        let before = [(1, false), (2, true), (5, false), (6, true)];
        let after = [(1, false), (3, true), (5, false), (6, true)];
        let [gone, new] = counts(true, &before, &after);
        assert!(gone >= 2 && new >= 2, "{gone} {new}");
        assert_eq!(counts(true, &before, &before), [0, 0]);
    }
}
