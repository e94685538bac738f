//! Programs that pull, or remove what nobody needs, and are killed.

use super::peer::{Peer, Rules};
use super::place::{Ended, Place, collector, contents, puller};
use super::proxy::{Gate, Ills, Proxy, Random};
use super::{Registries, settings};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::{Error, Store};

/// A registry with an image, behind a proxy that takes its time, and a store that has the image.
fn scene(place: &Place, layers: &[usize], ills: Ills) -> (Peer, Proxy, Store) {
    let peer = Peer::start(place, "peer", &Rules::default());
    place.image("layout", layers);
    let good = place.store("good");
    good.import(&place.path("layout"), "app").unwrap();
    let to = format!("{}/app:1", peer.host());
    good.push(&Registries::new(settings(place, &[])), "app", &to, &()).unwrap();
    let proxy = Proxy::new(peer.port, move |_| ills.clone());
    (peer, proxy, good)
}

/// Every layer and blob that can be seen is a good one, and so is every name.
fn assert_sound(store: &Store, good: &Store) {
    for folder in ["layers", "blobs"] {
        let whole = contents(&good.root().join(folder));
        for file in contents(&store.root().join(folder)) {
            assert!(whole.contains(&file), "{file:?}");
        }
    }
    for listed in store.list().unwrap() {
        assert_eq!(store.resolve(&listed.name.to_string()).unwrap().layers.len(), 3);
    }
}

#[test]
fn a_pull_that_is_killed_at_any_moment_leaves_a_sound_store_and_goes_on() {
    let (rounds, seed) = (given("SKERRY_TORTURE_ROUNDS", 20), given("SKERRY_TORTURE_SEED", 11));
    let place = Place::new("kills");
    let slow = Ills { delay: Duration::from_millis(1), ..Ills::default() };
    let (_peer, proxy, good) = scene(&place, &[2_000_000, 1_000_000, 3_000_000], slow);
    let name = format!("{}/app:1", proxy.host());
    let mut whole = pull_time(&place, &name);
    let mut random = Random(seed);
    let mut finished = 0;
    for round in 0..rounds {
        let root = place.text("store");
        let began = Instant::now();
        let mut child = Ended(puller(&[&root, &name]).spawn().unwrap());
        let moment = Duration::from_micros(random.below(whole.as_micros() as u64));
        std::thread::sleep(moment.saturating_sub(began.elapsed()));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let store = place.store("store");
        assert_sound(&store, &good);
        // A store that is whole begins anew. How long a pull takes depends on what else this machine does.
        if store.list().unwrap().is_empty() {
            whole = whole * 21 / 20;
        } else {
            (finished, whole) = (finished + 1, whole * 9 / 10);
            assert_whole(&store, &good, round);
            std::fs::remove_dir_all(&root).unwrap();
            place.store("store");
        }
        if round % 5 == 4 {
            store.collect_but(|| Ok::<_, Error>(BTreeSet::new())).unwrap();
        }
    }
    println!("seed {seed}: {rounds} kills, after {finished} of which the image was there");
    let output = puller(&[&place.text("store"), &name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_whole(&place.store("store"), &good, rounds);
}

#[test]
fn a_collection_that_is_killed_at_any_moment_takes_nothing_that_a_pull_brings_meanwhile() {
    let (rounds, seed) = (given("SKERRY_TORTURE_ROUNDS", 20), given("SKERRY_TORTURE_SEED", 11));
    let place = Place::new("killed-collections");
    let (_peer, proxy, good) = scene(&place, &[200_000, 100_000, 300_000], Ills::default());
    let (name, root) = (format!("{}/app:1", proxy.host()), place.text("store"));
    let mut whole = pull_time(&place, &name);
    let store = place.store("store");
    let mut random = Random(seed);
    let mut finished = 0;
    for round in 0..rounds {
        // What the last round has brought is nobody's now, and comes again while it goes.
        if let Some(listed) = store.list().unwrap().first() {
            store.remove(&listed.name.to_string()).unwrap();
        }
        let mut victim = Ended(collector(&root).spawn().unwrap());
        let pull = puller(&[&root, &name]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(whole.as_micros() as u64)));
        // How long it takes depends on what else this machine does.
        if victim.0.try_wait().unwrap().is_some() {
            (finished, whole) = (finished + 1, whole * 7 / 10);
        } else {
            whole = whole * 12 / 10;
        }
        drop(victim);
        assert_sound(&store, &good);
        let output = pull.wait_with_output().unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        assert_whole(&store, &good, round);
    }
    println!("seed {seed}: {rounds} kills, {finished} of which came too late");
}

/// A number from the environment.
fn given(name: &str, default: u64) -> u64 {
    let read = |number: String| number.parse().unwrap_or_else(|_| panic!("{name}={number} is no number"));
    std::env::var(name).map_or(default, read)
}

/// How long a pull takes that nobody kills.
fn pull_time(place: &Place, name: &str) -> Duration {
    let began = Instant::now();
    let output = puller(&[&place.text("timed"), name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

fn assert_whole(store: &Store, good: &Store, round: u64) {
    // The next to write clears away what the dead left.
    let name = store.list().unwrap()[0].name.to_string();
    store.tag(&name, &name).unwrap();
    store.collect_but(|| Ok::<_, Error>(BTreeSet::new())).unwrap();
    for folder in ["layers", "blobs"] {
        let (found, whole) = (contents(&store.root().join(folder)), contents(&good.root().join(folder)));
        assert_eq!(found, whole, "round {round}");
    }
    for folder in ["tmp", "downloads"] {
        assert_eq!(contents(&store.root().join(folder)), [], "round {round}");
    }
}

#[test]
fn a_second_pull_waits_for_the_first_and_takes_over_when_it_dies() {
    let place = Place::new("takeover");
    let gate = Gate::at(3_200_000);
    let (_peer, proxy, good) =
        scene(&place, &[4_000_000], Ills { gate: Some(gate.clone()), ..Ills::default() });
    let name = format!("{}/app:1", proxy.host());
    let root = place.text("store");
    let mut first = Ended(puller(&[&root, &name]).spawn().unwrap());
    let mut said = BufReader::new(first.0.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "layer 0 moving");
    let mut second = Ended(puller(&[&root, &name]).spawn().unwrap());
    let mut lines = BufReader::new(second.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "layer 0 waiting");
    // Until most of it has come. The rest waits.
    while download(&root) < 3_000_000 {
        assert!(first.0.try_wait().unwrap().is_none(), "the first pull ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    gate.open();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(rest[..2], ["layer 0 moving", "layer 0 done"]);
    assert!(second.0.wait().unwrap().success());
    assert_eq!(contents(&place.store("store").root().join("layers")), contents(&good.root().join("layers")));
    let passed = proxy.passed.load(Ordering::SeqCst);
    // Some were on the way to the first; all of it twice would be 7 MB.
    assert!(passed < 6_000_000, "{passed} bytes for 4 MB: some were fetched twice");
}

/// How many bytes of the one download are there.
fn download(root: &str) -> u64 {
    let folder = Path::new(root).join("downloads/sha256");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
}
