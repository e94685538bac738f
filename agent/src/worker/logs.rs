//! What containers say: where their logs are found, and the last word of each.

use super::container;
use crate::pod::observed::Instance;
use crate::server::logs::last;
use crate::volume::place;
use k8s_openapi::api::core::v1::Pod;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::symlink;
use std::path::Path;
use sys::cause::cause;

/// Where programs of a cluster look for all logs, they find one more.
pub(super) fn link(pod: &Pod, container: &str, attempt: u32, id: &str) {
    let link = place::container_log(pod, container, id);
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(place::CONTAINER_LOGS)?;
        let _ = fs::remove_file(&link);
        symlink(place::log(pod, container, attempt), &link)
    };
    if let Err(error) = put() {
        crate::say::say(format_args!("link {}: {}", link.display(), cause(&error)));
    }
}

/// Takes away the link to a container's log, before the container goes: an agent that is killed between finds it again.
pub(super) fn unlink(pod: &Pod, one: &Instance) {
    let _ = fs::remove_file(place::container_log(pod, &one.container, &one.id));
}

/// Longest last word, in bytes; the longest that is taken from the log, and from how many of its entries (the kubelet's numbers).
const LONGEST: usize = 4096;
const FROM_LOG: usize = 2048;
const ENTRIES: u64 = 80;

/// What a container says when it ends: the file that it may write, or the end of its log when it has failed. It is read
/// from the disk.
pub(super) fn last_word(pod: &Pod, uid: &str, ended: &Instance) -> String {
    let Some((_, own)) = container(pod, &ended.container) else { return String::new() };
    let file = place::termination(uid, &ended.container, ended.attempt);
    let text = text(&written(&file).unwrap_or_default(), LONGEST);
    let falls_back = own.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if !text.is_empty() || !falls_back || ended.code() == Some(0) {
        return text;
    }
    from_log(&place::log(pod, &ended.container, ended.attempt))
}

/// The end of a file that a container may have made as long as it likes, and holds a lease on perhaps.
fn written(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = sys::regular::open(path, File::options().read(true))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(with_margin(LONGEST) as u64)))?;
    let mut bytes = Vec::new();
    file.take(with_margin(LONGEST) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn from_log(path: &Path) -> String {
    match last(path, ENTRIES, with_margin(FROM_LOG)) {
        Ok(bytes) => text(&bytes, FROM_LOG),
        Err(error) => format!("read {}: {}", path.display(), cause(&error)),
    }
}

/// Room for the rest of a character that the cut goes through, which is left out then.
const fn with_margin(length: usize) -> usize {
    length + 3
}

/// The last bytes of a text, of whole characters; what is no text has signs in its place.
fn text(bytes: &[u8], length: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut from = text.len().saturating_sub(length);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(name: &str, content: &[u8], read: impl Fn(&Path) -> String) -> String {
        let path = std::env::temp_dir().join(format!("skerry-last-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        let word = read(&path);
        fs::remove_file(&path).unwrap();
        word
    }

    #[test]
    fn a_logs_end_is_the_last_word() {
        let log = |content: &[u8]| in_file("log", content, from_log);
        assert_eq!(log(b"T stdout F one\nT stderr F two three\n"), "one\ntwo three\n");
        assert_eq!(log(b"T stdout F one\nT stdout P tw\nT stdout P o\n"), "one\ntwo");
        let long: String = (0..200).map(|number| format!("T stdout F {number}\n")).collect();
        let word = log(long.as_bytes());
        assert!(word.starts_with("120\n") && word.ends_with("199\n"), "{word}");
        assert_eq!(log(format!("T stdout F {}\n", "ä".repeat(4000)).as_bytes()).len(), 2047);
        assert_eq!(from_log(Path::new("/nowhere/0.log")), "");
    }

    #[test]
    fn a_byte_that_is_no_text_costs_nothing_else() {
        assert_eq!(in_file("byte", b"T stdout F a\xffb\n", from_log), "a\u{fffd}b\n");
        let all = in_file("bytes", &[b"T stdout F ", &[0xff; 5000][..], b"\n"].concat(), from_log);
        assert!((2046..=2048).contains(&all.len()), "{}", all.len());
    }

    #[test]
    fn the_end_of_what_a_container_has_written_is_the_last_word() {
        let read = |path: &Path| text(&written(path).unwrap(), LONGEST);
        assert_eq!(in_file("short", b"why", read), "why");
        let pipe = std::env::temp_dir().join(format!("skerry-last-pipe-{}", std::process::id()));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(written(&pipe).is_err(), "nobody waits for its other end");
        fs::remove_file(&pipe).unwrap();
        assert_eq!(in_file("long", &[&[b'x'; 9000][..], b"why"].concat(), read), "x".repeat(4093) + "why");
    }
}
