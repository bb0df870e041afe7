//! `POST /drill`: puts a failover drill on record, before it and after it, so that an audit finds both. Changes nothing.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Accepted, Failure, Shared, is_known, read};
use crate::agent::record::Peer;

/// The longest text on record.
const LONGEST: usize = 200;

/// The body of `POST /drill`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillNote {
    /// The instance.
    pub instance: String,
    /// What is about to be done, or what came of it.
    pub note: String,
}

pub(super) async fn drill(
    State(shared): State<Shared>,
    Extension(by): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let DrillNote { instance, note } = read(body)?;
    is_known(&shared.service, &instance)?;
    if note.is_empty() || note.len() > LONGEST || note.chars().any(char::is_control) {
        let sentence = format!("write a note of one line, at most {LONGEST} bytes long");
        return Err(Failure::new(StatusCode::BAD_REQUEST, sentence));
    }
    let sequence = shared.service.drilled(note, instance, by);
    Ok(Json(Accepted { sequence, warnings: Vec::new() }).into_response())
}
