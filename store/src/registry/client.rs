//! One repository at one server, and how a request to it comes to an end.

use super::auth::{Auth, Step, TokenRequest};
use super::connection::Connected;
use super::credentials::{self, Credentials};
use super::settings::Endpoint;
use super::url::Url;
use super::{Failure, Registries, Stop, challenge, failure, retry};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ureq::http::{self, Method};
use ureq::{Agent, AsSendBody, BodyReader, SendBody};

/// How many redirects one request may follow.
const REDIRECTS_MAX: usize = 5;

/// Tries of a request to a mirror, one when it asks for time: the registry itself has the same.
const MIRROR_ATTEMPTS: u32 = 2;

/// Silences of a server that has not answered yet: who is there says something by then.
const SILENCES_MAX: u32 = 2;

/// How often one request may be refused for want of proof.
const REFUSALS_MAX: usize = 3;

/// Most bytes of a token's answer or an error text.
const TEXT_MAX: u64 = 1 << 20;

/// One repository at one server.
pub(crate) struct Client<'r> {
    registries: &'r Registries,
    endpoint: Endpoint,
    repository: String,
    session: Mutex<Session>,
    pub stop: &'r Stop,
    /// It is a mirror that did not answer: nobody waits for it again.
    away: AtomicBool,
    /// Nobody was there at the last try.
    absent: AtomicBool,
    /// A request has come to its end, well or badly.
    answered: AtomicBool,
    /// Tries that ended without a byte before that, also at its token server.
    silences: AtomicU32,
}

/// What the server accepted, and the user's credentials once they were looked up: those before `current` were refused.
#[derive(Default)]
struct Session {
    auth: Auth,
    credentials: Option<Vec<Credentials>>,
    current: usize,
}

impl Session {
    /// Goes on with the next credentials after those of this number were refused. False: there are none.
    fn go_on_after(&mut self, refused: usize) -> bool {
        // Another thread may have gone on already.
        if self.current == refused {
            let left = self.credentials.as_ref().is_some_and(|all| all.len() > refused + 1);
            if !left {
                return false;
            }
            self.current += 1;
            self.auth.forget();
        }
        true
    }
}

/// A request that can be made several times.
pub(crate) struct Request<'r> {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body<'r>,
}

/// What a request brings.
#[derive(Clone, Copy)]
pub(crate) enum Body<'r> {
    None,
    Bytes(&'r [u8]),
    /// A part of a file: from where, how long. The function hears how much was sent.
    File(&'r File, u64, u64, &'r (dyn Fn(u64) + Sync)),
}

/// An answer.
pub(crate) struct Response {
    pub status: u16,
    /// Where it came from, after redirects.
    pub url: Url,
    inner: http::Response<ureq::Body>,
    patience: Duration,
}

impl<'r> Client<'r> {
    /// A client of `repository` at a server. `scopes` are what it is going to ask for.
    pub(super) fn new(
        registries: &'r Registries,
        endpoint: Endpoint,
        repository: &str,
        scopes: &[String],
        stop: &'r Stop,
    ) -> Result<Self, Failure> {
        let mut session = Session::default();
        session.auth.scopes.extend(scopes.iter().cloned());
        let repository = repository.to_owned();
        let [away, absent, answered] = [const { AtomicBool::new(false) }; 3];
        let (session, silences) = (Mutex::new(session), AtomicU32::new(0));
        let mut client =
            Self { registries, endpoint, repository, session, stop, away, absent, answered, silences };
        if client.endpoint.either && !client.speaks_tls()? {
            client.endpoint.url.secure = false;
        }
        Ok(client)
    }

    /// True of a mirror that did not answer.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// True when nobody was there at the last try, or nobody who gives a token.
    pub fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Relaxed) || self.is_silent()
    }

    /// The server's name as settings have it.
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// A URL of the repository: `…/v2/REPOSITORY/` and `rest`.
    pub fn url(&self, rest: &str) -> Url {
        let mut url = self.endpoint.url.clone();
        url.path += &format!("/v2/{}/{rest}", self.repository);
        url
    }

    /// How long this client waits for progress.
    pub fn patience(&self) -> Duration {
        self.registries.settings.patience
    }

    /// In pieces of how many bytes the server wants blobs; whole when none.
    pub fn piece(&self) -> Option<u64> {
        self.registries.piece(self.host())
    }

    /// Makes a request until it has an answer that is final.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, Failure> {
        self.repeat(|| self.attempt(request))
    }

    /// The same with the whole body, of at most `limit` bytes.
    pub fn fetch(&self, request: &Request<'_>, limit: u64) -> Result<(Response, Vec<u8>), Failure> {
        self.repeat(|| {
            let mut answer = self.attempt(request)?;
            let body = answer.read(limit)?;
            Ok((answer, body))
        })
    }

    fn repeat<T>(&self, attempt: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut failures = 0;
        loop {
            match attempt() {
                Err(Failure::Passing(words, asked)) => {
                    failures += 1;
                    self.pause(failures, words, asked)?;
                }
                done => {
                    self.answered.store(true, Ordering::Relaxed);
                    return done.map_err(|failure| failure.of(&format!("registry {}", self.host())));
                }
            }
        }
    }

    /// Waits before the next try. It is an error when there is none.
    pub fn pause(&self, failures: u32, words: String, asked: Option<Duration>) -> Result<(), Failure> {
        let settings = &self.registries.settings;
        let enough = self.endpoint.is_mirror && (failures >= MIRROR_ATTEMPTS || asked.is_some());
        let enough = enough || self.is_silent();
        match retry::pause(settings, failures, asked).filter(|_| !enough) {
            _ if self.stop.is_set() => Err(Failure::Stopped),
            Some(pause) if self.stop.wait(pause) => Err(Failure::Stopped),
            Some(_) => Ok(()),
            None => Err(Failure::Lasting(format!("registry {}: {words}", self.host()))),
        }
    }

    /// True of a server that has answered nothing, and was waited for long enough.
    fn is_silent(&self) -> bool {
        !self.answered.load(Ordering::Relaxed) && self.silences.load(Ordering::Relaxed) >= SILENCES_MAX
    }

    /// One try: with proof where it is wanted, and to where redirects lead.
    pub fn attempt(&self, request: &Request<'_>) -> Result<Response, Failure> {
        if self.is_away() {
            return Err(Failure::Lasting("did not answer before".into()));
        }
        let (mut url, mut refusals, mut redirects) = (request.url.clone(), 0, 0);
        loop {
            let ours = url.same_origin(&self.endpoint.url);
            let (sent, credentials) = if ours { self.header() } else { (None, 0) };
            let mut answer = self.once(request, &url, sent.as_deref())?;
            match answer.status {
                401 if ours && refusals < REFUSALS_MAX => {
                    refusals += 1;
                    self.prove(&answer, sent.as_deref())?;
                }
                // Known, but not to be let in here.
                401 | 403 if ours && self.session().go_on_after(credentials) => refusals = 0,
                // With these the method and what it brings stay (RFC 9110, 15.4.8 and 15.4.9).
                307 | 308 => {
                    redirects += 1;
                    url = redirect(&url, &answer, redirects)?;
                }
                301..=303 if matches!(request.method, Method::GET | Method::HEAD) => {
                    redirects += 1;
                    url = redirect(&url, &answer, redirects)?;
                }
                200..=299 => return Ok(answer),
                _ => return Err(answer.failure()),
            }
        }
    }

    fn once(&self, request: &Request<'_>, url: &Url, sent: Option<&str>) -> Result<Response, Failure> {
        let settings = &self.registries.settings;
        let mut builder = http::Request::builder().method(&request.method).uri(url.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(sent) = sent {
            builder = builder.header("authorization", sent);
        }
        let ours = url.same_origin(&self.endpoint.url);
        let connected = self.registries.connections.to(self.host(), ours, url, settings);
        let connected = connected.map_err(Failure::Lasting)?;
        let Connected { agent, proxy } = connected;
        let invalid = |error: http::Error| Failure::Lasting(format!("request to {url}: {error}"));
        let patience = match request.method {
            Method::PUT | Method::PATCH => settings.storing,
            _ => settings.patience,
        };
        let answer = match request.body {
            Body::None => run(&agent, builder.body(()).map_err(invalid)?, patience),
            Body::Bytes(bytes) => run(&agent, builder.body(bytes).map_err(invalid)?, patience),
            Body::File(file, at, length, sent) => {
                let mut part = Part { file, at, left: length, sent };
                let builder = builder.header("content-length", length);
                run(&agent, builder.body(SendBody::from_reader(&mut part)).map_err(invalid)?, patience)
            }
        };
        let is_absent = ours && answer.as_ref().err().is_some_and(failure::is_absence);
        self.absent.store(is_absent, Ordering::Relaxed);
        if answer.as_ref().err().is_some_and(failure::is_silence) {
            self.silences.fetch_add(1, Ordering::Relaxed);
        }
        let inner = answer.map_err(|error| match failure::connection(&error, patience) {
            Failure::Passing(words, _) | Failure::Lasting(words) if is_absent && self.endpoint.is_mirror => {
                self.away.store(true, Ordering::Relaxed);
                Failure::Lasting(words)
            }
            failure => failure,
        });
        let inner = inner.map_err(|failure| match &proxy {
            Some(proxy) => failure.by(&format!("proxy {proxy}")),
            None => failure,
        })?;
        let status = inner.status().as_u16();
        Ok(Response { status, url: url.clone(), inner, patience })
    }

    /// The header to send, and the number of the credentials that it is made of.
    fn header(&self) -> (Option<String>, usize) {
        let session = self.session();
        (session.auth.header(Instant::now()).map(str::to_owned), session.current)
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a 401 asks for. Other threads wait for it, and then find it done.
    fn prove(&self, answer: &Response, sent: Option<&str>) -> Result<(), Failure> {
        let mut session = self.session();
        let headers = answer.inner.headers().get_all("www-authenticate");
        let challenges: Vec<_> =
            headers.iter().filter_map(|header| header.to_str().ok()).flat_map(challenge::read).collect();
        if session.credentials.is_none() {
            session.credentials = Some(self.look_up()?);
        }
        let secure = self.endpoint.url.secure;
        loop {
            let Session { auth, credentials, current } = &mut *session;
            let (known, number) = (credentials.as_ref().and_then(|all| all.get(*current)), *current);
            let denied = match auth.refused(sent, &challenges, known, secure, Instant::now()) {
                Step::Again => return Ok(()),
                Step::Denied(why) => why,
                Step::Token(request) => {
                    if let Some(answer) = self.ask_for_token(&request)? {
                        let refused =
                            |why| Failure::Lasting(format!("token server {}: {why}", request.url.host));
                        return auth.accept(&answer, Instant::now()).map_err(refused);
                    }
                    "the token server refuses"
                }
            };
            if !session.go_on_after(number) {
                return Err(Failure::Denied(format!("access denied: {denied}")));
            }
        }
    }

    /// The user's own first: they may open what the machine's do not.
    fn look_up(&self) -> Result<Vec<Credentials>, Failure> {
        let settings = &self.registries.settings;
        let own = match &settings.docker_config {
            Some(path) => credentials::look_up(path, self.host(), &self.repository).map_err(Failure::Lasting),
            None => Ok(Vec::new()),
        };
        let host = self.host();
        match (settings.credentials.get(host), settings.no_credentials.get(host)) {
            (Some(known), _) => Ok(own.unwrap_or_default().into_iter().chain([known.clone()]).collect()),
            (None, Some(why)) if own.as_ref().is_ok_and(Vec::is_empty) => Err(Failure::Lasting(why.clone())),
            _ => own,
        }
    }

    /// None: the token server refuses.
    fn ask_for_token(&self, token: &TokenRequest) -> Result<Option<Vec<u8>>, Failure> {
        let mut headers = Vec::new();
        if token.form.is_some() {
            headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        }
        let method = if token.form.is_some() { Method::POST } else { Method::GET };
        let body = token.form.as_ref().map_or(Body::None, |form| Body::Bytes(form.as_bytes()));
        let request = Request { method, url: token.url.clone(), headers, body };
        let named = |failure: Failure| failure.of(&format!("token server {}", token.url.host));
        let (mut url, mut redirects) = (token.url.clone(), 0);
        loop {
            // What proves who we are is for the server that the registry has named.
            let sent = token.authorization.as_deref().filter(|_| url.same_origin(&token.url));
            let mut answer = self.once(&request, &url, sent).map_err(named)?;
            match answer.status {
                200..=299 => return answer.read(TEXT_MAX).map(Some).map_err(named),
                401 | 403 => return Ok(None),
                301 | 302 | 303 | 307 | 308 if token.form.is_none() => {
                    redirects += 1;
                    url = redirect(&url, &answer, redirects).map_err(named)?;
                }
                _ => return Err(named(answer.failure())),
            }
        }
    }

    /// Finds out whether the server speaks TLS. One that does but is not trusted is an error
    /// soon enough; one that is not there may be about to start.
    fn speaks_tls(&self) -> Result<bool, Failure> {
        let mut url = self.endpoint.url.clone();
        url.path += "/v2/";
        let request = Request { method: Method::GET, url, headers: Vec::new(), body: Body::None };
        let mut failures = 0;
        loop {
            match self.once(&request, &request.url, None) {
                Err(Failure::Lasting(words)) if words == "does not speak TLS" => return Ok(false),
                Err(Failure::Passing(words, _)) if words == "the connection was cut" => return Ok(false),
                Err(Failure::Passing(words, asked)) => {
                    failures += 1;
                    self.pause(failures, words, asked)?;
                }
                Ok(_) | Err(_) => return Ok(true),
            }
        }
    }
}

/// Makes a request whose answer is waited for as long as `patience` without a byte.
fn run<S: AsSendBody>(
    agent: &Agent,
    request: http::Request<S>,
    patience: Duration,
) -> Result<http::Response<ureq::Body>, ureq::Error> {
    agent.run(agent.configure_request(request).timeout_per_read(Some(patience)).build())
}

/// Where a redirect leads.
fn redirect(from: &Url, answer: &Response, count: usize) -> Result<Url, Failure> {
    let refused = |why: &str| Err(Failure::Lasting(format!("its redirect is refused: {why}")));
    let Some(location) = answer.header("location") else {
        return refused("it leads nowhere");
    };
    match from.join(location) {
        Ok(_) if count > REDIRECTS_MAX => refused("one more than 5"),
        Ok(to) if from.secure && !to.secure => refused("it leads away from TLS"),
        Ok(to) => Ok(to),
        Err(why) => refused(&why),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// What a status says that is no success.
    fn failure(&mut self) -> Failure {
        let asked = self.header("retry-after").and_then(|header| retry::after(header, now()));
        let body = self.read(TEXT_MAX).unwrap_or_default();
        failure::status(self.status, &body, asked)
    }

    /// Reads the whole body, of at most `limit` bytes.
    pub fn read(&mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let body = self.inner.body_mut().with_config().limit(u64::MAX).reader();
        body.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failure::io(&error, self.patience))?;
        if bytes.len() as u64 > limit {
            return Err(Failure::Lasting(format!("its answer is longer than {} MiB", limit >> 20)));
        }
        Ok(bytes)
    }

    /// The body as it comes.
    pub fn into_reader(self) -> BodyReader<'static> {
        self.inner.into_body().into_with_config().limit(u64::MAX).reader()
    }
}

/// A part of a file that is sent.
struct Part<'r> {
    file: &'r File,
    at: u64,
    left: u64,
    sent: &'r (dyn Fn(u64) + Sync),
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        (self.sent)(count as u64);
        Ok(count)
    }
}
