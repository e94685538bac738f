//! How the agent asks a real monitor, in namespaces of the test's own, while it is killed.

/// The monitor's own harness: the node that is under the agent.
#[path = "../../monitor/tests/live/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what only the monitor's own tests need")]
mod support;

use agent::monitor::{Error, Event, Monitor, Streams};
use spec::monitor::{Code, Exec, Reply, Request, Size, Wait};
use spec::paths::MONITOR_SOCKET;
use support::{COUNT, Node, busybox, is_counted};

fn exec(line: &str) -> Exec {
    Exec { name: "a".into(), command: ["sh", "-c", line].map(str::to_owned).into(), ..Exec::default() }
}

/// A node with the container `a`, which waits, and its monitor.
fn node() -> (Node, Monitor) {
    let node = Node::boot();
    node.create("a", busybox("exec sleep 1000"));
    node.start("a");
    (node, Monitor::new(MONITOR_SOCKET).with_patience(support::PATIENCE))
}

/// Runs on one thread, as the agent does.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn begin(monitor: &Monitor, exec: Exec) -> Streams {
    monitor.stream(&Request::Exec(Box::new(exec))).await.unwrap()
}

/// The next output, or how it ended.
async fn next(streams: &mut Streams) -> Result<Vec<u8>, Event> {
    loop {
        match streams.next().await.unwrap() {
            Event::Output(bytes) | Event::Error(bytes) => return Ok(bytes),
            Event::Room => {}
            end => return Err(end),
        }
    }
}

#[test]
fn an_answer_comes_though_the_monitor_is_killed() {
    let (node, monitor) = node();
    run(async {
        for _ in 0..5 {
            node.kill_monitor();
            let reply = monitor.ask(&Request::List).await.unwrap();
            assert!(matches!(reply, Reply::Containers { containers, .. } if containers.len() == 1));
        }
        let none = monitor.ask(&Request::Inspect { name: "none".into() }).await;
        assert!(matches!(none, Err(Error::Failed(failure)) if failure.code == Code::NotFound));
        monitor.ask(&Request::Kill { name: "a".into(), signal: 9 }).await.unwrap();
        let wait = Request::Wait { name: "a".into(), condition: Wait::NotRunning };
        assert!(matches!(monitor.ask(&wait).await, Ok(Reply::Exited { status: 137, .. })));
    });
}

#[test]
fn a_programs_output_comes_once_though_the_monitor_is_killed() {
    let (node, monitor) = node();
    run(async {
        let mut streams = begin(&monitor, exec(&format!("{COUNT}; exit 6"))).await;
        let (mut said, mut kills) = (Vec::new(), 0);
        let end = loop {
            match next(&mut streams).await {
                Ok(bytes) => said.extend(bytes),
                Err(end) => break end,
            }
            if kills < 4 && said.len() > 2000 * (kills + 1) {
                node.kill_monitor();
                kills += 1;
                if kills == 4 {
                    node.enough("a");
                }
            }
        };
        assert_eq!((kills, end), (4, Event::Exited { status: 6, error: None }));
        is_counted(&String::from_utf8(said).unwrap());
    });
}

#[test]
fn input_goes_in_and_its_end_too() {
    let (_node, monitor) = node();
    run(async {
        let much: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut streams = begin(&monitor, Exec { input: true, ..exec("cat") }).await;
        let (mut rest, mut back) = (much.as_slice(), Vec::new());
        let end = loop {
            while streams.takes_input() {
                let (piece, after) = rest.split_at(rest.len().min(30_000));
                rest = after;
                match piece.is_empty() {
                    true => streams.end_input().unwrap(),
                    false => streams.input(piece),
                }
            }
            match streams.next().await.unwrap() {
                Event::Output(bytes) => back.extend(bytes),
                Event::Room => {}
                end => break end,
            }
        };
        assert!(back == much, "{} of {} bytes", back.len(), much.len());
        assert_eq!(end, Event::Exited { status: 0, error: None });
    });
}

#[test]
fn a_terminal_has_the_size_that_it_is_given() {
    let (_node, monitor) = node();
    run(async {
        let terminal = Exec { tty: true, input: true, ..exec("read x; stty size; exit 3") };
        let mut streams = begin(&monitor, terminal).await;
        assert!(streams.tty());
        streams.resize(Size { rows: 33, columns: 101 }).unwrap();
        streams.input(b"go\n");
        let mut said = Vec::new();
        let end = loop {
            match next(&mut streams).await {
                Ok(bytes) => said.extend(bytes),
                Err(end) => break end,
            }
        };
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("33 101"), "{said:?}");
        assert_eq!(end, Event::Exited { status: 3, error: None });
    });
}
