//! `skerry-agent`, which PID 1 keeps alive on a node that is a cluster's.

use agent::volume::nfs;
use agent::{config, run};
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
usage: skerry-agent

Makes this node a worker of the Kubernetes cluster that the node's
configuration, /run/skerry/config, names in [cluster].

    --help       this text
    --version    its version
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("skerry-agent: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        None => serve(config::read(Path::new(spec::paths::CONFIG_LAYERS))?),
        Some("--help") => {
            print!("{HELP}");
            Ok(())
        }
        Some("--version") => {
            println!("skerry-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Some(own) if nfs::COMMANDS.contains(&own) => {
            nfs::command(&std::env::args().skip(1).collect::<Vec<_>>())
        }
        Some(other) => Err(format!("unexpected argument {other:?}")),
    }
}

fn serve(node: config::Node) -> Result<(), String> {
    // One of two that are in the tree by way of others must be chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(|error| format!("start: {error}"))?;
    let outcome = runtime.block_on(run::run(node));
    // What is being removed, or waits for a server, goes on with the next agent.
    runtime.shutdown_background();
    outcome
}
