//! How many connections the kernel tracks, and for how long. What it takes by itself follows from the memory: 1024 at
//! 64 MiB, 4096 at 512 MiB, and those that have ended count for two minutes. When they are too many, it drops packets of
//! everybody. One takes memory (some 320 bytes) only while it is there.

use crate::say::say;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::available_parallelism;
use sys::cause::cause;

const FOLDER: &str = "/proc/sys/net/netfilter";

/// As many as kube-proxy has: for each processor, and at least.
const MOST: (u64, u64) = (32_768, 131_072);

/// Of a peer that has closed its side (kube-proxy's): the kernel forgets it after a minute.
const CLOSE_WAIT: u64 = 3600;

/// Of one that is open and silent (kube-proxy's): the kernel waits five days.
const ESTABLISHED: u64 = 86_400;
const KERNELS_ESTABLISHED: u64 = 432_000;

/// Makes room. What somebody has chosen, and what is more, is left.
pub fn make_room() {
    let cpus = available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    settle(Path::new(FOLDER), cpus);
}

fn settle(folder: &Path, cpus: u64) {
    change(&folder.join("nf_conntrack_max"), |most| most.max(MOST.1).max(MOST.0 * cpus));
    change(&folder.join("nf_conntrack_tcp_timeout_close_wait"), |seconds| seconds.max(CLOSE_WAIT));
    change(&folder.join("nf_conntrack_tcp_timeout_established"), |seconds| match seconds {
        KERNELS_ESTABLISHED => ESTABLISHED,
        chosen => chosen,
    });
}

/// Services lead where they should without it, too, so what fails is said and left at that.
fn change(path: &Path, to: impl Fn(u64) -> u64) {
    let changed = || -> io::Result<()> {
        let number = fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)?;
        match to(number) {
            same if same == number => Ok(()),
            other => fs::write(path, other.to_string()),
        }
    };
    match changed() {
        // In a container the machine's number is for others to set, and can only be read.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
        Err(error) => say(format_args!("change {}: {}", path.display(), cause(&error))),
        Ok(()) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_and_what_is_more_or_chosen_is_left() {
        let folder = std::env::temp_dir().join(format!("skerry-tracking-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = ["max", "tcp_timeout_close_wait", "tcp_timeout_established"]
            .map(|name| folder.join(format!("nf_conntrack_{name}")));
        for (before, cpus, after) in [
            (["4096", "60", "432000"], 2, ["131072", "3600", "86400"]),
            (["4096", "60", "432000"], 8, ["262144", "3600", "86400"]),
            (["500000", "7200", "3600"], 2, ["500000", "7200", "3600"]),
            (["131072", "3600", "864000"], 1, ["131072", "3600", "864000"]),
        ] {
            files.iter().zip(before).for_each(|(file, text)| fs::write(file, format!("{text}\n")).unwrap());
            settle(&folder, cpus);
            let now = files.each_ref().map(|file| fs::read_to_string(file).unwrap().trim().to_owned());
            assert_eq!(now, after, "{before:?}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
