//! One client of the control API, and how long it is put up with.
//!
//! Apart from what is answered: here nobody is trusted to send, to read or to go away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::record::Peer;
use crate::time::Duration;

/// How many clients a socket has at once; each socket has its own, so that one's crowd does not lock out the other's.
const CLIENTS: usize = 64;
/// How long a request's header may take.
const HEADER: Duration = Duration::from_secs(2);
/// How long everything may take, unless the answer has a reason to extend it.
const WHOLE: Duration = Duration::from_secs(10);
/// The largest header.
const BUFFER: usize = 16 << 10;
/// The pause after an `accept` that failed for want of something, typically descriptors.
const SHORTAGE: Duration = Duration::from_millis(100);

/// What a client gets that comes when there is no place.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
Content-Length: 53\r\nConnection: close\r\n\r\n{\"error\":\"too many clients already; try again later\"}";

/// When a connection ends whatever it is doing.
#[derive(Debug)]
pub struct Patience {
    start: Instant,
    until_ms: AtomicU64,
}

impl Patience {
    fn new(whole: Duration) -> Self {
        let patience = Self { start: Instant::now(), until_ms: AtomicU64::new(0) };
        patience.extend(whole);
        patience
    }

    /// Puts the end off to `more` from now.
    pub fn extend(&self, more: Duration) {
        let until = (self.start.elapsed() + more).as_millis();
        self.until_ms.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    async fn runs_out(&self) {
        loop {
            let until = self.start + Duration::from_millis(self.until_ms.load(Ordering::Relaxed));
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Serves whoever connects to a socket of the agent's, for as long as the runtime lives.
pub async fn serve(listener: UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    tokio::spawn(converse_with_peer(stream, router.clone(), place));
                }
                Err(_) => turned_away(stream.try_write(CROWDED)),
            },
            Err(error) => shortage(&error).await,
        }
    }
}

/// The same for a TCP port, whose clients are nobody in particular.
pub async fn serve_network(listener: &TcpListener, router: &Router) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    tokio::spawn(converse::<TcpStream>(stream, router.clone(), place));
                }
                Err(_) => turned_away(stream.try_write(CROWDED)),
            },
            Err(error) => shortage(&error).await,
        }
    }
}

async fn shortage(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a client of the control API");
    sleep(SHORTAGE).await;
}

/// A sentence if it fits into the socket's buffer, and it does; never a wait.
fn turned_away(said: io::Result<usize>) {
    if let Err(error) = said {
        tracing::debug!(%error, "a client was turned away without a word");
    }
}

async fn converse_with_peer(stream: UnixStream, router: Router, place: OwnedSemaphorePermit) {
    let Ok(peer) = peer(&stream) else { return };
    converse(stream, router.layer(Extension(peer)), place).await;
}

async fn converse<S>(stream: S, router: Router, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let patience = Arc::new(Patience::new(WHOLE));
    let router = router.layer(Extension(Arc::clone(&patience)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        done = connection => if let Err(error) = done {
            tracing::debug!(%error, "a client of the control API was cut off");
        },
        () = patience.runs_out() => {
            tracing::debug!("a client of the control API ran out of time");
        }
    }
}

fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    Ok(Peer { uid: credentials.uid(), pid: credentials.pid() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_for_whoever_is_turned_away_has_the_length_it_claims() {
        let text = std::str::from_utf8(CROWDED).unwrap();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(header.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[tokio::test(start_paused = true)]
    async fn patience_runs_out_unless_it_is_extended() {
        let patience = Arc::new(Patience::new(Duration::from_secs(10)));
        patience.extend(Duration::from_secs(1));
        let begun = Instant::now();
        let extended = Arc::clone(&patience);
        let waits = tokio::spawn(async move { extended.runs_out().await });
        tokio::time::advance(Duration::from_secs(9)).await;
        patience.extend(Duration::from_secs(60));
        waits.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 69);
    }
}
