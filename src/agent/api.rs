//! The control API: HTTP with JSON on Unix sockets, so that `curl --unix-socket` is a client too.
//!
//! Which requests a socket answers is fixed when it is served; who may connect is the file system's business. Whatever
//! clients do stays bounded: connections, header time and size, body size, the time without progress, followers.

mod capture;
pub mod drain;
pub mod drill;
mod following;
mod history;
mod page;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use following::Following;

use super::connection::Patience;
use super::history::{Follower, History, Line};
use super::page::live::Live;
use super::plan::PlanOrder;
use super::record::{Peer, Record};
use super::reload::Rejected;
use super::report::SCHEMA;
use super::service::Service;
use crate::engine::event::Target;
use crate::time::Duration;

mod metrics;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Questions and orders.
    Everything,
    /// Questions.
    Questions,
}

/// How many may follow events at once.
const FOLLOWERS: usize = 32;
/// How often a follower hears something, so that a dead one is found: an empty line if there is nothing to say.
const PULSE: Duration = Duration::from_secs(10);
/// How many events one chunk carries.
const CHUNK: usize = 128;
/// The largest body of a request.
const BODY: usize = 16 << 10;
/// The same where a configuration is in it, of up to 1 MiB, which JSON may make twice as long.
const PLAN_BODY: usize = (2 << 20) + BODY;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    service: Arc<Service>,
    followers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    onlookers: Arc<Semaphore>,
    live: Arc<Live>,
}

impl Shared {
    fn new(service: Arc<Service>) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            service,
            followers: places(FOLLOWERS),
            readers: places(history::READERS),
            onlookers: places(super::capture::MOST),
            live: Arc::default(),
        }
    }

    /// A place among those who follow.
    fn slot(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let sentence = format!("{FOLLOWERS} clients follow events already");
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
        })
    }
}

/// An answer that is a refusal, with a sentence for the operator.
#[derive(Debug)]
struct Failure(StatusCode, Refusal);

/// The body of every refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, as a sentence.
    pub error: String,
    /// What is wrong with the configuration, one problem each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What makes two masters until both nodes have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dangers: Vec<String>,
}

/// The body of `POST /reload`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadOrder {
    /// Whether to accept two masters until both nodes have it.
    #[serde(default)]
    pub force: bool,
}

/// The body of `POST /step-down` and `POST /resume`: one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetOrder {
    /// The name of an instance, with which its group goes, or of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Every instance.
    #[serde(default)]
    pub all: bool,
}

/// The answer to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The order's number in the history; what came of it has greater ones.
    pub sequence: u64,
    /// What the configuration now in force warns of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer to `GET /version`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// The agent's version.
    pub version: String,
    /// The report's schema.
    pub schema: u32,
    /// The agent's process id.
    pub pid: u32,
}

/// The requests that a socket answers.
pub fn router(service: Arc<Service>, access: Access) -> Router {
    let shared = Shared::new(service);
    let questions = Router::new()
        .route("/", get(page::page))
        .route("/live", get(page::live))
        .route("/status", get(status))
        .route("/events", get(events))
        .route("/explain", get(explain))
        .route("/history", get(history::history))
        .route("/capture", get(capture::capture))
        .route("/version", get(version))
        .route("/metrics", get(metrics::text))
        .route("/metrics.json", get(metrics::json));
    let all = match access {
        Access::Everything => questions
            .route("/plan", post(plan).layer(DefaultBodyLimit::max(PLAN_BODY)))
            .route("/reload", post(reload))
            .route("/step-down", post(step_down))
            .route("/drain", post(drain::drain))
            .route("/drill", post(drill::drill))
            .route("/resume", post(drain::resume))
            .route("/upgrade", post(upgrade)),
        Access::Questions => questions
            .route("/plan", post(only_questions))
            .route("/reload", post(only_questions))
            .route("/step-down", post(only_questions))
            .route("/drain", post(only_questions))
            .route("/drill", post(only_questions))
            .route("/resume", post(only_questions))
            .route("/upgrade", post(only_questions)),
    };
    all.fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

/// The requests that the TCP port answers: what anybody may know who reaches it.
pub fn over_tcp(service: Arc<Service>) -> Router {
    let shared = Shared::new(service);
    Router::new()
        .route("/", get(page::page))
        .route("/live", get(page::live))
        .route("/metrics", get(metrics::text))
        .route("/metrics.json", get(metrics::json))
        .fallback(metrics::unknown_path)
        .method_not_allowed_fallback(metrics::wrong_method)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

async fn status(State(shared): State<Shared>) -> Result<Response, Failure> {
    let report = shared.service.report().await.map_err(|why| unavailable(&why))?;
    Ok(Json(report).into_response())
}

async fn explain(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let name = match query.as_deref().unwrap_or_default().split_once('=') {
        Some(("name", name)) => Some(name.to_owned()),
        None if query.is_none() => None,
        _ => return Err(Failure::new(StatusCode::BAD_REQUEST, "write /explain or /explain?name=NAME")),
    };
    if let Some(name) = &name {
        is_known(&shared.service, name)?;
    }
    let explanation = shared.service.explain(name).await.map_err(|why| unavailable(&why))?;
    Ok(Json(explanation).into_response())
}

async fn version() -> Response {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { version, schema: SCHEMA, pid: std::process::id() }).into_response()
}

async fn events(
    State(shared): State<Shared>,
    Extension(patience): Extension<Arc<Patience>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let wanted = EventQuery::read(query.as_deref().unwrap_or_default())?;
    let history = shared.service.history();
    let body = if wanted.follow {
        let slot = shared.slot()?;
        let follower = history.follow(wanted.since.unwrap_or_else(|| history.newest()));
        Body::new(Following::new(follower, step, patience, slot))
    } else {
        let (entries, missed) = history.after(wanted.since.unwrap_or(0), super::history::ENTRIES);
        let missed = if wanted.since.is_some() { missed } else { 0 };
        Body::from(lines(history, &entries, missed))
    };
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn plan(
    State(shared): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let order: PlanOrder = read(body)?;
    let outcome = shared.service.plan(order.text, order.file).await.map_err(|why| unavailable(&why))?;
    Ok(Json(outcome.map_err(rejected)?).into_response())
}

async fn reload(
    State(shared): State<Shared>,
    Extension(by): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let order: ReloadOrder = read(body)?;
    let what = if order.force { "forced reload" } else { "reload" };
    let sequence = shared.service.asked(what.to_owned(), None, by);
    let warnings = shared.service.reload(order.force).await.map_err(rejected)?;
    Ok(Json(Accepted { sequence, warnings }).into_response())
}

async fn step_down(
    State(shared): State<Shared>,
    Extension(by): Extension<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let (target, instance) = target(&shared.service, read(body)?)?;
    let sequence = shared.service.asked("step-down".to_owned(), instance, by);
    shared.service.step_down(target).map_err(|why| unavailable(&why))?;
    Ok(Json(Accepted { sequence, warnings: Vec::new() }).into_response())
}

async fn upgrade(State(shared): State<Shared>, Extension(by): Extension<Peer>) -> Result<Response, Failure> {
    let sequence = shared.service.asked("upgrade".to_owned(), None, by);
    let checked = shared.service.upgrade().await;
    checked.map_err(|why| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, why.to_string()))?;
    Ok(Json(Accepted { sequence, warnings: Vec::new() }).into_response())
}

async fn only_questions() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "this socket only answers questions; orders go to vipd.sock")
}

async fn unknown_path() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "no such path; there are GET /, /live, /status, /explain, /events, /history, /capture, /metrics and /version, \
         POST /plan, /reload, /step-down, /drain, /drill, /resume and /upgrade",
    )
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "questions are asked with GET, orders given with POST")
}

/// Which instances an order is for, and the one it names.
fn target(service: &Service, order: TargetOrder) -> Result<(Target, Option<String>), Failure> {
    match (order.instance, order.all) {
        (Some(name), false) => {
            is_known(service, &name)?;
            Ok((Target::Named(name.clone()), Some(name)))
        }
        (None, true) => Ok((Target::All, None)),
        (Some(_), true) | (None, false) => Err(Failure::new(
            StatusCode::BAD_REQUEST,
            r#"write {"instance": "NAME"} or {"all": true}, one of the two"#,
        )),
    }
}

/// Refuses a name that is no instance's and no group's.
fn is_known(service: &Service, name: &str) -> Result<(), Failure> {
    let known = service.names();
    if known.iter().any(|one| one == name) {
        return Ok(());
    }
    let sentence = format!("there is no instance or group '{name}'; there are: {}", known.join(", "));
    Err(Failure::new(StatusCode::NOT_FOUND, sentence))
}

/// Reads a JSON body; none at all stands for the defaults.
fn read<T: Default + for<'de> Deserialize<'de>>(body: Result<Bytes, BytesRejection>) -> Result<T, Failure> {
    let body = body.map_err(|why| Failure::new(why.status(), why.body_text()))?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(&body)
        .map_err(|why| Failure::new(StatusCode::BAD_REQUEST, format!("the body is not understood: {why}")))
}

fn unavailable(why: &impl ToString) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
}

fn rejected(why: Rejected) -> Failure {
    let stays = "the configuration in force stays";
    match why {
        Rejected::Wrong(problems) => Failure(
            StatusCode::UNPROCESSABLE_ENTITY,
            Refusal { error: format!("the file has mistakes; {stays}"), problems, ..Refusal::default() },
        ),
        Rejected::Dangerous(dangers) => Failure(
            StatusCode::CONFLICT,
            Refusal {
                error: format!(
                    "until the other node has the same changes there will be two masters; {stays}"
                ),
                dangers,
                ..Refusal::default()
            },
        ),
        Rejected::NotTaken(why) => unavailable(&why),
    }
}

impl Failure {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self(status, Refusal { error: sentence.into(), ..Refusal::default() })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// `?follow=true&since=NUMBER`.
#[derive(Debug, Default)]
struct EventQuery {
    follow: bool,
    since: Option<u64>,
}

impl EventQuery {
    fn read(query: &str) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let understood = match key {
                "follow" => value.parse().map(|follow| wanted.follow = follow).is_ok(),
                "since" => value.parse().map(|since| wanted.since = Some(since)).is_ok(),
                _ => false,
            };
            if !understood {
                let sentence = "write /events?follow=true&since=NUMBER, each as you need it";
                return Err(Failure::new(StatusCode::BAD_REQUEST, sentence));
            }
        }
        Ok(wanted)
    }
}

/// Entries as JSON lines, after a line that says how many were forgotten before them.
fn lines(history: &History, entries: &[Arc<super::history::Entry>], missed: u64) -> Bytes {
    let mut text = Vec::new();
    if missed > 0 {
        let first = entries.first().map_or_else(|| history.newest(), |entry| entry.sequence);
        let time = entries.first().map_or_else(super::stamp::Stamp::now, |entry| entry.time);
        let record = Record::Lost { count: missed };
        let words = record.to_string();
        push(&mut text, &Line { sequence: first - 1, time, instance: None, record, text: words });
    }
    for entry in entries {
        push(&mut text, &Line::from(&**entry));
    }
    text.into()
}

fn push(text: &mut Vec<u8>, line: &impl Serialize) {
    match serde_json::to_writer(&mut *text, line) {
        Ok(()) => text.push(b'\n'),
        // Cannot happen: every field has a JSON form and memory does not refuse a write.
        Err(error) => tracing::error!(%error, "cannot write an event as JSON"),
    }
}

/// What happens, as it happens.
async fn step(mut follower: Follower) -> Option<(Follower, Bytes)> {
    Some(match tokio::time::timeout(PULSE, follower.next(CHUNK)).await {
        Ok((entries, missed)) => {
            let bytes = lines(follower.history(), &entries, missed);
            (follower, bytes)
        }
        Err(_) => (follower, Bytes::from_static(b"\n")),
    })
}
