//! `GET /metrics`: in the form that the client asks for, on every socket and on the TCP port.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::{Failure, Shared, unavailable};
use crate::agent::metrics::{Family, text};
use crate::agent::report::SCHEMA;

/// The content type of OpenMetrics.
const OPEN: &str = "application/openmetrics-text";
/// The same in full, as it is answered.
const OPEN_WHOLE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// What Prometheus had before, and `curl` gets.
const PLAIN_WHOLE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The body of `GET /metrics.json`.
#[derive(Serialize)]
struct Answer {
    schema: u32,
    metrics: Vec<Family>,
}

pub(super) async fn text(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Failure> {
    let families = shared.service.metrics().await.map_err(|why| unavailable(&why))?;
    let (kind, body) = if accepts_open(&headers) {
        (OPEN_WHOLE, text::open(&families))
    } else {
        (PLAIN_WHOLE, text::plain(&families))
    };
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

pub(super) async fn json(State(shared): State<Shared>) -> Result<Response, Failure> {
    let metrics = shared.service.metrics().await.map_err(|why| unavailable(&why))?;
    Ok(Json(Answer { schema: SCHEMA, metrics }).into_response())
}

pub(super) async fn unknown_path() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "no such path; here are GET / and /metrics, everything else is on the agent's sockets",
    )
}

pub(super) async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "only questions are answered here, with GET")
}

/// Whether the client names OpenMetrics at all: whoever knows it prefers it, and does not refuse it by `q=0`.
fn accepts_open(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next() == Some(OPEN) && parts.all(|part| part != "q=0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_go_to_whoever_names_them() {
        let accepts = |value: &'static str| {
            accepts_open(&[(header::ACCEPT, HeaderValue::from_static(value))].into_iter().collect())
        };
        assert!(accepts(
            "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(accepts("text/plain;q=0.5, application/openmetrics-text;version=0.0.1;q=0.75"));
        assert!(!accepts("text/plain;version=0.0.4;q=1,*/*;q=0.1"));
        assert!(!accepts("application/openmetrics-text;q=0, text/plain"));
        assert!(!accepts_open(&HeaderMap::new()));
    }
}
