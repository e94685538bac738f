//! `stats` and `top`.

use super::list::filters::called;
use super::{Node, list, print_all, print_on, unexpected};
use crate::arguments::{Stats, Top};
use crate::client::Client;
use crate::error::{Context, Error, Result};
use crate::format::{self, Format};
use crate::human::{binary, decimal};
use serde_json::{Value, json};
use spec::monitor::{self, Reply, Request, Summary};
use std::collections::BTreeMap;
use std::io::IsTerminal;

const COLUMNS: [(&str, &str); 8] = [
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("CPU %", "CPUPerc"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("BLOCK I/O", "BlockIO"),
    ("PIDS", "PIDs"),
];

/// Home, and nothing below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// `skerry stats`: processor time is of the second between two rounds.
pub fn stats(node: &Node<'_>, asked: &Stats) -> Result<()> {
    let names = asked.containers.clone();
    let named = if names.is_empty() { Vec::new() } else { rows(&names, &list::all(node)?) };
    let mut client = Client::ask(node.socket, &Request::Stats { names, follow: true })?;
    let mut before = round(&mut client)?;
    loop {
        let now = round(&mut client)?;
        let mut objects: Vec<Value> = match (&named[..], asked.all) {
            ([], false) => now.values().map(|one| object(&one.id, before.get(&one.id), one)).collect(),
            // Others may have come, and gone.
            ([], true) => every(&list::all(node)?).iter().map(|row| row.object(&before, &now)).collect(),
            (rows, _) => rows.iter().map(|row| row.object(&before, &now)).collect(),
        };
        if !asked.no_trunc {
            objects.iter_mut().for_each(shorten);
        }
        let text = format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?;
        let clear = !asked.no_stream && asked.format == Format::Table && std::io::stdout().is_terminal();
        print_on(&format!("{}{text}", if clear { CLEAR } else { "" }))?;
        if asked.no_stream {
            return Ok(());
        }
        before = now;
    }
}

/// A container that was asked for: it has a line when it does not run, too.
struct Row {
    asked: String,
    id: String,
    name: String,
}

/// Each once, in the order in which they were named.
fn rows(asked: &[String], all: &[Summary]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for asked in asked {
        let Some(one) = called(all, asked) else { continue };
        if rows.iter().all(|row| row.id != one.id) {
            rows.push(Row { asked: asked.clone(), id: one.id.clone(), name: one.name.to_string() });
        }
    }
    rows
}

/// All that there are.
fn every(all: &[Summary]) -> Vec<Row> {
    let row = |one: &Summary| Row { asked: one.id.clone(), id: one.id.clone(), name: one.name.to_string() };
    all.iter().map(row).collect()
}

type Round = BTreeMap<String, monitor::Stats>;

impl Row {
    fn object(&self, before: &Round, now: &Round) -> Value {
        match now.get(&self.id) {
            Some(now) => object(&self.asked, before.get(&self.id), now),
            None => json!({
                "Container": self.asked,
                "ID": self.id,
                "Name": self.name,
                "CPUPerc": "--",
                "MemUsage": "-- / --",
                "MemPerc": "--",
                "NetIO": "--",
                "BlockIO": "--",
                "PIDs": "--",
            }),
        }
    }
}

fn round(client: &mut Client) -> Result<Round> {
    match client.reply()? {
        Reply::Stats { containers } => Ok(containers.into_iter().map(|one| (one.id.clone(), one)).collect()),
        other => Err(unexpected(&other)),
    }
}

fn shorten(object: &mut Value) {
    let short = object["ID"].as_str().map(|id| id.chars().take(12).collect::<String>());
    object["ID"] = short.into();
}

/// `asked` is what it was asked for by.
fn object(asked: &str, before: Option<&monitor::Stats>, now: &monitor::Stats) -> Value {
    let cpu = before.map_or(0.0, |before| {
        let time = now.time.saturating_sub(before.time).max(1) as f64 / 1000.0;
        100.0 * now.cpu.saturating_sub(before.cpu) as f64 / time
    });
    let share = 100.0 * now.memory as f64 / now.memory_limit.max(1) as f64;
    json!({
        "Container": asked,
        "ID": now.id,
        "Name": now.name,
        "CPUPerc": format!("{cpu:.2}%"),
        "MemUsage": format!("{} / {}", binary(now.memory), binary(now.memory_limit)),
        "MemPerc": format!("{share:.2}%"),
        "NetIO": format!("{} / {}", decimal(now.network.0), decimal(now.network.1)),
        "BlockIO": format!("{} / {}", decimal(now.block.0), decimal(now.block.1)),
        "PIDs": now.pids.to_string(),
    })
}

/// `skerry top`: from `/proc`, since there may be no ps(1) here.
pub fn top(node: &Node<'_>, top: &Top) -> Result<()> {
    let pids = match node.answer(&Request::Top { name: top.container.clone() })? {
        Reply::Processes { pids } => pids,
        other => return Err(unexpected(&other)),
    };
    let rows: Vec<Vec<String>> = pids.into_iter().filter_map(|pid| process(pid).ok()).collect();
    print_all(&crate::table::table(&["UID", "PID", "PPID", "STATE", "COMMAND"], &rows));
    Ok(())
}

/// One that has ended meanwhile is left out.
fn process(pid: i32) -> Result<Vec<String>> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read(&path).context(|| format!("read {path}"))
    };
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let command = String::from_utf8_lossy(&read("cmdline")?).trim_end_matches('\0').replace('\0', " ");
    let command = if command.is_empty() { format!("[{}]", field("Name:")) } else { command };
    Ok(vec![field("Uid:"), pid.to_string(), field("PPid:"), field("State:"), command])
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::container;
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_second_between() {
        let one = |time: u64, cpu| monitor::Stats {
            id: "0123456789abcdef".into(),
            time: time * 1_000_000_000,
            cpu,
            memory: 32 << 20,
            memory_limit: 64 << 20,
            ..monitor::Stats::default()
        };
        let shown = object("a", Some(&one(10, 1_000_000)), &one(11, 1_250_000));
        assert_eq!(shown["CPUPerc"], "25.00%");
        assert_eq!(shown["MemUsage"], "32MiB / 64MiB");
        assert_eq!(shown["MemPerc"], "50.00%");
        assert_eq!(object("a", None, &one(11, 5))["CPUPerc"], "0.00%");
    }

    #[test]
    fn one_that_was_asked_for_has_a_line_whether_it_runs_or_not() {
        let web = container("exited");
        let db = Summary { id: "cd".repeat(32), name: "db".parse().unwrap(), ..container("running") };
        let asked = ["db", "0123", "web", "db"].map(str::to_owned);
        let both = [web, db];
        let rows = rows(&asked, &both);
        let usage = monitor::Stats { id: "cd".repeat(32), name: "db".into(), ..monitor::Stats::default() };
        let round = Round::from([("cd".repeat(32), usage)]);
        let told: Vec<Value> = rows.iter().map(|row| row.object(&round, &round)).collect();
        assert_eq!(
            (told.len(), &told[0]["CPUPerc"], &told[1]["CPUPerc"]),
            (2, &json!("0.00%"), &json!("--"))
        );
        assert_eq!((&told[1]["Container"], &told[1]["Name"]), (&json!("0123"), &json!("web")));
        let all: Vec<Value> = every(&both).iter().map(|row| row.object(&round, &round)).collect();
        assert_eq!((all.len(), &all[0]["CPUPerc"], &all[1]["Name"]), (2, &json!("--"), &json!("db")));
        let mut short = told[0].clone();
        shorten(&mut short);
        assert_eq!((&told[0]["ID"], &short["ID"]), (&json!("cd".repeat(32)), &json!("cdcdcdcdcdcd")));
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&told[0]), names(&told[1]));
    }

    #[test]
    fn a_process_is_told_from_proc() {
        let own = process(std::process::id().cast_signed()).unwrap();
        assert_eq!(own[1], std::process::id().to_string());
        assert!(own[4].contains("skerry"), "{own:?}");
    }
}
