//! A table whose rules never change: what comes and goes are elements of its sets.

use super::difference::difference;
use super::message::{
    Element, Hook, Shape, batch, chain, delete_table, list_elements, list_tables, rule, set, table,
};
use super::standing::Standing;
use super::{Table, answer, standing};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use sys::cause::cause;
use sys::netlink::Netlink;
use sys::netlink::wire::{Nest, Request};

/// Elements by the name of their set; a set without any has no entry.
pub type Elements = BTreeMap<&'static str, BTreeSet<Element>>;

/// A chain: its name, where it is called, its rules.
pub type Chain = (&'static str, Option<Hook>, Vec<Vec<Nest>>);

/// What never changes of a table.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    /// The table.
    pub table: Table,
    /// Its sets and maps.
    pub shapes: &'static [Shape<'static>],
    /// Its chains.
    pub chains: fn() -> Vec<Chain>,
}

impl Design {
    /// Makes the kernel's table hold these elements; without any there is none. What somebody has taken out
    /// comes back. A kernel without nftables, or that has not loaded it, has no table: enough, when none is wanted.
    ///
    /// # Errors
    /// What the kernel answered, in words.
    pub fn settle(&self, wanted: &Elements) -> Result<(), String> {
        match self.try_to_settle(wanted) {
            Err(error) if wanted.is_empty() && is_absent(&error) => Ok(()),
            result => {
                result.map_err(|error| format!("change table {} of nftables: {}", self.table, cause(&error)))
            }
        }
    }

    /// Whether the kernel's table has all its rules, as far as is known of it by now.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn stands(&self, known: &mut Standing) -> io::Result<bool> {
        known.is_whole(self.table, || standing::asked(&self.rules()))
    }

    fn try_to_settle(&self, wanted: &Elements) -> io::Result<()> {
        let mut filter = Netlink::netfilter()?;
        let (there, found) = self.read(&mut filter)?;
        match there || !wanted.is_empty() {
            true => filter.batch(batch(self.changes(found.as_ref(), wanted))),
            false => Ok(()),
        }
    }

    /// Whether there is a table of the name, and its elements when its rules are these.
    fn read(&self, filter: &mut Netlink) -> io::Result<(bool, Option<Elements>)> {
        let mut comment = None;
        filter.dump(list_tables(), |kind, body| {
            comment = comment.take().or_else(|| answer::comment(kind, body, self.table));
        })?;
        if comment.as_ref() != Some(&self.version()) {
            return Ok((comment.is_some(), None));
        }
        // Somebody has flushed it.
        if standing::found(filter, self.table)? != standing::asked(&self.rules()) {
            return Ok((true, None));
        }
        let mut found = Elements::new();
        for shape in self.shapes {
            let mut list = BTreeSet::new();
            filter.dump(list_elements(self.table, shape.name), |kind, body| {
                list.extend(answer::elements(kind, body));
            })?;
            found.insert(shape.name, list);
        }
        Ok((true, Some(found)))
    }

    /// What brings the table from what was found to what is wanted. `found` is nothing
    /// when there is no table, or one of other rules.
    pub fn changes(&self, found: Option<&Elements>, wanted: &Elements) -> Vec<Request> {
        if wanted.is_empty() {
            return self.remove();
        }
        let none = Elements::new();
        let mut requests = if found.is_some() { Vec::new() } else { self.make() };
        let found = found.unwrap_or(&none);
        let empty = BTreeSet::new();
        for shape in self.shapes {
            let there = found.get(shape.name).unwrap_or(&empty);
            let should = wanted.get(shape.name).unwrap_or(&empty);
            requests.extend(difference(self.table, shape, there, should).into_iter().flatten());
        }
        requests
    }

    /// Takes the table away, if it is there: it is made first, so that it is.
    fn remove(&self) -> Vec<Request> {
        vec![table(self.table, ""), delete_table(self.table)]
    }

    fn make(&self) -> Vec<Request> {
        let mut requests = self.remove();
        requests.push(table(self.table, &self.version()));
        requests.extend(self.rules());
        requests
    }

    /// The comment of the table that this program makes: another's has other rules.
    fn version(&self) -> String {
        let add = |sum, request: Request| spec::crc32c::update(sum, &request.finish(0));
        format!("rules {:08x}", self.rules().into_iter().fold(!0, add))
    }

    fn rules(&self) -> Vec<Request> {
        let chains = (self.chains)();
        let made = chains.iter().map(|(name, hook, _)| chain(self.table, name, *hook));
        let sets = self.shapes.iter().zip(1..).map(|(shape, id)| set(self.table, shape, id));
        let filled = chains
            .iter()
            .flat_map(|(name, _, rules)| rules.iter().map(|steps| rule(self.table, name, steps)));
        made.chain(sets).chain(filled).collect()
    }
}

/// nfnetlink or nf_tables is not there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EINVAL | libc::EOPNOTSUPP))
}
