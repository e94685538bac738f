//! Pulls from a registry that answers as a test tells it.

use super::fixture::{Layout, Scratch, layer, tree};
use super::*;
use crate::Error;
use crate::digest::Digest;
use crate::progress::{State, Update};
use crate::registry::fake::{Answer, Asked, Fake, held_port};
use crate::registry::{Credentials, Host, Proxies, Registries, Settings};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A registry whose repository `app` has what a layout's folder has.
fn registry(folder: PathBuf, entry: Value) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    let top = entry["digest"].as_str().unwrap().to_owned();
    move |asked| {
        let Some(rest) = asked.path.strip_prefix("/v2/app/") else {
            return Answer::status(if asked.path == "/v2/" { 200 } else { 404 });
        };
        let (kind, reference) = rest.split_once('/').unwrap();
        let digest = if reference == "latest" { &top } else { reference };
        let Ok(body) = fs::read(folder.join("blobs/sha256").join(digest.trim_start_matches("sha256:")))
        else {
            return Answer::status(404).body(r#"{"errors":[{"code":"X","message":"it is not known here"}]}"#);
        };
        let from = asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        if let Some(from) = from.map(|from| from.parse::<usize>().unwrap()) {
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            return Answer::status(206).with("content-range", range).body(&body[from..]);
        }
        let document =
            if body.windows(11).any(|word| word == b"\"manifests\"") { "index" } else { "manifest" };
        let answer = Answer::status(200).with("docker-content-digest", digest).body(body);
        match kind {
            "manifests" => {
                answer.with("content-type", format!("application/vnd.oci.image.{document}.v1+json"))
            }
            _ => answer,
        }
    }
}

fn settings() -> Settings {
    Settings { trusted: None, pause: Duration::from_millis(1), ..Settings::default() }
}

fn registries() -> Registries {
    Registries::new(settings())
}

/// An image of two layers, the second with a file of this many bytes that do not pack well.
fn image(scratch: &Scratch, bytes: usize) -> (PathBuf, Value) {
    let layout = Layout::new(scratch.0.join("layout"));
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect();
    let entry = layout.image("amd64", &[layer("a", b"1"), layer("big", &noise)]);
    (layout.0, entry)
}

fn store(scratch: &Scratch, name: &str) -> Store {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    Store::open(&scratch.0.join(name)).unwrap().for_platform(platform)
}

/// Digest of the image's bigger layer as it lies in the registry.
fn big(folder: &Path) -> Digest {
    let files = tree(&folder.join("blobs"));
    let largest = files.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    format!("sha256:{}", largest.file_name().unwrap().to_str().unwrap()).parse().unwrap()
}

/// Nothing of an image can be seen, and nothing is left of the work.
fn assert_empty(store: &Store, why: &str) {
    for folder in ["names", "tmp", "downloads"] {
        let path = store.root().join(folder);
        assert_eq!(if path.exists() { tree(&path) } else { Vec::new() }, Vec::<PathBuf>::new(), "{why}");
    }
}

#[test]
fn an_image_is_pulled_and_the_second_time_only_asked_for() {
    let scratch = Scratch::new("pull");
    let (folder, entry) = image(&scratch, 300_000);
    let fake = Fake::new(registry(folder.clone(), entry.clone()));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    let registries = registries();
    let states = Mutex::new(Vec::new());
    let listen = |update: &Update<'_>| {
        assert!(update.done <= update.total);
        states.lock().unwrap().push((update.layer, update.done == update.total, update.state == State::Done));
    };
    let pulled = store.pull(&registries, &name, &listen).unwrap();
    assert_eq!(pulled.digest.to_string(), entry["digest"].as_str().unwrap());
    assert_eq!((pulled.new_layers, pulled.up_to_date), (2, false));
    for place in [0, 1] {
        let last = *states.lock().unwrap().iter().rfind(|(layer, ..)| *layer == place).unwrap();
        assert_eq!(last, (place, true, true));
    }
    assert_eq!(store.resolve(&name).unwrap().layers.len(), 2);
    // Everything is kept as it came.
    for path in tree(&folder.join("blobs")) {
        let kept = store.root().join("blobs/sha256").join(path.file_name().unwrap());
        assert_eq!(fs::read(kept).unwrap(), fs::read(path).unwrap());
    }
    let before = fake.asked().len();
    let again = store.pull(&registries, &name, &()).unwrap();
    assert!(again.up_to_date);
    assert_eq!(again.digest, pulled.digest);
    assert_eq!(again.size, pulled.size);
    let asked: Vec<String> = fake.asked()[before..].iter().map(|asked| asked.method.clone()).collect();
    // Whether it speaks TLS, and the tag.
    assert_eq!(asked, ["HEAD"]);
}

#[test]
fn the_proxy_of_the_environment_is_asked_but_not_for_this_machine() {
    let scratch = Scratch::new("pull-proxy");
    let (folder, entry) = image(&scratch, 100);
    let (fake, proxy) = (Fake::new(registry(folder, entry)), Fake::new(|_| Answer::status(403)));
    let store = store(&scratch, "store");
    let host = proxy.host();
    let proxies = Proxies::read(move |name| name.ends_with("_PROXY").then(|| host.clone()));
    let registries = Registries::new(Settings { proxies, ..settings() });
    store.pull(&registries, &format!("{}/app", fake.host()), &()).unwrap();
    assert!(proxy.asked().is_empty());
    let error = store.pull(&registries, "registry.invalid/app", &()).unwrap_err().to_string();
    assert!(error.contains("registry registry.invalid: "), "{error}");
    assert!(error.ends_with(&format!(", by proxy {}", proxy.host())), "{error}");
    let asked = proxy.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("CONNECT", "registry.invalid:443"));
}

#[test]
fn a_download_goes_on_where_it_was_cut() {
    let scratch = Scratch::new("cut");
    let (folder, entry) = image(&scratch, 600_000);
    let (own, digest) = (registry(folder.clone(), entry), big(&folder).to_string());
    let fake = Fake::new(move |asked| {
        let answer = own(asked);
        let cut = asked.path.ends_with(&digest).then_some(100_000);
        Answer { cut, ..answer }
    });
    let name = format!("{}/app", fake.host());
    let store = store(&scratch, "store");
    store.pull(&registries(), &name, &()).unwrap();
    let ranges: Vec<_> =
        fake.asked().iter().filter_map(|asked| asked.header("range").map(str::to_owned)).collect();
    let steps = (1..=6).map(|step| format!("bytes={}-", step * 100_000)).collect::<Vec<_>>();
    assert_eq!(ranges, steps[..ranges.len()]);
    assert!(ranges.len() >= 5, "{ranges:?}");
}

#[test]
fn what_an_earlier_pull_brought_is_not_fetched_again_unless_it_is_damaged() {
    let scratch = Scratch::new("resume");
    let (folder, entry) = image(&scratch, 300_000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (name, digest) = (format!("{}/app", fake.host()), big(&folder));
    let blob = fs::read(folder.join("blobs/sha256").join(digest.hex())).unwrap();
    let begin = |store: &Store, bytes: &[u8]| {
        let path = store.root().join("downloads/sha256");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(digest.hex()), bytes).unwrap();
    };
    let ranges = || {
        fake.asked().iter().filter_map(|asked| asked.header("range").map(str::to_owned)).collect::<Vec<_>>()
    };
    let good = store(&scratch, "good");
    begin(&good, &blob[..200_000]);
    good.pull(&registries(), &name, &()).unwrap();
    assert_eq!(ranges(), ["bytes=200000-"]);
    let whole = store(&scratch, "whole");
    begin(&whole, &blob);
    let before = fake.count("GET", &digest.to_string());
    whole.pull(&registries(), &name, &()).unwrap();
    assert_eq!(fake.count("GET", &digest.to_string()), before);
    let longer = store(&scratch, "longer");
    begin(&longer, &[&blob[..], b"trailing"].concat());
    longer.pull(&registries(), &name, &()).unwrap();
    assert!(fs::read(longer.blob_path(&digest)).unwrap() == blob);
    let damaged = store(&scratch, "damaged");
    begin(&damaged, &vec![0; 150_000]);
    damaged.pull(&registries(), &name, &()).unwrap();
    assert_eq!(ranges()[1..], ["bytes=150000-"]);
    for store in [good, whole, damaged] {
        store.resolve(&name).unwrap();
        assert!(tree(&store.root().join("downloads")).is_empty());
    }
}

#[test]
fn a_busy_registry_is_asked_again_after_the_time_that_it_says() {
    let scratch = Scratch::new("busy");
    let (folder, entry) = image(&scratch, 1000);
    let (own, turn) = (registry(folder, entry), AtomicUsize::new(0));
    let fake = Fake::new(move |asked| match turn.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => Answer::status(429).with("retry-after", "0"),
        1 => Answer::status(503),
        _ => own(asked),
    });
    store(&scratch, "store").pull(&registries(), &format!("{}/app", fake.host()), &()).unwrap();
    let patient = Fake::new(|_| Answer::status(429).with("retry-after", "3600"));
    let error = store(&scratch, "other").pull(&registries(), &format!("{}/app", patient.host()), &());
    let words = error.unwrap_err().to_string();
    let expected = format!(
        "image {0}/app:latest: manifest: registry {0}: answers 429 too many requests",
        patient.host()
    );
    assert_eq!(words, expected);
    // An hour is not waited for: HEAD and GET, once each.
    assert_eq!(patient.asked().len(), 2);
}

#[test]
fn what_is_wrong_is_refused_in_words_and_leaves_nothing() {
    let scratch = Scratch::new("wrong");
    let (folder, entry) = image(&scratch, 100_000);
    let digest = big(&folder);
    let length = fs::metadata(folder.join("blobs/sha256").join(digest.hex())).unwrap().len() as usize;
    type Change = Box<dyn Fn(Answer) -> Answer + Send + Sync>;
    let layer: String = digest.to_string();
    let cases: [(&str, Change, String); 5] = [
        (
            "blob",
            Box::new(|answer| Answer { body: vec![0; answer.body.len()], ..answer }),
            format!("blob {layer}: its content is sha256:"),
        ),
        (
            "blob",
            Box::new(|answer| Answer { body: answer.body[..1000].to_vec(), ..answer }),
            format!("has 1000 bytes instead of {length}"),
        ),
        ("blob", Box::new(|_| Answer::status(404)), "answers 404 not found".into()),
        (
            "manifest",
            Box::new(|answer| answer.body(vec![b' '; 100 << 20])),
            "manifest: registry HOST: its answer is longer than 4 MiB".into(),
        ),
        (
            "manifest",
            Box::new(|answer| answer.body("{}")),
            "manifest: registry HOST: sends other content than its digest says".into(),
        ),
    ];
    for (number, (what, change, expected)) in cases.into_iter().enumerate() {
        let own = registry(folder.clone(), entry.clone());
        let at = if what == "blob" { layer.clone() } else { entry["digest"].as_str().unwrap().to_owned() };
        let fake = Fake::new(move |asked| {
            let answer = own(asked);
            if asked.method == "GET" && asked.path.ends_with(&at) { change(answer) } else { answer }
        });
        let (store, name) = (store(&scratch, &format!("store{number}")), format!("{}/app", fake.host()));
        let words = store.pull(&registries(), &name, &()).unwrap_err().to_string();
        assert!(words.starts_with(&format!("image {name}:latest: ")), "{words}");
        assert!(words.contains(&expected.replace("HOST", &fake.host())), "{words}");
        assert!(!words.contains('\n') && !words.contains("os error"), "{words}");
        assert_empty(&store, &words);
    }
}

#[test]
fn a_registry_that_never_answers_is_given_up() {
    let scratch = Scratch::new("silent");
    let fake = Fake::new(|_| Answer { silent: true, ..Answer::default() });
    let host = fake.host();
    let mut settings = Settings { patience: Duration::from_millis(100), attempts: 2, ..settings() };
    settings.hosts.insert(host.clone(), Host { plain_http: true, ..Host::default() });
    let store = store(&scratch, "store");
    let error = store.pull(&Registries::new(settings), &format!("{host}/app"), &()).unwrap_err();
    let expected = format!("image {host}/app:latest: manifest: registry {host}: no answer for 0.1 s");
    assert_eq!(error.to_string(), expected);
    assert_empty(&store, &expected);
    assert_eq!(fake.count("GET", "/latest"), 0, "it is given up once");
    let gone = "127.0.0.1:1/app";
    let fast = Settings { attempts: 2, ..self::settings() };
    let error = store.pull(&Registries::new(fast), gone, &()).unwrap_err().to_string();
    assert_eq!(error, "image 127.0.0.1:1/app:latest: registry 127.0.0.1:1: connection refused");
}

#[test]
fn of_images_that_an_index_says_nothing_of_the_one_for_this_platform_is_pulled() {
    let scratch = Scratch::new("untold");
    let layout = Layout::new(scratch.0.join("layout"));
    let [other, ours] = ["arm64", "amd64"].map(|name| layout.image(name, &[layer(name, name.as_bytes())]));
    let index = json!({ "schemaVersion": 2, "manifests": [other, ours] });
    let entry = layout.document("application/vnd.oci.image.index.v1+json", &index);
    let fake = Fake::new(registry(layout.0, entry));
    let pulled = store(&scratch, "store").pull(&registries(), &format!("{}/app", fake.host()), &()).unwrap();
    assert_eq!(pulled.digest.to_string(), ours["digest"]);
}

#[test]
fn a_registry_that_has_never_answered_is_asked_twice() {
    let scratch = Scratch::new("mute");
    let fake = Fake::new(|_| Answer { silent: true, ..Answer::default() });
    let mut settings = Settings { patience: Duration::from_millis(100), ..settings() };
    settings.hosts.insert(fake.host(), Host { plain_http: true, ..Host::default() });
    let pulled =
        store(&scratch, "store").pull(&Registries::new(settings), &format!("{}/app", fake.host()), &());
    let words = pulled.unwrap_err().to_string();
    assert!(words.ends_with(": no answer for 0.1 s"), "{words}");
    // At most twice: on a busy machine a request may not have come to be read in time.
    assert!(fake.count("HEAD", "/latest") <= 2, "{:?}", fake.asked());
}

#[test]
fn a_token_server_that_never_answers_is_asked_twice() {
    let scratch = Scratch::new("mute-token");
    let tokens = Fake::new(|_| Answer { silent: true, ..Answer::default() });
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.host());
    let fake = Fake::new(move |_| Answer::status(401).with("www-authenticate", challenge.clone()));
    let mut settings = Settings { patience: Duration::from_millis(500), ..settings() };
    settings.hosts.insert(fake.host(), Host { plain_http: true, ..Host::default() });
    let pulled =
        store(&scratch, "store").pull(&Registries::new(settings), &format!("{}/app", fake.host()), &());
    let words = pulled.unwrap_err().to_string();
    assert!(words.ends_with(": no answer for 0.5 s"), "{words}");
    assert!(fake.asked().len() <= 2, "{:?}", fake.asked());
}

#[test]
fn a_registry_that_has_answered_may_be_silent_for_longer() {
    let scratch = Scratch::new("hesitating");
    let (folder, entry) = image(&scratch, 1000);
    let (own, silences) = (registry(folder, entry), AtomicUsize::new(0));
    let fake = Fake::new(move |asked| {
        let silent = asked.method == "GET" && silences.fetch_add(1, Ordering::SeqCst) < 3;
        Answer { silent, ..own(asked) }
    });
    let mut settings = Settings { patience: Duration::from_millis(500), ..settings() };
    settings.hosts.insert(fake.host(), Host { plain_http: true, ..Host::default() });
    let store = store(&scratch, "store");
    store.pull(&Registries::new(settings), &format!("{}/app", fake.host()), &()).unwrap();
}

#[test]
fn a_registry_of_this_machine_may_be_about_to_start() {
    let scratch = Scratch::new("starting");
    let (folder, entry) = image(&scratch, 1000);
    let (_held, port) = held_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        Fake::at(address, registry(folder, entry))
    });
    let patient = Settings { pause: Duration::from_millis(100), ..settings() };
    store(&scratch, "store").pull(&Registries::new(patient), &format!("{address}/app"), &()).unwrap();
    drop(later.join().unwrap());
}

#[test]
fn a_token_is_for_the_registry_alone_and_renewed_when_it_is_refused() {
    let scratch = Scratch::new("token");
    let (folder, entry) = image(&scratch, 1000);
    let (own, digest) = (registry(folder.clone(), entry.clone()), big(&folder).to_string());
    let storage = Fake::new({
        let own = registry(folder, entry);
        move |asked| match asked.header("authorization") {
            Some(_) => Answer::status(400),
            None => own(asked),
        }
    });
    let issued = AtomicUsize::new(0);
    let tokens = Fake::new(move |asked| match asked.header("authorization") {
        // me:secret
        Some("Basic bWU6c2VjcmV0") => {
            let number = issued.fetch_add(1, Ordering::SeqCst);
            Answer::status(200).body(json!({ "token": format!("t{number}") }).to_string())
        }
        _ => Answer::status(401),
    });
    let realm = format!("http://{}/token", tokens.host());
    let (elsewhere, good_until) =
        (format!("http://{}/v2/app/blobs/{digest}", storage.host()), AtomicUsize::new(0));
    let fake = Fake::new(move |asked| {
        // The first token is good for two requests, the second for all.
        let good = match asked.header("authorization") {
            Some("Bearer t0") => good_until.fetch_add(1, Ordering::SeqCst) < 2,
            Some("Bearer t1") => true,
            _ => false,
        };
        if !good && asked.path != "/v2/" {
            let challenge = format!(r#"Bearer realm="{realm}",service="s",scope="repository:app:pull""#);
            return Answer::status(401).with("www-authenticate", challenge);
        }
        if asked.path.ends_with(&digest) {
            return Answer::status(307).with("location", elsewhere.clone());
        }
        own(asked)
    });
    let name = format!("{}/app", fake.host());
    let mut settings = settings();
    let anonymous = store(&scratch, "none").pull(&Registries::new(settings.clone()), &name, &()).unwrap_err();
    assert!(anonymous.to_string().ends_with("access denied: the token server refuses"), "{anonymous}");
    assert!(matches!(anonymous, Error::Denied { .. }), "{anonymous:?}");
    let me = Credentials::Password { user: "me".into(), password: "secret".into() };
    settings.credentials.insert(fake.host(), me);
    store(&scratch, "store").pull(&Registries::new(settings), &name, &()).unwrap();
    assert_eq!(storage.asked().len(), 1);
    let asked = tokens.asked();
    assert!(
        asked.iter().all(|asked| asked.path == "/token?service=s&scope=repository:app:pull"),
        "{asked:?}"
    );
    assert_eq!(asked.iter().filter(|asked| asked.header("authorization").is_some()).count(), 2);
}

#[test]
fn a_token_server_may_redirect_and_ask_for_time() {
    let scratch = Scratch::new("token-redirect");
    let (folder, entry) = image(&scratch, 1000);
    // Who gives the token is not told who we are: another server.
    let giving = Fake::new(|asked| match asked.header("authorization") {
        Some(_) => Answer::status(400),
        None => Answer::status(200).body(r#"{"token":"t"}"#),
    });
    let (elsewhere, turns) = (format!("http://{}/given", giving.host()), AtomicUsize::new(0));
    let tokens = Fake::new(move |asked| match turns.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::status(429).with("retry-after", "1"),
        _ if asked.path.starts_with("/token") => Answer::status(307).with("location", "/there"),
        _ => Answer::status(302).with("location", elsewhere.clone()),
    });
    let challenge = format!(r#"Bearer realm="http://{}/token",service="s""#, tokens.host());
    let own = registry(folder, entry);
    let fake = Fake::new(move |asked| match asked.header("authorization") {
        Some("Bearer t") => own(asked),
        _ => Answer::status(401).with("www-authenticate", challenge.clone()),
    });
    let mut settings = settings();
    let me = Credentials::Password { user: "me".into(), password: "secret".into() };
    settings.credentials.insert(fake.host(), me);
    let begun = std::time::Instant::now();
    store(&scratch, "store").pull(&Registries::new(settings), &format!("{}/app", fake.host()), &()).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "as long as it asked for");
    let asked = tokens.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.split('?').next().unwrap()).collect();
    assert_eq!(paths, ["/token", "/token", "/there"]);
    assert!(asked.iter().all(|asked| asked.header("authorization").is_some()));
}

#[test]
fn credentials_that_are_refused_make_way_for_the_next() {
    let scratch = Scratch::new("several");
    let (folder, entry) = image(&scratch, 1000);
    let basic = |user: &str| {
        use base64::prelude::*;
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:p")))
    };
    // Nobody knows `one`; `two` may not have this repository.
    let known = [("two", basic("two")), ("three", basic("three"))];
    let tokens = Fake::new(move |asked| {
        let user = known.iter().find(|(_, header)| asked.header("authorization") == Some(header));
        match user {
            Some((user, _)) => Answer::status(200).body(json!({ "token": user }).to_string()),
            None => Answer::status(403),
        }
    });
    let challenge = format!(r#"Bearer realm="http://{}/token",service="s""#, tokens.host());
    let own = registry(folder.clone(), entry.clone());
    let by_token = Fake::new(move |asked| match asked.header("authorization") {
        Some("Bearer two") => Answer::status(403),
        Some("Bearer three") => own(asked),
        _ => Answer::status(401).with("www-authenticate", challenge.clone()),
    });
    let (own, third) = (registry(folder, entry), basic("three"));
    let by_password = Fake::new(move |asked| match asked.header("authorization") {
        Some(sent) if sent == third => own(asked),
        _ => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
    });
    let config = scratch.0.join("config.json");
    for (number, fake) in [by_token, by_password].iter().enumerate() {
        let (host, store) = (fake.host(), store(&scratch, &format!("store{number}")));
        let user = |user: &str| json!({ "username": user, "password": "p" });
        let pull_with = |own: Option<&str>, auths: Value| {
            fs::write(&config, json!({ "auths": auths }).to_string()).unwrap();
            let mut settings = Settings { docker_config: Some(config.clone()), ..settings() };
            let password = |user: &str| Credentials::Password { user: user.into(), password: "p".into() };
            settings.credentials.extend(own.map(|user| (host.clone(), password(user))));
            store.pull(&Registries::new(settings), &format!("{host}/app"), &())
        };
        let pull = |auths: Value| pull_with(None, auths);
        let whole = format!("{host}/app");
        let error = pull(json!({ &host: user("two"), &whole: user("one") })).unwrap_err().to_string();
        assert!(error.contains("403 forbidden") || error.contains("the password is wrong"), "{error}");
        pull(json!({ &host: [user("two"), user("three")], &whole: user("one") })).unwrap();
        // The machine's own are no reason to pass those over, nor the other way round.
        for (own, other) in [("two", "three"), ("three", "one")] {
            store.remove(&format!("{host}/app")).unwrap();
            pull_with(Some(own), json!({ &host: user(other) })).unwrap();
        }
    }
}

#[test]
fn mirrors_are_asked_first_and_may_fail() {
    let scratch = Scratch::new("mirrors");
    let (folder, entry) = image(&scratch, 100_000);
    let digest = big(&folder).to_string();
    let broken = Fake::new(|_| Answer::status(404));
    // Has the manifest and wrong bytes in place of a layer's end, then none.
    let half = Fake::new({
        let own = registry(folder.clone(), entry.clone());
        let digest = digest.clone();
        move |asked| match asked.path.ends_with(&digest) {
            true if asked.header("range").is_some() => Answer::status(404),
            true => Answer { cut: Some(50_000), ..own(asked) },
            false => own(asked),
        }
    });
    let fake = Fake::new(registry(folder, entry));
    let mut settings = settings();
    let mirrors = vec![format!("http://{}", broken.host()), format!("http://{}", half.host())];
    settings.hosts.insert(fake.host(), Host { mirrors, ..Host::default() });
    let store = store(&scratch, "store");
    let pulled = store.pull(&Registries::new(settings), &format!("{}/app", fake.host()), &()).unwrap();
    assert_eq!(pulled.notes, [format!("registry {}: answers 404 not found", broken.host())]);
    assert_eq!(fake.count("GET", &digest), 1);
    assert_eq!(fake.asked().iter().filter(|asked| asked.path.contains("/manifests/")).count(), 0);
}

#[test]
fn nobody_waits_for_a_mirror_that_does_not_answer() {
    let scratch = Scratch::new("mirror-away");
    let layout = Layout::new(scratch.0.join("layout"));
    let layers: Vec<_> = (0..5_u8).map(|number| layer(&format!("file{number}"), &[number])).collect();
    let entry = layout.image("amd64", &layers);
    let fake = Fake::new(registry(layout.0, entry));
    let silent = Fake::new(|_| Answer { silent: true, ..Answer::default() });
    let busy = Fake::new(|_| Answer::status(503));
    // It holds for the others, too, which have much else to wait for on a busy machine.
    let patience = Duration::from_secs(5);
    let mut settings = Settings { patience, ..settings() };
    let hosts = ["127.0.0.1:1".to_owned(), silent.host(), busy.host()];
    let mirrors = hosts.iter().map(|host| format!("http://{host}")).collect();
    settings.hosts.insert(fake.host(), Host { mirrors, ..Host::default() });
    let store = store(&scratch, "store");
    let pulled = store.pull(&Registries::new(settings), &format!("{}/app", fake.host()), &()).unwrap();
    assert_eq!(silent.asked().len(), 1);
    // Two tries for the tag, the manifest, the configuration and each layer.
    assert_eq!(busy.asked().len(), 2 * 8);
    let said = ["connection refused", "no answer for 5 s", "answers 503 service unavailable"];
    let notes: Vec<_> =
        hosts.iter().zip(said).map(|(host, said)| format!("registry {host}: {said}")).collect();
    assert_eq!(pulled.notes, notes);
}

#[test]
fn a_mirror_that_tells_no_digest_is_asked_for_the_manifest_though_the_registry_is_not_there() {
    let scratch = Scratch::new("mirror-files");
    let (folder, entry) = image(&scratch, 100);
    let own = registry(folder, entry);
    let files = Fake::new(move |asked| match asked.method.as_str() {
        "HEAD" => Answer::status(200),
        _ => own(asked),
    });
    let mut settings = Settings { attempts: 1, ..settings() };
    let mirrors = vec![format!("http://{}", files.host())];
    settings.hosts.insert("127.0.0.1:1".into(), Host { mirrors, plain_http: true, ..Host::default() });
    store(&scratch, "store").pull(&Registries::new(settings), "127.0.0.1:1/app", &()).unwrap();
}

#[test]
fn what_the_mirrors_said_is_told_when_the_registry_does_not_answer_either() {
    let scratch = Scratch::new("mirrors-said");
    let closed = Fake::new(|_| Answer::status(403));
    let mut settings = Settings { attempts: 1, ..settings() };
    let mirrors = vec![format!("http://{}", closed.host())];
    settings.hosts.insert("127.0.0.1:1".into(), Host { mirrors, plain_http: true, ..Host::default() });
    let store = store(&scratch, "store");
    let error = store.pull(&Registries::new(settings), "127.0.0.1:1/app", &()).unwrap_err().to_string();
    let own = "image 127.0.0.1:1/app:latest: manifest: registry 127.0.0.1:1: connection refused";
    assert_eq!(error, format!("{own}; mirror: registry {}: answers 403 forbidden", closed.host()));
}

#[test]
fn a_password_that_cannot_be_read_is_told_where_it_is_asked_for() {
    let scratch = Scratch::new("no-password");
    let (folder, entry) = image(&scratch, 100);
    let open = Fake::new(registry(folder, entry));
    let closed = Fake::new(|_| Answer::status(401).with("www-authenticate", "Basic realm=\"x\""));
    let why = "password of me: read /none: no such file or directory".to_owned();
    let no_credentials = [&open, &closed].map(|fake| (fake.host(), why.clone())).into();
    let registries = Registries::new(Settings { no_credentials, ..settings() });
    let store = store(&scratch, "store");
    store.pull(&registries, &format!("{}/app", open.host()), &()).unwrap();
    let error = store.pull(&registries, &format!("{}/app", closed.host()), &()).unwrap_err().to_string();
    assert!(error.ends_with(&format!("registry {}: {why}", closed.host())), "{error}");
}

#[test]
fn a_mirror_with_wrong_bytes_does_not_stand_in_the_registry_s_way() {
    let scratch = Scratch::new("wrong-mirror");
    let (folder, entry) = image(&scratch, 100_000);
    let digest = big(&folder);
    // Right manifests, and zeros in place of every blob.
    let wrong = Fake::new({
        let own = registry(folder.clone(), entry.clone());
        move |asked| {
            let answer = own(asked);
            let zeros = vec![0; answer.body.len()];
            if asked.path.contains("/blobs/") { answer.body(zeros) } else { answer }
        }
    });
    let fake = Fake::new(registry(folder.clone(), entry));
    let mut settings = settings();
    let mirrors = vec![format!("http://{}", wrong.host())];
    settings.hosts.insert(fake.host(), Host { mirrors, ..Host::default() });
    let (registries, name) = (Registries::new(settings), format!("{}/app", fake.host()));
    let store = store(&scratch, "store");
    // What was there before is tried first, then the mirror, then the registry.
    let begun = store.root().join("downloads/sha256");
    fs::create_dir_all(&begun).unwrap();
    fs::write(begun.join(digest.hex()), b"begun").unwrap();
    store.pull(&registries, &name, &()).unwrap();
    store.resolve(&name).unwrap();
    let blob = format!("/blobs/{digest}");
    assert_eq!((wrong.count("GET", &blob), fake.count("GET", &blob)), (2, 1));
    assert!(fake.asked().iter().all(|asked| asked.header("range").is_none()));
}

#[test]
fn a_layer_that_is_refused_though_its_bytes_are_right_is_fetched_once() {
    let scratch = Scratch::new("refused");
    let layout = Layout::new(scratch.0.join("layout"));
    let entry = layout.image("amd64", &[layer("../escape", b"x")]);
    let mirror = Fake::new(registry(layout.0.clone(), entry.clone()));
    let fake = Fake::new(registry(layout.0, entry));
    let mut settings = settings();
    let mirrors = vec![format!("http://{}", mirror.host())];
    settings.hosts.insert(fake.host(), Host { mirrors, ..Host::default() });
    let name = format!("{}/app", fake.host());
    let store = store(&scratch, "store");
    let words = store.pull(&Registries::new(settings), &name, &()).unwrap_err().to_string();
    assert!(words.ends_with("the path climbs out of the layer"), "{words}");
    assert_eq!(fake.asked().iter().filter(|asked| asked.path.contains("/blobs/")).count(), 0);
}

#[test]
fn an_index_within_an_index_leads_to_the_variant_that_runs_here() {
    let scratch = Scratch::new("pull-index");
    let layout = Layout::new(scratch.0.join("layout"));
    let mut entries = Vec::new();
    for architecture in ["arm64", "amd64"] {
        let mut entry = layout.image(architecture, &[layer("f", architecture.as_bytes())]);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let digest = entries[1]["digest"].as_str().unwrap().to_owned();
    let kind = "application/vnd.oci.image.index.v1+json";
    let inner = layout.document(kind, &json!({ "schemaVersion": 2, "manifests": entries }));
    let outer = layout.document(kind, &json!({ "schemaVersion": 2, "manifests": [inner] }));
    let top = outer["digest"].as_str().unwrap().to_owned();
    let fake = Fake::new(registry(layout.0, outer));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    let pulled = store.pull(&registries(), &name, &()).unwrap();
    assert_eq!(pulled.digest.to_string(), digest);
    assert_eq!(store.resolve(&name).unwrap().layers[0].diff_id, Digest::sha256(&layer("f", b"amd64").1));
    let before = fake.asked().len();
    assert!(store.pull(&registries(), &name, &()).unwrap().up_to_date);
    let asked: Vec<String> = fake.asked()[before..].iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(asked, ["HEAD"], "what the tag means is on record");
    let mut listed = store.list().unwrap();
    assert_eq!(listed.remove(0).digest.to_string(), digest);
    // Another machine's image is another one, though the index is the same.
    let arm = Platform { os: "linux".into(), architecture: "arm64".into(), variant: None };
    assert!(!store.clone().for_platform(arm.clone()).pull(&registries(), &name, &()).unwrap().up_to_date);
    assert!(store.clone().for_platform(arm).pull(&registries(), &name, &()).unwrap().up_to_date);
    assert!(!store.pull(&registries(), &name, &()).unwrap().up_to_date);
    // By the digest of the index it is the same image.
    let by_index = format!("{name}@{top}");
    assert_eq!(store.resolve(&by_index).unwrap().digest.to_string(), digest);
    assert_eq!(store.resolve(&format!("{name}:latest@{top}")).unwrap().digest.to_string(), digest);
    assert!(matches!(store.resolve(&format!("{name}:other@{top}")), Err(Error::NoImage(_))));
    let out = scratch.0.join("out");
    store.export_layout(&[&by_index], &out, &()).unwrap();
    assert_eq!(store.import_all(&out, &()).unwrap()[0].digest.to_string(), digest);
    // In another repository no index has it.
    store.tag(&name, "q:1").unwrap();
    assert_eq!(store.details(&"q:1".parse().unwrap()).unwrap().index, None);
    store.tag(&name, &format!("{name}:2")).unwrap();
    assert!(store.details(&format!("{name}:2").parse().unwrap()).unwrap().index.is_some());
    assert_eq!(store.pull(&registries(), &by_index, &()).unwrap().digest.to_string(), digest);
    assert_eq!(store.resolve(&by_index).unwrap().digest.to_string(), digest);
    let other = Platform { os: "linux".into(), architecture: "riscv64".into(), variant: None };
    let error = store.for_platform(other).pull(&registries(), &name, &()).unwrap_err().to_string();
    assert!(
        error.ends_with("has no variant for linux/riscv64, only for linux/arm64, linux/amd64"),
        "{error}"
    );
}

#[test]
fn a_layer_that_is_to_have_two_contents_is_refused() {
    let scratch = Scratch::new("two-contents");
    let layout = Layout::new(scratch.0.join("layout"));
    let ((packed, one), (_, other)) = (layer("a", b"1"), layer("b", b"2"));
    let [digest, first, second] = [&packed, &one, &other].map(|bytes| Digest::sha256(bytes));
    let entry = layout.image("amd64", &[(packed.clone(), one.clone()), (packed, other)]);
    let fake = Fake::new(registry(layout.0, entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    let words = store.pull(&registries(), &name, &()).unwrap_err().to_string();
    let why = format!("is to have two contents, {first} and {second}");
    assert_eq!(words, format!("image {name}:latest: layer {digest}: {why}"));
    assert_empty(&store, &words);
}

#[test]
fn a_media_type_that_is_no_manifest_s_is_not_kept() {
    let scratch = Scratch::new("media-type");
    let layout = Layout::new(scratch.0.join("layout"));
    let mut entry = layout.image("amd64", &[layer("f", b"x")]);
    entry["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    let index = layout.document("application/vnd.oci.image.index.v1+json", &index);
    let fake = Fake::new(registry(layout.0, index));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    store.pull(&registries(), &name, &()).unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    store.resolve(&name).unwrap();
}

#[test]
fn a_manifest_that_is_cut_is_fetched_again() {
    let scratch = Scratch::new("cut-manifest");
    let (folder, entry) = image(&scratch, 1000);
    let (own, turns) = (registry(folder, entry), AtomicUsize::new(0));
    let fake = Fake::new(move |asked| {
        let manifest = asked.method == "GET" && asked.path.contains("/manifests/");
        let cut = (manifest && turns.fetch_add(1, Ordering::SeqCst) < 2).then_some(10);
        Answer { cut, ..own(asked) }
    });
    store(&scratch, "store").pull(&registries(), &format!("{}/app", fake.host()), &()).unwrap();
    assert_eq!(
        fake.asked().iter().filter(|asked| asked.is("GET", "") && asked.path.contains("/manifests/")).count(),
        3
    );
}

#[test]
fn a_name_by_digest_is_a_name_of_its_own() {
    let scratch = Scratch::new("by-digest");
    let (folder, entry) = image(&scratch, 1000);
    let fake = Fake::new(registry(folder, entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    let digest = store.pull(&registries(), &name, &()).unwrap().digest;
    let by_digest = format!("{name}@{digest}");
    let pulled = store.pull(&registries(), &by_digest, &()).unwrap();
    assert_eq!((pulled.up_to_date, pulled.new_layers), (false, 0));
    let asked = fake.asked().len();
    assert!(store.pull(&registries(), &by_digest, &()).unwrap().up_to_date);
    assert_eq!(fake.asked().len(), asked, "it is here, and cannot be another");
    let confirming = Registries::new(Settings { confirms: true, ..settings() });
    assert!(store.pull(&confirming, &by_digest, &()).unwrap().up_to_date);
    assert_eq!(fake.asked().len(), asked + 2, "its manifest and its configuration are given to us");
    store.remove(&name).unwrap();
    assert_eq!(store.resolve(&by_digest).unwrap().digest, digest);
    let other = Digest::sha256(b"other");
    let error = store.pull(&registries(), &format!("{name}@{other}"), &()).unwrap_err().to_string();
    assert!(error.contains("answers 404 not found (it is not known here)"), "{error}");
}

#[test]
fn two_pulls_of_a_layer_download_it_once() {
    let scratch = Scratch::new("once");
    let (folder, entry) = image(&scratch, 2_000_000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.pull(&registries(), &name, &()).unwrap());
        }
    });
    assert_eq!(fake.count("GET", &big(&folder).to_string()), 1);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap(), Collected::default());
    assert!(tree(&store.root().join("tmp")).is_empty());
}

#[test]
fn without_packed_layers_a_pull_keeps_the_converted_ones_alone() {
    let scratch = Scratch::new("unpacked");
    let (folder, entry) = image(&scratch, 1000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (bare, name) = (store(&scratch, "store").without_packed_layers(), format!("{}/app", fake.host()));
    bare.pull(&registries(), &name, &()).unwrap();
    assert!(!bare.blob_path(&big(&folder)).exists());
    assert!(bare.pull(&registries(), &name, &()).unwrap().up_to_date);
    assert!(tree(&bare.root().join("downloads")).is_empty());
    // A store that keeps them fetches what it lacks, and converts nothing again.
    let keeping = store(&scratch, "store");
    let before = fs::metadata(&keeping.resolve(&name).unwrap().layers[1].path).unwrap().modified().unwrap();
    keeping.pull(&registries(), &name, &()).unwrap();
    assert!(keeping.blob_path(&big(&folder)).is_file());
    let after = fs::metadata(&keeping.resolve(&name).unwrap().layers[1].path).unwrap().modified().unwrap();
    assert_eq!(before, after);
}

/// Turns a bit over in the middle of a file.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // A sealed file cannot be written.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_damaged_is_brought_back_from_here_or_from_the_registry() {
    let scratch = Scratch::new("mend");
    let (folder, entry) = image(&scratch, 50_000);
    let fake = Fake::new(registry(folder, entry));
    let store = store(&scratch, "store");
    let name = format!("{}/app", fake.host());
    let digest = store.pull(&registries(), &name, &()).unwrap().digest;
    let whole = tree(store.root());
    let mend = |store: &Store| {
        let checked = store.check(true).unwrap();
        let outcomes = store.mend(&registries(), &checked, &BTreeMap::new(), &()).unwrap();
        checked.bad.iter().map(|bad| bad.kind).zip(outcomes).collect::<Vec<_>>()
    };
    assert_eq!(mend(&store), []);
    // A layer, whose packed form is here: nobody is asked.
    let asked = fake.asked().len();
    let layers = store.resolve(&name).unwrap().layers;
    spoil(&layers[1].path);
    assert_eq!(mend(&store), [("layer", Outcome::Mended), ("image", Outcome::Mended)]);
    assert_eq!(fake.asked().len(), asked);
    // Everything, and the tag means something else by now.
    for path in tree(&store.root().join("layers")).iter().chain(&tree(&store.root().join("blobs"))) {
        if path.extension().is_none_or(|extension| extension == "erofs") {
            spoil(path);
        }
    }
    let garbage = store.root().join("blobs/sha256").join("00".repeat(32));
    fs::write(&garbage, b"x").unwrap();
    let mended = mend(&store);
    assert_eq!(mended.iter().filter(|(_, outcome)| *outcome == Outcome::Mended).count(), 7, "{mended:?}");
    assert_eq!(mended.iter().filter(|(_, outcome)| *outcome == Outcome::Unneeded).count(), 1, "{mended:?}");
    assert!(!fake.asked()[asked..].iter().any(|asked| asked.path.ends_with("/latest")));
    assert_eq!((tree(store.root()), store.resolve(&name).unwrap().digest), (whole, digest));
    assert_eq!(mend(&store), []);
    // Nobody has it any more.
    drop(fake);
    spoil(&store.blob_path(&store.resolve(&name).unwrap().digest));
    let mended = mend(&store);
    assert!(matches!(&mended[..], [("blob", Outcome::Lost(_)), ("image", Outcome::Lost(_))]), "{mended:?}");
}

#[test]
fn a_disk_that_takes_no_layer_costs_no_packed_one() {
    let scratch = Scratch::new("no-room");
    let (folder, entry) = image(&scratch, 50_000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app:latest", fake.host()));
    store.pull(&registries(), &name, &()).unwrap();
    drop(fake);
    // What a layer's file is to be in is a file itself.
    let layers = store.root().join("layers/sha256");
    fs::remove_dir_all(&layers).unwrap();
    fs::write(&layers, b"").unwrap();
    let why = "missing".to_owned();
    let checked = Checked {
        bad: vec![Bad { kind: "image", name: name.clone(), why, file: None }],
        ..Checked::default()
    };
    let mend = || store.mend(&registries(), &checked, &BTreeMap::new(), &()).unwrap().remove(0);
    let Outcome::Lost(why) = mend() else { panic!("there is no place for it") };
    assert!(why.contains("layers/sha256") && !why.contains("registry"), "{why}");
    assert!(store.blob_path(&big(&folder)).is_file());
    assert!(tree(&store.root().join("downloads")).is_empty());
    fs::remove_file(&layers).unwrap();
    assert_eq!(mend(), Outcome::Mended);
    // One that is damaged goes, and another one cannot be had.
    fs::remove_dir_all(&layers).unwrap();
    fs::write(store.blob_path(&big(&folder)), b"damaged").unwrap();
    assert!(matches!(mend(), Outcome::Lost(_)));
    assert!(!store.blob_path(&big(&folder)).exists());
}

#[test]
fn what_a_container_is_made_of_is_brought_back_though_its_name_is_gone() {
    let scratch = Scratch::new("mend-in-use");
    let (folder, entry) = image(&scratch, 50_000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    let digest = store.pull(&registries(), &name, &()).unwrap().digest;
    let layer = store.resolve(&name).unwrap().layers[1].path.clone();
    store.remove(&name).unwrap();
    let elsewhere = (Digest::sha256(b"an image of the node's root"), "app".to_owned());
    let in_use = BTreeMap::from([(digest.clone(), name.clone()), elsewhere]);
    let mend = |in_use: &BTreeMap<Digest, String>| {
        let checked = store.check(true).unwrap();
        store.mend(&registries(), &checked, in_use, &()).unwrap()
    };
    let asked = fake.asked().len();
    spoil(&layer);
    assert_eq!(mend(&in_use), [Outcome::Mended], "of its packed form");
    assert_eq!(fake.asked().len(), asked);
    for path in [&layer, &store.blob_path(&big(&folder)), &store.blob_path(&digest)] {
        spoil(path);
    }
    assert_eq!(mend(&in_use), [Outcome::Mended, Outcome::Mended, Outcome::Mended]);
    let stores = crate::Stores::new(vec![store.clone()]);
    assert_eq!(stores.resolve_digest(&name, &digest).unwrap().layers.len(), 2);
    assert!(store.list().unwrap().is_empty(), "the name stays gone");
    spoil(&layer);
    assert_eq!(mend(&BTreeMap::new()), [Outcome::Unneeded]);
}

#[test]
fn a_packed_layer_that_could_not_be_had_is_asked_for_again() {
    let scratch = Scratch::new("packed-gone");
    let (folder, entry) = image(&scratch, 50_000);
    let fake = Fake::new(registry(folder.clone(), entry));
    let (store, name) = (store(&scratch, "store"), format!("{}/app", fake.host()));
    store.pull(&registries(), &name, &()).unwrap();
    // Nobody has it by this name.
    let other = format!("{}/other", fake.host());
    store.tag(&name, &other).unwrap();
    let (digest, blob) = (big(&folder), store.blob_path(&big(&folder)));
    fs::remove_file(&blob).unwrap();
    let checked = store.check(true).unwrap();
    let told: Vec<_> = checked.bad.iter().map(ToString::to_string).collect();
    assert_eq!((told, checked.images), (vec![format!("blob {digest}: missing")], 2));
    store.remove(&name).unwrap();
    let mend = || store.mend(&registries(), &store.check(true).unwrap(), &BTreeMap::new(), &()).unwrap();
    let lost = mend();
    assert!(matches!(lost[..], [Outcome::Lost(_)]), "{lost:?}");
    store.tag(&other, &name).unwrap();
    assert_eq!(mend(), [Outcome::Mended]);
    assert!(blob.is_file() && store.check(true).unwrap().bad.is_empty());
    // A store that keeps none misses none.
    let bare = self::store(&scratch, "bare").without_packed_layers();
    bare.pull(&registries(), &name, &()).unwrap();
    assert!(bare.check(true).unwrap().bad.is_empty());
}
