//! Who has the addresses and ports that several Services ask for: a ClusterIP is its Service's alone, anything else
//! that of whoever has it, until he leaves it.

use super::Protocol;
use super::content::{Content, Front};
use super::place::Placed;
use super::table::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Every Service with what is its own.
#[derive(Debug, Default)]
pub struct Claims {
    placed: BTreeMap<String, Placed>,
    /// Whose a ClusterIP is.
    owners: BTreeMap<IpAddr, String>,
    /// Who has a front.
    holders: BTreeMap<Front, String>,
    /// Services that have lost some to others.
    waiting: BTreeMap<String, Content>,
}

impl Claims {
    /// The Services' names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.placed.keys()
    }

    /// The chains that they need.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.placed.values().flat_map(Placed::kinds).collect()
    }

    /// What all of them have.
    pub fn all(&self) -> Placed {
        let mut all = Placed::default();
        self.placed.values().for_each(|one| all.merge(one.clone()));
        all
    }

    /// Puts contents in the place of what was there; gives what changed as it was and as it is.
    /// Endpoints keep the numbers that they had, or that they have in the table.
    pub fn place(&mut self, contents: Vec<(String, Option<Content>)>, numbers: &Placed) -> (Placed, Placed) {
        let mut wanted: BTreeMap<String, Option<Content>> = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(name, content)| (name, Some(content)))
            .collect();
        wanted.extend(contents);
        for (name, content) in self.evicted(&wanted) {
            wanted.entry(name).or_insert(Some(content));
        }
        let (mut before, mut had) = (Placed::default(), BTreeMap::new());
        for name in wanted.keys() {
            let gone = self.placed.remove(name).unwrap_or_default();
            had.extend(gone.fronts().filter_map(|front| self.holders.remove_entry(&front)));
            gone.addresses.iter().for_each(|address| drop(self.owners.remove(address)));
            before.merge(gone);
        }
        let mut numbers = numbers.clone();
        numbers.merge(before.clone());
        let all = || wanted.iter().filter_map(|(name, content)| Some((name, content.as_ref()?)));
        for (name, content) in all() {
            for &address in &content.addresses {
                self.owners.entry(address).or_insert_with(|| name.clone());
            }
        }
        let asked = || all().flat_map(|(name, content)| content.fronts().map(move |front| (front, name)));
        let keeps = asked().filter(|(front, name)| had.get(front) == Some(*name));
        let claims: Vec<_> = keeps.chain(asked()).filter(|(front, name)| self.may(name, front)).collect();
        for (front, name) in claims {
            self.holders.entry(front).or_insert_with(|| name.clone());
        }
        let mut after = Placed::default();
        for (name, content) in wanted.into_iter().filter_map(|(name, content)| Some((name, content?))) {
            let left = self.left_to(&name, &content);
            if left != content {
                self.waiting.insert(name.clone(), content);
            }
            let placed = Placed::of(left, &numbers);
            after.merge(placed.clone());
            self.placed.insert(name, placed);
        }
        (before, after)
    }

    /// Services that are as they were, and have what is to be another's ClusterIP.
    fn evicted(&self, wanted: &BTreeMap<String, Option<Content>>) -> Vec<(String, Content)> {
        let mut evicted = BTreeMap::new();
        let new = wanted.values().flatten().flat_map(|content| &content.addresses);
        for &address in new.filter(|address| !self.owners.contains_key(*address)) {
            let at = |v4, protocol, port| Front { address: Some(address), v4, protocol, port };
            let all = at(false, Protocol::Tcp, 0)..=at(true, Protocol::Sctp, u16::MAX);
            for (_, name) in self.holders.range(all).filter(|(_, name)| !wanted.contains_key(*name)) {
                evicted.extend(self.placed.get_key_value(name));
            }
        }
        evicted.into_iter().map(|(name, placed)| (name.clone(), placed.clone().into())).collect()
    }

    /// Whether a front may be this Service's: it is of nobody else's ClusterIP.
    fn may(&self, name: &String, front: &Front) -> bool {
        front.address.is_none_or(|address| self.owners.get(&address).is_none_or(|owner| owner == name))
    }

    /// What of a content others do not have.
    fn left_to(&self, name: &String, content: &Content) -> Content {
        let mut left = content.clone();
        left.addresses.retain(|address| self.owners.get(address) == Some(name));
        let taken = content.fronts().filter(|front| self.holders.get(front) != Some(name));
        left.leave(&taken.collect());
        left
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::content;
    use super::super::{Here, Service, ServicePort};
    use super::*;

    const SHARED: &str = "192.0.2.1";

    /// A Service without endpoints, which refuses at each of its addresses.
    fn change(name: &str, cluster_ip: &str, external: &str) -> (String, Option<Content>) {
        let port = ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, node_port: None };
        let service = Service {
            cluster_ips: vec![cluster_ip.parse().unwrap()],
            external_ips: vec![external.parse().unwrap()],
            ports: vec![port],
            ..Service::default()
        };
        (name.to_owned(), Some(content(&service, &[], &Here::default())))
    }

    /// Who has an address.
    fn holder<'a>(claims: &'a Claims, address: &str) -> Vec<&'a str> {
        let address = Some(address.parse().unwrap());
        let has = |one: &Placed| one.refused.iter().any(|front| front.address == address);
        claims.placed.iter().filter(|(_, one)| has(one)).map(|(name, _)| &**name).collect()
    }

    #[test]
    fn an_address_that_two_claim_is_the_others_when_the_one_leaves_it() {
        let mut claims = Claims::default();
        let mut place = |contents| {
            claims.place(contents, &Placed::default());
            holder(&claims, SHARED).join(" ")
        };
        let (b, c) = (change("b", "10.96.0.2", SHARED), change("c", "10.96.0.3", SHARED));
        assert_eq!(place(vec![c.clone(), b.clone()]), "b");
        assert_eq!(place(vec![("b".to_owned(), None)]), "c");
        // Who has it keeps it, though he is touched and another's name is before his.
        assert_eq!(place(vec![b.clone()]), "c");
        assert_eq!(place(vec![c, b]), "c");
        assert_eq!(place(vec![("c".to_owned(), None), change("a", "10.96.0.4", SHARED)]), "a");
    }

    #[test]
    fn a_cluster_ip_is_nobody_elses_external_one() {
        const API: &str = "10.96.0.1";
        let api = || change("default/kubernetes", API, "192.0.2.9");
        let thief = || change("attack/evil", "10.96.0.66", API);
        let place = |steps: Vec<Vec<_>>| {
            let mut claims = Claims::default();
            steps.into_iter().for_each(|step| drop(claims.place(step, &Placed::default())));
            holder(&claims, API).join(" ")
        };
        let gone = || ("default/kubernetes".to_owned(), None);
        for (steps, has) in [
            (vec![vec![thief(), api()]], "default/kubernetes"),
            (vec![vec![api()], vec![thief()], vec![api()]], "default/kubernetes"),
            (vec![vec![thief()], vec![api()]], "default/kubernetes"),
            (vec![vec![thief()], vec![api()], vec![thief()]], "default/kubernetes"),
            (vec![vec![api(), thief()], vec![gone()]], "attack/evil"),
        ] {
            assert_eq!(place(steps.clone()), has, "{steps:?}");
        }
    }

    #[test]
    fn a_port_that_a_cluster_ip_has_not_is_nobody_elses_either() {
        let mut claims = Claims::default();
        let (name, thief) = change("a", "10.96.0.66", "10.96.0.1");
        let mut thief = thief.unwrap();
        thief.refused = thief.refused.into_iter().map(|front| Front { port: 8443, ..front }).collect();
        claims.place(vec![change("b", "10.96.0.1", SHARED), (name, Some(thief))], &Placed::default());
        assert_eq!(holder(&claims, "10.96.0.1"), ["b"]);
        assert_eq!(holder(&claims, "10.96.0.66"), ["a"]);
    }

    #[test]
    fn an_address_of_two_is_there_while_the_other_has_it() {
        let mut claims = Claims::default();
        let both = vec![change("a", "10.96.0.1", "192.0.2.8"), change("b", "10.96.0.1", "192.0.2.9")];
        claims.place(both, &Placed::default());
        let (before, after) = claims.place(vec![("a".to_owned(), None)], &Placed::default());
        assert_eq!((before.addresses.len(), after.addresses), (1, before.addresses));
    }
}
