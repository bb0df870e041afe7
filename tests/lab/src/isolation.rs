//! Namespaces of our own: the program starts itself once more under `unshare`, as the first process of a
//! new PID namespace with its own mounts and network.
//!
//! Whatever happens to the program, `SIGKILL` included, takes everything with it: the outer process holds a
//! pipe to the inner one, the inner one ends when the pipe closes, and the end of a PID namespace's first
//! process is the end of all its processes, mounts and networks. Nothing of the host is touched.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::network::Lab;
use crate::wait;

/// Set in the environment of the inner program.
const INSIDE: &str = "VIPD_LAB_INSIDE";

/// How long one isolated test may take.
const BOUND: Duration = Duration::from_mins(3);

/// Starts the calling program again inside its own namespaces, or, if this already is the inner one,
/// prepares them and returns. For programs: call it first in `main`.
///
/// # Errors
///
/// What the kernel or the container forbids, as a sentence.
pub fn enter() -> Result<(), String> {
    if inside() {
        prepare();
        return Ok(());
    }
    possible()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut child = again(&arguments).spawn().map_err(|e| format!("unshare: {e}"))?;
    // Kept open, for `wait` would close it: its end is the leash of the inner program.
    let leash = child.stdin.take();
    let status = child.wait().map_err(|e| format!("unshare: {e}"))?;
    drop(leash);
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(1)));
}

/// Runs one test in namespaces of its own, with a [`Lab`] to itself: the test program starts itself again
/// for this test only. For test functions: the whole body.
///
/// Where namespaces cannot be had, the test fails if `CI` is set, and is reported as skipped otherwise.
pub fn isolated<F: FnOnce(&Lab)>(body: F) {
    if inside() {
        prepare();
        body(&Lab::new());
        return;
    }
    let name = test_name::<F>();
    if let Err(why) = possible() {
        skip(&name, &why);
        return;
    }
    let arguments = [&name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"];
    let (status, output) = run_bounded(&mut again(&arguments));
    print!("{output}");
    assert!(status.is_some(), "the test took longer than {BOUND:?}");
    assert!(status.is_some_and(|s| s.success()), "the test failed in its namespaces, see above");
    assert!(output.contains("1 passed"), "the test named {name} did not run in its namespaces");
}

/// As [`isolated`], for programs that want more than one user: without root the test is skipped or fails.
pub fn isolated_as_root<F: FnOnce(&Lab)>(body: F) {
    if inside() || nix::unistd::geteuid().is_root() {
        isolated(body);
    } else {
        skip(&test_name::<F>(), "run as root");
    }
}

/// Says by name that a test is skipped; where nothing may be skipped it fails instead.
fn skip(name: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to run this test: {why}");
    // Not by a macro: what those print is shown for failed tests only.
    let line = format!("test {name} ... skipped: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

/// Whether this is the inner program.
fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The test that `F` is the body of, as the test harness names it.
fn test_name<F>() -> String {
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_crate, path)| path).to_owned()
}

/// The command that runs this program with `arguments` in new namespaces.
fn again(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = unshare();
    command.arg(std::env::current_exe().expect("this program is a file"));
    command.args(arguments).env(INSIDE, "1").stdin(Stdio::piped());
    command
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}

/// Whether namespaces can be had here, asked once.
fn possible() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER
        .get_or_init(|| {
            let asked = unshare().args(["ip", "link", "add", "type", "bridge"]).output();
            let output = asked.map_err(|e| format!("no unshare: {e}"))?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(format!("no network namespaces here ({said}); run as root"))
        })
        .clone()
}

/// Makes the namespaces a clean place: `/run` and `/var/tmp` of our own, and the promise to end with the outer program.
fn prepare() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        for (directory, mode) in [("/run", "mode=0755"), ("/var/tmp", "mode=1777")] {
            mount(Some("lab"), directory, Some("tmpfs"), MsFlags::empty(), Some(mode))
                .unwrap_or_else(|e| panic!("mount a private {directory}: {e}"));
        }
        let watch = || {
            let mut end = Vec::new();
            let ended = std::io::stdin().read_to_end(&mut end);
            eprintln!("lab: the outer program is gone ({ended:?})");
            std::process::exit(1);
        };
        std::thread::Builder::new().name("leash".into()).spawn(watch).expect("start a thread");
    });
}

/// Runs `command` to its end or the bound, and returns its status (`None`: killed at the bound) and all it said.
fn run_bounded(command: &mut Command) -> (Option<ExitStatus>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start unshare");
    let mut out = child.stdout.take().expect("stdout is piped");
    let mut err = child.stderr.take().expect("stderr is piped");
    let mut said = Vec::new();
    let mut complained = Vec::new();
    let status = std::thread::scope(|scope| {
        scope.spawn(|| out.read_to_end(&mut said));
        scope.spawn(|| err.read_to_end(&mut complained));
        let status = wait::within(BOUND, || child.try_wait().expect("wait for the child"));
        if status.is_none() {
            child.kill().expect("kill unshare, and with it all it holds");
            child.wait().expect("reap unshare");
        }
        status
    });
    said.extend(complained);
    (status, String::from_utf8_lossy(&said).into_owned())
}
