//! `GET /` and `GET /live`: the status page and its news, on every socket and on the TCP port.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Bytes;

use super::following::Following;
use super::{Failure, Shared};
use crate::agent::connection::Patience;
use crate::agent::page::live::Viewer;
use crate::agent::page::{self, POLICY};

pub(super) async fn page(State(shared): State<Shared>) -> Response {
    let report = shared.service.report().await.map_err(|why| format!("There is no state to show: {why}."));
    let status = if report.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = page::html(report.as_ref().map_err(String::as_str));
    let mut response = (status, guarded("text/html; charset=utf-8"), body).into_response();
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

pub(super) async fn live(
    State(shared): State<Shared>,
    Extension(patience): Extension<Arc<Patience>>,
) -> Result<Response, Failure> {
    let slot = shared.slot()?;
    let viewer = Viewer::new(&shared.service);
    let body = Body::new(Following::new((shared, viewer), step, patience, slot));
    Ok((guarded("text/event-stream"), body).into_response())
}

async fn step((shared, mut viewer): (Shared, Viewer)) -> Option<((Shared, Viewer), Bytes)> {
    let event = viewer.next(&shared.service, &shared.live).await;
    Some(((shared, viewer), event))
}

/// What a browser is to do with neither of them: keep it, guess what it is, show it inside another page, tell others of it.
fn guarded(kind: &'static str) -> [(header::HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
}
