//! The `process` kind: enough processes of a name are running.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `process` | required | a name, or an absolute path |
//! | `count` | `1` | how many have to run, at least |
//!
//! **A name** without a slash is compared with the name that the kernel keeps for a process (`ps -o comm`).
//! It keeps 15 bytes: for a longer name those are compared, and then the last part of the program's path, as
//! below, has to be the whole name.
//!
//! **A path** is compared with the file being run (`/proc/PID/exe`; still itself after an upgrade has
//! replaced it). The kernel shows that only to those who may trace the process; otherwise the first word of
//! its command line is compared, which a program may have changed: nginx does, so look for `nginx` by name.
//!
//! Zombies do not run. Threads are not counted, only processes, those in containers included. A script is seen by the
//! name of its file, its path by that of its interpreter. Processes that whoever looks may not see (mount option
//! `hidepid`, systemd's `ProtectProc=`) are not there: in the agent's own unit that is all of them, and the runner looks.
//!
//! Errors: `no process 'nginx' is running`; `1 process 'nginx' is running, expected 2`;
//! `cannot read /proc: ..`; `other users' processes are hidden here`; `timed out after 500ms reading /proc`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::reach::blocking::Blocking;
use crate::reach::runner::{self, Runner};
use crate::reach::{Run, described};

/// Which processes have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name, or the path if it contains a slash.
    pub name: String,
    /// How many, at least.
    pub count: u32,
}

pub(super) struct Probe {
    settings: Settings,
    check: String,
    runner: Runner,
    scan: Blocking<Result<u32, String>>,
}

impl Probe {
    pub(super) fn new(settings: Settings, check: &str, runner: Runner) -> Self {
        Self { settings, check: check.to_owned(), runner, scan: Blocking::default() }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        let Settings { name, count: expected } = &self.settings;
        let found = if let Some(socket) = &self.runner {
            runner::count(socket, name, &self.check, run).await?
        } else {
            run.phase = " reading /proc";
            let name = name.clone();
            self.scan.run(move || count(&name)).await??
        };
        match found {
            found if found >= *expected.max(&1) => Ok(format!("{found} running")),
            0 => Err(format!("no process '{name}' is running")),
            1 => Err(format!("1 process '{name}' is running, expected {expected}")),
            found => Err(format!("{found} processes '{name}' are running, expected {expected}")),
        }
    }
}

/// How many processes match a name or a path.
pub(super) fn count(name: &str) -> Result<u32, String> {
    let proc = Path::new("/proc");
    let found = running(name, proc).map_err(|error| format!("cannot read /proc: {}", described(&error)))?;
    // There is always a first process, and nobody's but root's.
    if found == 0 && !proc.join("1").exists() {
        return Err("other users' processes are hidden here".to_owned());
    }
    Ok(found)
}

/// How many processes under `proc` match `name`. One that ends meanwhile is not there.
fn running(name: &str, proc: &Path) -> io::Result<u32> {
    let mut found = 0;
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        if entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            let process = entry.path();
            found += u32::from(matches(name, &process) && !is_zombie(&process));
        }
    }
    Ok(found)
}

fn matches(name: &str, process: &Path) -> bool {
    if name.contains('/') {
        return program(process).is_some_and(|path| path == name.as_bytes());
    }
    let kept = &name.as_bytes()[..name.len().min(COMM)];
    let comm = start_of(&process.join("comm")).unwrap_or_default();
    if comm.strip_suffix(b"\n").unwrap_or(&comm) != kept {
        return false;
    }
    let last = |path: &[u8]| path.rsplit(|b| *b == b'/').next() == Some(name.as_bytes());
    name.len() <= COMM || program(process).is_some_and(|path| last(&path)) || {
        // A script's program is its interpreter; its own path is the command line's second word.
        words(process).is_some_and(|line| line.split(|b| *b == 0).take(2).any(last))
    }
}

/// The path of the file that a process runs; if that is not shown, the first word of its command line.
fn program(process: &Path) -> Option<Vec<u8>> {
    if let Ok(path) = fs::read_link(process.join("exe")) {
        let path = path.as_os_str().as_bytes();
        return Some(path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec());
    }
    let line = words(process)?;
    line.split(|b| *b == 0).next().map(<[u8]>::to_vec)
}

fn words(process: &Path) -> Option<Vec<u8>> {
    start_of(&process.join("cmdline")).filter(|line| !line.is_empty())
}

/// Whether the process has ended and waits for its parent to notice: state Z or X, after the name that
/// stands in parentheses and may contain some.
fn is_zombie(process: &Path) -> bool {
    let stat = start_of(&process.join("stat")).unwrap_or_default();
    let after = stat.iter().rposition(|b| *b == b')').and_then(|end| stat.get(end + 2));
    !after.is_some_and(|state| !matches!(state, b'Z' | b'X' | b'x'))
}

/// The first [`LIMIT`] bytes of a file.
fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes)).ok()?;
    Some(bytes)
}

/// How many bytes of a name the kernel keeps (`TASK_COMM_LEN` less its end).
const COMM: usize = 15;

/// How much of a file in `/proc` is read: a path's length and some.
const LIMIT: u64 = 4200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::runner::tests::Serving;
    use std::process::{Child, Command, Stdio};

    /// A process that is killed at the end of its test.
    struct Sleeper(Child);

    impl Sleeper {
        fn process(&self) -> std::path::PathBuf {
            Path::new("/proc").join(self.0.id().to_string())
        }
    }

    /// Waits for a condition about a process, some seconds at most.
    fn until(holds: impl Fn() -> bool) {
        for _ in 0..200_000 {
            if holds() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("it never came to hold");
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// A copy of the shell under another name.
    struct Program(std::path::PathBuf);

    impl Program {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("vipd-check-process-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(name);
            // By another process: a file that this one holds open for writing cannot be run, and a fork of
            // another test would hold it open a little longer.
            assert!(Command::new("cp").arg("/bin/sh").arg(&path).status().unwrap().success());
            Self(path)
        }

        /// A process that waits for input which never comes.
        fn start(&self) -> Sleeper {
            let sleeper = Command::new(&self.0).args(["-c", "read x"]).stdin(Stdio::piped()).spawn().unwrap();
            let sleeper = Sleeper(sleeper);
            // The kernel lets a vforking parent go on a moment before it gives the child its new name.
            until(|| matches(self.path().rsplit('/').next().unwrap(), &sleeper.process()));
            sleeper
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            fs::remove_dir_all(self.0.parent().unwrap()).unwrap();
        }
    }

    async fn look(name: &str, count: u32) -> Result<String, String> {
        let settings = || Settings { name: name.to_owned(), count };
        let serving = Serving::user(nix::unistd::getuid().as_raw());
        let there = Probe::new(settings(), "x", serving.0.clone()).run(&mut Run::default()).await;
        let here = Probe::new(settings(), "x", None).run(&mut Run::default()).await;
        assert_eq!(here, there, "the runner sees the same");
        here
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_name_and_by_its_path() {
        let program = Program::new("vipd-t-named");
        assert_eq!(look("vipd-t-named", 1).await.unwrap_err(), "no process 'vipd-t-named' is running");
        let _sleeper = program.start();
        assert_eq!(look("vipd-t-named", 1).await.unwrap(), "1 running");
        assert_eq!(look(program.path(), 1).await.unwrap(), "1 running");
        assert!(look("vipd-t-name", 1).await.is_err());
        assert!(look("/bin/vipd-t-named", 1).await.is_err());
    }

    #[tokio::test]
    async fn as_many_have_to_run_as_asked_for() {
        let program = Program::new("vipd-t-count");
        let _first = program.start();
        let said = look("vipd-t-count", 3).await.unwrap_err();
        assert_eq!(said, "1 process 'vipd-t-count' is running, expected 3");
        let _second = program.start();
        let said = look("vipd-t-count", 3).await.unwrap_err();
        assert_eq!(said, "2 processes 'vipd-t-count' are running, expected 3");
        let _third = program.start();
        assert_eq!(look("vipd-t-count", 3).await.unwrap(), "3 running");
    }

    #[tokio::test]
    async fn names_that_begin_alike_are_told_apart_beyond_what_the_kernel_keeps() {
        let program = Program::new("vipd-test-long-name-one");
        let _sleeper = program.start();
        assert_eq!(look("vipd-test-long-name-one", 1).await.unwrap(), "1 running");
        assert!(look("vipd-test-long-name-two", 1).await.is_err());
        assert_eq!(look("vipd-test-long-", 1).await.unwrap(), "1 running", "what ps shows is a name too");
    }

    #[tokio::test]
    async fn a_program_replaced_by_an_upgrade_still_runs() {
        let program = Program::new("vipd-t-upgrade");
        let _sleeper = program.start();
        fs::remove_file(&program.0).unwrap();
        assert_eq!(look(program.path(), 1).await.unwrap(), "1 running");
    }

    #[tokio::test]
    async fn a_zombie_does_not_run() {
        let program = Program::new("vipd-t-zombie");
        let mut sleeper = program.start();
        assert_eq!(look("vipd-t-zombie", 1).await.unwrap(), "1 running");
        sleeper.0.kill().unwrap();
        let process = sleeper.process();
        until(|| is_zombie(&process));
        assert!(matches("vipd-t-zombie", &process), "it still bears its name");
        assert!(look("vipd-t-zombie", 1).await.is_err());
    }

    #[test]
    fn a_script_with_a_long_name_is_found_by_its_command_line() {
        let folder = std::env::temp_dir().join(format!("vipd-check-proc-{}", std::process::id()));
        let process = folder.join("42");
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("comm"), "long-script-nam\n").unwrap();
        fs::write(process.join("cmdline"), b"/usr/bin/python3\0/usr/bin/long-script-name\0-v\0").unwrap();
        fs::write(process.join("stat"), "42 (long) script) S 1 42").unwrap();
        fs::create_dir_all(folder.join("43")).unwrap();
        fs::create_dir_all(folder.join("self")).unwrap();
        let found = ["long-script-name", "long-script-nam", "long-script-named", "/usr/bin/python3"]
            .map(|name| running(name, &folder).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [1, 1, 0, 1]);
    }

    #[test]
    fn without_proc_nothing_can_be_told() {
        assert!(running("x", Path::new("/nonexistent")).is_err());
    }
}
