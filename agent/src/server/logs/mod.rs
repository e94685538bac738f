//! `/containerLogs`: what a container has written, and goes on to write.
//!
//! An answer is read from the log's files as the client takes it; nothing is kept. Who follows
//! is answered until the container's instance has ended and all of its log was sent.

mod files;
mod options;
mod shape;
#[cfg(test)]
mod tests;
mod watch;

use super::Host;
use super::answer::{Answer, stream, text};
use super::pods::{Container, Pod};
use super::route::Target;
use crate::monitor::Monitor;
use crate::pod::status;
use bytes::Bytes;
use files::Reader;
use http::StatusCode;
use options::{Options, Refusal};
use shape::Shape;
use spec::monitor::{Request, Wait};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};
use sys::cause::cause;
use watch::Watch;

/// The last bytes of what a log's last entries say. A piece of it is in memory at a time; a file that is not there says
/// nothing.
///
/// # Errors
/// Those of reading a file.
pub fn last(path: &Path, entries: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut reader = Reader::new(path, Some(entries))?;
    let mut shape = Shape::new(&Options::default());
    let mut last = Vec::new();
    loop {
        let entries = reader.read()?;
        if entries.is_empty() {
            return Ok(last);
        }
        last.extend(shape.make(&entries));
        last.drain(..last.len().saturating_sub(bytes));
    }
}

/// Answers `/containerLogs`.
pub async fn logs(host: &Host, query: &str, target: &Target) -> Answer {
    match open(host, query, target).await {
        Ok(log) => stream("text/plain", futures::stream::unfold(log, Log::next)),
        Err((status, words)) => {
            text(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), words)
        }
    }
}

async fn open(host: &Host, query: &str, target: &Target) -> Result<Log, Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let options = Options::of(query, now)?;
    let pod = host.pods.find(&target.namespace, &target.pod, None);
    let pod = pod.ok_or_else(|| (404, format!("pod {:?} does not exist", target.pod)))?;
    let container = pod.container(&target.container).ok_or_else(|| {
        (404, format!("container {:?} not found in pod {:?}", target.container, target.pod))
    })?;
    let path = path(&pod, container, options.previous)?;
    Log::open(path, &options, end(host, container, &options)).await
}

/// The log of the newest instance that has begun, or of the one before.
fn path(pod: &Pod, container: &Container, previous: bool) -> Result<PathBuf, Refusal> {
    let (name, of) = (&container.name, &pod.name);
    let attempt = if previous { container.previous } else { container.log };
    let attempt = attempt.ok_or_else(|| match (previous, container.waiting.as_deref()) {
        (true, _) => (400, format!("previous terminated container {name:?} in pod {of:?} not found")),
        (false, None) if pod.object.as_deref().is_some_and(status::is_terminal) => {
            (400, format!("container {name:?} in pod {of:?} is terminated"))
        }
        (false, reason) => {
            let why = match reason.unwrap_or("ContainerCreating") {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            };
            (400, format!("container {name:?} in pod {of:?} is waiting to start: {why}"))
        }
    })?;
    Ok(pod.logs.join(name).join(format!("{attempt}.log")))
}

/// Comes to its end when there is nothing more to follow.
type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The end of the instance that is followed, if one is.
fn end(host: &Host, container: &Container, options: &Options) -> Option<End> {
    let instance = container.instance.clone().filter(|_| options.follow)?;
    if options.previous || !container.running {
        return None;
    }
    let monitor = host.monitor.clone();
    Some(Box::pin(ended(monitor, instance)))
}

/// Waits until an instance does not run: one that there is not does not.
async fn ended(monitor: Monitor, name: String) {
    let request = Request::Wait { name, condition: Wait::NotRunning };
    while let Err(crate::monitor::Error::Away(_) | crate::monitor::Error::Gone) = monitor.ask(&request).await
    {
    }
}

/// A log on its way to a client.
struct Log {
    reader: Reader,
    shape: Shape,
    watch: Option<Watch>,
    end: Option<End>,
}

impl Log {
    async fn open(path: PathBuf, options: &Options, end: Option<End>) -> Result<Self, Refusal> {
        let words = |error: io::Error| (500, format!("read {}: {}", path.display(), cause(&error)));
        let (tail, at) = (options.tail, path.clone());
        let reader = blocking(move || Reader::new(&at, tail)).await.map_err(words)?;
        let watch = end.is_some().then(|| Watch::new(reader.path())).transpose().map_err(words)?;
        Ok(Self { reader, shape: Shape::new(options), watch, end })
    }

    /// The next piece of the answer.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        while !self.shape.is_full() {
            let mut reader = self.reader;
            let (entries, reader) = blocking(move || Ok((reader.read()?, reader))).await.ok()?;
            self.reader = reader;
            if !entries.is_empty() {
                let made = self.shape.make(&entries);
                if !made.is_empty() {
                    return Some((made.into(), self));
                }
                continue;
            }
            let watch = self.watch.as_ref()?;
            match &mut self.end {
                Some(end) => tokio::select! {
                    changed = watch.changed() => changed.ok()?,
                    () = end => self.end = None,
                },
                // It has ended, and this was all.
                None => return None,
            }
        }
        None
    }
}

/// Does what waits for a disk on a thread that may.
async fn blocking<T: Send + 'static>(
    action: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(action).await.map_err(io::Error::other)?
}
