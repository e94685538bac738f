//! A monitor that is played: its programs are a few words.
//!
//! | command | what it does |
//! |---|---|
//! | `cat` | gives its input back, and ends with it |
//! | `say OUT ERR STATUS` | says so, and ends |
//! | `flood BYTES` | writes so many |
//! | `sizes` | says the sizes of its terminal, until its input has `q` |
//! | others | cannot be found |

use spec::monitor::{Exec, Frame, Kind, Reader, Reply, Request};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A monitor that listens at a socket of its own.
pub struct Played {
    folder: PathBuf,
    end: watch::Sender<bool>,
}

impl Played {
    pub fn new() -> Self {
        let own = (std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(format!("skerry-played-{}-{:?}", own.0, own.1));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("socket")).unwrap();
        let (end, theirs) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Peer { stream, reader: Reader::default(), end: theirs.clone() };
                tokio::spawn(async move { peer.serve().await });
            }
        });
        Self { folder, end }
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whoever waits for a container's end, now or later, is told that it has come.
    pub fn end_all(&self) {
        self.end.send_replace(true);
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Peer {
    stream: UnixStream,
    reader: Reader,
    end: watch::Receiver<bool>,
}

impl Peer {
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.reader.frame().unwrap() {
                return Some(frame);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.reader.push(&bytes[..length]),
            }
        }
    }

    async fn send(&mut self, kind: Kind, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(&Frame::encode(kind, bytes)).await.ok()
    }

    async fn say(&mut self, reply: &Reply) -> Option<()> {
        self.send(Kind::Message, &serde_json::to_vec(reply).unwrap()).await
    }

    async fn serve(mut self) -> Option<()> {
        self.frame().await?;
        self.send(Kind::Message, br#"{"version":1,"program":"played"}"#).await?;
        let request = self.frame().await?;
        match serde_json::from_slice(&request.payload).unwrap() {
            Request::Exec(exec) => self.exec(*exec).await,
            Request::Attach { .. } => {
                self.exec(Exec {
                    command: vec!["say".into(), "seen".into(), String::new(), "9".into()],
                    ..Exec::default()
                })
                .await
            }
            Request::Wait { .. } => {
                self.end.wait_for(|ended| *ended).await.ok()?;
                self.say(&Reply::Exited { status: 0, out_of_memory: false, error: None }).await
            }
            other => panic!("{other:?} is not played"),
        }
    }

    async fn exec(&mut self, exec: Exec) -> Option<()> {
        let words: Vec<&str> = exec.command.iter().map(String::as_str).collect();
        if !matches!(words[0], "cat" | "say" | "flood" | "sizes") {
            let message = format!("exec: {:?}: no such file or directory", words[0]);
            let failure = spec::monitor::Failure { code: spec::monitor::Code::NoProgram, message };
            return self.say(&Reply::Failed(failure)).await;
        }
        self.say(&Reply::Streams { session: Some("s".into()), tty: exec.tty }).await?;
        let mut status = 0;
        match *words {
            ["cat"] => self.cat().await?,
            ["say", out, err, code] => {
                self.send(Kind::Output, out.as_bytes()).await?;
                self.send(Kind::Error, err.as_bytes()).await?;
                status = code.parse().unwrap();
            }
            ["flood", bytes] => {
                let bytes: usize = bytes.parse().unwrap();
                for _ in 0..bytes / 50_000 {
                    self.send(Kind::Output, &[b'x'; 50_000]).await?;
                }
            }
            _ => self.sizes().await?,
        }
        self.say(&Reply::Exited { status, out_of_memory: false, error: None }).await
    }

    async fn cat(&mut self) -> Option<()> {
        loop {
            let frame = self.frame().await?;
            match frame.kind {
                Kind::Input => self.send(Kind::Output, &frame.payload).await?,
                _ => return Some(()),
            }
        }
    }

    async fn sizes(&mut self) -> Option<()> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == Kind::Input && frame.payload.contains(&b'q') {
                return Some(());
            }
            if let Ok(Request::Resize(size)) = serde_json::from_slice(&frame.payload) {
                self.send(Kind::Output, format!("{}x{}\n", size.columns, size.rows).as_bytes()).await?;
            }
        }
    }
}
