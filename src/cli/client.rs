//! A client of the control API: one request a connection, each with a limit in time and size.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::agent::api::Refusal;
use crate::agent::changes::Changes;
use crate::agent::explain::Explanation;
use crate::agent::report::Report;
use crate::agent::runtime_dir::{CONTROL, STATUS};
use crate::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How large an answer may be: thousands of addresses, and then some.
const LARGEST: usize = 64 << 20;
/// How long a stream may be silent; the agent sends something every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// The way to one agent.
#[derive(Clone, Debug)]
pub(super) struct Client {
    directory: PathBuf,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens.
    #[error("no agent is running in {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket is not for this user.
    #[error("no permission to use {}: become root, or a member of its group", .0.display())]
    NotAllowed(PathBuf),
    /// The agent said no.
    #[error("{}", .1.error)]
    Refused(StatusCode, Box<Refusal>),
    /// Something else.
    #[error("the agent does not answer as it should: {0}")]
    Broken(String),
}

impl Client {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The report, and the JSON it was read from.
    pub(super) async fn report(&self) -> Result<(Report, Bytes), Trouble> {
        let answer = self.ask("/status").await?;
        Ok((understood(&answer)?, answer))
    }

    /// An explanation, and the JSON it was read from.
    pub(super) async fn explanation(&self, path: &str) -> Result<(Explanation, Bytes), Trouble> {
        let answer = self.ask(path).await?;
        Ok((understood(&answer)?, answer))
    }

    /// What changed.
    pub(super) async fn changes(&self, path: &str) -> Result<Changes, Trouble> {
        understood(&self.ask(path).await?)
    }

    /// The answer to a question.
    pub(super) async fn ask(&self, path: &str) -> Result<Bytes, Trouble> {
        let whole = async { collected(self.question(path).await?).await };
        timeout(PATIENCE, whole).await.map_err(|_| silent(PATIENCE))?
    }

    /// The answer to an order.
    pub(super) async fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        let body = serde_json::to_vec(body).map_err(|error| Trouble::Broken(error.to_string()))?;
        let whole = async {
            let stream = self.connect(CONTROL).await?;
            collected(exchange(stream, Method::POST, path, body).await?).await
        };
        understood(&timeout(PATIENCE, whole).await.map_err(|_| silent(PATIENCE))??)
    }

    /// An answer that goes on, line by line.
    pub(super) async fn follow(&self, path: &str) -> Result<Lines, Trouble> {
        let response = timeout(PATIENCE, self.question(path)).await.map_err(|_| silent(PATIENCE))??;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), rest: Vec::new() });
        }
        collected(response).await.and_then(|_| Err(Trouble::Broken("an error without an error".to_owned())))
    }

    /// The socket for questions; whoever may only use the other one uses that.
    async fn question(&self, path: &str) -> Result<Response<Incoming>, Trouble> {
        let stream = match self.connect(STATUS).await {
            // Neither is for this user: name the one that asks for less.
            Err(first @ Trouble::NotAllowed(_)) => self.connect(CONTROL).await.map_err(|_| first)?,
            connected => connected?,
        };
        exchange(stream, Method::GET, path, Vec::new()).await
    }

    async fn connect(&self, socket: &str) -> Result<UnixStream, Trouble> {
        let path = self.directory.join(socket);
        UnixStream::connect(&path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Trouble::NotRunning(self.directory.clone())
            }
            io::ErrorKind::PermissionDenied => Trouble::NotAllowed(path),
            _ => Trouble::Broken(format!("{}: {error}", path.display())),
        })
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Response<Incoming>, Trouble> {
    let broken = |error: &dyn std::error::Error| Trouble::Broken(error.to_string());
    let (mut send, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "vipd")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(&error))?;
    send.send_request(request).await.map_err(|error| broken(&error))
}

async fn collected(response: Response<Incoming>) -> Result<Bytes, Trouble> {
    let status = response.status();
    let whole = Limited::new(response.into_body(), LARGEST).collect().await;
    let bytes = whole.map_err(|error| Trouble::Broken(error.to_string()))?.to_bytes();
    if status.is_success() {
        return Ok(bytes);
    }
    Err(Trouble::Refused(status, Box::new(understood(&bytes)?)))
}

fn understood<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Trouble> {
    serde_json::from_slice(bytes).map_err(|error| Trouble::Broken(error.to_string()))
}

fn silent(patience: Duration) -> Trouble {
    Trouble::Broken(format!("nothing for {} s", patience.as_secs()))
}

/// Lines of an answer as they come.
pub(super) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Trouble> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.rest.len() > LARGEST {
                return Err(Trouble::Broken("a line without end".to_owned()));
            }
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(silent(SILENCE)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Trouble::Broken(error.to_string())),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
