//! `GET /capture`: what the agent makes of each packet, line by line, for as long as somebody reads.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::Bytes;

use super::{Failure, Following, PULSE, Shared, push, unavailable};
use crate::agent::capture::{self, Judged, Onlooker};
use crate::agent::connection::Patience;
use crate::agent::post::Request;

pub(super) async fn capture(
    State(shared): State<Shared>,
    Extension(patience): Extension<Arc<Patience>>,
) -> Result<Response, Failure> {
    let slot = Arc::clone(&shared.onlookers).try_acquire_owned().map_err(|_| {
        let sentence = format!("{} clients capture packets already", capture::MOST);
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    })?;
    let (tap, onlooker) = capture::way();
    shared.service.post.send(Request::Capture(tap)).map_err(|why| unavailable(&why))?;
    let mut response = Response::new(Body::new(Following::new(onlooker, step, patience, slot)));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// What was seen next; an empty line if that is nothing for a while.
async fn step(onlooker: Onlooker) -> Option<(Onlooker, Bytes)> {
    match tokio::time::timeout(PULSE, onlooker.next()).await {
        Ok(None) => None,
        Ok(Some(seen)) => {
            let bytes = lines(&seen);
            Some((onlooker, bytes))
        }
        Err(_) => Some((onlooker, Bytes::from_static(b"\n"))),
    }
}

fn lines(seen: &[Judged]) -> Bytes {
    let mut text = Vec::new();
    for judged in seen {
        push(&mut text, judged);
    }
    text.into()
}
