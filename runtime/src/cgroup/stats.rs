//! What a cgroup uses, in the words of runc's `events`.

use super::folder::of;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Usage, read at once; what the cgroup has no file for is left out or 0.
pub fn read(path: &str) -> Value {
    let folder = of(path);
    let mut all = json!({
        "cpu": cpu(&folder),
        "memory": memory(&folder),
        "pids": { "current": number(&folder, "pids.current"), "limit": pids_limit(&folder) },
        "blkio": { "ioServiceBytesRecursive": io(&folder, &["rbytes", "wbytes"], &["Read", "Write"]),
                   "ioServicedRecursive": io(&folder, &["rios", "wios"], &["Read", "Write"]) },
        "hugetlb": hugetlb(&folder),
    });
    for (part, file) in [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("blkio", "io.pressure")] {
        let lines = pressure(&fs::read_to_string(folder.join(file)).unwrap_or_default());
        if !lines.is_empty() {
            all[part]["psi"] = lines.into();
        }
    }
    all
}

/// How much was waited for (`Documentation/accounting/psi.rst`), `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; nothing
/// where the kernel does not count.
fn pressure(text: &str) -> Map<String, Value> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let number = value.parse::<u64>().map(Value::from);
        Some((name.to_owned(), number.ok().or_else(|| value.parse::<f64>().ok().map(Value::from))?))
    };
    let line = |line: &str| {
        let (name, pairs) = line.split_once(' ')?;
        Some((name.to_owned(), pairs.split(' ').filter_map(pair).collect::<Map<_, _>>().into()))
    };
    text.lines().filter_map(line).collect()
}

/// By the size of pages, such as `2MB`.
fn hugetlb(folder: &Path) -> Map<String, Value> {
    let names = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|file| file.ok()?.file_name().into_string().ok());
    let size = |name: String| {
        let size =
            name.strip_prefix("hugetlb.")?.strip_suffix(".current").filter(|size| !size.contains('.'))?;
        let failed = flat(folder, &format!("hugetlb.{size}.events")).remove("max").unwrap_or(json!(0));
        // The kernel keeps no peak here: as runc, what is used.
        let used = number(folder, &name);
        Some((size.to_owned(), json!({ "usage": used, "failcnt": failed })))
    };
    names.filter_map(size).collect()
}

/// None is 0, as runc has it: Docker and containerd's shim read it so.
fn pids_limit(folder: &Path) -> u64 {
    match number(folder, "pids.max") {
        u64::MAX => 0,
        limit => limit,
    }
}

/// How often the kernel has killed for lack of memory.
pub fn out_of_memory(path: &str) -> u64 {
    flat(&of(path), "memory.events").get("oom_kill").and_then(Value::as_u64).unwrap_or(0)
}

/// In nanoseconds, as cgroup v1 had it.
fn cpu(folder: &Path) -> Value {
    let stat = flat(folder, "cpu.stat");
    let of = |name: &str| stat.get(name).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "usage": {
            "total": of("usage_usec") * 1000,
            "kernel": of("system_usec") * 1000,
            "user": of("user_usec") * 1000,
        },
        "throttling": {
            "periods": of("nr_periods"),
            "throttledPeriods": of("nr_throttled"),
            "throttledTime": of("throttled_usec") * 1000,
        },
    })
}

fn memory(folder: &Path) -> Value {
    let entry = |used: &str, most: &str, peak: &str, failed: &str| {
        let events = flat(folder, failed);
        json!({
            "usage": number(folder, used),
            "max": number(folder, peak),
            "limit": number(folder, most),
            "failcnt": events.get("max").and_then(Value::as_u64).unwrap_or(0),
        })
    };
    let stat = flat(folder, "memory.stat");
    json!({
        "cache": stat.get("file").cloned().unwrap_or(json!(0)),
        "usage": entry("memory.current", "memory.max", "memory.peak", "memory.events"),
        "swap": entry("memory.swap.current", "memory.swap.max", "memory.swap.peak", "memory.swap.events"),
        "raw": stat,
    })
}

/// `8:0 rbytes=1 wbytes=2 …` as entries of cgroup v1's form.
fn io(folder: &Path, keys: &[&str], operations: &[&str]) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("io.stat")).unwrap_or_default();
    let mut entries = Vec::new();
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(' ') else { continue };
        let Some((major, minor)) = device.split_once(':') else { continue };
        let (Ok(major), Ok(minor)) = (major.parse::<u64>(), minor.parse::<u64>()) else { continue };
        for (key, operation) in keys.iter().zip(operations) {
            let found = rest.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            let value = found.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
            entries.push(json!({ "major": major, "minor": minor, "op": operation, "value": value }));
        }
    }
    entries
}

/// A file of one number; `max` is the greatest.
fn number(folder: &Path, file: &str) -> u64 {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    match text.trim() {
        "max" => u64::MAX,
        number => number.parse().unwrap_or(0),
    }
}

/// A file of `name number` lines.
fn flat(folder: &Path, file: &str) -> Map<String, Value> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), json!(number.trim().parse::<u64>().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_told_as_numbers() {
        let text = "some avg10=0.50 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 avg60=1.25 avg300=0.00 total=0\n";
        let told = Value::from(pressure(text));
        assert_eq!((&told["some"]["avg10"], &told["some"]["total"]), (&json!(0.5), &json!(77)));
        assert_eq!(told["full"]["avg60"], json!(1.25));
        assert!(pressure("").is_empty());
    }

    #[test]
    fn huge_pages_are_told_by_their_size() {
        let folder = std::env::temp_dir().join(format!("huge-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in
            [("2MB.current", "4096\n"), ("2MB.rsvd.current", "0\n"), ("2MB.events", "max 3\n")]
        {
            fs::write(folder.join(format!("hugetlb.{file}")), text).unwrap();
        }
        assert_eq!(Value::from(hugetlb(&folder)), json!({ "2MB": { "usage": 4096, "failcnt": 3 } }));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_limit_of_processes_is_0() {
        let folder = std::env::temp_dir().join(format!("stats-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (text, limit) in [("max\n", 0), ("100\n", 100)] {
            fs::write(folder.join("pids.max"), text).unwrap();
            assert_eq!(pids_limit(&folder), limit);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
