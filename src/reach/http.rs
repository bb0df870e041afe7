//! One HTTP/1.1 request and its answer, over a stream that is connected already.

use std::pin::pin;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::lowered;

/// Who asks, as the `User-Agent` header says it.
pub const AGENT: &str = concat!("vipd/", env!("CARGO_PKG_VERSION"));

/// Sends `request` and answers what `judge` makes of the response, the header of which is at most 16 KiB long.
///
/// The connection is driven here and not by a task of its own, so that nothing outlives the run.
pub async fn exchange<S, B, T>(
    stream: S,
    request: Request<B>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<T, String>,
) -> Result<T, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        judge(response).await
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        found = &mut exchange => return found,
        _ = &mut connection => {}
    }
    exchange.await
}

/// A status with its usual words.
pub fn worded(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Why there is no (complete) answer.
pub fn broken(error: &hyper::Error) -> String {
    if let Some(error) = std::error::Error::source(error).and_then(|s| s.downcast_ref::<std::io::Error>()) {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => INCOMPLETE.to_owned(),
            _ => lowered(error),
        };
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        INCOMPLETE.to_owned()
    } else {
        format!("no HTTP response: {error}")
    }
}

const INCOMPLETE: &str = "connection closed before the response was complete";

/// The bound on a response's header, and on what hyper reads ahead of us.
const HEADER: usize = 16 << 10;
