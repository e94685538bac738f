//! The store and Debian's docker-registry: with TLS, passwords and tokens, over a connection that
//! is bad, and with programs that are killed. Images that skopeo brought open here, and ours there.
//!
//! Needs openssl, skopeo, umoci and `tools/need-unpacked docker-registry`:
//!
//!     cargo build -p store --examples
//!     cargo test -p store --test registries
//!
//! `SKERRY_TORTURE_ROUNDS=1000` kills so many programs in place of twenty.

#[path = "../../src/registry/fake.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod fake;
mod kills;
mod peer;
mod place;
mod proxy;
mod tokens;

use peer::{Peer, Rules, certificates};
use place::{Place, contents, puller, run};
use proxy::{Ills, Proxy, Random};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::registry::{Credentials, Host, Pem, Settings};
use store::{Digest, Error, Form, Registries, Store};

/// How tests reach registries: briefly, and with the tests' CA.
fn settings(place: &Place, hosts: &[&str]) -> Settings {
    let pause = Duration::from_millis(20);
    let mut settings = Settings { trusted: None, pause, attempts: 10, ..Settings::default() };
    for host in hosts {
        let ca = place.path("ca.crt").exists().then(|| Pem::File(place.text("ca.crt")));
        settings.hosts.insert((*host).to_owned(), Host { ca, ..Host::default() });
    }
    settings
}

fn me() -> Credentials {
    Credentials::Password { user: "me".into(), password: "secret".into() }
}

fn tls(place: &Place) -> Rules {
    certificates(place);
    Rules { tls: Some((place.path("server.crt"), place.path("server.key"))), ..Rules::default() }
}

/// Brings an OCI layout to a registry by skopeo.
fn bring(place: &Place, layout: &str, to: &str, options: &[&str]) {
    let (from, to) = (format!("oci:{}:latest", place.text(layout)), format!("docker://{to}"));
    run("skopeo", &[&["copy", "--quiet", &from, &to], options].concat());
}

fn refusal(store: &Store, settings: &Settings, name: &str) -> String {
    let error = store.pull(&Registries::new(settings.clone()), name, &()).unwrap_err().to_string();
    assert!(!error.contains('\n') && !error.contains("os error"), "{error}");
    assert_eq!(contents(&store.root().join("names")), [], "{error}");
    for folder in ["tmp", "downloads"] {
        assert_eq!(contents(&store.root().join(folder)), [], "{error}");
    }
    error
}

#[test]
fn passwords_and_certificates_are_wanted_and_images_of_skopeo_open() {
    let place = Place::new("tls");
    let peer = Peer::start(&place, "peer", &Rules { password: true, ..tls(&place) });
    let digest = place.image("layout", &[200_000, 300_000]);
    let (name, certs) = (format!("{}/a/app:1", peer.host()), place.text("certs"));
    fs::create_dir(&certs).unwrap();
    fs::copy(place.path("ca.crt"), place.path("certs/ca.crt")).unwrap();
    bring(&place, "layout", &name, &["--dest-creds", "me:secret", "--dest-cert-dir", &certs]);

    let store = place.store("store");
    let stranger = Settings { trusted: None, ..Settings::default() };
    let error = refusal(&store, &stranger, &name);
    assert!(error.contains("its certificate is not valid here: issued by nobody that is trusted"), "{error}");
    let mut settings = settings(&place, &[&peer.host()]);
    let error = refusal(&store, &settings, &name);
    assert!(
        error.ends_with("access denied: it wants a user name and a password, and none is known"),
        "{error}"
    );
    let wrong = Credentials::Password { user: "me".into(), password: "wrong".into() };
    settings.credentials.insert(peer.host(), wrong);
    let error = refusal(&store, &settings, &name);
    assert!(error.ends_with("access denied: the user name or the password is wrong"), "{error}");
    // What Docker keeps.
    settings.credentials.clear();
    let config = place.path("config.json");
    let auth = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "me:secret");
    fs::write(&config, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, peer.host())).unwrap();
    settings.docker_config = Some(config);
    let registries = Registries::new(settings);
    assert_eq!(store.pull(&registries, &name, &()).unwrap().digest, digest);
    assert!(store.pull(&registries, &name, &()).unwrap().up_to_date);

    // Elsewhere it is the same, for others too.
    let there = format!("{}/b:2", peer.host());
    let pushed = store.push(&registries, &name, &there, &()).unwrap();
    assert_eq!((&pushed.digest, pushed.mounted), (&digest, 2));
    let options = ["--creds", "me:secret", "--cert-dir", &certs];
    let manifest =
        run("skopeo", &[&["inspect", "--raw", &format!("docker://{there}")], &options[..]].concat());
    assert_eq!(Digest::sha256(manifest.as_bytes()), digest);
    let copy = format!("oci:{}:latest", place.text("copy"));
    let options = ["--quiet", "--src-creds", "me:secret", "--src-cert-dir", &certs];
    run("skopeo", &[&["copy", &format!("docker://{there}"), &copy], &options[..]].concat());
    run("umoci", &["unpack", "--rootless", "--image", &place.text("copy:latest"), &place.text("bundle")]);
    let size = fs::metadata(place.path("bundle/rootfs/large")).unwrap().len();
    assert_eq!(size, 300_000);
}

#[test]
fn tokens_are_fetched_for_what_is_done() {
    let place = Place::new("tokens");
    let signer = tokens::signer(&place);
    let server = tokens::start(&place);
    let realm = format!("http://{}/token", server.host());
    let peer = Peer::start(&place, "peer", &Rules { tokens: Some((realm, signer)), ..Rules::default() });
    let digest = place.image("layout", &[100_000, 200_000]);
    let (store, mut settings) = (place.store("store"), settings(&place, &[]));
    store.import(&place.path("layout"), "app").unwrap();
    let name = |repository: &str| format!("{}/{repository}:1", peer.host());
    let error = store.push(&Registries::new(settings.clone()), "app", &name("a/one"), &()).unwrap_err();
    assert!(error.to_string().contains("401") || error.to_string().contains("denied"), "{error}");
    settings.credentials.insert(peer.host(), me());
    let registries = Registries::new(settings.clone());
    assert_eq!(store.push(&registries, "app", &name("a/one"), &()).unwrap().sent, 3);
    // Whoever comes may read.
    settings.credentials.clear();
    let pulled = store.pull(&Registries::new(settings), &name("a/one"), &()).unwrap();
    assert_eq!((pulled.digest, pulled.new_layers), (digest, 0));
    let pushed = store.push(&registries, "app", &name("two"), &()).unwrap();
    assert_eq!((pushed.sent, pushed.mounted), (1, 2));
    let for_both = |path: &str| {
        path.contains("scope=repository:a/one:pull") && path.contains("scope=repository:two:pull,push")
    };
    assert!(server.asked().iter().any(|asked| for_both(&asked.path)));
}

#[test]
fn a_client_is_known_by_its_certificate() {
    let place = Place::new("client");
    let rules = tls(&place);
    let peer = Peer::start(&place, "peer", &Rules { clients: Some(place.path("ca.crt")), ..rules });
    place.image("layout", &[1000]);
    let (store, mut settings) = (place.store("store"), settings(&place, &[&peer.host()]));
    let name = format!("{}/app:1", peer.host());
    let error = refusal(&store, &settings, &name);
    assert!(error.contains("refuses the connection (TLS alert "), "{error}");
    // The certificate in a file, the key as a text.
    let key = Pem::Text(fs::read_to_string(place.path("client.key")).unwrap());
    let identity = Some((Pem::File(place.text("client.crt")), key));
    settings.hosts.get_mut(&peer.host()).unwrap().identity = identity;
    store.import(&place.path("layout"), &name).unwrap();
    let registries = Registries::new(settings);
    store.push(&registries, &name, &name, &()).unwrap();
    assert!(store.pull(&registries, &name, &()).unwrap().up_to_date);
}

#[test]
fn an_image_goes_up_in_pieces() {
    let place = Place::new("pieces");
    let peer = Peer::start(&place, "peer", &Rules::default());
    let digest = place.image("layout", &[3_000_000]);
    let store = place.store("store");
    store.import(&place.path("layout"), "app").unwrap();
    // The first connections to upload by are cut.
    let mut random = Random(7);
    let proxy = Proxy::new(peer.port, move |number| Ills {
        cut: (number > 4 && random.below(3) == 0).then_some(0),
        ..Ills::default()
    });
    let mut settings = settings(&place, &[]);
    settings.hosts.insert(proxy.host(), Host { piece: Some(400_000), ..Host::default() });
    store.push(&Registries::new(settings), "app", &format!("{}/app:1", proxy.host()), &()).unwrap();
    let manifest = run(
        "skopeo",
        &["inspect", "--raw", "--tls-verify=false", &format!("docker://{}/app:1", peer.host())],
    );
    assert_eq!(Digest::sha256(manifest.as_bytes()), digest);
}

#[test]
fn a_bad_connection_is_survived() {
    let place = Place::new("bad");
    let secure = Peer::start(&place, "secure", &tls(&place));
    let plain = Peer::start(&place, "plain", &Rules::default());
    let digest = place.image("layout", &[1_500_000, 500_000, 800_000, 100_000]);
    let source = place.store("source");
    source.import(&place.path("layout"), "app").unwrap();
    for (number, peer) in [&plain, &secure].into_iter().enumerate() {
        let with_tls = number == 1;
        let to = format!("{}/app:1", peer.host());
        source.push(&Registries::new(settings(&place, &[&peer.host()])), "app", &to, &()).unwrap();
        let mut random = Random(number as u64);
        let proxy = Proxy::new(peer.port, move |_| match random.below(5) {
            0 => Ills { cut: Some(random.below(200_000)), ..Ills::default() },
            1 => Ills { delay: Duration::from_millis(1), cut: Some(300_000), ..Ills::default() },
            // Seen by TLS at once, and tried again; without it a wrong digest.
            2 if with_tls => Ills { corrupt: Some(10_000 + random.below(50_000)), ..Ills::default() },
            3 if !with_tls => {
                Ills { answer: Some("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n"), ..Ills::default() }
            }
            4 if !with_tls => Ills {
                answer: Some("HTTP/1.1 429 x\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
                ..Ills::default()
            },
            _ => Ills::default(),
        });
        let store = place.store(&format!("store{number}"));
        let mut settings = settings(&place, &[&proxy.host()]);
        settings.hosts.get_mut(&proxy.host()).unwrap().plain_http = !with_tls;
        let pulled = store.pull(&Registries::new(settings), &format!("{}/app:1", proxy.host()), &());
        assert_eq!(pulled.unwrap().digest, digest);
        assert_eq!(contents(&store.root().join("blobs")), contents(&source.root().join("blobs")));
        assert_eq!(contents(&store.root().join("layers")), contents(&source.root().join("layers")));
        // Twice the image at most: what had come was not fetched again. Behind a byte that TLS refuses
        // any number may have been on the way.
        let size = contents(&source.root().join("blobs")).iter().fold(0, |sum, (path, _)| {
            sum + fs::metadata(source.root().join("blobs").join(path)).unwrap().len()
        });
        let passed = proxy.passed.load(Ordering::SeqCst);
        assert!(with_tls || passed < 2 * size, "{passed} bytes for {size}");
    }
}

#[test]
fn corrupt_bytes_are_refused_and_nothing_of_them_stays() {
    let place = Place::new("corrupt");
    let peer = Peer::start(&place, "peer", &Rules::default());
    place.image("layout", &[600_000]);
    let source = place.store("source");
    source.import(&place.path("layout"), "app").unwrap();
    let to = format!("{}/app:1", peer.host());
    source.push(&Registries::new(settings(&place, &[])), "app", &to, &()).unwrap();
    let proxy = Proxy::new(peer.port, |_| Ills { corrupt: Some(100_000), ..Ills::default() });
    let mut settings = settings(&place, &[]);
    settings.hosts.insert(proxy.host(), Host { plain_http: true, ..Host::default() });
    let error = refusal(&place.store("store"), &settings, &format!("{}/app:1", proxy.host()));
    assert!(error.contains(": its content is sha256:"), "{error}");
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let place = Place::new("full");
    let peer = Peer::start(&place, "peer", &Rules::default());
    place.image("layout", &[4_000_000]);
    let name = format!("{}/app:1", peer.host());
    bring(&place, "layout", &name, &["--dest-tls-verify=false"]);
    let root = place.text("store");
    fs::create_dir(&root).unwrap();
    for (keep, size) in [("yes", "3m"), ("yes", "6m"), ("no", "6m")] {
        let program = puller(&[]).get_program().to_owned();
        let script = r#"mount -t tmpfs -o size="$1" none "$2"; "$3" "$2" "$4" keep="$5"; find "$2" -type f"#;
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh", size, &root]).arg(program).args([&name, keep]);
        let output = command.output().unwrap();
        let (said, error) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(error.starts_with(&format!("image {name}: ")), "{error}");
        assert!(error.ends_with(": no space left on device\n"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!said.contains(&root), "{said}");
    }
}

#[test]
fn what_is_exported_others_read_and_theirs_is_imported_from_a_pipe() {
    let place = Place::new("export");
    let digest = place.image("layout", &[100_000, 200_000]);
    let store = place.store("store");
    store.import(&place.path("layout"), "app:1").unwrap();
    let manifest = |source: &str| run("skopeo", &["inspect", "--raw", source]);
    for (form, kind) in [(Form::Oci, "oci-archive"), (Form::Docker, "docker-archive")] {
        let archive = place.text(kind);
        store.export(&["app:1"], form, &mut fs::File::create(&archive).unwrap(), &()).unwrap();
        if form == Form::Oci {
            assert_eq!(Digest::sha256(manifest(&format!("oci-archive:{archive}")).as_bytes()), digest);
            // As the Docker reads it that knows its own archives alone.
            run(
                "skopeo",
                &[
                    "copy",
                    "--quiet",
                    &format!("docker-archive:{archive}:app:1"),
                    &format!("dir:{}", place.text("as-docker")),
                ],
            );
        }
        // There and back: skopeo reads ours, and we what skopeo makes of it.
        let theirs = place.text(&format!("their-{kind}"));
        run("skopeo", &["copy", "--quiet", &format!("{kind}:{archive}"), &format!("{kind}:{theirs}:x:2")]);
        let to = place.store(&format!("to-{kind}"));
        import_by_pipe(&to, &fs::read(&theirs).unwrap());
        let ids = |store: &Store, name: &str| {
            let layers = store.resolve(name).unwrap().layers;
            layers.into_iter().map(|layer| layer.diff_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&to, "piped"), ids(&store, "app:1"), "{kind}");
    }
    store.export_layout(&["app:1"], &place.path("folder"), &()).unwrap();
    run("umoci", &["unpack", "--rootless", "--image", &place.text("folder:1"), &place.text("bundle")]);
    assert!(place.path("bundle/rootfs/large").is_file());
}

/// Imports an archive as `piped` in a process whose standard input is a pipe.
fn import_by_pipe(store: &Store, archive: &[u8]) {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(own);
    command.args(["--exact", "import_from_standard_input", "--ignored"]).env("INTO", store.root());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The other side of [`import_by_pipe`].
#[test]
#[ignore = "a part of what_is_exported_others_read_and_theirs_is_imported_from_a_pipe"]
fn import_from_standard_input() {
    if let Some(into) = std::env::var_os("INTO") {
        let store = Store::open(Path::new(&into)).unwrap();
        store.import(Path::new("/dev/stdin"), "piped").unwrap();
    }
}

#[test]
fn a_large_image_needs_little_memory() {
    let place = Place::new("memory");
    let peer = Peer::start(&place, "peer", &Rules::default());
    place.image("layout", &[24_000_000; 8]);
    let name = format!("{}/app:1", peer.host());
    bring(&place, "layout", &name, &["--dest-tls-verify=false"]);
    let output = puller(&[&place.text("store"), &name]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let peak =
        said.lines().find_map(|line| line.strip_prefix("peak ")?.strip_suffix(" KiB")?.parse::<u64>().ok());
    let size: u64 = place
        .store("store")
        .list()
        .unwrap()
        .iter()
        .map(|image| place.store("store").details(&image.name).unwrap().size)
        .sum();
    println!("{peak:?} KiB for {} MB", size / 1_000_000);
    assert!(size > 200_000_000, "{size}");
    assert!(peak.unwrap() < 32 << 10, "{said}");
    assert_eq!(place.store("store").collect_but(|| Ok::<_, Error>(BTreeSet::new())).unwrap().files, 0);
}
