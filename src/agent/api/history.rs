//! `GET /history`: what changed, as far back as the files on disk go.
//!
//! Apart from `/events`, which tells of this agent only. Files are read by few at a time, on a thread that may wait.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Failure, Shared, is_known, unavailable};
use crate::agent::changes;
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// How many read files at once; more wait.
pub(super) const READERS: usize = 2;
/// How far an answer goes back unless it is said.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn history(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let (name, since) = understood(query.as_deref().unwrap_or_default())?;
    let since = since.unwrap_or_else(|| Stamp::now().minus(DAY));
    let _place = shared.readers.acquire().await.map_err(|why| unavailable(&why))?;
    let (directory, node) = (shared.service.archive.directory().to_owned(), shared.service.node.clone());
    let meant = name.clone();
    let read = move || changes::read(&directory, node, meant.as_deref(), since);
    let found = tokio::task::spawn_blocking(read).await.map_err(|why| unavailable(&why))?;
    let found = found.map_err(|why| {
        let trouble = shared.service.archive.trouble().unwrap_or_else(|| why.to_string());
        unavailable(&format!("there is no history to read: {trouble}"))
    })?;
    if let Some(name) = name
        && !found.changes.iter().any(|change| change.is_about(&name))
    {
        // What is not configured any more has a history all the same.
        is_known(&shared.service, &name)?;
    }
    Ok(Json(found).into_response())
}

/// `?name=NAME&since=TIME`.
fn understood(query: &str) -> Result<(Option<String>, Option<Stamp>), Failure> {
    let (mut name, mut since) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("name", text)) => name = Some(text.to_owned()),
            Some(("since", text)) if text.parse::<Stamp>().is_ok() => since = text.parse().ok(),
            _ => {
                let sentence = "write /history?name=NAME&since=2026-11-22T10:00:00Z, each as you need it";
                return Err(Failure::new(StatusCode::BAD_REQUEST, sentence));
            }
        }
    }
    Ok((name, since))
}
