//! Commands run as root where there is cgroup v2 alone, and what they cost.
//!
//! All of it happens in mount and PID namespaces of their own, by a C program
//! (`stopwatch.c`) that is small enough to leave no trace in the figures. Whatever is
//! left at the end ends with the namespaces.

use crate::guest::compile;
use crate::series::Cost;
use ::tests::{Failure, Result, said};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `/run` is empty and in memory. Afterwards only empty cgroups can be left.
const PLACE: &str = "umount -l /sys/fs/cgroup
    mount -t cgroup2 cgroup /sys/fs/cgroup && mount -t tmpfs -o mode=755 run /run && \"$@\"
    find /sys/fs/cgroup -depth -type d -name '*skerry-bench*' -exec rmdir {} +";

/// A command line: the program by its path.
pub type Words = Vec<String>;

/// The running C program.
pub struct Stopwatch {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Stopwatch {
    /// Enters the namespaces.
    pub fn start() -> Result<Self> {
        let program = compile("containers/stopwatch", "stopwatch", &["-Os", "-static"])?;
        let is_root = said(Command::new("id").arg("-u"))?.trim() == "0";
        let mut command = Command::new(if is_root { "unshare" } else { "sudo" });
        command.args((!is_root).then_some("unshare"));
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["--mount-proc", "sh", "-c", PLACE, "sh"]).arg(program).args(["20", "end"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("the stopwatch has no input and output"));
        };
        Ok(Self { child, input: Some(input), output: BufReader::new(output) })
    }

    /// Runs commands one after another and waits for all that they started; `None` when
    /// they did not end in time.
    pub fn measure(&mut self, commands: &[Words]) -> Result<Option<Cost>> {
        self.ask("measure", commands)
    }

    /// Runs commands; what they started stays.
    pub fn leave(&mut self, commands: &[Words]) -> Result<()> {
        let cost = self.ask("leave", commands)?;
        cost.map(drop).ok_or_else(|| Failure::new(format!("{commands:?}: does not end")))
    }

    fn ask(&mut self, verb: &str, commands: &[Words]) -> Result<Option<Cost>> {
        let text: Vec<String> = commands.iter().map(|words| words.join("\t")).collect();
        let input = self.input.as_mut().ok_or_else(|| Failure::new("the stopwatch has stopped"))?;
        writeln!(input, "{verb}\t{}", text.join("\t--\t"))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        read(&line).map_err(|why| Failure::new(format!("{commands:?}: {why}")))
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Reads `STATUS WALL CPU PEAK`.
fn read(line: &str) -> std::result::Result<Option<Cost>, String> {
    let numbers: Vec<i64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    match numbers[..] {
        [-1, ..] => Ok(None),
        [0, wall, cpu, peak] => Ok(Some(Cost {
            wall: wall.unsigned_abs(),
            cpu: cpu.unsigned_abs(),
            memory: peak.unsigned_abs() * 1024,
        })),
        [status, ..] => Err(format!("ends with status {status}")),
        [] => Err("the stopwatch has ended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_cost_or_says_what_became_of_the_command() {
        assert_eq!(read("0 5 4 3\n"), Ok(Some(Cost { wall: 5, cpu: 4, memory: 3072 })));
        assert_eq!(read("-1 5 4 3\n"), Ok(None));
        assert_eq!(read("127 5 4 3\n"), Err("ends with status 127".to_owned()));
        assert!(read("").is_err());
    }
}
