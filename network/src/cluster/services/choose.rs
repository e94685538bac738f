//! Which of a Service's endpoints a connection may be led to
//! (<https://kubernetes.io/docs/reference/networking/virtual-ips/>, "Traffic policies" and "Traffic to terminating
//! endpoints"; <https://kubernetes.io/docs/concepts/services-networking/topology-aware-routing/>).

use super::{Endpoint, Here};
use std::net::SocketAddr;

/// An endpoint with the port that is meant.
pub type Candidate<'a> = (SocketAddr, &'a Endpoint);

/// Endpoints of all nodes: those that are ready; when none is, those that end but serve still.
pub fn anywhere<'a>(endpoints: &[Candidate<'a>], here: &Here) -> Vec<Candidate<'a>> {
    match with(endpoints, |endpoint| endpoint.ready) {
        ready if ready.is_empty() => with(endpoints, |endpoint| endpoint.serving && endpoint.terminating),
        ready => hinted(ready, here),
    }
}

/// The same of this node's.
pub fn local<'a>(endpoints: &[Candidate<'a>], here: &Here) -> Vec<Candidate<'a>> {
    let ours = with(endpoints, |endpoint| endpoint.node.as_deref() == Some(&here.node));
    match with(&ours, |endpoint| endpoint.ready) {
        ready if ready.is_empty() => with(&ours, |endpoint| endpoint.serving && endpoint.terminating),
        ready => ready,
    }
}

/// Endpoints that go on with whom they have, also when nobody new is led there.
pub fn serving<'a>(endpoints: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    with(endpoints, |endpoint| endpoint.ready || endpoint.serving)
}

fn with<'a>(endpoints: &[Candidate<'a>], is: impl Fn(&Endpoint) -> bool) -> Vec<Candidate<'a>> {
    endpoints.iter().copied().filter(|(_, endpoint)| is(endpoint)).collect()
}

/// Hints are followed when every endpoint has one of a kind and one of them names this node, or its zone.
fn hinted<'a>(ready: Vec<Candidate<'a>>, here: &Here) -> Vec<Candidate<'a>> {
    if ready.iter().all(|(_, endpoint)| !endpoint.for_nodes.is_empty()) {
        let near = with(&ready, |endpoint| endpoint.for_nodes.contains(&here.node));
        if !near.is_empty() {
            return near;
        }
    }
    let Some(zone) = &here.zone else { return ready };
    let near = with(&ready, |endpoint| endpoint.for_zones.contains(zone));
    match near.is_empty() || ready.iter().any(|(_, endpoint)| endpoint.for_zones.is_empty()) {
        true => ready,
        false => near,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint in letters: `r`eady, `s`erving, `t`erminating, `h`ere, `z`one of ours, `o`ther zone, `n`ode hinted.
    fn endpoint(letters: &str) -> Endpoint {
        let has = |letter| letters.contains(letter);
        let zones = [('z', "a"), ('o', "b")].into_iter().filter(|(letter, _)| has(*letter));
        Endpoint {
            address: [10, 244, 1, 1].into(),
            ready: has('r'),
            serving: has('r') || has('s'),
            terminating: has('t'),
            node: Some(if has('h') { "me" } else { "other" }.into()),
            for_zones: zones.map(|(_, zone)| zone.to_owned()).collect(),
            for_nodes: if has('n') { vec!["me".into()] } else { Vec::new() },
        }
    }

    #[test]
    fn readiness_place_and_hints_decide() {
        let here = Here { node: "me".into(), zone: Some("a".into()), ..Here::default() };
        for (endpoints, everywhere, ours) in [
            (&["r", "rh", "sh"][..], &[0, 1][..], &[1][..]),
            (&["", "", "t"], &[], &[]),
            (&["r", "sth"], &[0], &[1]),
            (&["st", "sth", "s"], &[0, 1], &[1]),
            (&["r", "r"], &[0, 1], &[]),
            (&["rz", "ro"], &[0], &[]),
            (&["rz", "r"], &[0, 1], &[]),
            (&["ro", "ro"], &[0, 1], &[]),
            (&["rz", "ron"], &[0], &[]),
            (&["rzn", "ron", "rz"], &[0, 2], &[]),
            (&["rzhn", "ron"], &[0, 1], &[0]),
        ] {
            let all: Vec<Endpoint> = endpoints.iter().map(|letters| endpoint(letters)).collect();
            let at = |number| SocketAddr::from(([10, 244, 1, 1], number));
            let all: Vec<Candidate<'_>> =
                all.iter().zip(0..).map(|(one, number)| (at(number), one)).collect();
            let numbers = |list: Vec<Candidate<'_>>| -> Vec<u16> {
                list.into_iter().map(|(end, _)| end.port()).collect()
            };
            assert_eq!(numbers(anywhere(&all, &here)), everywhere, "{endpoints:?}");
            assert_eq!(numbers(local(&all, &here)), ours, "{endpoints:?} of this node");
        }
    }
}
