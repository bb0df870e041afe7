//! Servers that take the news, and servers that do not.

use super::super::news::Word;
use super::super::news::tests::news;
use super::*;
use crate::reach::tls::tests::acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Reads one request, answers with `status`, and tells what was read.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, status: &str) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                let said = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(said.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "the request broke off: {text}");
    }
}

fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().unwrap(),
        headers: Vec::new(),
        token: None,
        timeout: Duration::from_secs(5),
        verify: true,
        ca_file: None,
    }
}

fn webhook(settings: Settings) -> Webhook {
    Webhook::new(settings, Arc::default())
}

#[tokio::test]
async fn the_news_are_posted_as_json_with_the_headers_and_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/vipd", listener.local_addr().unwrap());
    let server = async { answer(listener.accept().await.unwrap().0, "204 No Content").await };
    let headers = vec![(HeaderName::from_static("x-team"), Secret::new("net".to_owned()))];
    let token = Some(Secret::new("sesame".to_owned()));
    let mut hook = webhook(Settings { headers, token, ..settings(&url) });
    let news = news("web", Word::Master, 1);
    let (said, request) = tokio::join!(hook.tell(&news), server);
    assert_eq!(said.unwrap(), "204 No Content");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hooks/vipd HTTP/1.1\r\n"), "{head}");
    for line in ["content-type: application/json", "x-team: net", "authorization: Bearer sesame"] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "id": "lb1-1", "time": "2026-11-21T10:25:00.000Z", "node": "lb1", "kind": "instance",
        "name": "web", "state": "master", "previous": "backup", "reason": "no master heard for 3609 ms",
        "priority": 150, "interface": "eth0", "virtual_router_id": 51, "skipped": 0,
        "text": "[lb1] web is MASTER: no master heard for 3609 ms"
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_told_by_tls_and_another_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/authority.pem").into());
    let server = async {
        let stream = acceptor().accept(listener.accept().await.unwrap().0).await.unwrap();
        answer(stream, "200 OK").await
    };
    let mut hook = webhook(Settings { ca_file, ..settings(&url) });
    let news = news("web", Word::Master, 1);
    let (said, request) = tokio::join!(hook.tell(&news), server);
    assert_eq!((said.unwrap().as_str(), request.starts_with("POST / ")), ("200 OK", true));
    let strange = async {
        let refused = acceptor().accept(listener.accept().await.unwrap().0).await;
        assert!(refused.is_err());
    };
    let mut hook = webhook(settings(&url));
    let (failed, ()) = tokio::join!(hook.attempt(Bytes::new()), strange);
    let why = failed.err().unwrap().why;
    assert!(why.contains("unknown authority") || why.contains("trusted certificates"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_is_asked_again_after_pauses_that_grow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = async {
        for status in ["503 Service Unavailable", "429 Too Many Requests", "200 OK"] {
            answer(listener.accept().await.unwrap().0, status).await;
        }
    };
    let begun = tokio::time::Instant::now();
    let mut hook = webhook(settings(&url));
    // The clock that stands still runs on while nobody is ready, and no attempt shall end by that.
    hook.settings.timeout = Duration::from_secs(100_000);
    let news = news("web", Word::Master, 1);
    let (said, ()) = tokio::join!(hook.tell(&news), server);
    assert_eq!(said.unwrap(), "200 OK");
    assert!(begun.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_refusal_is_final_and_a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for status in ["403 Forbidden", "302 Found"] {
        let server = async { answer(listener.accept().await.unwrap().0, status).await };
        let (mut hook, news) = (webhook(settings(&url)), news("web", Word::Master, 1));
        let (said, _) = tokio::join!(hook.tell(&news), server);
        assert_eq!(said.unwrap_err(), format!("status {status}"));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_so_long_and_no_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut hook = webhook(Settings { timeout: Duration::from_millis(50), ..settings(&url) });
    let Failure { why, again } = hook.attempt(Bytes::new()).await.err().unwrap();
    assert_eq!((why.as_str(), again), ("timed out after 50ms waiting for the response header", true));
}

#[test]
fn neither_the_path_nor_a_secret_is_shown() {
    let mut settings = settings("https://hooks.example.org/services/T0/B0/geheim");
    settings.token = Some(Secret::new("geheim".to_owned()));
    settings.headers = vec![(HeaderName::from_static("x-key"), Secret::new("geheim".to_owned()))];
    assert_eq!(settings.to_string(), "https://hooks.example.org/..");
    assert!(!format!("{:?} {:?}", settings.token, settings.headers).contains("geheim"));
}
