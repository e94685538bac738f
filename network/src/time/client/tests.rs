//! The client against servers that are right, wrong, silent, or not to be found.

use super::*;
use crate::dns;

const BUILT: u64 = 1_790_000_000;
const DNS: &str = "10.0.2.3:53";

struct Scene {
    client: Client,
    now: Now,
    actions: Vec<Action>,
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn sources(servers: &[&str]) -> Sources {
    let servers = servers.iter().map(ToString::to_string).collect();
    Sources { servers, dns: vec![DNS.parse().unwrap()], online: true }
}

impl Scene {
    fn new(servers: &[&str]) -> Self {
        let client = Client::new(Random::new(3), seconds(BUILT));
        let now = Now { boot: seconds(10), wall: seconds(BUILT) };
        let mut scene = Self { client, now, actions: Vec::new() };
        scene.give(Event::Sources(sources(servers)));
        scene
    }

    fn give(&mut self, event: Event<'_>) {
        let (client, actions) = self.client.clone().next(event, self.now);
        self.client = client;
        self.actions.extend(actions);
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { boot: self.now.boot + time, wall: self.now.wall + time };
    }

    fn time_out(&mut self) {
        let deadline = self.client.deadline().expect("a deadline");
        self.pass(deadline - self.now.boot);
        self.give(Event::Timeout);
    }

    fn sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::Send(to, bytes) => Some((*to, bytes.clone())),
            _ => None,
        });
        let sent = sent.collect();
        self.actions.retain(|action| !matches!(action, Action::Send(..)));
        sent
    }

    /// Every server that was asked answers that our clock is this far off.
    fn answer(&mut self, offsets: &[i64]) {
        let asked = self.sent().into_iter().filter(|(server, _)| server.port() == PORT);
        for ((server, bytes), offset) in asked.zip(offsets) {
            let time = Duration::from_millis((self.now.wall.as_millis() as i64 + offset) as u64);
            self.give(Event::Received(server, &packet::reply(&bytes, time, time)));
        }
    }

    fn said(&mut self) -> Vec<String> {
        let said = self.actions.iter().filter_map(|action| match action {
            Action::Report(report) => Some(report.to_string()),
            _ => None,
        });
        said.collect()
    }
}

/// Nanoseconds as milliseconds.
fn rounded(offset: i64) -> i64 {
    (offset as f64 / 1e6).round() as i64
}

/// An answer that gives the name asked for these addresses.
fn dns_answer(question: &[u8], addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[7] = addresses.len() as u8;
    for address in addresses {
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address);
    }
    bytes
}

#[test]
fn a_clock_far_off_is_set_and_one_near_is_slewed() {
    let mut scene = Scene::new(&["10.0.2.4"]);
    scene.answer(&[7_200_000]);
    assert!(matches!(scene.actions[0], Action::Step(by) if by.abs_diff(7_200_000_000_000) < 1000));
    assert_eq!(scene.said(), ["set by +7200.000 seconds, after 10.0.2.4"]);
    scene.actions.clear();
    scene.now.wall += seconds(7200);
    scene.time_out();
    scene.answer(&[-20]);
    assert!(matches!(scene.actions[..], [Action::Slew(by, _)] if rounded(by) == -20), "{:?}", scene.actions);
}

#[test]
fn a_clock_near_at_once_is_said_once() {
    let mut scene = Scene::new(&["10.0.2.4"]);
    scene.answer(&[120]);
    assert_eq!(scene.said().len(), 1);
    scene.actions.clear();
    let mut intervals = Vec::new();
    for _ in 0..8 {
        let before = scene.now.boot;
        scene.time_out();
        intervals.push((scene.now.boot - before).as_secs());
        scene.answer(&[0]);
    }
    assert_eq!(scene.said(), [""; 0]);
    assert!(intervals[0] < 100 && intervals[7] > 1500, "{intervals:?}");
}

#[test]
fn of_three_servers_a_wrong_one_does_no_harm() {
    let servers = ["10.0.2.4", "10.0.2.5", "10.0.2.6"];
    let mut scene = Scene::new(&servers);
    scene.answer(&[10, 86_400_000, 30]);
    assert!(matches!(scene.actions[0], Action::Slew(by, _) if rounded(by) == 30));
}

#[test]
fn a_silent_server_is_waited_for_a_moment_only() {
    let mut scene = Scene::new(&["10.0.2.4", "10.0.2.5"]);
    scene.answer(&[40]);
    assert_eq!(scene.actions, []);
    scene.time_out();
    assert!(matches!(scene.actions[0], Action::Slew(..)));
}

#[test]
fn silence_is_said_once_and_asked_into_ever_more_rarely() {
    let mut scene = Scene::new(&["10.0.2.4"]);
    let mut times = Vec::new();
    for _ in 0..24 {
        times.push(scene.now.boot);
        scene.time_out();
    }
    assert_eq!(scene.said(), ["no answer from a time server, still asking"]);
    assert!(times[23] - times[22] > seconds(1000) || times[22] - times[21] > seconds(1000), "{times:?}");
}

#[test]
fn a_time_before_the_image_was_made_is_not_believed() {
    let mut scene = Scene::new(&["10.0.2.4"]);
    scene.answer(&[-3_600_000]);
    assert_eq!(scene.said(), ["10.0.2.4 shows a time before this image was made: not believed"]);
    assert!(!scene.actions.iter().any(|action| matches!(action, Action::Step(_) | Action::Slew(..))));
}

#[test]
fn a_server_that_does_not_want_to_be_asked_is_not_asked_again() {
    let mut scene = Scene::new(&["10.0.2.4", "10.0.2.5"]);
    let (server, request) = scene.sent().remove(0);
    let mut kiss = packet::reply(&request, seconds(1), seconds(1));
    kiss[1] = 0;
    kiss[12..16].copy_from_slice(b"DENY");
    scene.give(Event::Received(server, &kiss));
    scene.give(Event::Sources(sources(&["10.0.2.4", "10.0.2.5"])));
    assert_eq!(scene.sent(), [], "the same servers are no news");
    scene.time_out();
    scene.time_out();
    let asked: Vec<String> = scene.sent().iter().map(|(server, _)| server.to_string()).collect();
    assert_eq!(asked, ["10.0.2.5:123"]);
}

#[test]
fn names_are_asked_for_first() {
    let mut scene = Scene::new(&["time.example.org"]);
    let sent = scene.sent();
    assert_eq!(sent[0].0.to_string(), DNS);
    let answer = dns_answer(&sent[0].1, &[[192, 0, 2, 1], [192, 0, 2, 2]]);
    scene.give(Event::Received("10.0.2.9:53".parse().unwrap(), &answer));
    assert_eq!(scene.sent(), [], "a stranger's answer");
    scene.give(Event::Received(sent[0].0, &answer));
    let asked: Vec<String> = scene.sent().iter().map(|(server, _)| server.to_string()).collect();
    assert_eq!(asked, ["192.0.2.1:123", "192.0.2.2:123"]);
}

#[test]
fn a_name_without_ipv4_is_asked_for_ipv6_and_then_left() {
    let mut scene = Scene::new(&["a.org"]);
    for record in [dns::Record::A, dns::Record::Aaaa] {
        let (server, question) = scene.sent().remove(0);
        assert_eq!(question[question.len() - 3], record as u8);
        scene.give(Event::Received(server, &dns_answer(&question, &[])));
    }
    assert!(!scene.client.listens(), "nothing is left to ask");
    scene.time_out();
    assert_eq!(scene.sent().len(), 1, "but later again");
}

#[test]
fn a_name_server_that_is_silent_makes_room_for_the_next() {
    let mut scene = Scene::new(&[]);
    let dns = vec!["10.0.2.3:53".parse().unwrap(), "10.0.2.33:53".parse().unwrap()];
    scene.give(Event::Sources(Sources { dns, ..sources(&["a.org"]) }));
    scene.time_out();
    let asked: Vec<String> = scene.sent().iter().map(|(server, _)| server.to_string()).collect();
    assert_eq!(asked, ["10.0.2.3:53", "10.0.2.33:53"]);
}

#[test]
fn names_that_cannot_be_found_are_said_once() {
    let mut scene = Scene::new(&["a.org", "not a name"]);
    for _ in 0..40 {
        scene.time_out();
    }
    assert_eq!(scene.said(), ["no address of a time server found, still asking"]);
}

#[test]
fn without_servers_or_network_nothing_is_asked() {
    let mut scene = Scene::new(&[]);
    assert_eq!((scene.client.deadline(), scene.actions.len()), (None, 0));
    let offline = Sources { online: false, ..sources(&["10.0.2.4"]) };
    scene.give(Event::Sources(offline));
    assert_eq!((scene.client.deadline(), scene.actions.len()), (None, 0));
    scene.give(Event::Sources(sources(&["10.0.2.4"])));
    assert_eq!(scene.sent().len(), 1, "at once when it has come");
    scene.give(Event::Sources(sources(&["10.0.2.4"])));
    assert_eq!(scene.sent().len(), 0, "the same servers are no news");
}

#[test]
fn no_order_of_events_breaks_it() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let mut scene = Scene::new(&["a.org", "10.0.2.4"]);
        for _ in 0..200 {
            match random.below(5) {
                0 => scene.give(Event::Timeout),
                1 => scene.answer(&[random.below(2000) as i64 - 1000]),
                2 => {
                    for (server, mut bytes) in scene.sent() {
                        bytes[2] |= 0x80;
                        bytes.truncate(random.below(60) as usize);
                        scene.give(Event::Received(server, &bytes));
                    }
                }
                3 => scene.give(Event::Sources(sources(if random.below(2) == 0 {
                    &["a.org"]
                } else {
                    &["10.0.2.4"]
                }))),
                _ => scene.time_out(),
            }
            assert!(scene.client.deadline().is_some(), "it never gives up");
        }
    }
}
