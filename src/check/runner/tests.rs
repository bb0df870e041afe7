//! Runners that come and go, and those who may ask them. That a script runs there as it does here is the script's tests'.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::{UnixListener, UnixStream};

use super::serve;
use crate::check::script::tests::{Note, is_gone, report_by, shell_by, until};
use crate::reach::child::Task;
use crate::reach::runner::Runner;
use crate::reach::runner::frame::Request;

/// A socket that a runner listens on.
pub(in crate::check) struct Serving(pub(in crate::check) Runner);

impl Serving {
    /// A socket, and nobody who listens yet.
    fn new() -> (Self, UnixListener) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vipd-runner-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        (Self(Some(Arc::new(path))), listener)
    }

    /// A runner that serves the user with this number.
    pub(in crate::check) fn user(uid: u32) -> Self {
        let (serving, listener) = Self::new();
        tokio::spawn(async move { serve::accept(&listener, uid).await });
        serving
    }

    /// A runner that answers one client after the other like this.
    fn pretending(answers: &'static [&'static [u8]]) -> Self {
        let (serving, listener) = Self::new();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                Request::read(&mut stream).await.unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            }
        });
        serving
    }

    /// A connection on which a script has been asked for.
    async fn asked(&self, text: &str, timeout_ms: u64) -> UnixStream {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        let request = Request::Run { task: Task { argv, check: "x".to_owned(), news: None }, timeout_ms };
        let mut stream = UnixStream::connect(&**self.0.as_ref().unwrap()).await.unwrap();
        request.write(&mut stream).await.unwrap();
        stream
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        fs::remove_file(&**self.0.as_ref().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn without_a_runner_the_check_fails_and_nothing_is_run_here() {
    let note = std::env::temp_dir().join(format!("vipd-check-script-{}-nowhere", std::process::id()));
    let nowhere: Runner = Some(Arc::new("/nonexistent/socket".into()));
    let touch = note.display().to_string();
    let said = report_by(&nowhere, &["/bin/touch", &touch], 5000).await.outcome.unwrap_err();
    assert_eq!(said, "cannot reach the script runner at /nonexistent/socket: no such file or directory");
    assert!(!note.exists());
}

#[tokio::test]
async fn a_runner_serves_nobody_but_the_owner_of_its_socket_and_root() {
    let own = nix::unistd::getuid().as_raw();
    let strange = own + 1;
    let serving = Serving::user(strange);
    let said = shell_by(&serving.0, "exit 0", 5000).await.outcome;
    if own == 0 {
        assert_eq!(said.unwrap(), "exit status 0");
    } else {
        assert_eq!(said.unwrap_err(), format!("the script runner serves user {strange}, not {own}"));
    }
}

#[tokio::test]
async fn a_runner_that_ends_in_the_middle_is_asked_once_more() {
    let serving =
        Serving::pretending(&[b"\0\0\0\0s\0\0\0\x01ox", b"\0\0\0\0s\0\0\0\x01oy\0\0\0\x0ae{\"exit\":0}"]);
    let report = shell_by(&serving.0, "exit 3", 5000).await;
    assert_eq!(report.outcome.unwrap(), "exit status 0: y");
    assert_eq!(report.output, "y", "what the first one said does not count");
    let serving = Serving::pretending(&[b"", b"\0\0\0\0s"]);
    let said = shell_by(&serving.0, "exit 3", 5000).await.outcome.unwrap_err();
    assert_eq!(said, "the script runner ended before it was done");
}

#[tokio::test]
async fn a_runner_that_talks_nonsense_is_a_failing_check() {
    let serving = Serving::pretending(&[b"HTTP/1.1 400 Bad Request"]);
    let said = shell_by(&serving.0, "exit 0", 5000).await.outcome.unwrap_err();
    assert_eq!(said, "cannot follow the script runner: a frame is too long");
    let serving = Serving::pretending(&[b"\0\0\0\x16e{\"failed\":\"\x1b[31mred\"}"]);
    let said = shell_by(&serving.0, "exit 0", 5000).await.outcome.unwrap_err();
    assert!(said.contains("script runner") && !said.contains('\x1b'), "{said}");
}

#[tokio::test]
async fn a_runner_that_does_not_answer_is_waited_for_no_longer_than_for_a_script() {
    let (serving, listener) = Serving::new();
    let said = shell_by(&serving.0, "exit 0", 50).await.outcome.unwrap_err();
    assert_eq!(said, "timed out after 50ms waiting for the script runner");
    drop(listener);
}

#[tokio::test]
async fn a_script_outlives_its_agent_no_longer_than_the_connection() {
    let serving = Serving::user(nix::unistd::getuid().as_raw());
    let note = Note::new("abandoned");
    let text = format!("sleep 1000 & echo $! > {}; wait", note.0.display());
    let stream = serving.asked(&text, 3_600_000).await;
    let pid = note.pid().await;
    assert!(!is_gone(pid));
    drop(stream);
    until("the script is gone", || is_gone(pid)).await;
}

#[tokio::test]
async fn a_script_of_an_agent_that_is_stopped_ends_all_the_same() {
    let serving = Serving::user(nix::unistd::getuid().as_raw());
    let note = Note::new("stopped");
    let text = format!("echo $$ > {}; exec sleep 1000", note.0.display());
    let stream = serving.asked(&text, 1).await;
    let pid = note.pid().await;
    until("the script is gone", || is_gone(pid)).await;
    drop(stream);
}

#[tokio::test]
async fn what_hangs_in_the_kernel_is_not_asked_for_twice() {
    let busy = serve::Busy::default();
    let count = |process: &str| Request::Count { process: process.to_owned(), check: "x".to_owned() };
    let first = busy.enter(&count("a"));
    assert!(first.is_some() && busy.enter(&count("a")).is_none() && busy.enter(&count("b")).is_some());
    drop(first);
    assert!(busy.enter(&count("a")).is_some());
}
