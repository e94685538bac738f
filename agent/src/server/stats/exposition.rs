//! Prometheus' text format (version 0.0.4): families, each with its samples.

use std::fmt::Write;

/// The content's type.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric and its samples.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    text: String,
    samples: usize,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something was within each of some bounds.
    Histogram,
}

impl Family {
    /// A metric without samples.
    #[must_use]
    pub fn new(name: &'static str, kind: Kind, help: &str) -> Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Self { name, text, samples: 0 }
    }

    /// Adds a sample; `time` in nanoseconds since 1970, 0 for none.
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64, time: u64) {
        self.line("", labels, value, time);
    }

    /// Adds a histogram's samples: how often something was within each bound and above the one before, the last time above all of
    /// them; and what all of it was together.
    pub fn add_histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], within: &[u64], sum: f64) {
        let bounds = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        let mut count = 0;
        for (bound, own) in bounds.zip(within) {
            count += own;
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.line("_bucket", &labels, count as f64, 0);
        }
        self.line("_sum", labels, sum, 0);
        self.line("_count", labels, count as f64, 0);
    }

    fn line(&mut self, part: &str, labels: &[(&str, &str)], value: f64, time: u64) {
        self.samples += 1;
        self.text.push_str(self.name);
        self.text.push_str(part);
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            // Writing to a text does not fail.
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value == f64::INFINITY {
            true => write!(self.text, " +Inf"),
            false => write!(self.text, " {value}"),
        };
        if time > 0 {
            let _ = write!(self.text, " {}", time / 1_000_000);
        }
        self.text.push('\n');
    }

    /// The text; empty without samples.
    #[must_use]
    pub fn text(self) -> String {
        if self.samples == 0 { String::new() } else { self.text }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_head_and_lines() {
        let mut family = Family::new("m_total", Kind::Counter, "Help.");
        family.add(&[], 1.5, 0);
        family.add(&[("a", "x\"y\\z\n"), ("b", "")], 3e9, 1_700_000_000_123_000_000);
        let expected = "# HELP m_total Help.\n# TYPE m_total counter\nm_total 1.5\n\
            m_total{a=\"x\\\"y\\\\z\\n\",b=\"\"} 3000000000 1700000000123\n";
        assert_eq!(family.text(), expected);
        assert_eq!(Family::new("m", Kind::Gauge, "Help.").text(), "");
    }
}
