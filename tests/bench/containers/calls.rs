//! System calls counted by strace(1): those of all processes that a command starts, but not
//! those of the container's program.

use super::stopwatch::{Stopwatch, Words};
use crate::guest::folder;
use ::tests::Result;
use std::collections::HashSet;
use std::fs;

/// What the container's program is executed by.
const PROGRAM: &str = "execve(\"/bin/true\"";

/// Counts those of a command, which is run once for that.
pub fn count(stopwatch: &mut Stopwatch, command: &Words) -> Result<u64> {
    let file = folder().join("calls");
    let tracer = ["/usr/bin/strace", "-f", "-qq", "-o", &file.display().to_string()];
    let tracer = tracer.map(str::to_owned).into_iter();
    stopwatch.leave(&[tracer.chain(command.iter().cloned()).collect()])?;
    let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
    Ok(of(&text))
}

/// Lines are `PID CALL(…`; a call that another process interrupts has a second line, which
/// begins with `<...`. A process that executes the container's program is it from then on.
fn of(trace: &str) -> u64 {
    let mut ended = HashSet::new();
    let mut calls = 0;
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if ended.contains(process) || !call.starts_with(|first: char| first.is_ascii_lowercase()) {
            continue;
        }
        calls += 1;
        // Of several tries the one that does not fail.
        if call.starts_with(PROGRAM) && !call.contains(" = -1 ") {
            ended.insert(process.to_owned());
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_once_and_the_program_does_not() {
        let trace = "1 clone3({flags=0}) = 2\n\
                     2 read(3,  <unfinished ...>\n1 close(3) = 0\n2 <... read resumed>\"\", 1) = 0\n\
                     2 execve(\"/bin/true\", [\"true\"]) = -1 ENOENT (No such file or directory)\n\
                     2 execve(\"/bin/true\", [\"true\"]) = 0\n2 brk(NULL) = 0\n\
                     1 --- SIGCHLD ---\n1 exit_group(0) = ?\n1 +++ exited with 0 +++\n";
        assert_eq!(of(trace), 6);
    }
}
