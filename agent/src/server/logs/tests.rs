//! Logs as clients read them.

use crate::server::pods::{Container, Pod};
use crate::server::tests::fixture::Fixture;
use crate::server::tests::monitor::Played;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn fixture() -> (Fixture, Played, PathBuf) {
    let monitor = Played::new();
    let fixture = Fixture::new(&monitor.socket()).await;
    let logs = monitor.folder().join("logs");
    fs::create_dir_all(logs.join("app")).unwrap();
    let app = Container {
        name: "app".into(),
        instance: Some("web-app".into()),
        log: Some(1),
        previous: Some(0),
        running: true,
        ..Container::default()
    };
    let new =
        Container { name: "new".into(), waiting: Some("ImagePullBackOff".into()), ..Container::default() };
    let done = Container {
        name: "done".into(),
        instance: Some("web-done".into()),
        log: Some(0),
        ..Container::default()
    };
    fixture.host.pods.replace(vec![Pod {
        namespace: "ns".into(),
        name: "web".into(),
        logs: logs.clone(),
        containers: vec![app, new, done],
        ..Pod::default()
    }]);
    (fixture, monitor, logs.join("app"))
}

fn append(path: PathBuf, text: &str) {
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "2026-01-02T03:04:05.000000001Z stdout F {text}").unwrap();
}

#[tokio::test]
async fn the_part_that_is_asked_for_comes() {
    let (fixture, _monitor, logs) = fixture().await;
    append(logs.join("0.log"), "before");
    ["one", "two", "three"].iter().for_each(|text| append(logs.join("1.log"), text));
    for (container, query, status, words) in [
        ("app", "", 200, "one\n"),
        ("app", "?tailLines=1", 200, "three\n"),
        ("app", "?previous=true", 200, "before\n"),
        ("app", "?tailLines=1&timestamps=true", 200, "2026-01-02T03:04:05.000000001Z three\n"),
        ("app", "?limitBytes=0", 422, "limitBytes"),
        (
            "new",
            "",
            400,
            "container \"new\" in pod \"web\" is waiting to start: trying and failing to pull image",
        ),
        ("done", "?previous=true", 400, "previous terminated container \"done\" in pod \"web\" not found"),
        ("done", "?follow=true", 200, ""),
        ("none", "", 404, "container \"none\" not found in pod \"web\""),
    ] {
        let known = Some(fixture.clients.sign("apiserver", "g"));
        let (got, answer) =
            fixture.get(known, &format!("/containerLogs/ns/web/{container}{query}"), "").await;
        assert!(got == status && answer.contains(words), "{container}{query}: {answer}");
    }
}

#[tokio::test]
async fn who_follows_gets_each_line_when_it_is_written() {
    let (fixture, monitor, logs) = fixture().await;
    append(logs.join("1.log"), "first");
    let mut stream = fixture.connect(Some(fixture.clients.sign("apiserver", "g"))).await;
    let request = "GET /containerLogs/ns/web/app?follow=true HTTP/1.1\r\nHost: n\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = String::new();
    for round in 0..6 {
        let words = if round == 0 { "first\n".to_owned() } else { format!("round {round}\n") };
        while !got.contains(&words) {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            assert_ne!(length, 0, "{words:?} never came: {got}");
            got += std::str::from_utf8(&bytes[..length]).unwrap();
        }
        if round % 2 == 1 {
            fs::rename(logs.join("1.log"), logs.join("1.log.1")).unwrap();
        }
        append(logs.join("1.log"), &format!("round {}", round + 1));
    }
    monitor.end_all();
    while !got.ends_with("0\r\n\r\n") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "the answer is cut off: {got}");
        got += std::str::from_utf8(&bytes[..length]).unwrap();
    }
    assert!(got.contains("round 6\n"), "{got}");
}
