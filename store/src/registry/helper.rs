//! Credential helpers: programs that keep passwords for Docker
//! (docker-credential-helpers, "Development").

use super::credentials::Credentials;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;
use serde_json::json;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use sys::cause::cause;

/// A helper may open a dialogue, but not for ever.
const TIME: Duration = Duration::from_secs(30);

/// Most bytes of an answer.
const ANSWER_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-NAME` for the credentials of a server.
pub(super) fn ask(name: &str, server: &str) -> Result<Option<Credentials>, String> {
    with(name, "get", |command| get(command, server, TIME))
}

/// Gives it a password to keep.
pub(super) fn store(name: &str, server: &str, user: &str, password: &str) -> Result<(), String> {
    let entry = json!({ "ServerURL": server, "Username": user, "Secret": password }).to_string();
    with(name, "store", |command| match answer(command, &entry, TIME)? {
        Some(_) => Ok(()),
        None => Err("credentials not found".into()),
    })
}

/// Has it forget a server. True when it knew the server.
pub(super) fn erase(name: &str, server: &str) -> Result<bool, String> {
    with(name, "erase", |command| Ok(answer(command, server, TIME)?.is_some()))
}

/// What the helper of this name is called as a program.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

fn with<T>(name: &str, verb: &str, talk: impl Fn(&mut Command) -> Result<T, String>) -> Result<T, String> {
    if name.contains('/') {
        return Err(format!("credential helper {name:?}: its name has a '/' in it"));
    }
    let program = program(name);
    talk(Command::new(&program).arg(verb)).map_err(|why| format!("{program}: {why}"))
}

fn get(command: &mut Command, server: &str, time: Duration) -> Result<Option<Credentials>, String> {
    answer(command, server, time)?.map(|text| read(&text)).transpose()
}

/// What a helper answers; none: that it knows no such server.
fn answer(command: &mut Command, input: &str, time: Duration) -> Result<Option<String>, String> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().map_err(|error| cause(&error))?;
    let talked = talk(&mut child, input, Instant::now() + time);
    if talked.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| cause(&error))?;
    let text = talked.map_err(|why| why.unwrap_or_else(|| format!("no answer for {} s", time.as_secs())))?;
    if status.success() {
        Ok(Some(text))
    } else if text.contains("credentials not found") {
        Ok(None)
    } else {
        let said = text.lines().next().unwrap_or_default();
        Err(if said.is_empty() { format!("ended with {status}") } else { said.to_owned() })
    }
}

/// Gives the input and reads to the end. The error is none when time is over.
fn talk(child: &mut Child, input: &str, until: Instant) -> Result<String, Option<String>> {
    let words = |error: std::io::Error| Some(cause(&error));
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that reads nothing says so by its answer.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Some(mut stdout) = child.stdout.take() else {
        return Err(Some("has no output".into()));
    };
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while text.len() < ANSWER_MAX {
        let left = until.checked_duration_since(Instant::now()).ok_or(None)?;
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(0) => return Err(None),
            Err(nix::errno::Errno::EINTR) => continue,
            polled => polled.map_err(|errno| words(errno.into()))?,
        };
        match stdout.read(&mut buffer).map_err(words)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    Err(Some("its answer is longer than 1 MiB".into()))
}

fn read(text: &str) -> Result<Credentials, String> {
    let Answer { username, secret } =
        serde_json::from_str(text).map_err(|_| "its answer is not a user name and a secret".to_owned())?;
    Ok(match username.as_str() {
        "<token>" => Credentials::IdentityToken(secret),
        _ => Credentials::Password { user: username, password: secret },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(script: &str, time: Duration) -> Result<Option<Credentials>, String> {
        get(Command::new("sh").args(["-c", script]), "r.example", time)
    }

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn a_helper_is_asked_by_the_server_s_name() {
        let script = r#"server=$(cat); echo "{\"Username\":\"$server\",\"Secret\":\"s\"}""#;
        let found = helper(script, TEN);
        let password = Credentials::Password { user: "r.example".into(), password: "s".into() };
        assert_eq!(found.unwrap(), Some(password));
        let token = helper(r#"echo '{"Username":"<token>","Secret":"t"}'"#, TEN).unwrap();
        assert_eq!(token, Some(Credentials::IdentityToken("t".into())));
    }

    #[test]
    fn a_helper_that_has_nothing_is_not_a_failure_and_others_are_named() {
        assert_eq!(helper("echo credentials not found in native keychain; exit 1", TEN).unwrap(), None);
        assert_eq!(helper("echo locked; exit 1", TEN).unwrap_err(), "locked");
        assert_eq!(helper("exit 3", TEN).unwrap_err(), "ended with exit status: 3");
        assert_eq!(helper("echo {}", TEN).unwrap_err(), "its answer is not a user name and a secret");
        assert_eq!(ask("no-such", "x").unwrap_err(), "docker-credential-no-such: no such file or directory");
        assert!(ask("../x", "x").is_err());
    }

    #[test]
    fn a_helper_that_never_answers_is_ended() {
        let began = Instant::now();
        assert_eq!(helper("exec sleep 1000", Duration::from_secs(1)).unwrap_err(), "no answer for 1 s");
        assert!(began.elapsed() < TEN);
    }
}
