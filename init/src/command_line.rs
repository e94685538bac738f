//! The kernel command line: what on it is Skerry's.
//!
//! | option | meaning |
//! |---|---|
//! | `skerry.root=DISK` | the disk of the root, in place of the label `skerry-root` |
//! | `skerry.data=DISK` or `none` | the data disk, over `data.disk` and `data.label` |
//! | `skerry.config=auto`, `wait`, `none` | look for a drive with `node.toml`; await it; do not look |
//! | `skerry.set=KEY=VALUE` | one key of `node.toml`, over every other layer |
//! | `skerry.timeout=SECONDS` | how long a disk that must come is awaited |
//! | `skerry.status=on`, `off` | over `console.status` |
//!
//! DISK is `label:TEXT`, `serial:TEXT` or a path below `/dev`. `modprobe.blacklist=` and
//! `module_blacklist=` name modules that stay out, `MODULE.OPTION=VALUE` gives a
//! module an option; everything else is the kernel's.

use spec::nearest::nearest;
use std::time::Duration;

/// How a block device is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// By its volume label.
    Label(String),
    /// By the serial number that it reports.
    Serial(String),
    /// By its node below `/dev/`.
    Path(String),
}

/// Where the data disk is, when the command line says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataFrom {
    /// On this disk.
    Disk(Want),
    /// There is none.
    Nowhere,
}

/// Whether a drive with a configuration is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drive {
    /// It is taken when it is there.
    #[default]
    Auto,
    /// It must come.
    Wait,
    /// It is ignored.
    None,
}

/// What the command line asks of Skerry.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// `skerry.root`
    pub root: Option<Want>,
    /// `skerry.data`
    pub data: Option<DataFrom>,
    /// `skerry.config`
    pub drive: Drive,
    /// `skerry.set`, in order
    pub set: Vec<(String, String)>,
    /// `skerry.timeout`
    pub timeout: Duration,
    /// `skerry.status`
    pub status: Option<bool>,
    /// Modules that are never loaded for hardware.
    pub blacklist: Vec<String>,
    /// `MODULE.OPTION=VALUE`, module and rest.
    pub module_options: Vec<(String, String)>,
    /// The kernel's own `panic=`: whether one that panics restarts the machine.
    pub panic: Option<bool>,
    /// What was not understood, a line each.
    pub warnings: Vec<String>,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self {
            root: None,
            data: None,
            drive: Drive::Auto,
            set: Vec::new(),
            timeout: Duration::from_secs(30),
            status: None,
            blacklist: Vec::new(),
            module_options: Vec::new(),
            panic: None,
            warnings: Vec::new(),
        }
    }
}

/// The kernel cuts what is longer than 2,047 bytes (COMMAND_LINE_SIZE), and some boot loaders one before.
const LONGEST: usize = 2046;

const KNOWN: [&str; 6] = ["root", "data", "config", "set", "timeout", "status"];

impl CommandLine {
    /// Reads `/proc/cmdline`. What is not UTF-8 harms its own word alone.
    pub fn parse(text: &[u8]) -> Self {
        let mut line = Self::default();
        if text.trim_ascii_end().len() >= LONGEST {
            line.warnings.push(format!("it has {LONGEST} bytes or more: its end may be cut off"));
        }
        for word in words(&String::from_utf8_lossy(text)) {
            let (key, value) = word.split_once('=').unwrap_or((&word, ""));
            if let Some(key) = key.strip_prefix("skerry.") {
                if let Err(warning) = line.take(key, value) {
                    line.warnings.push(warning);
                }
            } else if key == "panic" {
                line.panic = Some(value != "0");
            } else if key == "modprobe.blacklist" || key == "module_blacklist" {
                line.blacklist.extend(value.split(',').map(normal));
            } else if let Some((module, _)) = key.split_once('.') {
                let option = word[module.len() + 1..].to_owned();
                line.module_options.push((normal(module), option));
            }
        }
        line
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("skerry.{key}={value}: expected {expected}");
        match key {
            "root" => self.root = Some(want(value).ok_or_else(|| wrong(DISK))?),
            "data" if value == "none" => self.data = Some(DataFrom::Nowhere),
            "data" => self.data = Some(DataFrom::Disk(want(value).ok_or_else(|| wrong(DISK))?)),
            "config" => {
                self.drive = match value {
                    "auto" => Drive::Auto,
                    "wait" => Drive::Wait,
                    "none" => Drive::None,
                    _ => return Err(wrong("auto, wait or none")),
                }
            }
            "set" => {
                let (name, value) = value.split_once('=').ok_or_else(|| wrong("KEY=VALUE"))?;
                self.set.push((name.to_owned(), value.to_owned()));
            }
            "timeout" => {
                let seconds: u32 = value.parse().map_err(|_| wrong("a number of seconds below 2^32"))?;
                self.timeout = Duration::from_secs(seconds.into());
            }
            "status" => {
                self.status = match value {
                    "on" => Some(true),
                    "off" => Some(false),
                    _ => return Err(wrong("on or off")),
                }
            }
            _ => {
                let near = nearest(key, KNOWN).map(|own| format!("; nearest is skerry.{own}"));
                return Err(format!("skerry.{key}: unknown{}", near.unwrap_or_default()));
            }
        }
        Ok(())
    }
}

const DISK: &str = "label:TEXT, serial:TEXT or a path below /dev";

fn want(text: &str) -> Option<Want> {
    let rest = |prefix| text.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty());
    if let Some(label) = rest("label:") {
        return Some(Want::Label(label.to_owned()));
    }
    if let Some(serial) = rest("serial:") {
        return Some(Want::Serial(serial.to_owned()));
    }
    rest("/dev/").filter(|name| !name.contains("..")).map(|_| Want::Path(text.to_owned()))
}

/// Module names are compared with '_' for '-', as the kernel does.
pub fn normal(module: &str) -> String {
    module.replace('-', "_")
}

/// Divides the line as the kernel's `next_arg` does: double quotes keep spaces,
/// and go when they stand around the whole word or its value.
fn words(text: &str) -> Vec<String> {
    let mut quoted = false;
    let apart = |letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    };
    text.split(apart).filter(|word| !word.is_empty()).map(unquote).collect()
}

fn unquote(word: &str) -> String {
    if let Some(inner) = word.strip_prefix('"') {
        return inner.strip_suffix('"').unwrap_or(inner).to_owned();
    }
    match word.split_once("=\"") {
        Some((key, value)) if !key.contains('=') => {
            format!("{key}={}", value.strip_suffix('"').unwrap_or(value))
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ours_are_taken_and_the_kernels_left_alone() {
        let line = CommandLine::parse(
            b"console=ttyS0 quiet root=/dev/sda skerry.root=/dev/vdb skerry.data=serial:A1 \
             skerry.config=wait skerry.timeout=5 skerry.status=off loop.max_loop=8 \
             modprobe.blacklist=a-b,c\n",
        );
        assert_eq!(line.root, Some(Want::Path("/dev/vdb".into())));
        assert_eq!(line.data, Some(DataFrom::Disk(Want::Serial("A1".into()))));
        assert_eq!((line.drive, line.timeout.as_secs(), line.status), (Drive::Wait, 5, Some(false)));
        assert_eq!(line.blacklist, ["a_b", "c"]);
        assert_eq!(line.module_options, [("loop".into(), "max_loop=8".into())]);
        assert!(line.warnings.is_empty(), "{:?}", line.warnings);
    }

    #[test]
    fn quotes_keep_spaces_as_the_kernel_keeps_them() {
        let line = CommandLine::parse(
            b"skerry.set=\"a=b c\" \"skerry.set=d=e f\" skerry.set=network.ntp=[\"x\",\"y\"]",
        );
        let set: Vec<_> = line.set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(set, [("a", "b c"), ("d", "e f"), ("network.ntp", "[\"x\",\"y\"]")]);
    }

    #[test]
    fn a_byte_that_is_no_text_leaves_the_other_words() {
        let line = CommandLine::parse(b"skerry.timeout=5 note=\xff skerry.config=none");
        assert_eq!((line.timeout.as_secs(), line.drive), (5, Drive::None));
        assert!(line.warnings.is_empty(), "{:?}", line.warnings);
    }

    #[test]
    fn the_last_word_says_whether_a_panic_restarts_the_machine() {
        let panic = |text: &str| CommandLine::parse(text.as_bytes()).panic;
        assert_eq!(panic("quiet panic_on_warn=1"), None);
        assert_eq!(panic("panic=10 quiet"), Some(true));
        assert_eq!(panic("panic=10 panic=0"), Some(false));
        assert_eq!(panic("panic=0 panic=-1"), Some(true));
    }

    #[test]
    fn a_line_that_may_be_cut_is_said() {
        let line = |length: usize| CommandLine::parse(&[b"x".repeat(length), b"\n".to_vec()].concat());
        assert!(line(2045).warnings.is_empty());
        assert_eq!(line(2046).warnings, ["it has 2046 bytes or more: its end may be cut off"]);
    }

    #[test]
    fn what_is_not_understood_is_a_warning() {
        let line = CommandLine::parse(
            b"skerry.rot=/dev/vda skerry.root=vda skerry.timeout=x skerry.timeout=18446744073709551615 \
              skerry.data=none",
        );
        assert_eq!(line.warnings.len(), 4);
        assert_eq!(line.warnings[0], "skerry.rot: unknown; nearest is skerry.root");
        assert!(line.warnings[1].contains("expected label:TEXT"), "{}", line.warnings[1]);
        assert!(
            line.warnings[3].ends_with("615: expected a number of seconds below 2^32"),
            "{:?}",
            line.warnings
        );
        assert_eq!(line.timeout.as_secs(), 30);
        assert_eq!(line.data, Some(DataFrom::Nowhere));
    }
}
