//! Signals, and what they ask for. Only the service thread takes them.

use std::io;

use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Blocks or unblocks, for the calling thread, the signals that ask for the end. Only the service thread takes them: then
/// one that comes while the process becomes another program waits for that, and is not lost.
pub fn signals(change: fn(&SigSet) -> nix::Result<()>) {
    let ends = SigSet::from_iter([nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGINT]);
    if let Err(error) = change(&ends) {
        tracing::warn!(%error, "cannot choose the thread that takes signals");
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Reload,
    End,
    HandOn,
}

/// The signals that mean something.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    hand_on: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hand_on: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a wish that it ends, and takes no other.
    pub(super) async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hand_on.recv() => Wish::HandOn,
        }
    }
}
