//! Why a registry did not do what it was asked, in words.

use rustls::{CertificateError, Error as Tls};
use serde::Deserialize;
use std::io::{self, ErrorKind};
use std::time::Duration;
use sys::cause::cause;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The registry has no such thing.
    Missing(String),
    /// It does not let us in. Those that do not tell strangers what they have say so of what there is none of, too.
    Denied(String),
    /// Anything else that another try will not change.
    Lasting(String),
    /// What may be gone soon, with the time that the server asks for.
    Passing(String, Option<Duration>),
    /// Another thread failed first.
    Stopped,
}

impl Failure {
    /// Puts a name before the words.
    pub fn of(self, whole: &str) -> Self {
        self.put(|words| format!("{whole}: {words}"))
    }

    /// Says by whom the server was spoken to.
    pub fn by(self, other: &str) -> Self {
        self.put(|words| format!("{words}, by {other}"))
    }

    fn put(self, named: impl Fn(String) -> String) -> Self {
        match self {
            Self::Missing(words) => Self::Missing(named(words)),
            Self::Denied(words) => Self::Denied(named(words)),
            Self::Lasting(words) => Self::Lasting(named(words)),
            Self::Passing(words, asked) => Self::Passing(named(words), asked),
            Self::Stopped => Self::Stopped,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Missing(words) | Self::Denied(words) | Self::Lasting(words) | Self::Passing(words, _) => {
                words
            }
            Self::Stopped => "stopped".into(),
        }
    }
}

impl From<String> for Failure {
    /// What is wrong with what came.
    fn from(words: String) -> Self {
        Self::Lasting(words)
    }
}

/// A status that is no success, with the registry's own words for it.
pub(super) fn status(status: u16, body: &[u8], asked: Option<Duration>) -> Failure {
    let reason = ureq::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    let reason = reason.unwrap_or_default().to_lowercase();
    let mut words = format!("answers {status} {reason}").trim_end().to_owned();
    if let Some(said) = said(body) {
        words += &format!(" ({said})");
    }
    match status {
        404 => Failure::Missing(words),
        401 | 403 => Failure::Denied(words),
        status if super::retry::passes(status) => Failure::Passing(words, asked),
        _ => Failure::Lasting(words),
    }
}

/// Most letters of a registry's own words.
const SAID_MAX: usize = 200;

/// What a registry says of an error (distribution-spec, "Error Codes").
fn said(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let first = serde_json::from_slice::<Errors>(body).ok()?.errors.into_iter().next()?;
    let text = if first.message.is_empty() { first.code } else { first.message };
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(SAID_MAX).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Why there was no answer, or why it ended early.
pub(super) fn connection(error: &ureq::Error, patience: Duration) -> Failure {
    match error {
        ureq::Error::Io(error) => io(error, patience),
        ureq::Error::Rustls(error) => tls(error),
        ureq::Error::Timeout(_) => Failure::Passing(silence(patience), None),
        ureq::Error::HostNotFound => Failure::Lasting("host not found".into()),
        ureq::Error::LargeResponseHeader(..) => {
            Failure::Lasting("the headers of its answer are too long".into())
        }
        ureq::Error::Protocol(error) => Failure::Passing(format!("its answer is not HTTP: {error}"), None),
        error => Failure::Lasting(error.to_string()),
    }
}

/// True when nobody is there, or nobody who answers; a connection that breaks is something else.
pub(super) fn is_absence(error: &ureq::Error) -> bool {
    use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut, WouldBlock};
    match error {
        ureq::Error::Timeout(_) | ureq::Error::HostNotFound => true,
        ureq::Error::Io(error) => {
            let kinds = [ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut, WouldBlock];
            kinds.contains(&error.kind()) || is_unresolved(error)
        }
        _ => false,
    }
}

/// True when a time has run out without an answer.
pub(super) fn is_silence(error: &ureq::Error) -> bool {
    use ErrorKind::{TimedOut, WouldBlock};
    match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => matches!(error.kind(), TimedOut | WouldBlock),
        _ => false,
    }
}

/// What std says of a name that getaddrinfo(3) has no address for.
const UNRESOLVED: &str = "failed to lookup address information: ";

fn is_unresolved(error: &io::Error) -> bool {
    error.to_string().starts_with(UNRESOLVED)
}

/// True when the resolver says that there is no such name (`EAI_NONAME`, `EAI_NODATA`, in the words of glibc and musl); a
/// resolver that does not answer may do so soon.
fn is_unknown(error: &io::Error) -> bool {
    let words = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    is_unresolved(error) && words.iter().any(|words| error.to_string().contains(words))
}

/// The same for what reading a body gives.
pub(super) fn io(error: &io::Error, patience: Duration) -> Failure {
    if let Some(inner) = error.get_ref() {
        if let Some(inner) = inner.downcast_ref::<Tls>() {
            return tls(inner);
        }
        if let Some(inner) = inner.downcast_ref::<ureq::Error>() {
            return connection(inner, patience);
        }
    }
    if is_unknown(error) {
        return Failure::Lasting("host not found".into());
    }
    let words = match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the connection was cut".into()
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => silence(patience),
        _ => cause(error),
    };
    Failure::Passing(words, None)
}

fn silence(patience: Duration) -> String {
    format!("no answer for {} s", patience.as_secs_f32())
}

fn tls(error: &Tls) -> Failure {
    let of_certificate = |why: &str| format!("its certificate is not valid here: {why}");
    Failure::Lasting(match error {
        Tls::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => of_certificate("issued by nobody that is trusted"),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => of_certificate("expired"),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                of_certificate("issued for another name")
            }
            why => of_certificate(&why.to_string().to_lowercase()),
        },
        Tls::InvalidMessage(_) => "does not speak TLS".into(),
        Tls::AlertReceived(alert) => format!("refuses the connection (TLS alert {alert:?})"),
        Tls::DecryptError => return Failure::Passing("what came over TLS is damaged".into(), None),
        error => format!("TLS: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_with_the_registry_s_words() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\nunknown","detail":{}}]}"#;
        let missing = Failure::Missing("answers 404 not found (manifestunknown)".into());
        assert_eq!(status(404, body, None), missing);
        let busy = Failure::Passing("answers 429 too many requests".into(), Some(Duration::from_secs(3)));
        assert_eq!(status(429, b"<html>", Some(Duration::from_secs(3))), busy);
        assert_eq!(status(403, b"", None), Failure::Denied("answers 403 forbidden".into()));
    }

    #[test]
    fn a_certificate_is_named_and_not_tried_again() {
        let error =
            io::Error::new(ErrorKind::InvalidData, Tls::InvalidCertificate(CertificateError::UnknownIssuer));
        let words = "its certificate is not valid here: issued by nobody that is trusted";
        assert_eq!(io(&error, Duration::ZERO), Failure::Lasting(words.into()));
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_at_once() {
        let of = |why: &str| io(&io::Error::other(format!("{UNRESOLVED}{why}")), Duration::ZERO);
        assert_eq!(of("Name or service not known"), Failure::Lasting("host not found".into()));
        assert!(matches!(of("Temporary failure in name resolution"), Failure::Passing(..)));
    }

    #[test]
    fn a_cut_connection_and_silence_may_pass() {
        let patience = Duration::from_millis(1500);
        let eof = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(io(&eof, patience), Failure::Passing("the connection was cut".into(), None));
        let late = io::Error::other(ureq::Error::Timeout(ureq::Timeout::PerRead));
        assert_eq!(io(&late, patience), Failure::Passing("no answer for 1.5 s".into(), None));
    }
}
