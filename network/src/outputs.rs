//! What the rest of the node sees: the resolver's configuration, the host name,
//! and the line that says "ready". Written when they change, not oftener.

use crate::say::{attempt, say};
use crate::service::Service;
use nix::unistd::sethostname;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::file::replace;

/// How long after a file could not be written the next attempt is made, at the earliest.
const AGAIN: Duration = Duration::from_secs(10);

/// What was written last.
#[derive(Debug, Default)]
pub struct Outputs {
    resolv_conf: Option<String>,
    /// When it could not be written.
    failed: Option<Instant>,
    host_name: Option<String>,
    ready: bool,
}

impl Outputs {
    /// Brings all of it up to date.
    pub fn follow(&mut self, service: &Service) {
        self.resolv_conf(service.names.resolv_conf());
        if let Some(name) = service.host_name() {
            self.host_name(name);
        }
        if !self.ready && service.settled() {
            self.ready = true;
            attempt(format_args!("say that the network is ready"), say_ready());
        }
    }

    /// When [`Self::follow`] is due though nothing has changed; `now` is since the machine started.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        self.failed.map(|failed| now + AGAIN.saturating_sub(failed.elapsed()))
    }

    fn resolv_conf(&mut self, text: String) {
        if self.resolv_conf.as_ref() == Some(&text) {
            return;
        }
        if self.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return;
        }
        let path = Path::new(spec::paths::RESOLV_CONF);
        let written = attempt(format_args!("write {}", path.display()), replace(path, text.as_bytes()));
        self.failed = (!written).then(Instant::now);
        self.resolv_conf = written.then_some(text);
    }

    fn host_name(&mut self, name: String) {
        if self.host_name.as_ref() == Some(&name) {
            return;
        }
        if attempt(format_args!("set host name {name}"), sethostname(&name).map_err(Into::into)) {
            say(format_args!("host name: {name}"));
        }
        self.host_name = Some(name);
    }
}

/// Writes the line that PID 1 waits for, if it does.
fn say_ready() -> io::Result<()> {
    let Some(number) = std::env::var("SKERRY_READY_FD").ok().and_then(|text| text.parse::<u32>().ok()) else {
        return Ok(());
    };
    OpenOptions::new().write(true).open(format!("/proc/self/fd/{number}"))?.write_all(b"ready\n")
}
