//! One look at a container, or one word to it: what probes and lifecycle hooks do.

mod grpc;
mod http;
mod tls;

pub use grpc::grpc;
pub use http::{call, http};

use crate::monitor::{Event, Monitor};
use k8s_openapi::api::core::v1::{ContainerPort, ExecAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use spec::monitor::{Exec, Request as Asked};
use std::net::IpAddr;
use std::time::Duration;
use sys::cause::cause;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most of what a program or a server says that is kept.
const MOST: usize = 10 * 1024;

/// How an attempt came out: whether it is well, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is well.
    Good,
    /// It is well, but somebody should know this.
    Warning(String),
    /// It is not, in words.
    Bad(String),
    /// Nobody knows: it could not be tried.
    Unknown(String),
}

/// A port by number, or by its name among a container's.
pub fn port(asked: &IntOrString, ports: Option<&[ContainerPort]>) -> Option<u16> {
    let number = match asked {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => ports?.iter().find(|port| port.name.as_ref() == Some(name))?.container_port,
        },
    };
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// Runs a program in a container; it is well when that ends with 0. One that takes too long is killed.
pub async fn exec(monitor: &Monitor, container: &str, action: &ExecAction, limit: Duration) -> Outcome {
    let command = action.command.clone().unwrap_or_default();
    let asked = Exec { name: container.to_owned(), command: command.clone(), ..Exec::default() };
    let mut streams = match monitor.stream(&Asked::Exec(Box::new(asked))).await {
        Ok(streams) => streams,
        Err(error) => return Outcome::Unknown(error.to_string()),
    };
    let mut said = Vec::new();
    let run = async {
        loop {
            match streams.next().await {
                Ok(Event::Output(bytes) | Event::Error(bytes)) => {
                    let room = MOST.saturating_sub(said.len());
                    said.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Ok(Event::Exited { status, error, .. }) => return ended(status, error, &said),
                Ok(_) => {}
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
    };
    match timeout(limit, run).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // The monitor kills all that it has started.
            let _ = streams.signal(nix::libc::SIGKILL);
            Outcome::Bad(format!(
                "command timed out: {:?} timed out after {}s",
                command.join(" "),
                limit.as_secs()
            ))
        }
    }
}

/// What a program's end says of a container; one that could not be run at all says nothing.
fn ended(status: u8, error: Option<String>, said: &[u8]) -> Outcome {
    match (status, error) {
        (_, Some(words)) => Outcome::Unknown(words),
        (0, None) => Outcome::Good,
        (_, None) => Outcome::Bad(String::from_utf8_lossy(said).into_owned()),
    }
}

/// Whom to ask: the pod, unless the probe names another.
fn target(
    pod: IpAddr,
    host: Option<&str>,
    asked: &IntOrString,
    ports: Option<&[ContainerPort]>,
) -> Result<(String, u16), String> {
    let port = port(asked, ports).ok_or_else(|| format!("there is no port {asked:?}"))?;
    let host = host.filter(|host| !host.is_empty()).map_or_else(|| pod.to_string(), str::to_owned);
    Ok((host, port))
}

/// Connects.
pub async fn tcp(
    address: IpAddr,
    action: &TCPSocketAction,
    ports: Option<&[ContainerPort]>,
    limit: Duration,
) -> Outcome {
    let (host, port) = match target(address, action.host.as_deref(), &action.port, ports) {
        Ok(target) => target,
        Err(reason) => return Outcome::Unknown(reason),
    };
    match timeout(limit, dial(&host, port)).await {
        Ok(Ok(_)) => Outcome::Good,
        Ok(Err(reason)) => Outcome::Bad(reason),
        Err(_) => Outcome::Bad(format!("dial tcp {}: i/o timeout", authority(&host, port))),
    }
}

/// Connects; why it cannot is said in a kubelet's words.
async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        // One without a number is of the name, which nobody has.
        let call = if error.raw_os_error().is_some() { "connect: " } else { "" };
        format!("dial tcp {}: {call}{}", authority(host, port), cause(&error))
    })
}

/// A host and a port as a URL has them.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::GRPCAction;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    pub const LIMIT: Duration = Duration::from_secs(30);

    /// A server that gives these answers, a connection each; its port.
    pub async fn server(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    #[test]
    fn a_program_that_cannot_be_run_says_nothing_of_the_container() {
        assert_eq!(ended(0, None, b"ok"), Outcome::Good);
        assert_eq!(ended(1, None, b"no"), Outcome::Bad("no".into()));
        let missing = "run /probe: no such file or directory";
        assert_eq!(ended(127, Some(missing.into()), b""), Outcome::Unknown(missing.into()));
    }

    #[tokio::test]
    async fn a_connection_says_whether_it_is_well() {
        let port = server(&[""]).await;
        let action = |port: u16| serde_json::from_value(json!({ "port": port })).unwrap();
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(tcp(address, &action(port), None, LIMIT).await, Outcome::Good);
        // It has its port, and does not listen.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = socket.local_addr().unwrap().port();
        let refused = tcp(address, &action(closed), None, LIMIT).await;
        assert_eq!(
            refused,
            Outcome::Bad(format!("dial tcp 127.0.0.1:{closed}: connect: connection refused"))
        );
        let action = serde_json::from_value(json!({ "port": closed, "path": "/healthz" })).unwrap();
        let words = format!(
            "Get \"http://127.0.0.1:{closed}/healthz\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
        );
        assert_eq!(http(address, &action, None, LIMIT).await, Outcome::Bad(words));
    }

    #[tokio::test]
    async fn who_says_nothing_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (address, limit) = ("127.0.0.1".parse().unwrap(), Duration::from_secs(1));
        let action = serde_json::from_value(json!({ "port": port, "scheme": "HTTPS" })).unwrap();
        let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        let words = format!("Get \"https://127.0.0.1:{port}/\": {late}");
        assert_eq!(http(address, &action, None, limit).await, Outcome::Bad(words));
        let action = GRPCAction { port: port.into(), service: None };
        let words = "timeout: health rpc did not complete within 1s".to_owned();
        assert_eq!(grpc(address, &action, limit).await, Outcome::Bad(words));
        assert_eq!((authority("::1", 80), authority("a", 80)), ("[::1]:80".into(), "a:80".into()));
    }

    #[test]
    fn a_port_is_a_number_or_a_name() {
        let ports: Vec<ContainerPort> =
            serde_json::from_value(json!([{ "name": "web", "containerPort": 8080 }])).unwrap();
        let of = |text: &str| port(&IntOrString::String(text.into()), Some(&ports));
        assert_eq!(
            (of("web"), of("81"), of("no"), port(&IntOrString::Int(0), None)),
            (Some(8080), Some(81), None, None)
        );
    }
}
