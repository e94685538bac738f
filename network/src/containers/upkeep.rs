//! What somebody takes away of containers' networks comes back: `nft flush ruleset`, with which a firewall is set up anew,
//! asks nobody, nor does who removes a bridge.

use super::folder::{All, all_networks, all_records, lock_if_free};
use super::host::Host;
use super::links::in_use;
use super::record::Record;
use super::{ruleset, sources};
use crate::netlink::nft::standing::Standing;
use crate::say::say;
use nix::net::if_::if_nametoindex;
use spec::network::Network;
use std::time::Duration;
use sys::cause::cause;

/// How often it is looked while a container is on a network.
const LOOK: Duration = Duration::from_secs(2);

/// What was last known of it.
#[derive(Debug, Default)]
pub struct Upkeep {
    due: Option<Duration>,
    tables: [Standing; 2],
    /// What the last look failed with, which is said once.
    failed: Option<String>,
}

impl Upkeep {
    /// It is looked from now on, at these and what they become.
    pub fn begin(&mut self, now: Duration) {
        self.due.get_or_insert(now + LOOK);
    }

    /// When [`Self::time_out`] is due.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Looks, when it is time to; no further while nobody is on a network.
    pub fn time_out(&mut self, networks: &[Network], records: &[Record], now: Duration) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = in_use(networks, records).next().map(|_| now + LOOK);
        match self.keep(networks, records) {
            Ok(was_whole) => {
                self.failed = None;
                if !was_whole {
                    say(format_args!(
                        "network: somebody has taken nftables rules or bridges of containers away: they are made anew"
                    ));
                }
            }
            Err(reason) if self.failed.as_ref() == Some(&reason) => {}
            Err(reason) => {
                say(format_args!("network: {reason}"));
                self.failed = Some(reason);
            }
        }
    }

    /// Makes anew what is not there; says whether all was.
    fn keep(&mut self, networks: &[Network], records: &[Record]) -> Result<bool, String> {
        if self.is_whole(networks, records)? {
            return Ok(true);
        }
        // A verb at work makes it whole, or has changed what is wanted.
        let Some(_lock) = lock_if_free()? else { return Ok(true) };
        let (networks, records) = (all_networks()?, all_records()?);
        if self.is_whole(&networks.there, &records.there)? {
            return Ok(true);
        }
        make(&networks, &records).map(|()| false)
    }

    fn is_whole(&mut self, networks: &[Network], records: &[Record]) -> Result<bool, String> {
        let mut bridges = in_use(networks, records).map(|network| &*network.bridge).peekable();
        if bridges.peek().is_none() {
            return Ok(true);
        }
        if bridges.any(|bridge| if_nametoindex(bridge).is_err()) {
            return Ok(false);
        }
        let has_pods = in_use(networks, records).any(|network| network.cluster.is_some());
        let [of_all, of_pods] = &mut self.tables;
        let whole = ruleset::DESIGN
            .stands(of_all)
            .and_then(|whole| Ok(whole && (!has_pods || sources::DESIGN.stands(of_pods)?)));
        whole.map_err(|error| format!("list the rules of nftables: {}", cause(&error)))
    }
}

fn make(networks: &All<Network>, records: &All<Record>) -> Result<(), String> {
    let mut host = Host::look()?;
    host.keeps_strays(!networks.faults.is_empty() || !records.faults.is_empty());
    let linked = host.reconcile(&networks.there, &records.there);
    host.filter(&networks.there, &records.there).and(linked)
}
