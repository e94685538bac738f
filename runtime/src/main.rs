//! Runs OCI bundles, with runc's command line.

#[allow(dead_code, reason = "the verbs that use it come next")]
mod cgroup;
#[allow(dead_code, reason = "the verbs that use it come next")]
mod error;
#[allow(dead_code, reason = "the verbs that use it come next")]
mod seccomp;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result: error::Result<()> = Err(error::Error::new("no command is given"));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skerry-runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
