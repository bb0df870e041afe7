//! A body that goes on, one piece after the other, for a client that is put up with while it reads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame};
use tokio::sync::OwnedSemaphorePermit;

use crate::agent::connection::Patience;
use crate::time::Duration;

/// How long a follower may leave everything unread before it is cut off.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be read next, and how to go on from there; none at the end.
type Step<S> = Pin<Box<dyn Future<Output = Option<(S, Bytes)>> + Send>>;

/// A body that goes on: what happens, as it happens.
pub(super) struct Following<S, F> {
    next: Step<S>,
    step: fn(S) -> F,
    patience: Arc<Patience>,
    _slot: OwnedSemaphorePermit,
}

impl<S, F: Future<Output = Option<(S, Bytes)>> + Send + 'static> Following<S, F> {
    pub(super) fn new(
        from: S,
        step: fn(S) -> F,
        patience: Arc<Patience>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        patience.extend(PATIENCE);
        Self { next: Box::pin(step(from)), step, patience, _slot: slot }
    }
}

impl<S, F: Future<Output = Option<(S, Bytes)>> + Send + 'static> hyper::body::Body for Following<S, F> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match this.next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some((then, bytes))) => {
                // Asked for more: the client reads.
                this.patience.extend(PATIENCE);
                this.next = Box::pin((this.step)(then));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }
}
