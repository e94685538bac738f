//! `state` and `list`: what containers there are.

use crate::error::{Context, Result};
use crate::passwd;
use crate::record::{Place, Record};
use serde::Serialize;
use spec::bundle::{State, Status};
use std::fs;
use std::path::Path;

/// What runc prints of a container beyond the specification's state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    state: State,
    rootfs: String,
    created: String,
    owner: String,
}

/// The state of one container as JSON (`runtime.md`, Query State).
///
/// # Errors
/// There is none of this name.
pub fn state(root: &Path, id: &str) -> Result<String> {
    let place = Place::of(root, id);
    let record = place.read(id)?;
    let entry = entry(&record, &place);
    serde_json::to_string_pretty(&entry).context(|| "write the state".into())
}

/// All containers, as a table, as JSON, or their names, in whole lines.
///
/// # Errors
/// The root cannot be read; it is not there, and not the usual one, in which there was no container yet.
pub fn list(root: &Path, json: bool, quiet: bool) -> Result<String> {
    let mut names: Vec<String> = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && root == crate::default_root() => {
            Vec::new()
        }
        entries => entries
            .context(|| format!("read {}", root.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect(),
    };
    names.sort();
    let places = names.iter().map(|name| (name, Place::of(root, name)));
    let entries: Vec<Entry> =
        places.filter_map(|(name, place)| Some(entry(&place.read(name).ok()?, &place))).collect();
    match (json, quiet) {
        (_, true) => Ok(entries.iter().map(|entry| format!("{}\n", entry.state.id)).collect()),
        (true, _) => Ok(serde_json::to_string(&entries).context(|| "write the list".into())? + "\n"),
        (false, _) => Ok(table(&entries)),
    }
}

fn entry(record: &Record, place: &Place) -> Entry {
    let mut state = record.state(record.status(place));
    // Callers of runc expect a number in every state.
    state.pid = state.pid.or(Some(0)).filter(|_| state.status != Status::Creating);
    Entry {
        state,
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        owner: passwd::name(record.owner).unwrap_or_else(|| record.owner.to_string()),
    }
}

fn table(entries: &[Entry]) -> String {
    let row = |Entry { state, created, owner, .. }: &Entry| {
        let pid = state.pid.unwrap_or(0).to_string();
        [
            state.id.clone(),
            pid,
            state.status.to_string(),
            state.bundle.clone(),
            created.clone(),
            owner.clone(),
        ]
    };
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = [heading].into_iter().chain(entries.iter().map(row)).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(widest).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
