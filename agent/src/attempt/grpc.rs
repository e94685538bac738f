//! Health that a server tells by gRPC (`grpc.health.v1.Health`).

use super::{MOST, Outcome, authority, dial};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Asks a gRPC server for its health (`grpc.health.v1.Health/Check`, by HTTP/2 without TLS).
pub async fn grpc(address: IpAddr, action: &GRPCAction, limit: Duration) -> Outcome {
    let Ok(port) = u16::try_from(action.port) else {
        return Outcome::Unknown(format!("there is no port {}", action.port));
    };
    let (authority, until) = (authority(&address.to_string(), port), Instant::now() + limit);
    let service = action.service.clone().unwrap_or_default();
    let stream = match timeout_at(until, dial(&address.to_string(), port)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => {
            return Outcome::Bad(format!("error: failed to connect service at {authority:?}: {reason}"));
        }
        Err(_) => {
            let words = format!("timeout: failed to connect service {authority:?} within {limit:?}");
            return Outcome::Bad(format!("{words}: context deadline exceeded"));
        }
    };
    match timeout_at(until, check(stream, &authority, &service)).await {
        Ok(Ok(1)) => Outcome::Good,
        Ok(Ok(status)) => Outcome::Bad(format!("service unhealthy (responded with {:?})", serving(status))),
        Ok(Err(reason)) => Outcome::Bad(reason),
        Err(_) => Outcome::Bad(format!("timeout: health rpc did not complete within {limit:?}")),
    }
}

/// The name of a `HealthCheckResponse.ServingStatus`.
fn serving(status: u64) -> String {
    const NAMES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

/// Names of gRPC's codes, as its Go library writes them; 1 is the first.
const CODES: [&str; 16] = [
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A kubelet's words for an answer of this code, in digits, with what was said beside it.
fn refusal(code: &str, message: &str) -> String {
    let number: Option<usize> = code.parse().ok();
    let name = number.and_then(|own| CODES.get(own.checked_sub(1)?).copied());
    match name {
        Some("Unimplemented") => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        name => {
            let name = name.map_or_else(|| format!("Code({code})"), str::to_owned);
            format!("error: health rpc probe failed: rpc error: code = {name} desc = {message}")
        }
    }
}

/// The answer's `status`: 1 is `SERVING`.
async fn check(stream: TcpStream, authority: &str, service: &str) -> Result<u64, String> {
    let words = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(words)?;
    let driver = tokio::spawn(connection);
    let body = question(service).ok_or("service: its name is too long")?;
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(bytes::Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(words)?;
        let (head, body) = response.into_parts();
        let body = http_body_util::Limited::new(body, MOST).collect().await;
        let body = body.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        // Who refuses at once says it in the headers.
        let said = |name: &str| {
            let own = head.headers.get(name).or_else(|| body.trailers()?.get(name));
            own.and_then(|own| own.to_str().ok()).map(str::to_owned)
        };
        match said("grpc-status").as_deref() {
            Some("0") | None => {}
            Some(code) => return Err(refusal(code, &said("grpc-message").unwrap_or_default())),
        }
        status(&body.to_bytes()).ok_or_else(|| "the answer is no HealthCheckResponse".to_owned())
    };
    let status = asked.await;
    driver.abort();
    status
}

/// HealthCheckRequest { service: 1 }, behind a flag for compression and a length.
fn question(service: &str) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0][..], &length.to_be_bytes(), &message].concat())
}

/// HealthCheckResponse { status: 1 }; a field that is not there is 0.
fn status(frame: &[u8]) -> Option<u64> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, status, ..] if *status < 0x80 => Some((*status).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_health_is_told_by_its_name() {
        assert_eq!([0, 2, 3, 9].map(serving), ["UNKNOWN", "NOT_SERVING", "SERVICE_UNKNOWN", "9"]);
        let unknown = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service";
        assert_eq!(refusal("5", "unknown service"), unknown);
        let none =
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): no";
        assert_eq!(refusal("12", "no"), none);
        assert!(refusal("17", "").contains("code = Code(17)") && refusal("0", "").contains("Code(0)"));
    }

    #[test]
    fn a_services_name_is_as_long_as_it_is() {
        assert_eq!(question("").unwrap(), [0; 5]);
        assert_eq!(question("ab").unwrap(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"x".repeat(300)).unwrap();
        assert_eq!((&long[..8], long.len()), (&[0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2][..], 308));
    }
}
