//! Mail, by SMTP: one for each change, in plain text, to everybody who is configured.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `server` | required | `HOST` or `HOST:PORT`; the port is 587, 465 with `implicit` and 25 with `none` |
//! | `tls` | `starttls` | `starttls`, `implicit` or `none`; what is configured is insisted on |
//! | `tls_verify`, `tls_ca` | as for a check | whom to trust |
//! | `username`, `password_file` | none | how to log in, only through TLS |
//! | `from`, `to` | required | addresses, with or without a name |
//! | `helo` | the host's name | how the agent introduces itself |
//!
//! There are at most ten at once and then one every six seconds: a mail server that takes flapping for an attack would take
//! no more. What waits meanwhile is subject to the queue's bound.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as Mode, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::Instant;

pub use lettre::message::Mailbox;

use super::news::News;
use super::secret::Secret;
use crate::reach::connect::{Endpoint, Host};
use crate::reach::described;
use crate::time::Duration;

/// The server, and whom to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the server is.
    pub server: Endpoint,
    /// How the way there is encrypted.
    pub tls: Tls,
    /// Whether the server's certificate has to be trusted.
    pub verify: bool,
    /// Whom to trust instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// How to log in.
    pub login: Option<(String, Secret)>,
    /// Whom it is from.
    pub from: Mailbox,
    /// Whom it is for, at least one.
    pub to: Vec<Mailbox>,
    /// How the agent introduces itself; none for the host's name.
    pub helo: Option<String>,
}

/// How the way to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// After the greeting; a server that cannot gets nothing.
    Starttls,
    /// From the first byte.
    Implicit,
}

impl Tls {
    /// The port that servers have for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::Starttls => 587,
            Self::Implicit => 465,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<_> = self.to.iter().map(|to| to.email.to_string()).collect();
        write!(f, "{} by {}", to.join(", "), self.server)
    }
}

/// A mail server and how much it has been asked of late.
pub(super) struct Mail {
    settings: Settings,
    pace: Pace,
}

impl Mail {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, pace: Pace::new(Instant::now()) }
    }

    pub(super) async fn tell(&mut self, news: &News) -> Result<String, String> {
        let message = self.message(news)?;
        tokio::time::sleep_until(self.pace.next(Instant::now())).await;
        match tokio::time::timeout(PATIENCE, self.send(message, news)).await {
            Ok(said) => said,
            Err(_) => Err(format!("timed out after {PATIENCE:?}")),
        }
    }

    async fn send(&self, message: Message, news: &News) -> Result<String, String> {
        let Settings { server, login, helo, .. } = &self.settings;
        let host = bare(&server.host);
        let settings = self.settings.clone();
        // The certificates are in files.
        let mode = tokio::task::spawn_blocking(move || mode(&settings));
        let mode = mode.await.map_err(|error| format!("the agent could not look: {error}"))??;
        let hello = ClientId::Domain(helo.clone().unwrap_or_else(|| news.node.clone()));
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(server.port)
            .tls(mode)
            .hello_name(hello)
            .timeout(Some(PATIENCE));
        if let Some((user, password)) = login {
            transport = transport.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        let answer = transport.build::<Tokio1Executor>().send(message).await.map_err(|error| told(&error))?;
        Ok(answer.first_line().map_or_else(|| "taken".to_owned(), |line| format!("taken: {line}")))
    }

    fn message(&self, news: &News) -> Result<Message, String> {
        let Settings { from, to, .. } = &self.settings;
        let id = format!("<{}@{}>", news.id, from.email.domain());
        let mut message = Message::builder()
            .from(from.clone())
            .subject(news.sentence())
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN);
        for to in to {
            message = message.to(to.clone());
        }
        message.body(body(news)).map_err(|error| error.to_string())
    }
}

/// What stands in the mail.
fn body(news: &News) -> String {
    let mut lines = vec![news.sentence(), String::new()];
    let previous = news.previous.map(|word| word.as_str().to_owned());
    let fields = [
        ("node", Some(news.node.clone())),
        (
            if news.subject.as_str() == "GROUP" { "group" } else { "instance" },
            Some(news.subject.name().to_owned()),
        ),
        ("state", Some(news.state.as_str().to_owned())),
        ("before", previous),
        ("reason", Some(news.reason.clone())),
        ("priority", Some(news.priority.to_string())),
        ("interface", news.interface.clone()),
        ("router id", news.virtual_router_id.map(|id| id.to_string())),
        ("time", Some(news.time.clone())),
        (
            "not told",
            Some(news.skipped).filter(|skipped| *skipped > 0).map(|n| format!("{n} changes before this")),
        ),
    ];
    lines.extend(fields.into_iter().filter_map(|(label, value)| Some(format!("{label:10}{}", value?))));
    lines.join("\r\n") + "\r\n"
}

/// How the way is encrypted, with the certificates that are trusted.
fn mode(settings: &Settings) -> Result<Mode, String> {
    if settings.tls == Tls::None {
        return Ok(Mode::None);
    }
    let mut parameters = TlsParameters::builder(bare(&settings.server.host));
    if let Some(path) = &settings.ca_file {
        let failed = |why: &str| format!("cannot read the certificates in {}: {why}", path.display());
        let pem = fs::read(path).map_err(|error| failed(&described(&error)))?;
        let certificates = Certificate::from_pem(&pem).map_err(|error| failed(&told(&error)))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    let parameters = parameters.dangerous_accept_invalid_certs(!settings.verify).build_rustls();
    let parameters = parameters.map_err(|error| told(&error))?;
    Ok(match settings.tls {
        Tls::None => Mode::None,
        Tls::Starttls => Mode::Required(parameters),
        Tls::Implicit => Mode::Wrapper(parameters),
    })
}

/// A host as a resolver and a certificate know it.
fn bare(host: &Host) -> String {
    match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        cause = error.source();
    }
    said.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How many may be sent now.
#[derive(Debug)]
struct Pace {
    /// When the whole burst is there again.
    full: Instant,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// When the next one may go, which is counted.
    fn next(&mut self, now: Instant) -> Instant {
        self.full = self.full.max(now) + EVERY;
        (self.full - EVERY * BURST).max(now)
    }
}

/// How many may go at once.
const BURST: u32 = 10;
/// And then one in this time.
const EVERY: Duration = Duration::from_secs(6);
/// How long a server may take altogether.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an error is told.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests;
