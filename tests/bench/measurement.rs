//! What was measured, for people and for programs.

use serde_json::{Value, json};
use std::fmt;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Shown in millions.
    Instructions,
    /// Bytes, shown in MB.
    Memory,
    /// Bytes, shown in MiB.
    Size,
    /// Nanoseconds, shown in milliseconds.
    Time,
    /// Of anything.
    Count,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Memory | Self::Size => "bytes",
            Self::Time => "nanoseconds",
            Self::Count => "count",
        }
    }
}

/// A number beside which a measurement stands.
#[derive(Debug)]
struct Peer {
    name: &'static str,
    value: u64,
    ratio: f64,
    /// The ratio must not be more.
    most: Option<f64>,
}

/// One measurement of ours.
#[derive(Debug)]
pub struct Measurement {
    name: String,
    unit: Unit,
    value: u64,
    peers: Vec<Peer>,
}

impl Measurement {
    /// A measurement that stands alone.
    pub fn new(name: impl Into<String>, unit: Unit, value: u64) -> Self {
        Self { name: name.into(), unit, value, peers: Vec::new() }
    }

    /// Compares it with another measurement.
    pub fn beside(self, name: &'static str, value: u64) -> Self {
        let ratio = ratio(self.value, value);
        self.paired(name, value, ratio, None)
    }

    /// Compares it with what it must not exceed.
    pub fn within(self, name: &'static str, value: u64) -> Self {
        let ratio = ratio(self.value, value);
        self.paired(name, value, ratio, Some(1.0))
    }

    /// Compares it with another measurement by a ratio that is not that of the two values, which
    /// must not be more than `most`.
    pub fn paired(mut self, name: &'static str, value: u64, ratio: f64, most: Option<f64>) -> Self {
        self.peers.push(Peer { name, value, ratio, most });
        self
    }

    /// An object per peer; one without a peer when there is none.
    fn json(&self, table: &str) -> Vec<Value> {
        let name = format!("{table}.{}", self.name.replace(' ', "-"));
        let object = |peer: Option<&Peer>| {
            json!({
                "name": name,
                "value": self.value,
                "unit": self.unit.word(),
                "peer": peer.map(|peer| peer.name),
                "peer_value": peer.map(|peer| peer.value),
                "ratio": peer.map(|peer| peer.ratio),
            })
        };
        match self.peers.is_empty() {
            true => vec![object(None)],
            false => self.peers.iter().map(|peer| object(Some(peer))).collect(),
        }
    }
}

impl Peer {
    fn is_met(&self) -> bool {
        self.most.is_none_or(|most| self.ratio <= most)
    }
}

/// Of nothing and nothing it is 1.
fn ratio(value: u64, peer: u64) -> f64 {
    if value == peer { 1.0 } else { value as f64 / peer as f64 }
}

/// Measurements that belong together.
#[derive(Debug)]
pub struct Table {
    /// Name of its file.
    pub name: &'static str,
    /// What is measured.
    pub title: &'static str,
    /// The measurements.
    pub rows: Vec<Measurement>,
}

impl Table {
    /// Whether every bar was met.
    pub fn met(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.peers).all(Peer::is_met)
    }

    /// A list of objects with `name`, `value`, `unit`, `peer`, `peer_value` and `ratio`.
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().flat_map(|row| row.json(self.name)).collect();
        format!("{:#}\n", Value::from(rows))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.title)?;
        for row in &self.rows {
            write!(out, "  {:<28}{:>12}", row.name, shown(row.value, row.unit))?;
            for (index, peer) in row.peers.iter().enumerate() {
                if index > 0 {
                    write!(out, "\n{:42}", "")?;
                }
                let verdict = if peer.is_met() { "" } else { "  MISSED" };
                let (value, ratio) = (shown(peer.value, row.unit), peer.ratio);
                write!(out, "   {:<14}{value:>12}{ratio:>8.3}{verdict}", peer.name)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

fn shown(value: u64, unit: Unit) -> String {
    let count = value;
    let value = value as f64;
    match unit {
        Unit::Instructions => format!("{:.3} M", value / 1e6),
        Unit::Memory => format!("{:.3} MB", value / 1e6),
        Unit::Size => format!("{:.3} MiB", value / f64::from(1 << 20)),
        Unit::Time => format!("{:.3} ms", value / 1e6),
        Unit::Count => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_or_missed_and_a_peer_is_neither() {
        let table = |row| Table { name: "t", title: "T", rows: vec![row] };
        let row = || Measurement::new("x", Unit::Size, 3 << 20);
        assert!(table(row().beside("peer", 1)).met());
        assert!(table(row().within("bar", 3 << 20)).met());
        let missed = table(row().within("bar", 1 << 20));
        assert!(!missed.met());
        assert!(missed.to_string().ends_with("1.000 MiB   3.000  MISSED\n"), "{missed}");
    }

    #[test]
    fn a_bar_may_be_a_ratio_and_may_be_nothing_at_all() {
        let table = |row| Table { name: "t", title: "T", rows: vec![row] };
        let time = || Measurement::new("x", Unit::Time, 30);
        assert!(table(time().paired("peer", 20, 1.5, Some(1.6))).met());
        assert!(!table(time().paired("peer", 20, 1.7, Some(1.6))).met());
        let left = |count| table(Measurement::new("left", Unit::Count, count).within("the bar", 0));
        assert!(left(0).met() && !left(1).met());
    }

    #[test]
    fn programs_read_an_object_per_peer() {
        let row = Measurement::new("x y", Unit::Memory, 10).beside("a", 20).beside("b", 5);
        let json: Value =
            serde_json::from_str(&Table { name: "t", title: "T", rows: vec![row] }.json()).unwrap();
        assert_eq!(json[0]["name"], "t.x-y");
        assert_eq!(json[0]["ratio"], 0.5);
        assert_eq!(json[1]["peer"], "b");
        assert_eq!(json[1]["peer_value"], 5);
    }
}
