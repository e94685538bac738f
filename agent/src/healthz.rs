//! 127.0.0.1:10248: `/healthz` as a kubelet answers it there, without a certificate and without checks, for who watches over
//! the node from the node itself, as node-problem-detector does. Who is answered sees that the agent's one thread goes on; what
//! else `/healthz` can say is on port 10250 ([`crate::server::stats`]).

use crate::answering::{Answer, listener, nothing, serve, text};
use std::net::Ipv4Addr;

/// The kubelet's `healthzPort`.
const PORT: u16 = 10248;

/// Answers for ever.
pub async fn keep() {
    serve(listener(Ipv4Addr::LOCALHOST.into(), PORT, "").await, |_, path| answer(path)).await;
}

fn answer(path: &str) -> Answer {
    match path {
        "/healthz" | "/healthz/ping" => text("ok"),
        _ => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn health_is_told_to_the_node_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, |_, path| answer(path)));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: n\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let well = ask("/healthz").await;
        assert!(well.starts_with("HTTP/1.1 200 ") && well.ends_with("\r\n\r\nok"), "{well}");
        assert!(ask("/pods").await.starts_with("HTTP/1.1 404 "));
    }
}
