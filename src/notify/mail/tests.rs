//! Mail servers that take what they are given, and others.

use super::super::news::Word;
use super::super::news::tests::news;
use super::*;
use crate::reach::tls::tests::acceptor;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

async fn settings(tls: Tls) -> (Settings, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        server: listener.local_addr().unwrap().to_string().parse().unwrap(),
        tls,
        verify: true,
        ca_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/authority.pem").into()),
        login: None,
        from: "vipd <vipd@example.org>".parse().unwrap(),
        to: vec!["ops@example.org".parse().unwrap(), "net@example.org".parse().unwrap()],
        helo: None,
    };
    (settings, listener)
}

/// What the client said to a server, and what the mail was.
#[derive(Debug, Default)]
struct Heard {
    commands: Vec<String>,
    mail: String,
}

/// A line without its end; none when the client has gone or begins TLS.
async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    Some(line.trim_end().to_owned())
}

/// Talks SMTP until the client goes; returns the stream if it is to be encrypted.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greet: bool,
    offers: &str,
    heard: &mut Heard,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(b"220 mail.example.org ready\r\n").await.unwrap();
    }
    while let Some(command) = line(&mut stream).await {
        let verb = command.split(' ').next().unwrap().to_ascii_uppercase();
        heard.commands.push(command);
        let answer = match verb.as_str() {
            "EHLO" => format!("250-mail.example.org\r\n250 {offers}\r\n"),
            "STARTTLS" => "220 go on\r\n".to_owned(),
            "AUTH" => "235 welcome\r\n".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                while let Some(line) = line(&mut stream).await.filter(|line| line != ".") {
                    heard.mail += &(line + "\n");
                }
                "250 queued as 4711\r\n".to_owned()
            }
            "QUIT" => "221 bye\r\n".to_owned(),
            _ => "250 fine\r\n".to_owned(),
        };
        // One that has heard enough does not wait for the answer.
        stream.write_all(answer.as_bytes()).await.ok()?;
        if verb == "STARTTLS" {
            return Some(stream.into_inner());
        }
    }
    None
}

async fn told(settings: Settings) -> Result<String, String> {
    Mail::new(settings).tell(&news("web", Word::Master, 1)).await
}

#[tokio::test]
async fn a_server_is_greeted_by_the_name_that_is_configured() {
    let (settings, listener) = settings(Tls::None).await;
    let server = async {
        let mut heard = Heard::default();
        talk(listener.accept().await.unwrap().0, true, "8BITMIME", &mut heard).await;
        heard
    };
    let named = Settings { helo: Some("lb.example.org".to_owned()), ..settings };
    let (said, heard) = tokio::join!(told(named), server);
    assert_eq!((said.is_ok(), heard.commands[0].as_str()), (true, "EHLO lb.example.org"));
}

#[tokio::test]
async fn a_mail_goes_to_everybody_with_the_news_in_its_subject() {
    let (settings, listener) = settings(Tls::None).await;
    let server = async {
        let mut heard = Heard::default();
        talk(listener.accept().await.unwrap().0, true, "8BITMIME", &mut heard).await;
        heard
    };
    let (said, heard) = tokio::join!(told(settings), server);
    assert_eq!(said.unwrap(), "taken: queued as 4711");
    let expected = [
        "EHLO lb1",
        "MAIL FROM:<vipd@example.org>",
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<net@example.org>",
        "DATA",
    ];
    assert_eq!(heard.commands[..5], expected);
    for line in [
        "Subject: [lb1] web is MASTER: no master heard for 3609 ms",
        "From: vipd <vipd@example.org>",
        "To: ops@example.org, net@example.org",
        "Message-ID: <lb1-1@example.org>",
        "instance  web",
        "state     MASTER",
        "priority  150",
    ] {
        assert!(heard.mail.lines().any(|found| found == line), "{line} in\n{}", heard.mail);
    }
}

#[tokio::test]
async fn after_starttls_the_rest_is_encrypted_and_the_password_only_said_then() {
    let (mut settings, listener) = settings(Tls::Starttls).await;
    settings.login = Some(("vipd".to_owned(), Secret::new("sesame".to_owned())));
    let server = async {
        let (mut open, mut hidden) = (Heard::default(), Heard::default());
        let stream = listener.accept().await.unwrap().0;
        let stream = talk(stream, true, "STARTTLS", &mut open).await.unwrap();
        let stream = acceptor().accept(stream).await.unwrap();
        talk(stream, false, "AUTH PLAIN LOGIN", &mut hidden).await;
        (open, hidden)
    };
    let (said, (open, hidden)) = tokio::join!(told(settings), server);
    assert_eq!(said.unwrap(), "taken: queued as 4711");
    assert_eq!(open.commands, ["EHLO lb1", "STARTTLS"]);
    // base64 of "\0vipd\0sesame"
    assert_eq!(hidden.commands[..2], ["EHLO lb1", "AUTH PLAIN AHZpcGQAc2VzYW1l"]);
    assert!(hidden.mail.contains("Subject: [lb1] web is MASTER"));
}

#[tokio::test]
async fn with_implicit_tls_nothing_is_said_in_clear() {
    let (settings, listener) = settings(Tls::Implicit).await;
    let server = async {
        let mut heard = Heard::default();
        let stream = acceptor().accept(listener.accept().await.unwrap().0).await.unwrap();
        talk(stream, true, "8BITMIME", &mut heard).await;
        heard
    };
    let (said, heard) = tokio::join!(told(settings), server);
    assert_eq!(said.unwrap(), "taken: queued as 4711");
    assert!(heard.mail.contains("Subject: [lb1] web is MASTER"));
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing_if_tls_is_asked_for() {
    let (settings, listener) = settings(Tls::Starttls).await;
    let server = async {
        let mut heard = Heard::default();
        talk(listener.accept().await.unwrap().0, true, "8BITMIME", &mut heard).await;
        heard
    };
    let (said, heard) = tokio::join!(told(settings), server);
    assert!(said.unwrap_err().contains("STARTTLS"));
    assert!(heard.mail.is_empty() && !heard.commands.iter().any(|command| command.starts_with("MAIL")));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (mut settings, listener) = settings(Tls::Implicit).await;
    settings.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/server.pem").into());
    let server = async { acceptor().accept(listener.accept().await.unwrap().0).await.is_err() };
    let (said, refused) = tokio::join!(told(settings), server);
    let said = said.unwrap_err();
    assert!(refused && said.to_lowercase().contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let (settings, listener) = settings(Tls::None).await;
    let server = async {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        stream.write_all(b"554 no service for you\r\n").await.unwrap();
        line(&mut stream).await
    };
    let (said, _) = tokio::join!(told(settings), server);
    let said = said.unwrap_err();
    assert!(said.contains("no service for you"), "{said}");
}

#[test]
fn ten_go_at_once_and_then_one_every_six_seconds() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    for _ in 0..10 {
        assert_eq!(pace.next(start), start);
    }
    assert_eq!(pace.next(start), start + EVERY);
    assert_eq!(pace.next(start), start + EVERY * 2);
    let later = start + EVERY * 100;
    assert_eq!(pace.next(later), later);
}

#[tokio::test]
async fn a_password_is_not_shown() {
    let (mut settings, _) = settings(Tls::Starttls).await;
    settings.login = Some(("vipd".to_owned(), Secret::new("geheim".to_owned())));
    assert!(!format!("{settings:?} {settings}").contains("geheim"));
}
