//! What an agent does with the library, for tests: `cluster-agent VERB < WANTED.json`.
//!
//!     pods       the pods' network
//!     routes     the ways to other nodes' pods
//!     services   Services: a line per change, each answered with "done"; an empty one looks whether all is still there
//!     policies   policies, in the same way

use network::cluster::policies::{Policies, Policy};
use network::cluster::services::{Change, Here, Services};
use network::cluster::{pods, routes};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{read_to_string, stdin};

fn main() -> Result<(), String> {
    let verb = std::env::args().nth(1).ok_or("usage: cluster-agent VERB < WANTED.json")?;
    if verb == "services" {
        return services();
    }
    if verb == "policies" {
        return policies();
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

/// A line per change, of policies by name; nothing for one that is gone.
fn policies() -> Result<(), String> {
    let mut policies = Policies::new();
    for line in stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        if line.is_empty() {
            looked(policies.look()?);
            continue;
        }
        let changes: BTreeMap<String, Option<Policy>> = read(&line)?;
        policies.apply(changes.into_iter().collect())?;
        println!("done");
    }
    Ok(())
}

fn services() -> Result<(), String> {
    let mut services = Services::new();
    for line in stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        if line.is_empty() {
            looked(services.look()?);
            continue;
        }
        let Line { here, changes } = read(&line)?;
        services.apply(&here, changes)?;
        println!("done");
    }
    Ok(())
}

fn looked(made_anew: bool) {
    println!("{}", if made_anew { "made anew" } else { "whole" });
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
