//! Scripts that behave, and scripts that do not.

use super::*;
use crate::check::runner::tests::Serving;
use crate::check::{self, Context, Kind, Report};
use crate::reach::child;
use crate::reach::script::KEPT;
use crate::time::Instant;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

pub(in crate::check) fn now() -> Instant {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    Instant::from_nanos(Duration::from(time).as_nanos().try_into().unwrap())
}

pub(in crate::check) fn settings(argv: &[&str], timeout_ms: u64) -> Arc<check::Settings> {
    Arc::new(check::Settings {
        name: "the-check".to_owned(),
        kind: Kind::Script(Settings { argv: argv.iter().map(|word| (*word).to_owned()).collect() }),
        interval: Duration::from_secs(1000),
        timeout: Duration::from_millis(timeout_ms),
        rise: 1,
        fall: 1,
        initial: None,
    })
}

/// The two ways to run a script: here, and by a runner.
struct Ways(Serving);

impl Ways {
    fn new() -> Self {
        Self(Serving::user(nix::unistd::getuid().as_raw()))
    }

    fn all(&self) -> [Runner; 2] {
        [None, self.0.0.clone()]
    }
}

/// The first report of a check that runs `argv`.
pub(in crate::check) async fn report_by(runner: &Runner, argv: &[&str], timeout_ms: u64) -> Report {
    let (sender, mut reports) = mpsc::channel(1);
    let _handle = check::spawn(&Context::new(now, runner.clone()), settings(argv, timeout_ms), sender);
    reports.recv().await.unwrap().1
}

/// The same, both ways: no difference is to be seen.
async fn report(argv: &[&str], timeout_ms: u64) -> Report {
    let ways = Ways::new();
    let [here, there] = ways.all();
    let (here, there) = (report_by(&here, argv, timeout_ms).await, report_by(&there, argv, timeout_ms).await);
    assert_eq!((&here.outcome, &here.output), (&there.outcome, &there.output));
    there
}

pub(in crate::check) async fn shell_by(runner: &Runner, text: &str, timeout_ms: u64) -> Report {
    report_by(runner, &["/bin/sh", "-c", text], timeout_ms).await
}

async fn shell(text: &str, timeout_ms: u64) -> Report {
    report(&["/bin/sh", "-c", text], timeout_ms).await
}

/// Where a script may write down a process id.
pub(in crate::check) struct Note(pub(in crate::check) PathBuf);

impl Note {
    pub(in crate::check) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("vipd-check-script-{}-{name}", std::process::id())))
    }

    /// The process id, once the script has written it.
    pub(in crate::check) async fn pid(&self) -> u32 {
        let mut written = None;
        until("the script wrote a process id", || {
            written = fs::read_to_string(&self.0).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
            written.is_some()
        })
        .await;
        written.unwrap()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// Waits for a condition, at most ten seconds.
pub(in crate::check) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Whether the process is gone, but for a parent that has not noticed yet.
pub(in crate::check) fn is_gone(pid: u32) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

#[tokio::test]
async fn a_script_that_exits_with_0_is_a_success() {
    let report = shell("exit 0", 5000).await;
    assert_eq!(report.outcome.unwrap(), "exit status 0");
    assert!(report.latency > Duration::ZERO && report.at > Instant::BOOT);
}

#[tokio::test]
async fn another_exit_status_is_a_failure_with_the_first_line_of_output() {
    let report = shell("echo; echo no such upstream; echo more >&2; exit 3", 5000).await;
    assert_eq!(report.outcome.unwrap_err(), "exit status 3: no such upstream");
    assert_eq!(report.output, "\nno such upstream\nmore\n");
}

#[tokio::test]
async fn a_script_killed_by_a_signal_is_a_failure() {
    assert_eq!(shell("kill -9 $$", 5000).await.outcome.unwrap_err(), "killed by signal 9");
}

#[tokio::test]
async fn a_script_that_does_not_exist_or_may_not_run_says_so() {
    let said = report(&["/nonexistent/script"], 5000).await.outcome.unwrap_err();
    assert_eq!(said, "cannot run /nonexistent/script: No such file or directory");
    let said = report(&["/etc/passwd"], 5000).await.outcome.unwrap_err();
    assert_eq!(said, "cannot run /etc/passwd: Permission denied");
    assert!(report(&[], 5000).await.outcome.is_err());
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_it_started() {
    let ways = Ways::new();
    for way in ways.all() {
        let note = Note::new("hangs");
        let text = format!("echo started; sleep 1000 & echo $! > {}; wait", note.0.display());
        let report = shell_by(&way, &text, 500).await;
        assert_eq!(report.outcome.unwrap_err(), "timed out after 500ms; killed");
        assert_eq!(report.output, "started\n", "what it wrote before is kept");
        let pid = note.pid().await;
        until("what the script started is gone", || is_gone(pid)).await;
    }
}

#[tokio::test]
async fn a_script_that_ignores_signals_is_killed_all_the_same() {
    let report = shell("trap '' TERM INT HUP; while :; do sleep 1000; done", 300).await;
    assert_eq!(report.outcome.unwrap_err(), "timed out after 300ms; killed");
}

#[tokio::test]
async fn a_background_process_that_holds_the_pipe_open_neither_delays_the_result_nor_survives_it() {
    let ways = Ways::new();
    for way in ways.all() {
        let note = Note::new("background");
        let text = format!("sleep 1000 & echo $! > {}; echo done", note.0.display());
        let report = shell_by(&way, &text, 5000).await;
        assert_eq!(report.outcome.unwrap(), "exit status 0: done");
        assert!(report.latency < Duration::from_secs(4));
        let pid = note.pid().await;
        until("the background process is gone", || is_gone(pid)).await;
    }
}

#[tokio::test]
async fn a_process_that_escaped_its_group_does_not_delay_the_result() {
    let ways = Ways::new();
    for way in ways.all() {
        let note = Note::new("escaped");
        let note_path = note.0.display();
        let text = format!(
            "setsid sh -c 'echo $$ > {note_path}; exec sleep 1000' & while ! [ -s {note_path} ]; do :; done; echo done"
        );
        let report = shell_by(&way, &text, 5000).await;
        assert_eq!(report.outcome.unwrap(), "exit status 0: done");
        let pid = note.pid().await;
        assert!(!is_gone(pid));
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }
}

#[tokio::test]
async fn a_script_that_floods_its_output_is_killed() {
    let report = shell("echo first; exec yes", 10_000).await;
    assert_eq!(report.outcome.unwrap_err(), "wrote more than 1 MiB; killed");
    assert!(report.output.starts_with("first\ny\ny\n"));
    assert_eq!(report.output.len(), KEPT);
}

#[tokio::test]
async fn a_script_may_write_more_than_a_pipe_holds() {
    let report = shell("head -c 500000 /dev/zero | tr '\\0' x", 10_000).await;
    assert!(report.outcome.unwrap().starts_with("exit status 0: xxx"));
    assert_eq!(report.output.len(), KEPT);
}

#[tokio::test]
async fn a_script_finds_a_clean_environment() {
    let ways = Ways::new();
    for way in ways.all() {
        let report = shell_by(
            &way,
            "env | sort; pwd; readlink /proc/self/fd/0; cut -d ' ' -f 5 /proc/$$/stat; echo $$",
            5000,
        )
        .await;
        let lines: Vec<_> = report
            .output
            .lines()
            .filter(|line| !line.starts_with("PWD=") && !line.starts_with("_="))
            .collect();
        assert_eq!(
            lines[..5],
            ["LANG=C.UTF-8", &format!("PATH={}", child::PATH), "VIPD_CHECK=the-check", "/", "/dev/null"]
        );
        assert_eq!(lines[5], lines[6], "it leads its own process group");
    }
}

#[tokio::test]
async fn no_shell_reads_the_arguments() {
    let report = report(&["/bin/echo", "$HOME;", "*"], 5000).await;
    assert_eq!(report.outcome.unwrap(), "exit status 0: $HOME; *");
}

#[tokio::test]
async fn dropping_the_handle_kills_the_script() {
    let ways = Ways::new();
    for way in ways.all() {
        let note = Note::new("dropped");
        let text = format!("sleep 1000 & echo $! > {}; wait", note.0.display());
        let (sender, mut reports) = mpsc::channel(1);
        let handle = check::spawn(
            &Context::new(now, way.clone()),
            settings(&["/bin/sh", "-c", &text], 100_000),
            sender,
        );
        let pid = note.pid().await;
        assert!(!is_gone(pid));
        drop(handle);
        until("the script is gone", || is_gone(pid)).await;
        assert!(reports.recv().await.is_none(), "the check is gone, too");
    }
}

#[tokio::test]
async fn a_script_is_reaped_whatever_its_end() {
    let ways = Ways::new();
    for way in ways.all() {
        let note = Note::new("reaped");
        let text = format!("echo $$ > {}; exec sleep 1000", note.0.display());
        assert!(shell_by(&way, &text, 300).await.outcome.is_err());
        let process = Path::new("/proc").join(note.pid().await.to_string());
        until("the killed script is reaped", || !process.exists()).await;
    }
}

#[tokio::test]
async fn no_signal_is_blocked_in_a_script_although_it_is_where_it_is_started() {
    let blocked = SigSet::from(Signal::SIGTERM);
    blocked.thread_block().unwrap();
    let report = report(&["/bin/grep", "SigBlk", "/proc/self/status"], 5000).await;
    assert_eq!(report.outcome.unwrap(), "exit status 0: SigBlk: 0000000000000000");
}
