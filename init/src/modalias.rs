//! kmod's text files: which module serves a device (`modules.alias`), and what a
//! module needs first (`modules.dep`) or wants first (`modules.softdep`).
//!
//! ```text
//! alias PATTERN MODULE            PATTERN as in fnmatch(3): * ? [...]
//! kernel/a.ko: kernel/b.ko kernel/c.ko      c first, then b, then a
//! softdep MODULE pre: A B post: C           in modules.softdep; `post` is for udev alone
//! ```

use crate::command_line::normal;

/// Whether `name` matches the pattern, bytewise, with `*`, `?`, `[a-z]` and `[!a]`.
pub fn matches(pattern: &str, name: &str) -> bool {
    glob(pattern.as_bytes(), name.as_bytes())
}

fn glob(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // Where to go on when what follows the last star does not fit here.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, name));
            pattern = rest;
            continue;
        }
        let step = name.split_first().and_then(|(&byte, rest)| Some((one(pattern, byte)?, rest)));
        if let Some((next_pattern, next_name)) = step {
            (pattern, name) = (next_pattern, next_name);
        } else if name.is_empty() && pattern.is_empty() {
            return true;
        } else {
            let Some((after, [_, rest @ ..])) = star else { return false };
            star = Some((after, rest));
            (pattern, name) = (after, rest);
        }
    }
}

/// What is left of the pattern when its first element takes this byte.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&letter| letter == b']')?;
            in_set(&rest[..end], byte).then_some(&rest[end + 1..])
        }
        [first, rest @ ..] => (*first == byte).then_some(rest),
        [] => None,
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let [from, rest @ ..] = set {
        let (to, rest) = match rest {
            [b'-', to, rest @ ..] => (to, rest),
            _ => (from, rest),
        };
        found |= (*from..=*to).contains(&byte);
        set = rest;
    }
    found != negated
}

/// The modules that serve any of the devices, each once, in the file's order.
pub fn modules_for(aliases: &str, devices: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in aliases.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(pattern), Some(module)) = (words.next(), words.next()) else { continue };
        // Comparing up to the bus first leaves few patterns to be matched in full.
        let bus = pattern.split_inclusive(':').next().filter(|bus| !bus.contains(['*', '?', '[']));
        let served =
            |device: &String| bus.is_none_or(|bus| device.starts_with(bus)) && matches(pattern, device);
        let module = normal(module);
        if !found.contains(&module) && devices.iter().any(served) {
            found.push(module);
        }
    }
    found
}

/// A module's name from its file's: `kernel/fs/a-b.ko.xz` is `a_b`.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// The files that make `module` run, in the order in which they must be loaded,
/// itself last; nothing when there is no such module.
pub fn load_order<'a>(deps: &'a str, module: &str) -> Vec<&'a str> {
    for line in deps.lines() {
        if let Some((path, needs)) = line.split_once(':')
            && name_of(path) == module
        {
            let mut order: Vec<&str> = needs.split_whitespace().rev().collect();
            order.push(path);
            return order;
        }
    }
    Vec::new()
}

/// What `modules.softdep` wants loaded before `module`, if it is there.
pub fn wanted_before(softdeps: &str, module: &str) -> Vec<String> {
    let lines = softdeps.lines().filter_map(|line| line.strip_prefix("softdep ")?.split_once(' '));
    let lines = lines.filter(|(name, _)| normal(name) == module);
    let before = |(_, rest): (_, &str)| -> Vec<String> {
        let words = rest.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
        words.take_while(|word| !word.ends_with(':')).map(normal).collect()
    };
    lines.flat_map(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, name, expected) in [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000012v00001AF4", false),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v8086d2922sv1AF4sd1100bc01sc06i01", true),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v8086d2922sv1AF4sd1100bc01sc08i01", false),
            ("usb:v05ACp*d*dc*dsc*dp*ic03isc01ip0[1-2]in*", "usb:v05ACp1dc1dsc1dp1ic03isc01ip02in0", false),
            ("a?c", "abc", true),
            ("a[!b]c", "abc", false),
            ("a[0-9a]c", "aac", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("", "a", false),
            ("a[b", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_device_finds_its_modules_once() {
        let aliases = "# comment\nalias virtio:d00000002v* virtio-blk\nalias virtio:d0000000[12]v* other\n\
                       alias virtio:d*v* virtio_blk\nalias fs-erofs erofs\n";
        let devices = ["virtio:d00000002v00001AF4".to_owned()];
        assert_eq!(modules_for(aliases, &devices), ["virtio_blk", "other"]);
        assert_eq!(modules_for(aliases, &["fs-erofs".to_owned()]), ["erofs"]);
    }

    #[test]
    fn dependencies_come_before_what_needs_them() {
        let deps = "kernel/a-b.ko: kernel/c.ko kernel/d.ko\nkernel/d.ko:\n";
        assert_eq!(load_order(deps, "a_b"), ["kernel/d.ko", "kernel/c.ko", "kernel/a-b.ko"]);
        assert_eq!(load_order(deps, "d"), ["kernel/d.ko"]);
        assert!(load_order(deps, "x").is_empty());
    }

    #[test]
    fn soft_dependencies_are_those_before_it() {
        let text = "# comment\nsoftdep a-b pre: c-d e post: f\nsoftdep g post: h\nsoftdep a_b pre: i\n";
        assert_eq!(wanted_before(text, "a_b"), ["c_d", "e", "i"]);
        assert!(wanted_before(text, "g").is_empty());
    }
}
