//! A monitor that says what a test wants.

use spec::monitor::{Frame, Kind, Reader, Request};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;

/// What a monitor says first.
pub const HELLO: &str = r#"{"version":1,"program":"test"}"#;

/// A monitor that reads everything, and gives these answers to as many clients, one after the other.
pub fn with_monitor<T>(clients: &[&[&str]], ask: impl FnOnce(&Path) -> T) -> T {
    heard(clients, ask).0
}

/// The same, and what each client asked for. Those beyond the last one have no answer, and fewer may come.
pub fn heard<T>(clients: &[&[&str]], ask: impl FnOnce(&Path) -> T) -> (T, Vec<Request>) {
    let own = (std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(format!("skerry-client-{}-{:?}", own.0, own.1));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let requests = Mutex::new(Vec::new());
    let over = Mutex::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut answers = clients.iter();
            while let Ok((mut client, _)) = listener.accept() {
                if *over.lock().unwrap() {
                    return;
                }
                let frames = answers.next().into_iter().flat_map(|answers| answers.iter());
                let frames = frames.flat_map(|text| Frame::encode(Kind::Message, text.as_bytes()));
                client.write_all(&frames.collect::<Vec<u8>>()).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let place = requests.lock().unwrap().len();
                requests.lock().unwrap().push(None);
                let requests = &requests;
                scope.spawn(move || {
                    let asked = request(client);
                    requests.lock().unwrap()[place] = asked;
                });
            }
        });
        let done = ask(&socket);
        *over.lock().unwrap() = true;
        let _ = UnixStream::connect(&socket);
        done
    });
    std::fs::remove_dir_all(folder).unwrap();
    (done, requests.into_inner().unwrap().into_iter().flatten().collect())
}

/// What a client asks for first, once it has left.
fn request(mut client: UnixStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes);
    let mut reader = Reader::default();
    reader.push(&bytes);
    let frames = std::iter::from_fn(|| reader.frame().ok().flatten());
    frames.filter_map(|frame| serde_json::from_slice(&frame.payload).ok()).next()
}
