//! The kernel's word, in its log, that it has killed a process because the machine itself had no memory left
//! (`Documentation/ABI/testing/dev-kmsg` of the kernel). Who is over the limit of a cgroup, a container's or that of all
//! pods, is no matter of the node's.

use crate::events::Events;
use crate::say::say;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use sys::cause::cause;
use tokio::net::unix::pipe::Receiver;

/// The kernel's log. Each read(2) gives one record.
const LOG: &str = "/dev/kmsg";

/// Longest record, in bytes (`PRINTK_MESSAGE_MAX` and what the kernel writes before it).
const RECORD: usize = 8192;

/// Tells of it for ever, in the kubelet's words (`SystemOOM`). What the log had before is left alone.
pub async fn watch(node: &str, events: &Events) {
    let followed = match open() {
        Ok(log) => follow(&log, node, events).await,
        Err(error) => Err(error),
    };
    if let Err(error) = followed {
        say(format_args!("read {LOG}: {}", cause(&error)));
    }
}

/// The log from here on. Tokio has no type of its own for a device that is read record by record; a pipe is awaited alike.
fn open() -> io::Result<Receiver> {
    let mut log = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(LOG)?;
    log.seek(SeekFrom::End(0))?;
    Receiver::from_file_unchecked(log)
}

async fn follow(log: &Receiver, node: &str, events: &Events) -> io::Result<()> {
    let mut bytes = [0; RECORD];
    loop {
        log.readable().await?;
        match log.try_read(&mut bytes) {
            Ok(length) => {
                if let Some(words) = bytes.get(..length).and_then(|own| killed(&String::from_utf8_lossy(own)))
                {
                    events.say_of_node(node, false, "SystemOOM", words);
                }
            }
            // What came since has taken the place of what was to be read next, or nothing has come.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is told of a record, `PRIORITY,NUMBER,TIME,…;MESSAGE`, if it is of such a process: `dump_oom_victim`'s line of the
/// kernel's `mm/oom_kill.c`. Nobody else can write one of the kernel's own (facility 0).
fn killed(record: &str) -> Option<String> {
    let (head, message) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let line = message.lines().next()?.strip_prefix("oom-kill:").filter(|_| priority < 8)?;
    let (_, victim) = line.split_once(",global_oom,")?;
    // A name may have anything in it, a path as well.
    let (rest, _) = victim.rsplit_once(",uid=")?;
    let (rest, pid) = rest.rsplit_once(",pid=")?;
    let (_, name) = rest.rsplit_once(",task=")?;
    Some(format!("System OOM encountered, victim process: {name}, pid: {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_who_dies_for_the_machine_is_told() {
        let of = |priority: u32, who: &str| {
            let line = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0";
            killed(&format!("{priority},1234,5678901,-;{line},{who}\n SUBSYSTEM=x\n"))
        };
        let victim = "global_oom,task_memcg=/system/x,task=my,task,pid=42,uid=0";
        let words = "System OOM encountered, victim process: my,task, pid: 42";
        // The last `,task=` begins the name.
        assert_eq!(of(6, victim).as_deref(), Some(words));
        assert_eq!(of(14, victim), None, "somebody has written it into the log");
        let of_pod = "oom_memcg=/kubepods/podu,task_memcg=/kubepods/podu/m,task=sh,pid=7,uid=0";
        assert_eq!(of(6, of_pod), None);
        assert_eq!(killed("6,1,2,-;Out of memory: Killed process 42 (x)\n"), None, "once is enough");
        assert_eq!(killed("nothing"), None);
    }

    #[tokio::test]
    async fn the_log_is_read_from_its_end_on() {
        // Who may not write to it may not read it either.
        let Ok(mut kernel) = OpenOptions::new().write(true).open(LOG) else { return };
        // A line without an end would wait for its rest.
        let mark = |when: &str| format!("skerry-agent test {}: {when}\n", std::process::id());
        kernel.write_all(mark("before").as_bytes()).unwrap();
        let log = open().unwrap();
        kernel.write_all(mark("after").as_bytes()).unwrap();
        let mut bytes = [0; RECORD];
        loop {
            log.readable().await.unwrap();
            let Ok(length) = log.try_read(&mut bytes) else { continue };
            let record = String::from_utf8_lossy(&bytes[..length]);
            assert!(!record.contains(&mark("before")), "{record}");
            if record.contains(&mark("after")) {
                break;
            }
        }
    }
}
