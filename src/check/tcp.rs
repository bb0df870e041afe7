//! The `tcp` kind: a port that takes connections.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `tcp` | required | `HOST:PORT`; an IPv6 address stands in brackets |
//! | `expect` | none | a text that the server says on its own accord within its first 4 KiB, as SMTP and SSH servers do |
//!
//! Without `expect` the run succeeds once the connection is made, which the kernel does for any listening
//! socket: a server that hangs is still up. Nothing is ever sent.
//!
//! Errors: those of [`connect`](crate::reach::connect); `the greeting does not contain '220'`;
//! `connection closed before the greeting contained '220'`; `timed out after 500ms waiting for the greeting`.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::reach::connect::{Connector, Endpoint};
use crate::reach::{Run, first_line, lowered};

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host and port.
    pub endpoint: Endpoint,
    /// What the server has to say first.
    pub expect: Option<String>,
}

/// The bound on a server's greeting.
const GREETING: usize = 4096;

pub(super) struct Probe {
    settings: Settings,
    connector: Connector,
}

impl Probe {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, connector: Connector::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        let stream = self.connector.connect(&self.settings.endpoint, run).await?;
        match &self.settings.expect {
            None => Ok("connected".to_owned()),
            Some(text) => {
                run.phase = " waiting for the greeting";
                greeting(stream, text).await
            }
        }
    }
}

async fn greeting(mut stream: TcpStream, text: &str) -> Result<String, String> {
    let mut heard = Vec::with_capacity(GREETING);
    while heard.len() < GREETING {
        let room = u64::try_from(GREETING - heard.len()).unwrap_or_default();
        let read = (&mut stream).take(room).read_buf(&mut heard).await.map_err(|error| lowered(&error))?;
        if contains(&heard, text.as_bytes()) {
            return Ok(first_line(&heard));
        }
        if read == 0 {
            return Err(format!("connection closed before the greeting contained '{text}'"));
        }
    }
    Err(format!("the greeting does not contain '{text}'"))
}

/// Whether `text` stands somewhere in `bytes`; nothing always does.
pub(super) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn probe(listener: &TcpListener, expect: Option<&str>) -> Probe {
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        Probe::new(Settings { endpoint, expect: expect.map(str::to_owned) })
    }

    /// A run against a server that says `parts` and then keeps (or closes) the connection.
    async fn greeted(parts: &'static [&'static [u8]], keep: bool, expect: &str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut probe = probe(&listener, Some(expect));
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for part in parts {
                if stream.write_all(part).await.is_err() {
                    break;
                }
            }
            if keep {
                std::future::pending::<()>().await;
            }
            drop(stream);
            std::future::pending::<()>().await;
        };
        let mut run = Run::default();
        let limited = tokio::time::timeout(Duration::from_millis(300), probe.run(&mut run));
        let found = tokio::select! { found = limited => found, () = server => unreachable!() };
        found.unwrap_or_else(|_| Err(format!("timed out{}", run.phase)))
    }

    #[tokio::test]
    async fn a_port_that_takes_connections_is_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let found = probe(&listener, None).run(&mut Run::default()).await;
        assert_eq!(found.unwrap(), "connected");
    }

    #[tokio::test]
    async fn a_port_without_a_listener_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut probe = probe(&listener, None);
        drop(listener);
        assert_eq!(probe.run(&mut Run::default()).await.unwrap_err(), "connection refused");
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_a_name_that_does_not_exist_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = format!("localhost:{port}").parse().unwrap();
        let found = Probe::new(Settings { endpoint, expect: None }).run(&mut Run::default()).await;
        assert_eq!(found.unwrap(), "connected");
        let endpoint = "no-such-host.invalid:80".parse().unwrap();
        let found = Probe::new(Settings { endpoint, expect: None }).run(&mut Run::default()).await;
        let said = found.unwrap_err();
        assert!(said.starts_with("cannot resolve 'no-such-host.invalid': "), "{said}");
    }

    #[tokio::test]
    async fn a_greeting_may_come_in_pieces() {
        let said = greeted(&[b"22", b"0 mail", b" ready\r\n"], true, "220 mail ready").await.unwrap();
        assert_eq!(said, "220 mail ready");
    }

    #[tokio::test]
    async fn a_server_that_closes_too_early_is_down() {
        let said = greeted(&[b"421 no\r\n"], false, "220").await.unwrap_err();
        assert_eq!(said, "connection closed before the greeting contained '220'");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_times_out() {
        assert_eq!(greeted(&[], true, "220").await.unwrap_err(), "timed out waiting for the greeting");
    }

    #[tokio::test]
    async fn a_greeting_that_never_ends_is_cut_off() {
        let said = greeted(&[&[b'x'; 8192]], true, "220").await.unwrap_err();
        assert_eq!(said, "the greeting does not contain '220'");
    }
}
