//! Against a socket that plays the monitor, script by script: one per connection.

use super::*;
use serde_json::json;
use spec::monitor::{Code, Exec, Reader, Status};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const HELLO: &str = r#"{"version":1,"program":"test"}"#;
const STREAMS: &str = r#"{"reply":"streams","session":"s1","tty":false}"#;

/// What the monitor does with one connection, in order.
enum Step {
    Say(&'static str),
    Output(&'static str),
    /// Waits for a frame that holds these words.
    Hear(&'static str),
}
use Step::{Hear, Output, Say};

/// A monitor that serves one connection per script, and what it heard at the end.
async fn with_monitor<F: Future>(scripts: Vec<Vec<Step>>, ask: impl FnOnce(Monitor) -> F) -> F::Output {
    let own = (std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(format!("skerry-agent-{}-{:?}", own.0, own.1));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let monitor = Monitor::new(&socket).with_patience(Duration::from_secs(30));
    let plays = async {
        for script in scripts {
            play(&listener, script).await;
        }
        std::future::pending::<()>().await;
    };
    let output = tokio::select! {
        output = ask(monitor) => output,
        () = plays => unreachable!("it plays on"),
    };
    std::fs::remove_dir_all(folder).unwrap();
    output
}

async fn play(listener: &UnixListener, script: Vec<Step>) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut reader = Reader::default();
    for step in script {
        match step {
            Say(text) => client.write_all(&Frame::encode(Kind::Message, text.as_bytes())).await.unwrap(),
            Output(text) => client.write_all(&Frame::encode(Kind::Output, text.as_bytes())).await.unwrap(),
            Hear(words) => hear(&mut client, &mut reader, words).await,
        }
    }
}

async fn hear(client: &mut UnixStream, reader: &mut Reader, words: &str) {
    let mut heard = String::new();
    while !heard.contains(words) {
        if let Some(frame) = reader.frame().unwrap() {
            heard += &String::from_utf8_lossy(&frame.payload);
            continue;
        }
        let mut bytes = [0; 1024];
        let length = client.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "{words:?} was never said, only {heard:?}");
        reader.push(&bytes[..length]);
    }
}

fn exec() -> Request {
    Request::Exec(Box::new(Exec { name: "a".into(), input: true, ..Exec::default() }))
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_stands_still_is_named_in_time() {
    let begun = Instant::now();
    let answer = with_monitor(vec![vec![]], async |monitor| monitor.ask(&Request::List).await).await;
    let words = answer.unwrap_err().to_string();
    assert!(words.starts_with("ask the monitor: /") && words.ends_with("no greeting within 30s"), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_comes_after_the_greeting() {
    let script = vec![Say(HELLO), Hear(r#""request":"start""#), Say(r#"{"reply":"done"}"#)];
    let start = Request::Start { name: "web".into() };
    let answer = with_monitor(vec![script], async |monitor| monitor.ask(&start).await).await;
    assert_eq!(answer, Ok(Reply::Done));
}

#[tokio::test]
async fn what_the_monitor_refuses_is_an_error_with_its_code() {
    let failed = r#"{"reply":"failed","code":"not-found","message":"container \"web\": there is none"}"#;
    let script = vec![Say(HELLO), Hear("inspect"), Say(failed)];
    let request = Request::Inspect { name: "web".into() };
    let answer = with_monitor(vec![script], async |monitor| monitor.ask(&request).await).await;
    let message = "container \"web\": there is none".to_owned();
    assert_eq!(answer, Err(Error::Failed(Failure { code: Code::NotFound, message })));
}

#[tokio::test]
async fn a_monitor_that_is_killed_is_asked_again_when_that_does_no_harm() {
    let killed = || vec![Say(HELLO), Hear("request")];
    let lists = vec![Say(HELLO), Hear("list"), Say(r#"{"reply":"containers","containers":[]}"#)];
    let scripts = vec![vec![], killed(), lists];
    let answer = with_monitor(scripts, async |monitor| monitor.ask(&Request::List).await).await;
    assert_eq!(answer, Ok(Reply::Containers { containers: Vec::new(), more: false }));
    let start = Request::Start { name: "web".into() };
    let answer = with_monitor(vec![killed()], async |monitor| monitor.ask(&start).await).await;
    assert_eq!(answer, Err(Error::Gone));
}

/// What a container is that is in such a state.
fn inspected(state: &str) -> &'static str {
    let summary = json!({
        "id": "ab", "name": "web", "image": "i", "digest": null, "command": [], "created": 0, "configured": false,
        "status": Status { state: state.into(), ..Status::default() }, "ports": [], "networks": {}, "labels": {},
        "tty": false,
    });
    let reply = json!({
        "reply": "container", "summary": summary, "container": { "image": "i" }, "config": null, "root": null,
        "log": "", "written": "", "attached": null,
    });
    reply.to_string().leak()
}

#[tokio::test]
async fn a_bundle_is_whole_also_when_it_is_long() {
    let none = vec![Say(HELLO), Hear("inspect"), Say(inspected("created"))];
    let short = inspected("running").replace(r#""config":null"#, r#""config":"short""#).leak();
    let long =
        inspected("running").replace(r#""config":null"#, r#""config":null,"config_follows":true"#).leak();
    let done = r#"{"reply":"done"}"#;
    let scripts = vec![
        none,
        vec![Say(HELLO), Hear("inspect"), Say(short)],
        vec![Say(HELLO), Hear("inspect"), Say(long), Output("very "), Output("long"), Say(done)],
        vec![Say(HELLO), Hear("inspect"), Say(long), Output("very ")],
    ];
    let answers = with_monitor(scripts, async |monitor| {
        [
            monitor.config("a").await,
            monitor.config("a").await,
            monitor.config("a").await,
            monitor.config("a").await,
        ]
    });
    let text = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(answers.await, [Ok(None), text("short"), text("very long"), Err(Error::Gone)]);
}

#[tokio::test]
async fn a_container_runs_though_the_monitor_is_killed_over_its_start() {
    let killed = || vec![Say(HELLO), Hear("start")];
    let is = |state| vec![Say(HELLO), Hear("inspect"), Say(inspected(state))];
    let done = || vec![Say(HELLO), Hear("start"), Say(r#"{"reply":"done"}"#)];
    let failed = r#"{"reply":"failed","code":"state","message":"no"}"#;
    let no = || vec![Say(HELLO), Hear("start"), Say(failed)];
    for (scripts, expected) in [
        (vec![done()], Ok(true)),
        (vec![killed(), is("running")], Ok(true)),
        (vec![killed(), is("created"), done()], Ok(true)),
        (vec![killed(), is("created"), no(), is("running")], Ok(true)),
        (vec![killed(), is("exited")], Ok(false)),
        (vec![no(), is("exited")], Err(Error::Failed(Failure { code: Code::State, message: "no".into() }))),
    ] {
        assert_eq!(with_monitor(scripts, async |monitor| monitor.run("web").await).await, expected);
    }
}

#[tokio::test]
async fn a_monitor_that_stays_away_is_given_up() {
    let monitor = Monitor::new(Path::new("/nowhere/socket")).with_patience(Duration::from_millis(60));
    let answer = monitor.ask(&Request::List).await;
    assert_eq!(answer, Err(Error::Away("/nowhere/socket: no such file or directory".into())));
}

#[tokio::test]
async fn streams_go_on_where_a_killed_monitor_left_them() {
    let first =
        vec![Say(HELLO), Hear("exec"), Say(STREAMS), Output("one "), Hear("typed"), Hear("input-ended")];
    let second = vec![
        Say(HELLO),
        Hear(r#""session":"s1","received":4"#),
        Say(STREAMS),
        Hear("input-ended"),
        Output("two"),
        Say(r#"{"reply":"exited","status":3,"out_of_memory":false,"error":null}"#),
    ];
    let said = with_monitor(vec![first, second], async |monitor| {
        let mut streams = monitor.stream(&exec()).await.unwrap();
        assert!(streams.takes_input() && !streams.tty());
        streams.input(b"typed");
        streams.end_input().unwrap();
        assert!(!streams.takes_input());
        let mut said = Vec::new();
        loop {
            match streams.next().await.unwrap() {
                Event::Output(bytes) => said.extend(bytes),
                Event::Room => {}
                end => return (String::from_utf8(said).unwrap(), end),
            }
        }
    });
    assert_eq!(said.await, ("one two".to_owned(), Event::Exited { status: 3, error: None }));
}

#[tokio::test]
async fn streams_that_get_another_name_are_counted_from_there() {
    let renamed = r#"{"reply":"streams","session":"s2","tty":false}"#;
    let first = vec![Say(HELLO), Hear("exec"), Say(STREAMS), Output("one "), Say(renamed), Output("two ")];
    let again = |rest| {
        let mut script = vec![Say(HELLO), Hear(r#""session":"s2","received":4"#), Say(STREAMS)];
        script.extend(rest);
        script
    };
    let ended = r#"{"reply":"exited","status":3,"out_of_memory":false,"error":null}"#;
    // What it is called when it is joined again is what was asked for.
    let scripts = vec![first, again(vec![]), again(vec![Say(ended)])];
    let last = with_monitor(scripts, async |monitor| {
        let mut streams = monitor.stream(&exec()).await.unwrap();
        loop {
            match streams.next().await.unwrap() {
                Event::Output(_) | Event::Room => {}
                end => return end,
            }
        }
    });
    assert_eq!(last.await, Event::Exited { status: 3, error: None });
}

#[tokio::test]
async fn input_that_nobody_reads_is_not_piled_up() {
    let script = vec![Say(HELLO), Hear("exec"), Say(STREAMS), Output("x")];
    let most = with_monitor(vec![script], async |monitor| {
        let mut streams = monitor.stream(&exec()).await.unwrap();
        let mut most = 0;
        while streams.takes_input() {
            streams.input(&[0; 8192]);
            most += 8192;
        }
        most
    });
    assert_eq!(most.await, 64 * 1024);
}

#[tokio::test]
async fn events_are_taken_one_by_one() {
    let event = r#"{"reply":"event","time":1,"name":"web","id":"ab","action":"die","attributes":{}}"#;
    let script = vec![Say(HELLO), Hear("events"), Say(event), Say(event)];
    let request = Request::Events { since: None, until: None, all: false };
    with_monitor(vec![script], async |monitor| {
        let mut replies = monitor.replies(&request).await.unwrap();
        for _ in 0..2 {
            assert!(matches!(replies.next().await, Ok(Reply::Event { ref action, .. }) if action == "die"));
        }
        assert_eq!(replies.next().await, Err(Error::Gone));
    })
    .await;
}
