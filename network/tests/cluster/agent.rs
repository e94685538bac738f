//! What an agent does with the library, for tests: `cluster-agent VERB < WANTED.json`.
//!
//!     pods       the pods' network
//!     routes     the ways to other nodes' pods
//!     services   Services: a line per change, each answered with "done"

use network::cluster::services::{Change, Here, Services};
use network::cluster::{pods, routes};
use serde::Deserialize;
use std::io::{read_to_string, stdin};

fn main() -> Result<(), String> {
    let verb = std::env::args().nth(1).ok_or("usage: cluster-agent VERB < WANTED.json")?;
    if verb == "services" {
        return services();
    }
    let text = read_to_string(stdin()).map_err(|error| error.to_string())?;
    match &*verb {
        "pods" => pods::define(&read(&text)?).map(|network| println!("{}", network.bridge)),
        "routes" => routes::settle(&read(&text)?).map(|faults| println!("{}", faults.join("\n"))),
        _ => Err(format!("unknown verb {verb:?}")),
    }
}

#[derive(Deserialize)]
struct Line {
    here: Here,
    changes: Vec<Change>,
}

fn services() -> Result<(), String> {
    let mut services = Services::new();
    for line in stdin().lines() {
        let Line { here, changes } = read(&line.map_err(|error| error.to_string())?)?;
        services.apply(&here, changes)?;
        println!("done");
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
