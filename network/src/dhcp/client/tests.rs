//! The client against a server that answers, refuses, is silent, or talks noise.

use super::*;
use crate::dhcp::Mac;
use crate::dhcp::message::Side;

const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
const SERVER: [u8; 4] = [10, 0, 2, 2];
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const LEASE: u32 = 3600;

/// A client under test, the time, and what it did since it was last asked.
struct Scene {
    client: Client,
    now: Duration,
    actions: Vec<Action>,
}

impl Scene {
    fn new(lease: Option<Lease>) -> Self {
        let identity = Identity { mac: MAC, host_name: Some("n1".into()) };
        let client = Client::new(identity, Random::new(42), lease);
        Self { client, now: seconds(1000), actions: Vec::new() }
    }

    fn give(&mut self, event: Event) {
        let (client, actions) = self.client.clone().next(event, self.now);
        self.client = client;
        self.actions.extend(actions);
    }

    fn carrier() -> Self {
        let mut scene = Self::new(None);
        scene.give(Event::Carrier);
        scene
    }

    /// With a lease that began at 1000 s.
    fn bound() -> Self {
        let mut scene = Self::carrier();
        scene.answer(Kind::Offer);
        scene.answer(Kind::Ack);
        scene.actions.clear();
        scene
    }

    /// Lets time pass to the next deadline.
    fn time_out(&mut self) {
        self.now = self.client.deadline().expect("a deadline");
        self.give(Event::Timeout);
    }

    fn time_out_until(&mut self, end: Duration) {
        while self.client.deadline().is_some_and(|deadline| deadline < end) {
            self.time_out();
        }
    }

    fn answer(&mut self, kind: Kind) {
        self.answer_with(kind, |_| {});
    }

    fn answer_with(&mut self, kind: Kind, change: impl FnOnce(&mut Message)) {
        let mut message = Message {
            kind,
            xid: self.client.state.asking().map_or(0, |asking| asking.xid),
            secs: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: ADDRESS.into(),
            chaddr: MAC,
            options: BTreeMap::from([
                (option::SERVER, SERVER.to_vec()),
                (option::LEASE_TIME, LEASE.to_be_bytes().to_vec()),
                (option::SUBNET_MASK, vec![255, 255, 255, 0]),
            ]),
        };
        change(&mut message);
        self.give(Event::Received(message));
    }

    /// What was done, in words.
    fn did(&mut self) -> Vec<String> {
        std::mem::take(&mut self.actions).iter().map(words).collect()
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Send(message, To::Link) => format!("{:?} to the link", message.kind),
        Action::Send(message, To::Broadcast(_)) => format!("{:?} to everyone", message.kind),
        Action::Send(message, To::Server(..)) => format!("{:?} to the server", message.kind),
        Action::Configure(lease, Some(_)) => format!("configure {}", lease.address),
        Action::Configure(lease, None) => format!("adopt {}", lease.address),
        Action::Remove(lease) => format!("remove {}", lease.address),
        Action::Report(report) => report.to_string(),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn lease() -> Lease {
    Scene::bound().client.state.lease().unwrap()
}

#[test]
fn a_server_that_answers_gives_a_lease() {
    let mut scene = Scene::carrier();
    assert_eq!(scene.did(), ["Discover to the link"]);
    scene.answer(Kind::Offer);
    assert_eq!(scene.did(), ["Request to the link"]);
    scene.answer(Kind::Ack);
    assert_eq!(scene.did(), ["configure 10.0.2.15", "10.0.2.15/24 from DHCP server 10.0.2.2, lease 3600 s"]);
    assert_eq!(scene.client.deadline(), Some(seconds(1000 + 1800)));
    assert!(!scene.client.listens());
}

#[test]
fn a_request_says_what_was_offered_and_who_asks() {
    let mut scene = Scene::carrier();
    scene.answer(Kind::Offer);
    let Some(Action::Send(message, _)) = scene.actions.last() else { panic!("nothing was sent") };
    assert_eq!(message.address(option::REQUESTED_ADDRESS), Some(ADDRESS.into()));
    assert_eq!(message.address(option::SERVER), Some(SERVER.into()));
    assert_eq!(message.options[&option::CLIENT], [1, 0x52, 0x54, 0, 1, 2, 3]);
    assert_eq!(message.text(option::HOST_NAME).as_deref(), Some("n1"));
    let routes = PARAMETERS.iter().position(|&code| code == option::CLASSLESS_ROUTES);
    assert!(routes < PARAMETERS.iter().position(|&code| code == option::ROUTER));
    assert!(message.encode(Side::Client).len() <= 576);
}

#[test]
fn silence_is_met_with_longer_and_longer_pauses_and_one_line() {
    let mut scene = Scene::carrier();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = scene.now;
        scene.time_out();
        pauses.push((scene.now - before).as_secs_f64());
    }
    for (pause, about) in pauses.iter().zip([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]) {
        assert!((about * 0.75..=about * 1.25).contains(pause), "{pauses:?}");
    }
    let complaint = "no answer from a DHCP server, still asking";
    assert_eq!(scene.did().iter().filter(|did| *did == complaint).count(), 1);
    scene.answer(Kind::Offer);
    scene.answer(Kind::Ack);
    assert!(scene.did().contains(&"configure 10.0.2.15".to_owned()), "late is not too late");
}

#[test]
fn a_lost_request_is_repeated_and_then_a_new_server_looked_for() {
    let mut scene = Scene::carrier();
    scene.answer(Kind::Offer);
    scene.actions.clear();
    for _ in 0..3 {
        scene.time_out();
        assert_eq!(scene.did(), ["Request to the link"]);
    }
    scene.time_out();
    assert_eq!(scene.did(), ["Discover to the link"]);
}

#[test]
fn a_refused_request_begins_anew_after_a_pause_that_grows() {
    let mut scene = Scene::carrier();
    let mut pauses = Vec::new();
    for _ in 0..3 {
        scene.answer(Kind::Offer);
        scene.actions.clear();
        scene.answer_with(Kind::Nak, |nak| _ = nak.options.insert(option::TEXT, b"taken".to_vec()));
        assert_eq!(scene.did(), ["request refused by the DHCP server (taken), asking for another address"]);
        let before = scene.now;
        scene.time_out();
        pauses.push(scene.now - before);
        assert_eq!(scene.did(), ["Discover to the link"]);
    }
    assert!(pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
}

#[test]
fn a_renewal_asks_the_server_alone_and_is_quiet() {
    let mut scene = Scene::bound();
    scene.time_out();
    assert_eq!(scene.did(), ["Request to the server"]);
    assert_eq!(scene.now, seconds(2800));
    scene.answer(Kind::Ack);
    assert_eq!(scene.did(), ["configure 10.0.2.15"]);
    assert_eq!(scene.client.deadline(), Some(seconds(2800 + 1800)), "counted from the renewal");
}

#[test]
fn a_renewal_carries_the_address_and_neither_server_nor_requested_address() {
    let mut scene = Scene::bound();
    scene.time_out();
    let Some(Action::Send(message, to)) = scene.actions.last() else { panic!("nothing was sent") };
    assert_eq!((message.ciaddr, *to), (ADDRESS.into(), To::Server(ADDRESS.into(), SERVER.into())));
    assert!(!message.options.contains_key(&option::SERVER));
    assert!(!message.options.contains_key(&option::REQUESTED_ADDRESS));
}

#[test]
fn a_lease_that_nobody_renews_is_asked_of_everyone_then_expires() {
    let mut scene = Scene::bound();
    scene.time_out_until(seconds(1000 + 3150));
    let did = scene.did();
    assert!(did.len() >= 3 && did.iter().all(|did| did == "Request to the server"), "{did:?}");
    scene.time_out_until(seconds(1000 + 3600));
    let did = scene.did();
    assert_eq!(did[0], "lease of 10.0.2.15 not renewed by 10.0.2.2, asking every DHCP server");
    assert!(did.len() >= 3 && did[1..].iter().all(|did| did == "Request to everyone"), "{did:?}");
    scene.time_out();
    assert_eq!(scene.now, seconds(1000 + 3600), "to the second");
    assert_eq!(scene.did(), ["remove 10.0.2.15", "lease expired", "Discover to the link"]);
}

#[test]
fn another_server_may_renew_and_says_so() {
    let mut scene = Scene::bound();
    scene.time_out_until(seconds(1000 + 3500));
    scene.actions.clear();
    scene.answer_with(Kind::Ack, |ack| _ = ack.options.insert(option::SERVER, vec![10, 0, 2, 9]));
    assert_eq!(scene.did(), ["configure 10.0.2.15", "10.0.2.15/24 from DHCP server 10.0.2.9, lease 3600 s"]);
}

#[test]
fn a_renewal_refused_takes_the_address_away() {
    let mut scene = Scene::bound();
    scene.time_out();
    scene.actions.clear();
    scene.answer(Kind::Nak);
    let refused = "request refused by the DHCP server, asking for another address";
    assert_eq!(scene.did(), ["remove 10.0.2.15", refused]);
}

#[test]
fn a_renewal_with_another_address_replaces_the_first() {
    let mut scene = Scene::bound();
    scene.time_out();
    scene.actions.clear();
    scene.answer_with(Kind::Ack, |ack| ack.yiaddr = [10, 0, 2, 99].into());
    assert_eq!(scene.did()[..2], ["remove 10.0.2.15", "configure 10.0.2.99"]);
}

#[test]
fn a_lease_of_before_is_adopted_at_once_and_confirmed() {
    let mut scene = Scene::new(Some(lease()));
    scene.now = seconds(1500);
    scene.give(Event::Carrier);
    assert_eq!(scene.did(), ["adopt 10.0.2.15", "Request to the link"]);
    scene.answer(Kind::Ack);
    assert_eq!(scene.did(), ["configure 10.0.2.15", "10.0.2.15/24 from DHCP server 10.0.2.2, lease 3600 s"]);
}

#[test]
fn a_lease_of_before_that_nobody_confirms_is_used_to_its_end() {
    let mut scene = Scene::new(Some(lease()));
    scene.now = seconds(1500);
    scene.give(Event::Carrier);
    scene.time_out_until(seconds(1600));
    let did = scene.did();
    assert_eq!(did.iter().filter(|did| *did == "Request to the link").count(), 3);
    assert_eq!(did.last().unwrap(), "10.0.2.15/24 not confirmed by a DHCP server, kept");
    assert_eq!(scene.client.deadline(), Some(seconds(1000 + 1800)), "then renewed when it is time");
}

#[test]
fn a_lease_of_before_that_is_refused_here_is_dropped() {
    let mut scene = Scene::new(Some(lease()));
    scene.now = seconds(1500);
    scene.give(Event::Carrier);
    scene.actions.clear();
    scene.answer(Kind::Nak);
    assert_eq!(scene.did()[0], "remove 10.0.2.15");
    scene.time_out();
    assert_eq!(scene.did(), ["Discover to the link"]);
}

#[test]
fn a_lease_ends_without_carrier_too() {
    let mut scene = Scene::bound();
    scene.give(Event::NoCarrier);
    assert_eq!(scene.did(), [""; 0], "the address stays while the lease holds");
    scene.time_out();
    assert_eq!(
        (scene.now, scene.did()),
        (seconds(4600), vec!["remove 10.0.2.15".into(), "lease expired".into()])
    );
    assert_eq!(scene.client.deadline(), None);
}

#[test]
fn a_cable_pulled_and_put_back_confirms_the_lease() {
    let mut scene = Scene::bound();
    scene.give(Event::NoCarrier);
    scene.now = seconds(1100);
    scene.give(Event::Carrier);
    assert_eq!(scene.did(), ["adopt 10.0.2.15", "Request to the link"]);
}

#[test]
fn a_lease_without_end_is_never_renewed() {
    let mut scene = Scene::carrier();
    scene.answer(Kind::Offer);
    scene.answer_with(Kind::Ack, |ack| _ = ack.options.insert(option::LEASE_TIME, vec![0xff; 4]));
    assert_eq!(scene.client.deadline(), None);
    assert_eq!(scene.did().last().unwrap(), "10.0.2.15/24 from DHCP server 10.0.2.2, lease without end");
    scene.give(Event::Timeout);
    assert_eq!(scene.did(), [""; 0], "nothing is due");
}

#[test]
fn a_short_lease_is_renewed_more_than_once_before_it_ends() {
    let mut scene = Scene::carrier();
    scene.answer(Kind::Offer);
    scene.answer_with(Kind::Ack, |ack| _ = ack.options.insert(option::LEASE_TIME, vec![0, 0, 0, 16]));
    scene.actions.clear();
    scene.time_out_until(seconds(1000 + 16));
    let sent = scene.did().iter().filter(|did| did.starts_with("Request")).count();
    assert!((4..=16).contains(&sent), "{sent}");
}

#[test]
fn answers_to_someone_else_are_not_heard() {
    type Change = fn(&mut Message);
    let changes: [(&str, Change); 4] = [
        ("another question", |message| message.xid ^= 1),
        ("another station", |message| message.chaddr = Mac([9; 6])),
        ("no address", |message| message.yiaddr = Ipv4Addr::UNSPECIFIED),
        ("no server", |message| _ = message.options.remove(&option::SERVER)),
    ];
    for (what, change) in changes {
        let mut scene = Scene::carrier();
        scene.actions.clear();
        scene.answer_with(Kind::Offer, change);
        assert_eq!(scene.did(), [""; 0], "offer with {what}");
        scene.answer(Kind::Offer);
        scene.actions.clear();
        scene.answer_with(Kind::Ack, change);
        assert_eq!(scene.did(), [""; 0], "acknowledgement with {what}");
    }
}

#[test]
fn another_servers_words_do_not_disturb_a_request() {
    let mut scene = Scene::carrier();
    scene.answer(Kind::Offer);
    scene.actions.clear();
    for kind in [Kind::Offer, Kind::Ack, Kind::Nak] {
        scene.answer_with(kind, |message| _ = message.options.insert(option::SERVER, vec![10, 0, 2, 9]));
    }
    scene.answer(Kind::Offer);
    assert_eq!(scene.did(), [""; 0]);
}

/// Any order of events: the address in use is always one that was configured and
/// not removed, a deadline is never far behind, and the client never gives up.
#[test]
fn no_order_of_events_breaks_it() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut scene = Scene::new(None);
        let mut held: Option<Ipv4Addr> = None;
        let mut carrier = false;
        for _ in 0..300 {
            match random.below(8) {
                0 => {
                    scene.give(Event::Carrier);
                    carrier = true;
                }
                1 => {
                    scene.give(Event::NoCarrier);
                    carrier = false;
                }
                2 | 3 => scene.answer(Kind::Offer),
                4 => scene.answer(Kind::Ack),
                5 => scene.answer(Kind::Nak),
                6 => scene.give(Event::Timeout),
                _ if scene.client.deadline().is_some() => scene.time_out(),
                _ => {}
            }
            for action in scene.actions.drain(..) {
                match action {
                    Action::Configure(lease, _) => held = Some(lease.address),
                    Action::Remove(lease) => assert_eq!(held.take(), Some(lease.address)),
                    _ => {}
                }
            }
            assert_eq!(scene.client.state.held().map(|lease| lease.address), held);
            assert_eq!(carrier || held.is_some(), scene.client.deadline().is_some());
        }
    }
}
