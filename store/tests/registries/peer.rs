//! Debian's docker-registry, as a test wants it.

use super::fake::held_port;
use super::place::{Ended, Place, run};
use std::fmt::Write;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A registry, which ends with the test.
pub struct Peer {
    _process: Ended,
    pub port: u16,
}

/// What it asks of those who come.
#[derive(Default)]
pub struct Rules {
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whoever comes must have a certificate of this CA.
    pub clients: Option<PathBuf>,
    /// The user `me` with the password `secret`.
    pub password: bool,
    /// URL of a token server, and the certificate of who signs the tokens.
    pub tokens: Option<(String, PathBuf)>,
}

/// `me:secret`, as htpasswd writes it.
const USERS: &str = "me:$2y$05$17xGh4FnU0iews4Y2UyI7OlAKwPSItAONENk0RfWPw1uQwe0hWRCC\n";

impl Peer {
    pub fn start(place: &Place, name: &str, rules: &Rules) -> Self {
        let (_held, port) = held_port();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            place.text(&format!("{name}-data"))
        );
        if let Some((certificate, key)) = &rules.tls {
            let (certificate, key) = (certificate.display(), key.display());
            write!(config, "  tls:\n    certificate: {certificate}\n    key: {key}\n").unwrap();
        }
        if let Some(ca) = &rules.clients {
            writeln!(config, "    clientcas:\n      - {}", ca.display()).unwrap();
        }
        if rules.password {
            let users = place.path(&format!("{name}-users"));
            fs::write(&users, USERS).unwrap();
            write!(config, "auth:\n  htpasswd:\n    realm: test\n    path: {}\n", users.display()).unwrap();
        }
        if let Some((realm, certificate)) = &rules.tokens {
            let certificate = certificate.display();
            write!(
                config,
                "auth:\n  token:\n    realm: {realm}\n    service: test\n    issuer: test\n    rootcertbundle: {certificate}\n"
            )
            .unwrap();
        }
        let file = place.path(&format!("{name}.yml"));
        fs::write(&file, config).unwrap();
        let log = fs::File::create(place.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new(program());
        command.arg("serve").arg(&file).stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        let mut process =
            Ended(command.spawn().expect("docker-registry: tools/need-unpacked docker-registry"));
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(place.path(&format!("{name}.log"))).unwrap();
            let waits = process.0.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(30);
            assert!(waits, "docker-registry does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { _process: process, port }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Where `tools/need-unpacked` puts it.
fn program() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("SKERRY_CACHE").or_else(|| variable("HOME").map(|home| home.join(".cache/skerry")));
    cache.unwrap_or_default().join("unpacked/docker-registry/usr/bin/docker-registry")
}

/// A CA, `ca.crt`, and what it has signed: `server` for 127.0.0.1 and `client`, each with a key.
pub fn certificates(place: &Place) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let path = |name: &str| place.text(name);
    let subject = ["-x509", "-subj", "/CN=Test CA", "-keyout", &path("ca.key"), "-out", &path("ca.crt")];
    run("openssl", &[&["req"], &key[..], &subject[..]].concat());
    for (name, extension) in
        [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
    {
        let (out, own) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        let ca = ["-x509", "-CA", &path("ca.crt"), "-CAkey", &path("ca.key"), "-subj", "/CN=test"];
        let files = [
            "-addext",
            extension,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &own,
            "-out",
            &out,
        ];
        run("openssl", &[&["req"], &key[..], &ca[..], &files[..]].concat());
    }
}
