//! Whether a table is still as it was written: `nft flush ruleset` asks nobody.
//!
//! The kernel counts the changes of nftables. When their number is another, somebody has changed something, and the rules
//! of each chain are counted: a table that is deleted or flushed has none. What is in sets is not looked at.

use super::{Table, answer, message};
use std::collections::BTreeMap;
use std::io;
use sys::netlink::Netlink;
use sys::netlink::wire::{Request, messages};

/// How many rules there are, by chain; one without any is not named.
pub type Rules = BTreeMap<String, usize>;

/// What was last known of a table.
#[derive(Debug, Default)]
pub struct Standing {
    /// The number of nftables' changes when it was whole.
    generation: Option<u32>,
}

impl Standing {
    /// Whether a table has as many rules as it should. Costs one question when nobody has changed anything since it had.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn is_whole(&mut self, table: Table, wanted: impl FnOnce() -> Rules) -> io::Result<bool> {
        let mut kernel = Netlink::netfilter()?;
        let mut now = None;
        kernel.ask(message::generation(), |kind, body| now = answer::generation(kind, body).or(now))?;
        if now.is_some() && self.generation == now {
            return Ok(true);
        }
        let whole = found(&mut kernel, table)? == wanted();
        self.generation = now.filter(|_| whole);
        Ok(whole)
    }
}

/// The rules that a table has.
///
/// # Errors
/// What the kernel answered.
pub fn found(kernel: &mut Netlink, table: Table) -> io::Result<Rules> {
    let mut rules = Rules::new();
    kernel.dump(message::list_rules(table), |kind, body| count(&mut rules, kind, body))?;
    Ok(rules)
}

/// The rules that are asked for.
pub fn asked<'a>(changes: impl IntoIterator<Item = &'a Request>) -> Rules {
    let mut rules = Rules::new();
    for change in changes {
        let bytes = change.clone().finish(0);
        messages(&bytes).for_each(|message| count(&mut rules, message.kind, message.body));
    }
    rules
}

fn count(rules: &mut Rules, kind: u16, body: &[u8]) {
    if let Some(chain) = answer::rule(kind, body) {
        *rules.entry(chain).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_by_chain() {
        let table = Table::inet("t");
        let rule = |chain| message::rule(table, chain, &[]);
        let changes =
            [message::table(table, ""), message::chain(table, "c", None), rule("a"), rule("b"), rule("a")];
        assert_eq!(asked(&changes), Rules::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
    }
}
