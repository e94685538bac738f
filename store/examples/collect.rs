//! Removes what no name of a store leads to: `collect STORE`. The tests kill it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use store::{Error, Store};

fn main() -> ExitCode {
    let Some(root) = std::env::args().nth(1) else {
        eprintln!("usage: collect STORE");
        return ExitCode::from(2);
    };
    let collected =
        Store::open(Path::new(&root)).and_then(|store| store.collect_but(|| Ok::<_, Error>(BTreeSet::new())));
    match collected {
        Ok(collected) => {
            println!("{} bytes", collected.bytes);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
