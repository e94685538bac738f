//! A monitor that says what a test wants.

use spec::monitor::{Frame, Kind};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What a monitor says first.
pub const HELLO: &str = r#"{"version":1,"program":"test"}"#;

/// A monitor that reads everything, and gives these answers to as many clients, one after the other.
pub fn with_monitor<T>(clients: &[&[&str]], ask: impl FnOnce(&Path) -> T) -> T {
    let own = (std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(format!("skerry-client-{}-{:?}", own.0, own.1));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            for answers in clients {
                let (mut client, _) = listener.accept().unwrap();
                let frames = answers.iter().flat_map(|text| Frame::encode(Kind::Message, text.as_bytes()));
                client.write_all(&frames.collect::<Vec<u8>>()).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                scope.spawn(move || io::copy(&mut client, &mut io::sink()).unwrap());
            }
        });
        ask(&socket)
    });
    std::fs::remove_dir_all(folder).unwrap();
    done
}
