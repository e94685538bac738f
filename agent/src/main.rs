//! Makes this node's pods match the API server: a kubelet.
//!
//! It may be killed and started again at any instruction: all that it must know lies on disk, with
//! the monitor, or at the API server.
//!
//! It has one thread for all that waits; what enters another namespace gets a thread of its own.

mod config;

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
        None => {
            let node = config::read(Path::new(spec::paths::CONFIG_LAYERS))?;
            node.cluster
                .server
                .map(drop)
                .ok_or_else(|| "cluster.server: the configuration names no cluster".into())
        }
        Some("--help") => {
            print!("{HELP}");
            Ok(())
        }
        Some("--version") => {
            println!("skerry-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Some(other) => Err(format!("unexpected argument {other:?}")),
    }
}
