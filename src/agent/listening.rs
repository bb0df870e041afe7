//! The TCP port, if one is configured: opened, tried again while something is in the way, and moved by a reload.
//!
//! Apart from the sockets of the runtime directory, without which there is no agent: without this one there is.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::serve_network;
use crate::time::Duration;

/// The pause before an address is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Where clients are listened for, besides the agent's sockets.
#[derive(Debug)]
pub struct Listening {
    wanted: watch::Sender<Option<SocketAddr>>,
    trouble: Mutex<Option<String>>,
}

impl Default for Listening {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(None), trouble: Mutex::default() }
    }
}

impl Listening {
    /// Listens there from now on; who is being answered is answered to the end.
    pub fn want(&self, address: Option<SocketAddr>) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, address) != address);
    }

    /// What keeps it from listening.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens wherever it is wanted, and serves `router` there; never ends.
    pub async fn keep(&self, router: Router) {
        let mut wanted = self.wanted.subscribe();
        loop {
            let address = *wanted.borrow_and_update();
            let served = async {
                if let Some(address) = address {
                    self.serve(address, &router).await;
                    sleep(AGAIN).await;
                } else {
                    self.set_trouble(None);
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = served => {}
                // Cannot fail: `self` holds the sender.
                _changed = wanted.changed() => {}
            }
        }
    }

    /// Serves one address; ends only if it cannot be had.
    async fn serve(&self, address: SocketAddr, router: &Router) {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                self.set_trouble(None);
                tracing::info!(%address, "metrics are served");
                serve_network(&listener, router).await;
            }
            Err(error) => {
                let sentence = format!("metrics cannot be served on {address}: {error}; it is tried again");
                if self.trouble().as_ref() != Some(&sentence) {
                    tracing::warn!("{sentence}");
                }
                self.set_trouble(Some(sentence));
            }
        }
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
