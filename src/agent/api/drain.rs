//! `POST /drain` and `POST /resume`: instances that are kept away from this node, and back.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Accepted, Failure, Shared, TargetOrder, read, target, unavailable};
use crate::agent::drains::{Drain, LONGEST};
use crate::agent::record::Peer;
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// The body of `POST /drain`: what is meant, and for how long.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainOrder {
    /// The name of an instance, with which its group goes, or of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Every instance.
    #[serde(default)]
    pub all: bool,
    /// For how many seconds; without it until `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
}

pub(super) async fn drain(
    State(shared): State<Shared>,
    Extension(by): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let DrainOrder { instance, all, for_seconds } = read(body)?;
    let (meant, name) = target(&shared.service, TargetOrder { instance, all })?;
    let since = Stamp::now();
    let until = match for_seconds.map(Duration::from_secs) {
        None => None,
        Some(duration) if duration.is_zero() || duration > LONGEST => {
            let sentence = format!("for_seconds is 1 to {}", LONGEST.as_secs());
            return Err(Failure::new(StatusCode::BAD_REQUEST, sentence));
        }
        Some(duration) => Some(since.plus(duration)),
    };
    // On a task of its own: whoever hangs up early does not leave half of it.
    let service = Arc::clone(&shared.service);
    let done = tokio::spawn(async move { service.drain(meant, name, Drain { since, until, by }).await });
    let sequence = done.await.map_err(|why| unavailable(&why))?.map_err(|why| unavailable(&why))?;
    Ok(Json(Accepted { sequence, warnings: Vec::new() }).into_response())
}

pub(super) async fn resume(
    State(shared): State<Shared>,
    Extension(by): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let (meant, name) = target(&shared.service, read(body)?)?;
    let service = Arc::clone(&shared.service);
    let sequence = service.asked("resume".to_owned(), name, by);
    let done = tokio::spawn(async move {
        let warnings = service.end_drains(&meant).await;
        service.resume(meant).map(|()| warnings)
    });
    let warnings = done.await.map_err(|why| unavailable(&why))?.map_err(|why| unavailable(&why))?;
    Ok(Json(Accepted { sequence, warnings }).into_response())
}
