//! `make cluster` and `make cluster-down`: a Kubernetes cluster on this machine.
//!
//! `up` starts `serve`, a process of its own that owns the control plane and the nodes, shows its
//! progress and ends when the cluster is there. `down` asks that process to end, and everything ends
//! with it, as with any other end of it. What it writes lies in `target/cluster`.

mod serve;
mod state;
mod up;

use state::State;
use std::process::ExitCode;
use tests::Result;

const USAGE: &str = "usage: cluster up | down";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["up"] => up::up(&State::new()),
        ["down"] => up::down(&State::new()),
        ["serve"] => serve::serve(&State::new()),
        _ => Err(tests::Failure::new(USAGE)),
    };
    report(done)
}

fn report(done: Result) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("cluster: {failure}");
            ExitCode::FAILURE
        }
    }
}
