//! Servers that answer, and servers that do not.

use super::*;
use crate::check::{self, Context, Kind, Report};
use crate::reach::tls::tests::acceptor;
use crate::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a server does with a connection.
#[derive(Clone, Copy)]
enum Server {
    /// Answers with these bytes once the request has come, and closes.
    Says(&'static str),
    /// As `Says`, over TLS.
    SaysOverTls(&'static str),
    /// Says these bytes and keeps the connection.
    Stops(&'static str),
    /// Begins with these bytes and then sends the second for ever.
    Floods(&'static str, &'static [u8]),
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall's ok";

/// Serves the connections of `listener` and tells the requests.
async fn serve(listener: TcpListener, server: Server, requests: mpsc::Sender<String>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        match server {
            Server::SaysOverTls(_) => {
                if let Ok(stream) = acceptor().accept(stream).await {
                    answer(stream, server, &requests).await;
                }
            }
            _ => answer(stream, server, &requests).await,
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    server: Server,
    requests: &mpsc::Sender<String>,
) {
    let mut request = vec![0; 4096];
    let mut read = 0;
    while !request[..read].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await {
            Ok(0) | Err(_) => return,
            Ok(n) => read += n,
        }
    }
    request.truncate(read);
    requests.send(String::from_utf8(request).unwrap()).await.unwrap();
    let (Server::Says(text) | Server::SaysOverTls(text) | Server::Stops(text) | Server::Floods(text, _)) =
        server;
    if stream.write_all(text.as_bytes()).await.is_err() {
        return;
    }
    match server {
        Server::Says(_) | Server::SaysOverTls(_) => drop(stream.shutdown().await),
        // Ends when the client goes.
        Server::Stops(_) => drop(stream.read(&mut [0]).await),
        Server::Floods(_, more) => while stream.write_all(more).await.is_ok() {},
    }
}

fn now() -> Instant {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    Instant::from_nanos(Duration::from(time).as_nanos().try_into().unwrap())
}

/// One run against a server, and the request it saw.
async fn ask(scheme: &str, server: Server, change: impl FnOnce(&mut Settings)) -> (Report, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{scheme}://{}/healthz?full=1", listener.local_addr().unwrap());
    let mut settings = Settings::new(url.parse().unwrap());
    change(&mut settings);
    let (requests, mut seen) = mpsc::channel(8);
    let patience = patience(matches!(server, Server::Stops(_)));
    let server = serve(listener, server, requests);
    let report =
        tokio::select! { report = once(settings, patience) => report, () = server => unreachable!() };
    (report, seen.try_recv().ok())
}

/// How long an answer may take, in milliseconds: only what never answers is to be given up.
fn patience(hangs: bool) -> u64 {
    if hangs { 400 } else { 60_000 }
}

async fn once(settings: Settings, timeout_ms: u64) -> Report {
    let settings = check::Settings {
        name: "web".to_owned(),
        kind: Kind::Http(settings),
        interval: Duration::from_secs(1000),
        timeout: Duration::from_millis(timeout_ms),
        rise: 1,
        fall: 1,
        initial: None,
    };
    let (sender, mut reports) = mpsc::channel(1);
    let _handle = check::spawn(&Context::new(now, None), Arc::new(settings), sender);
    reports.recv().await.unwrap().1
}

async fn plain(server: Server, change: impl FnOnce(&mut Settings)) -> Result<String, String> {
    ask("http", server, change).await.0.outcome
}

async fn tls(server: Server, change: impl FnOnce(&mut Settings)) -> Result<String, String> {
    ask("https", server, change).await.0.outcome
}

fn authority() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/authority.pem").into()
}

#[tokio::test]
async fn a_200_is_a_success_and_the_request_is_a_plain_get() {
    let (report, request) = ask("http", Server::Says(OK), |_| ()).await;
    assert_eq!(report.outcome.unwrap(), "200 OK");
    assert!(report.latency > Duration::ZERO);
    let request = request.unwrap();
    let lines: Vec<_> = request.lines().collect();
    assert_eq!(lines[0], "GET /healthz?full=1 HTTP/1.1");
    assert!(lines[1].starts_with("host: 127.0.0.1:"), "{request}");
    assert!(lines.contains(&concat!("user-agent: vipd/", env!("CARGO_PKG_VERSION"))), "{request}");
    assert!(lines.contains(&"connection: close"), "{request}");
}

#[tokio::test]
async fn a_head_request_and_a_host_header_are_sent_as_configured() {
    let (report, request) = ask("http", Server::Says("HTTP/1.1 204 No Content\r\n\r\n"), |settings| {
        settings.method = Method::Head;
        settings.host = Some("www.example.org".to_owned());
    })
    .await;
    assert_eq!(report.outcome.unwrap(), "204 No Content");
    let request = request.unwrap();
    assert!(
        request.starts_with("HEAD /healthz") && request.contains("host: www.example.org\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_host_header_that_cannot_be_sent_is_a_failure() {
    let said = plain(Server::Says(OK), |s| s.host = Some("a\r\nb".to_owned())).await.unwrap_err();
    assert!(said.starts_with("cannot ask for this: "), "{said}");
}

#[tokio::test]
async fn a_502_is_a_failure() {
    let said = plain(Server::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n"), |_| ()).await.unwrap_err();
    assert_eq!(said, "status 502 Bad Gateway, expected 200-399");
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_the_status_is_asked_for() {
    let moved = Server::Says("HTTP/1.1 301 Gone Away\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(plain(moved, |_| ()).await.unwrap(), "301 Moved Permanently");
    let only =
        |settings: &mut Settings| settings.status = vec!["200".parse().unwrap(), "418-420".parse().unwrap()];
    assert_eq!(plain(moved, only).await.unwrap_err(), "status 301 Moved Permanently, expected 200, 418-420");
    assert_eq!(plain(Server::Says("HTTP/1.1 419 Odd\r\n\r\n"), only).await.unwrap(), "419");
}

#[tokio::test]
async fn the_body_has_to_contain_the_text() {
    let with = |text: &'static str| move |settings: &mut Settings| settings.body = Some(text.to_owned());
    assert_eq!(plain(Server::Says(OK), with("ok")).await.unwrap(), "200 OK, the body contains 'ok'");
    let said = plain(Server::Says(OK), with("fine")).await.unwrap_err();
    assert_eq!(said, "the body does not contain 'fine'");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n's ok\r\n0\r\n\r\n";
    assert!(plain(Server::Says(chunked), with("all's ok")).await.is_ok());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure() {
    let short = Server::Says("HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\nall");
    let said = plain(short, |settings| settings.body = Some("ok".to_owned())).await.unwrap_err();
    assert_eq!(said, "connection closed before the response was complete");
    assert_eq!(plain(short, |_| ()).await.unwrap(), "200 OK", "nobody asked for the body");
}

#[tokio::test]
async fn a_body_without_end_is_looked_at_up_to_its_bound() {
    let server = Server::Floods("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 8192]);
    let said = plain(server, |settings| settings.body = Some("ok".to_owned())).await.unwrap_err();
    assert_eq!(said, "the body does not contain 'ok' in its first 64 KiB");
}

#[tokio::test]
async fn a_header_without_end_is_cut_off() {
    let said = plain(Server::Floods("HTTP/1.1 200 OK\r\nX: ", &[b'x'; 8192]), |_| ()).await.unwrap_err();
    assert!(said.starts_with("no HTTP response: "), "{said}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_times_out_and_says_where() {
    let said = plain(Server::Stops(""), |_| ()).await.unwrap_err();
    assert_eq!(said, "timed out after 400ms waiting for the response header");
    let said = plain(Server::Stops("HTTP/1.1 200 OK\r\nContent-Le"), |_| ()).await.unwrap_err();
    assert_eq!(said, "timed out after 400ms waiting for the response header");
    let half = Server::Stops("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall");
    let said = plain(half, |settings| settings.body = Some("ok".to_owned())).await.unwrap_err();
    assert_eq!(said, "timed out after 400ms reading the body");
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_is_a_failure() {
    let said = plain(Server::Says(""), |_| ()).await.unwrap_err();
    assert_eq!(said, "connection closed before the response was complete");
    let said = plain(Server::Says("HTTP/1.1 20"), |_| ()).await.unwrap_err();
    assert_eq!(said, "connection closed before the response was complete");
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "\0\u{1}\u{2}\r\n\r\n", "HTTP/1.1 9999 Hm\r\n\r\n"] {
        let said = plain(Server::Says(garbage), |_| ()).await.unwrap_err();
        assert!(said.starts_with("no HTTP response: "), "{garbage:?}: {said}");
    }
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    assert_eq!(once(Settings::new(url), 2000).await.outcome.unwrap_err(), "connection refused");
}

#[tokio::test]
async fn a_certificate_signed_by_the_configured_authority_is_accepted() {
    let found = tls(Server::SaysOverTls(OK), |settings| {
        settings.ca_file = Some(authority());
        settings.body = Some("ok".to_owned());
    })
    .await;
    assert_eq!(found.unwrap(), "200 OK, the body contains 'ok'");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let said = tls(Server::SaysOverTls(OK), |settings| {
        settings.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/server.pem").into());
    })
    .await
    .unwrap_err();
    assert_eq!(said, "the certificate is signed by an unknown authority");
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_the_tests_certificate() {
    let said = tls(Server::SaysOverTls(OK), |_| ()).await.unwrap_err();
    let nobody = "cannot read the system's trusted certificates: ";
    assert!(
        said == "the certificate is signed by an unknown authority" || said.starts_with(nobody),
        "{said}"
    );
}

#[tokio::test]
async fn the_certificate_has_to_bear_the_hosts_name() {
    let named = |host: &'static str| {
        move |settings: &mut Settings| {
            settings.ca_file = Some(authority());
            settings.host = Some(host.to_owned());
        }
    };
    assert_eq!(tls(Server::SaysOverTls(OK), named("www.example.org:8443")).await.unwrap(), "200 OK");
    let said = tls(Server::SaysOverTls(OK), named("www.example.net")).await.unwrap_err();
    assert_eq!(said, "the certificate is not for 'www.example.net'");
}

#[tokio::test]
async fn without_verification_any_certificate_will_do() {
    let found = tls(Server::SaysOverTls(OK), |settings| {
        settings.verify = false;
        settings.host = Some("www.example.net".to_owned());
    })
    .await;
    assert_eq!(found.unwrap(), "200 OK");
}

#[tokio::test]
async fn a_server_without_tls_says_so_and_one_that_hangs_times_out() {
    let unverified = |settings: &mut Settings| settings.verify = false;
    let said = handshake_with(b"HTTP/1.1 400 Bad Request\r\n\r\n", unverified).await;
    assert_eq!(said, "the server does not speak TLS");
    assert_eq!(handshake_with(b"", unverified).await, "timed out after 400ms in the TLS handshake");
}

/// The error from a server that says `bytes` to whoever connects and then keeps still.
async fn handshake_with(bytes: &'static [u8], change: impl FnOnce(&mut Settings)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut settings = Settings::new(url.parse().unwrap());
    change(&mut settings);
    let server = async {
        let mut stream: TcpStream = listener.accept().await.unwrap().0;
        stream.write_all(bytes).await.unwrap();
        std::future::pending::<()>().await;
    };
    let patience = patience(bytes.is_empty());
    let report =
        tokio::select! { report = once(settings, patience) => report, () = server => unreachable!() };
    report.outcome.unwrap_err()
}

#[tokio::test]
async fn a_ca_file_that_is_missing_or_empty_is_a_failure() {
    let with = |path: &'static str| move |settings: &mut Settings| settings.ca_file = Some(path.into());
    let said = tls(Server::SaysOverTls(OK), with("/nonexistent/ca.pem")).await.unwrap_err();
    assert_eq!(said, "cannot read the certificates in /nonexistent/ca.pem: No such file or directory");
    let said = tls(Server::SaysOverTls(OK), with("/dev/null")).await.unwrap_err();
    assert_eq!(said, "cannot read the certificates in /dev/null: it has none in PEM form");
    let said = tls(Server::SaysOverTls(OK), with("/dev/zero")).await.unwrap_err();
    assert_eq!(said, "cannot read the certificates in /dev/zero: it is larger than 1 MiB");
}

#[tokio::test]
async fn a_check_runs_at_once_and_again_until_its_handle_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let settings = Arc::new(check::Settings {
        name: "web".to_owned(),
        kind: Kind::Http(Settings::new(url)),
        interval: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        rise: 1,
        fall: 1,
        initial: None,
    });
    let (requests, _seen) = mpsc::channel(64);
    let (sender, mut reports) = mpsc::channel(1);
    let handle = check::spawn(&Context::new(now, None), Arc::clone(&settings), sender);
    let watch = async {
        for _ in 0..3 {
            let (made_under, report) = reports.recv().await.unwrap();
            assert!(Arc::ptr_eq(&made_under, &settings));
            assert_eq!(report.outcome.unwrap(), "200 OK");
        }
        drop(handle);
        while reports.recv().await.is_some() {}
    };
    tokio::select! { () = watch => {}, () = serve(listener, Server::Says(OK), requests) => unreachable!() }
}

#[test]
fn a_status_is_a_code_or_a_range() {
    for text in ["200", "200-299", "599"] {
        assert_eq!(text.parse::<StatusRange>().unwrap().to_string(), text);
    }
    for text in ["", "99", "600", "2xx", "+20", "299-200", "200-", "200-299-300"] {
        let said = text.parse::<StatusRange>().unwrap_err();
        assert!(said.contains("write a code from 100 to 599 or a range"), "{text}: {said}");
    }
    assert!("POST".parse::<Method>().unwrap_err().contains("write GET or HEAD"));
}
