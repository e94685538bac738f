//! What containers say: where their logs are found, and the last word of each.

use super::container;
use crate::pod::observed::Instance;
use crate::volume::place;
use k8s_openapi::api::core::v1::Pod;
use std::fs;
use std::os::unix::fs::symlink;

/// Where programs of a cluster look for all logs, they find one more.
pub(super) fn link(pod: &Pod, container: &str, attempt: u32, id: &str) {
    let link = place::container_log(pod, container, id);
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(place::CONTAINER_LOGS)?;
        let _ = fs::remove_file(&link);
        symlink(place::log(pod, container, attempt), &link)
    };
    if let Err(error) = put() {
        crate::say::say(format_args!("link {}: {}", link.display(), sys::cause::cause(&error)));
    }
}

/// Takes away the link to a container's log, before the container goes: an agent that is killed between finds it again.
pub(super) fn unlink(pod: &Pod, one: &Instance) {
    let _ = fs::remove_file(place::container_log(pod, &one.container, &one.id));
}

/// Longest last word, in bytes, and the longest that is taken from the log.
const LONGEST: usize = 4096;
const FROM_LOG: (usize, usize) = (2048, 80);

/// What a container says when it ends: the file that it may write, or the end of its log when it has failed.
pub(super) fn last_word(pod: &Pod, uid: &str, ended: &Instance) -> String {
    let Some((_, own)) = container(pod, &ended.container) else { return String::new() };
    let file = place::termination(uid, &ended.container, ended.attempt);
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned();
    let falls_back = own.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if !text.is_empty() || !falls_back || ended.code() == Some(0) {
        return text;
    }
    let log = place::log(pod, &ended.container, ended.attempt);
    tail(&fs::read_to_string(log).unwrap_or_default())
}

/// The end of a log in the CRI format, without its stamps; what is tagged `P` has no line break of its own.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).collect();
    let text = lines[lines.len().saturating_sub(FROM_LOG.1)..]
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(tag, line)| if tag == "P" { line.to_owned() } else { format!("{line}\n") })
        .collect::<String>();
    let mut from = text.len().saturating_sub(FROM_LOG.0);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_end_is_the_last_word() {
        assert_eq!(tail("T stdout F one\nT stderr F two three\n"), "one\ntwo three\n");
        assert_eq!(tail("T stdout F one\nT stdout P tw\nT stdout P o"), "one\ntwo");
        let long: String = (0..200).map(|number| format!("T stdout F {number}\n")).collect();
        assert!(tail(&long).starts_with("120\n") && tail(&long).ends_with("199\n"));
        assert_eq!(tail(&format!("T stdout F {}\n", "ä".repeat(4000))).len(), 2047);
    }
}
