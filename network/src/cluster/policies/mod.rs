//! NetworkPolicies: who may speak to this node's pods, and to whom they may
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).
//!
//! The agent has resolved every selector to pods. A pod of this node that a policy selects speaks, in the directions
//! that the policy is about, with nobody but those whom one of its policies allows. The node reaches its pods, and they
//! reach it, whatever policies say: that is not forwarded. What is established goes on.
//!
//! `ruleset` says what our table should be, `kernel` makes it so, in one batch.

mod kernel;
mod ruleset;

use super::services::Protocol;
use crate::containers::modules;
use crate::netlink::nft::standing::Standing;
use ruleset::{Ruleset, TABLE, ruleset};
use serde::Deserialize;
use spec::node::Cidr;
use std::collections::BTreeMap;
use std::net::IpAddr;
use sys::cause::cause;

/// A policy as it concerns this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// The pods of this node that it selects; those on the node's network are none.
    pub pods: Vec<Pod>,
    /// Who may speak to them; nothing when it is not about that, an empty list when nobody may.
    pub ingress: Option<Vec<Rule>>,
    /// To whom they may speak.
    pub egress: Option<Vec<Rule>>,
}

/// A pod of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pod {
    /// Its addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Its containers' ports that have names.
    #[serde(default)]
    pub ports: Vec<NamedPort>,
}

/// A port with a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// Whom a policy allows, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Rule {
    /// Whom; nothing for everybody.
    pub peers: Option<Peers>,
    /// To which ports; none for all of every protocol.
    pub ports: Vec<Port>,
    /// When everybody may be spoken to, the pods that have its ports by name.
    pub named: Vec<Pod>,
}

/// Peers of a rule: all of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Peers {
    /// Pods, of whatever node.
    pub pods: Vec<Pod>,
    /// Subnets.
    pub blocks: Vec<Block>,
}

/// An `ipBlock`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Block {
    /// A subnet.
    pub cidr: Cidr,
    /// What of it is not meant.
    #[serde(default)]
    pub except: Vec<Cidr>,
}

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Port {
    /// Their protocol.
    pub protocol: Protocol,
    /// The first, or the name of one; nothing for all of the protocol.
    #[serde(default)]
    pub port: Option<Number>,
    /// The last, when the first is a number.
    #[serde(default)]
    pub end_port: Option<u16>,
}

/// A port by its number or by its name, which each pod gives another number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// The policies that select pods of this node.
#[derive(Debug, Default)]
pub struct Policies {
    all: BTreeMap<String, Policy>,
    /// What the kernel holds, when that is known.
    written: Option<Ruleset>,
    standing: Standing,
}

impl Policies {
    /// None so far; what the kernel holds stays until the first change, which has to hold every policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has policies, by `namespace/name`, as they are now, and not those that are gone. All of it is done at once, or nothing;
    /// what was not done is with the next change.
    ///
    /// # Errors
    /// What the kernel refused, in words.
    pub fn apply(&mut self, changes: Vec<(String, Option<Policy>)>) -> Result<(), String> {
        for (name, policy) in changes {
            match policy {
                Some(policy) => self.all.insert(name, policy),
                None => self.all.remove(&name),
            };
        }
        let wanted = ruleset(&self.all);
        let before = self.written.take();
        if before.is_none() && !wanted.is_empty() {
            modules::load()?;
        }
        let quick = before.is_some_and(|before| kernel::change(&before, &wanted).is_ok());
        if !quick {
            kernel::replace(&wanted)
                .map_err(|error| format!("change table {TABLE} of nftables: {}", cause(&error)))?;
        }
        self.written = Some(wanted);
        Ok(())
    }

    /// Looks whether the table is still there with all of its rules, and makes it anew when somebody has flushed or deleted
    /// it; tells whether. To be called now and then, once all policies are told: it costs next to nothing while nobody
    /// changes nftables.
    ///
    /// # Errors
    /// What the kernel refused, in words. The next change, or look, tries it again.
    pub fn look(&mut self) -> Result<bool, String> {
        if let Some(written) = &self.written {
            let whole = written.is_empty() || {
                let whole = self.standing.is_whole(TABLE, || kernel::counts(written));
                whole.map_err(|error| format!("look at table {TABLE} of nftables: {}", cause(&error)))?
            };
            if whole {
                return Ok(false);
            }
        }
        self.written = None;
        self.apply(Vec::new()).map(|()| true)
    }
}
