//! Requests to the control API, over its own sockets and through its own server. Whatever a client says is answered or
//! cut off, and an order reaches the protocol thread only if it was accepted.
//!
//! The first byte chooses: the whole request as bytes, or the body of an order, or the query of `/events` or `/history`.
#![no_main]

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use vipd::agent::api::{Accepted, Access, Refusal, router};
use vipd::agent::archive::Archive;
use vipd::agent::connection::serve;
use vipd::agent::drains::Drains;
use vipd::agent::gate::Trouble;
use vipd::agent::heartbeat::Heartbeats;
use vipd::agent::post::{Inbox, Request, notices, requests};
use vipd::agent::realtime::Realtime;
use vipd::agent::service::{Parts, Service};
use vipd::config::{self, Config};
use vipd::engine::Engine;
use vipd::engine::event::Target;
use vipd::time::Instant;

/// No directory, nor may anybody make one of it: no state is written there, and a reload finds that there is no file and
/// is refused.
const NOWHERE: &str = "/dev/null";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the host has resources");
    // Nobody but Rust's own main does it: a peer that hung up is an error and not the end.
    runtime.block_on(async { drop(signal(SignalKind::pipe()).expect("the signal may be caught")) });
    runtime
});
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "instances: { web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24] } }";
    config::parse(text, "fuzz.yaml").expect("it is right")
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    RUNTIME.block_on(ask(*choice, data));
});

async fn ask(choice: u8, data: &[u8]) {
    let access = if choice & 0x80 == 0 { Access::Everything } else { Access::Questions };
    let (service, mut inbox) = service();
    let name = format!("vipd-fuzz-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("the name is short");
    let listener = StdListener::bind_addr(&address).expect("the name is free");
    listener.set_nonblocking(true).expect("a socket may");
    let listener = UnixListener::from_std(listener).expect("the runtime is there");
    let server = tokio::spawn(serve(listener, router(service, access)));
    let client = StdStream::connect_addr(&address).expect("somebody listens");
    client.set_nonblocking(true).expect("a socket may");
    let client = UnixStream::from_std(client).expect("the runtime is there");
    match choice & 15 {
        0 => {
            let protocol = tokio::spawn(answer(inbox));
            drop(converse(client, data, true).await);
            protocol.abort();
        }
        8 => {
            let protocol = tokio::spawn(answer(inbox));
            drop(post(client, "/plan", data).await);
            protocol.abort();
        }
        // Accepted or not: a drain that nobody can write down is refused.
        9 => drop(post(client, "/drain", data).await),
        10 => drop(query(client, "/history", data).await),
        1 => drop(give(client, "/reload", data).await),
        2 | 3 => {
            let accepted = give(client, "/step-down", data).await;
            check(&mut inbox, access, accepted, |request| match request {
                Request::StepDown(target) => Some(target),
                _ => None,
            });
        }
        4 => {
            let accepted = give(client, "/resume", data).await;
            check(&mut inbox, access, accepted, |request| match request {
                Request::Resume(target) => Some(target),
                _ => None,
            });
        }
        5 => drop(give(client, "/step-down", &data.repeat(64)).await),
        6 => {
            assert!(!give(client, "/upgrade", data).await, "there is no program to become");
            check(&mut inbox, access, false, |_| None);
        }
        _ => drop(query(client, "/events", data).await),
    }
    server.abort();
    assert!(server.await.is_err_and(|error| error.is_cancelled()), "the server ended by itself");
}

/// A service that nobody else talks to, and the protocol thread's end of its requests.
fn service() -> (Arc<Service>, Inbox) {
    let (post, inbox) = requests().expect("the host has resources");
    let (_, notices) = notices();
    let mut heartbeats = Heartbeats::new();
    let parts = Parts {
        node: "fuzz".to_owned(),
        path: Path::new(NOWHERE).join("vipd.yaml"),
        config: CONFIG.clone(),
        post,
        notices,
        protocol: heartbeats.register("protocol"),
        heartbeats,
        gate: Trouble::default(),
        unguarded: None,
        realtime: Realtime::default(),
        runner: None,
        verdicts: BTreeMap::new(),
        // Nothing could take this one's place: an upgrade is refused.
        program: None,
        archive: Archive::begin(Path::new(NOWHERE)),
        drains: Drains::read(Path::new(NOWHERE)),
        lines_dropped: None,
    };
    (Arc::new(Service::new(parts, Path::new(NOWHERE)).0), inbox)
}

/// Answers as the protocol thread does when it is asked how things stand; orders come to nothing.
async fn answer(mut inbox: Inbox) {
    let now = Instant::from_nanos(1_000_000_000_000);
    let engine = Engine::new(now, CONFIG.settings.clone());
    loop {
        for request in inbox.drain() {
            match request {
                Request::Status(asked) => drop(asked.send(engine.status(now))),
                Request::Copy(asked) => drop(asked.send((now, Box::new(engine.clone())))),
                _ => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Gives an order; whether it was accepted.
async fn give(client: UnixStream, path: &str, body: &[u8]) -> bool {
    let (status, answer) = post(client, path, body).await;
    if status == Some(200) {
        serde_json::from_slice::<Accepted>(&answer).expect("an order is accepted in JSON");
        return true;
    }
    let status = status.expect("an order is answered");
    assert!([400, 403, 404, 413, 422].contains(&status), "{status}");
    let refusal: Refusal = serde_json::from_slice(&answer).expect("an order is refused in JSON");
    assert!(!refusal.error.is_empty());
    false
}

/// Sends a body; the status code and the body of the answer.
async fn post(client: UnixStream, path: &str, body: &[u8]) -> (Option<u16>, Vec<u8>) {
    let length = body.len();
    let header = format!("POST {path} HTTP/1.1\r\nHost: vipd\r\nContent-Length: {length}\r\n\r\n");
    converse(client, &[header.as_bytes(), body].concat(), false).await
}

/// Asks with parameters.
async fn query(client: UnixStream, path: &str, parameters: &[u8]) -> (Option<u16>, Vec<u8>) {
    let parameters = String::from_utf8_lossy(parameters);
    let request = format!("GET {path}?{parameters} HTTP/1.1\r\nHost: vipd\r\n\r\n");
    converse(client, request.as_bytes(), false).await
}

/// An order was accepted if, and only if, it reached the protocol thread, and it is for an instance there is.
fn check(inbox: &mut Inbox, access: Access, accepted: bool, meant: impl Fn(Request) -> Option<Target>) {
    let targets: Vec<_> =
        inbox.drain().into_iter().map(|request| meant(request).expect("another order")).collect();
    assert_eq!(targets.len(), usize::from(accepted));
    assert!(targets.is_empty() || access == Access::Everything, "this socket only answers questions");
    assert!(targets.iter().all(|target| match target {
        Target::All => true,
        Target::Named(name) => name == "web",
    }));
}

/// Says something, and hears the status code and the body of the answer as far as it has an end.
async fn converse(mut client: UnixStream, words: &[u8], hang_up: bool) -> (Option<u16>, Vec<u8>) {
    // The server may have had enough before it has heard everything.
    let mut heard = client.write_all(words).await.is_ok();
    if hang_up {
        heard &= client.shutdown().await.is_ok();
    }
    let mut answer = Vec::new();
    let body = loop {
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        if let Some(at) = body
            && answer[..at].windows(7).any(|word| word.eq_ignore_ascii_case(b"chunked"))
        {
            // Events that are followed have no end.
            return (None, Vec::new());
        }
        match client.read_buf(&mut answer).await {
            Ok(0) | Err(_) => break body,
            Ok(_) => {}
        }
    };
    let Some(body) = body else {
        assert!(answer.is_empty() || !heard, "an answer without an end");
        return (None, Vec::new());
    };
    assert!(answer.starts_with(b"HTTP/1."));
    let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|code| code.parse().ok());
    assert!(status.is_some(), "an answer without a status");
    (status, answer.split_off(body))
}
