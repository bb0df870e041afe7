//! A program running on a host: its log, its signals, its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait;

/// A started program with all its children, which are one process group. Dropping it kills them all.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn new(name: String, child: Child, log: PathBuf) -> Self {
        Self { name, child, log, ended: None }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with all it printed.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// All it printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// Sends `signal` to the program alone.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.group(), signal)
            .unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.name));
    }

    /// Sends `signal` to the program and all its children.
    pub fn signal_all(&self, signal: Signal) {
        killpg(self.group(), signal).unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.name));
    }

    /// Asks it to stop (`SIGTERM`) and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(Duration::from_secs(15))
    }

    /// Kills it and all its children.
    pub fn kill(&mut self) {
        self.signal_all(Signal::SIGKILL);
        self.wait(Duration::from_secs(5));
    }

    /// Freezes it and all its children (`SIGSTOP`).
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets it and all its children go on (`SIGCONT`).
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap_or_else(|e| panic!("wait for {}: {e}", self.name));
        }
        self.ended
    }

    /// Waits for its end, no longer than `bound`.
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), bound, || self.ended())
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() && killpg(self.group(), Signal::SIGKILL).is_ok() {
            self.wait(Duration::from_secs(5));
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
            eprintln!("---- {} said, in the end:\n{}----", self.name, &log[from..]);
        }
    }
}
