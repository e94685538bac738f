//! `/run/skerry/monitor/status`: a line per container for people and tests,
//! replaced as a whole with each change.
//!
//! ```text
//! NAME STATE PID RESTARTS EXIT IMAGE
//! web running 71 0 - nginx
//! job absent - 2 3 busybox
//! ```
//!
//! One space between words and no heading; `-` is nothing. `STATE` is a word of
//! [`crate::life::State::name`]; `EXIT` is the last instance's exit status, 128
//! and the signal when it was killed, `oom` when the kernel killed it for its
//! memory, `failed` when it could not be started, `missing` when its image is.

use crate::life::{End, Observed};
use spec::node::Name;

/// A container's line.
pub fn line(name: &Name, observed: &Observed, image: Option<&str>) -> String {
    let pid = observed.state.process().map_or("-".to_owned(), |process| process.pid.to_string());
    let exit = observed.last.as_ref().map_or("-".to_owned(), |last| exit(&last.end));
    let state = observed.state.name();
    let restarts = observed.restarts;
    format!("{name} {state} {pid} {restarts} {exit} {}\n", image.unwrap_or("-"))
}

fn exit(end: &End) -> String {
    match end {
        End::Exited(status) => status.to_string(),
        End::Signalled(signal) => (128 + signal).to_string(),
        End::OutOfMemory => "oom".to_owned(),
        End::Unknown => "unknown".to_owned(),
        End::NotStarted(_) => "failed".to_owned(),
        End::Missing(_) => "missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{Last, Process, State, Time};

    #[test]
    fn a_container_is_one_line() {
        let name = "web".parse().unwrap();
        let mut observed = Observed::default();
        assert_eq!(line(&name, &observed, Some("nginx")), "web absent - 0 - nginx\n");
        let process = Process { pid: 71, start_time: 1 };
        observed.state = State::Running { process, since: Time::ZERO };
        observed.restarts = 2;
        observed.last = Some(Last { end: End::Signalled(9), at: Time::ZERO });
        assert_eq!(line(&name, &observed, None), "web running 71 2 137 -\n");
    }
}
