//! A thread that ends when its handle is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A running thread.
#[derive(Debug)]
pub struct Worker {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that repeats `step`, which may wait for 50 ms at most.
    pub fn repeat(name: &str, mut step: impl FnMut() + Send + 'static) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let run = move || {
            while !end.load(Ordering::Relaxed) {
                step();
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run).expect("start a thread");
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking(), "a thread of the lab died");
        }
    }
}
