//! A server that is told by an HTTP POST with the news as JSON.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `url` | required | `http://` or `https://` |
//! | `headers` | none | headers besides our own |
//! | `token_file` | none | a bearer token for the `Authorization` header |
//! | `timeout` | 5s | how long one attempt may take |
//! | `tls_verify`, `tls_ca` | as for a check | whom to trust |
//!
//! A status of 200-299 is success. When nobody answers in time, or with 408, 429 or 5xx, it is tried again, after 1, 2, 4 and
//! 8 seconds; anything else is a failure at once. Redirects are not followed: the news would go to somebody else.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;

use super::news::News;
use super::secret::Secret;
use crate::reach::Run;
use crate::reach::connect::Connector;
use crate::reach::http::{AGENT, exchange, worded};
use crate::reach::tls::{self, Tls, Trust};
use crate::reach::url::Url;
use crate::time::Duration;

/// Whom to tell, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it goes.
    pub url: Url,
    /// Further headers, as they are sent.
    pub headers: Vec<(HeaderName, Secret)>,
    /// A bearer token.
    pub token: Option<Secret>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Whether an `https` server's certificate has to be trusted.
    pub verify: bool,
    /// Whom to trust instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Display for Settings {
    /// Without the path, which may be a secret as good as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/", if self.url.tls { "https" } else { "http" }, self.url.authority())?;
        f.write_str(if self.url.path == "/" { "" } else { ".." })
    }
}

/// What is sent.
#[derive(Serialize)]
struct Body<'n> {
    /// The version of this shape.
    schema: u32,
    #[serde(flatten)]
    news: &'n News,
    /// The same as a sentence.
    text: String,
}

/// A server and what is kept between two attempts.
pub(super) struct Webhook {
    settings: Settings,
    connector: Connector,
    tls: Tls,
}

/// Why an attempt failed.
struct Failure {
    why: String,
    /// Whether it may be better the next time.
    again: bool,
}

impl Webhook {
    pub(super) fn new(settings: Settings, trust: Arc<Trust>) -> Self {
        let tls = Tls::new(settings.verify, settings.ca_file.clone(), trust);
        Self { settings, connector: Connector::default(), tls }
    }

    pub(super) async fn tell(&mut self, news: &News) -> Result<String, String> {
        let body = serde_json::to_vec(&Body { schema: SCHEMA, news, text: news.sentence() });
        let body = Bytes::from(body.map_err(|error| error.to_string())?);
        let mut pauses = PAUSES.into_iter();
        let mut attempts = 1;
        loop {
            let Failure { why, again } = match self.attempt(body.clone()).await {
                Ok(said) => return Ok(said),
                Err(failure) => failure,
            };
            let Some(pause) = pauses.next().filter(|_| again) else {
                let tries = if attempts == 1 { String::new() } else { format!(", {attempts} times") };
                return Err(format!("{why}{tries}"));
            };
            tokio::time::sleep(pause).await;
            attempts += 1;
        }
    }

    async fn attempt(&mut self, body: Bytes) -> Result<String, Failure> {
        let (timeout, mut run) = (self.settings.timeout, Run::default());
        // Boxed: several kilobytes that only an attempt needs.
        match tokio::time::timeout(timeout, Box::pin(self.post(body, &mut run))).await {
            Ok(Ok(status)) if status.is_success() => Ok(worded(status)),
            Ok(Ok(status)) => Err(Failure {
                why: format!("status {}", worded(status)),
                again: status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status),
            }),
            Ok(Err(why)) => Err(Failure { why, again: true }),
            Err(_) => Err(Failure { why: format!("timed out after {timeout:?}{}", run.phase), again: true }),
        }
    }

    async fn post(&mut self, body: Bytes, run: &mut Run) -> Result<StatusCode, String> {
        let request = self.request(body)?;
        if !self.settings.url.tls {
            let stream = self.connector.connect(&self.settings.url.endpoint, run).await?;
            run.phase = " waiting for the response header";
            return exchange(stream, request, async |response| Ok(response.status())).await;
        }
        run.phase = " reading the trusted certificates";
        let tls = self.tls.connector().await?;
        let stream = self.connector.connect(&self.settings.url.endpoint, run).await?;
        run.phase = " in the TLS handshake";
        let name = self.settings.url.endpoint.host.to_string();
        let stream = tls::handshake(&tls, stream, &name).await?;
        run.phase = " waiting for the response header";
        exchange(stream, request, async |response| Ok(response.status())).await
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let settings = &self.settings;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&settings.url.path)
            .header(HOST, settings.url.authority())
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in &settings.headers {
            request = request.header(name, hidden(value.reveal())?);
        }
        if let Some(token) = &settings.token {
            request = request.header(AUTHORIZATION, hidden(&format!("Bearer {}", token.reveal()))?);
        }
        request.body(Full::new(body)).map_err(|error| format!("cannot ask for this: {error}"))
    }
}

/// A header's value that is shown to nobody but the server.
fn hidden(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "a header cannot be sent as it is".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The version of the body's shape.
const SCHEMA: u32 = 1;
/// How long after a failure the next attempt begins.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

#[cfg(test)]
mod tests;
