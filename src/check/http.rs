//! The `http` kind: a server that answers a request as it should.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `http` | required | `http://` or `https://` with a host (address, `[IPv6]` or name), a port, a path and a query |
//! | `method` | `GET` | `GET` or `HEAD` |
//! | `status` | `200-399` | the expected status codes: a code, a range, or a list of both |
//! | `body` | none | a text that the first 64 KiB of the body have to contain; not with `HEAD` |
//! | `host` | the URL's | the `Host` header; for `https` also the name asked for and expected in the certificate |
//! | `tls_verify` | `true` | whether the server's certificate has to be trusted and to bear its name |
//! | `tls_ca` | the system's | a PEM file, at most 1 MiB, of the authorities to trust instead of the system's |
//!
//! Each run makes a connection of its own, asks in HTTP/1.1 as `vipd/VERSION` and closes it. Redirects are
//! answers, not followed: they count as success unless `status` says otherwise. Without `body` the body is
//! not read. A response header is at most 16 KiB. The system's authorities are read once, by the first check
//! that needs them; `ca_file` is read in every run. A server's own certificate that is marked as an authority
//! (`CA:TRUE`, as self-signed ones often are) is not accepted through `ca_file`: use `verify: false`.
//!
//! Errors: those of [`connect`](crate::reach::connect); `status 502 Bad Gateway, expected 200-399`;
//! `the body does not contain 'ok'`; `connection closed before the response was complete`;
//! `no HTTP response: ..`; `the certificate is signed by an unknown authority`, `.. has expired`,
//! `.. is not for 'www.example.org'`; `the server does not speak TLS`; `timed out after 500ms connecting`,
//! `.. in the TLS handshake`, `.. waiting for the response header`, `.. reading the body`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::tcp::contains;
use crate::reach::Run;
use crate::reach::connect::Connector;
use crate::reach::http::{self, AGENT, broken, worded};
use crate::reach::tls::{self, Tls, Trust};
use crate::reach::url::Url;

/// What to ask, and which answer is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to ask.
    pub url: Url,
    /// How to ask.
    pub method: Method,
    /// The expected status codes; none means 200-399.
    pub status: Vec<StatusRange>,
    /// What the body has to contain.
    pub body: Option<String>,
    /// The `Host` header, instead of the URL's host.
    pub host: Option<String>,
    /// Whether an `https` server's certificate has to be trusted.
    pub verify: bool,
    /// Whom to trust instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// A `GET` of `url` with the defaults.
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            method: Method::Get,
            status: Vec::new(),
            body: None,
            host: None,
            verify: true,
            ca_file: None,
        }
    }

    fn judge(&self, status: StatusCode) -> Result<(), String> {
        let expected: &[StatusRange] =
            if self.status.is_empty() { &[StatusRange::DEFAULT] } else { &self.status };
        if expected.iter().any(|range| range.contains(status.as_u16())) {
            return Ok(());
        }
        let expected: Vec<_> = expected.iter().map(StatusRange::to_string).collect();
        Err(format!("status {}, expected {}", worded(status), expected.join(", ")))
    }

    /// The name in the certificate: the `Host` header's, without its port.
    fn server_name(&self) -> String {
        match &self.host {
            None => self.url.endpoint.host.to_string(),
            Some(host) => match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
                _ => host.clone(),
            },
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let authority = self.host.clone().unwrap_or_else(|| self.url.authority());
        Request::builder()
            .method(match self.method {
                Method::Get => hyper::Method::GET,
                Method::Head => hyper::Method::HEAD,
            })
            .uri(&self.url.path)
            .header(HOST, authority)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(|error| format!("cannot ask for this: {error}"))
    }
}

/// The request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`: no body is sent back.
    Head,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "GET" => Ok(Self::Get),
            "HEAD" => Ok(Self::Head),
            _ => Err(format!("'{text}' is no method of a check; write GET or HEAD")),
        }
    }
}

/// Status codes from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// 200-399: the request succeeded, or goes on elsewhere.
    pub const DEFAULT: Self = Self { first: 200, last: 399 };

    /// Whether `status` is one of them.
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for StatusRange {
    type Err = String;

    /// Reads `CODE` or `CODE-CODE`, each 100 to 599.
    fn from_str(text: &str) -> Result<Self, String> {
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|code| digits && (100..=599).contains(code))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first.trim()), code(last.trim())) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "'{text}' is no status; write a code from 100 to 599 or a range, for example 200-299"
            )),
        }
    }
}

pub(super) struct Probe {
    settings: Settings,
    connector: Connector,
    tls: Tls,
}

impl Probe {
    pub(super) fn new(settings: Settings, trust: Arc<Trust>) -> Self {
        let tls = Tls::new(settings.verify, settings.ca_file.clone(), trust);
        Self { settings, connector: Connector::default(), tls }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        if !self.settings.url.tls {
            let stream = self.connector.connect(&self.settings.url.endpoint, run).await?;
            return ask(&self.settings, stream, run).await;
        }
        run.phase = " reading the trusted certificates";
        let tls = self.tls.connector().await?;
        let stream = self.connector.connect(&self.settings.url.endpoint, run).await?;
        run.phase = " in the TLS handshake";
        let stream = tls::handshake(&tls, stream, &self.settings.server_name()).await?;
        ask(&self.settings, stream, run).await
    }
}

/// One request and its answer over a connected stream.
async fn ask<S>(settings: &Settings, stream: S, run: &mut Run) -> Result<String, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    run.phase = " waiting for the response header";
    http::exchange(stream, settings.request()?, async |response| {
        let status = response.status();
        settings.judge(status)?;
        let Some(text) = &settings.body else { return Ok(worded(status)) };
        run.phase = " reading the body";
        find(response.into_body(), text).await?;
        Ok(format!("{}, the body contains '{text}'", worded(status)))
    })
    .await
}

async fn find(mut body: Incoming, text: &str) -> Result<(), String> {
    let mut read = Vec::new();
    let mut end = false;
    while !end && read.len() < BODY {
        match body.frame().await {
            None => end = true,
            Some(frame) => {
                let frame = frame.map_err(|error| broken(&error))?;
                let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
                let news = read.len().saturating_sub(text.len());
                read.extend_from_slice(&data[..data.len().min(BODY - read.len())]);
                if contains(&read[news..], text.as_bytes()) {
                    return Ok(());
                }
            }
        }
    }
    let part = if end { "" } else { " in its first 64 KiB" };
    Err(format!("the body does not contain '{text}'{part}"))
}

/// How much of a body is looked at.
const BODY: usize = 64 << 10;

#[cfg(test)]
mod tests;
