//! Words of the kernel's tables of mounts (proc_pid_mountinfo(5)).

/// A path or an option as it is: blank, tab, newline and backslash stand there in octal, `\040`.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
    let mut parts = text.split(|byte| *byte == b'\\');
    let mut out = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(octal);
        out.push(code.unwrap_or(b'\\'));
        out.extend_from_slice(if code.is_some() { &part[3..] } else { part });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_back_and_nothing_else_is() {
        for (text, means) in [
            ("/a b", "/a b"),
            (r"/a\040b\134040", r"/a b\040"),
            (r"\011\012", "\t\n"),
            (r"\04", r"\04"),
            (r"\9", r"\9"),
        ] {
            assert_eq!(String::from_utf8(unescape(text.as_bytes())).unwrap(), means, "{text}");
        }
    }
}
