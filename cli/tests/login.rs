//! `skerry login` and `logout`, as Docker does them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder with Docker's `config.json` and with programs, gone with the test.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skerry-login-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.0.join("config.json")).unwrap()).unwrap()
    }

    /// `skerry WORDS`, with `secret` on its standard input: what it prints.
    fn skerry(&self, words: &[&str]) -> String {
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_skerry"));
        command.arg("--store").arg(self.0.join("store")).args(words);
        command.env("DOCKER_CONFIG", &self.0).env("PATH", path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that reads nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(b"secret\n");
        let output = child.wait_with_output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat())
            .unwrap()
            .replace(self.0.to_str().unwrap(), "HOME")
    }

    fn login(&self, registry: &str) -> String {
        self.skerry(&["login", registry, "--username", "me", "--password-stdin"])
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A registry that lets `me:secret` in and has nothing; ends with the tests.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(&stream)));
    address
}

fn answer(mut stream: &TcpStream) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let lines: Vec<String> = lines.collect();
    // One that begins to speak TLS has no such line.
    let Some(first) = lines.first().filter(|line| line.ends_with("HTTP/1.1")) else { return };
    let known = lines.iter().any(|line| line.eq_ignore_ascii_case("authorization: Basic bWU6c2VjcmV0"));
    let status = match known {
        false => "401 x\r\nwww-authenticate: Basic realm=\"x\"",
        true if first.starts_with("GET /v2/ ") => "200 x",
        true => "404 x",
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

#[test]
fn a_registry_may_be_named_by_a_url() {
    let (home, host) = (Home::new("url"), registry());
    let said = home.login(&format!("http://{host}/v1/"));
    assert_eq!(said, "Login succeeded; the password is in HOME/config.json\n");
    assert_eq!(home.config()["auths"], serde_json::json!({ &host: { "auth": "bWU6c2VjcmV0" } }));
    // Found by the name that images have.
    let said = home.skerry(&["pull", "--retry=0", &format!("{host}/app")]);
    assert_eq!(said, format!("skerry: image \"{host}/app\" not found in {host}\n"));
    let forgotten = format!("Login of {host} forgotten\n");
    assert_eq!(home.skerry(&["logout", &format!("https://{host}")]), forgotten);
    assert_eq!(home.skerry(&["logout", &host]), format!("Not logged in to {host}\n"));
}

/// Keeps one password in a file, and notes what it is asked.
const HELPER: &str = r#"#!/bin/sh
kept=$(dirname "$0")/kept
case $1 in
    store) cat >"$kept" ;;
    erase) [ "$(cat)" ] && rm "$kept" 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
    get) [ -e "$kept" ] && cat "$kept" || { echo credentials not found in native keychain; exit 1; } ;;
esac
"#;

#[test]
fn a_helper_keeps_the_password_and_forgets_it() {
    let (home, host) = (Home::new("helper"), registry());
    let helper = home.0.join("docker-credential-file");
    // Another writes it: what a test beside this one starts meanwhile would have it open, and it could not be run.
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(&helper).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(HELPER.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
    fs::write(home.0.join("config.json"), r#"{"credsStore":"file"}"#).unwrap();
    assert_eq!(home.login(&host), "Login succeeded; the password is in docker-credential-file\n");
    let expected = serde_json::json!({ "credsStore": "file", "auths": { &host: {} } });
    assert_eq!(home.config(), expected);
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(home.0.join("kept")).unwrap()).unwrap();
    assert_eq!(kept, serde_json::json!({ "ServerURL": &host, "Username": "me", "Secret": "secret" }));
    let said = home.skerry(&["pull", "--retry=0", &format!("{host}/app")]);
    assert_eq!(said, format!("skerry: image \"{host}/app\" not found in {host}\n"));
    assert_eq!(home.skerry(&["logout", &host]), format!("Login of {host} forgotten\n"));
    assert!(!home.0.join("kept").exists());
    assert_eq!(home.skerry(&["logout", &host]), format!("Not logged in to {host}\n"));
}
