//! The `process` kind: enough processes of a name are running.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `process` | required | a name, or an absolute path |
//! | `count` | `1` | how many have to run, at least |
//! | `maximum` | none | how many may run, at most |
//! | `arguments` | any | what has to follow the program on the command line |
//! | `match` | `exact` | `exact`: these and no more; `partial`: more may follow; `prefix`: the last may be longer, too |
//!
//! **A name** without a slash is compared with the name that the kernel keeps for a process (`ps -o comm`).
//! It keeps 15 bytes: for a longer name those are compared, and then the last part of the program's path, as
//! below, has to be the whole name.
//!
//! **A path** is compared with the file being run (`/proc/PID/exe`; still itself after an upgrade has
//! replaced it). The kernel shows that only to those who may trace the process; otherwise the first word of
//! its command line is compared, which a program may have changed: nginx does, so look for `nginx` by name.
//!
//! **Arguments** are those of the command line as the process shows it, from the second word on, or from the third if
//! it is the second that bears the name: a script's.
//!
//! Zombies do not run. Threads are not counted, only processes, those in containers included. A script is seen by the
//! name of its file, its path by that of its interpreter. Processes that whoever looks may not see (mount option
//! `hidepid`, systemd's `ProtectProc=`) are not there: in the agent's own unit that is all of them, and the runner looks.
//!
//! Errors: `no process 'nginx' is running`; `1 process 'nginx' is running, expected 2`;
//! `5 processes 'nginx' are running, expected at most 4`;
//! `cannot read /proc: ..`; `other users' processes are hidden here`; `timed out after 500ms reading /proc`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use crate::reach::arguments::{Arguments, Matching};
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
    /// How many, at most.
    pub maximum: Option<u32>,
    /// Only those with such arguments.
    pub arguments: Option<Arguments>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let words = self.arguments.iter().flat_map(|arguments| &arguments.words);
        words.into_iter().try_for_each(|word| write!(f, " {word}"))
    }
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
        let Settings { name, count: expected, maximum, arguments } = &self.settings;
        let found = if let Some(socket) = &self.runner {
            runner::count(socket, name, arguments.as_ref(), &self.check, run).await?
        } else {
            run.phase = " reading /proc";
            let (name, arguments) = (name.clone(), arguments.clone());
            self.scan.run(move || count(&name, arguments.as_ref())).await??
        };
        let (least, most) = (*expected, maximum.unwrap_or(u32::MAX));
        match found {
            found if (least..=most).contains(&found) => Ok(format!("{found} running")),
            1 if most == 0 => Err(format!("1 process '{name}' is running, expected none")),
            found if found > most => {
                Err(format!("{found} processes '{name}' are running, expected at most {most}"))
            }
            0 => Err(format!("no process '{name}' is running")),
            1 => Err(format!("1 process '{name}' is running, expected {expected}")),
            found => Err(format!("{found} processes '{name}' are running, expected {expected}")),
        }
    }
}

/// How many processes match a name or a path.
pub(super) fn count(name: &str, arguments: Option<&Arguments>) -> Result<u32, String> {
    let proc = Path::new("/proc");
    let found = running(name, arguments, proc)
        .map_err(|error| format!("cannot read /proc: {}", described(&error)))?;
    // There is always a first process, and nobody's but root's.
    if found == 0 && !proc.join("1").exists() {
        return Err("other users' processes are hidden here".to_owned());
    }
    Ok(found)
}

/// How many processes under `proc` match `name`. One that ends meanwhile is not there.
fn running(name: &str, arguments: Option<&Arguments>, proc: &Path) -> io::Result<u32> {
    let mut found = 0;
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        if entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            let process = entry.path();
            let fits = || arguments.is_none_or(|arguments| has(arguments, name, &process));
            found += u32::from(matches(name, &process) && !is_zombie(&process) && fits());
        }
    }
    Ok(found)
}

fn matches(name: &str, process: &Path) -> bool {
    if name.contains('/') {
        return program(process).is_some_and(|path| path == name.as_bytes());
    }
    let kept = &name.as_bytes()[..name.len().min(COMM)];
    let comm = start_of(&process.join("comm"), LIMIT).unwrap_or_default();
    if comm.strip_suffix(b"\n").unwrap_or(&comm) != kept {
        return false;
    }
    let last = |path: &[u8]| path.rsplit(|b| *b == b'/').next() == Some(name.as_bytes());
    name.len() <= COMM || program(process).is_some_and(|path| last(&path)) || {
        // A script's program is its interpreter; its own path is the command line's second word.
        words(process).is_some_and(|line| line.split(|b| *b == 0).take(2).any(last))
    }
}

/// Whether a process of this name has these arguments.
fn has(arguments: &Arguments, name: &str, process: &Path) -> bool {
    let line = start_of(&process.join("cmdline"), LONGEST_LINE).unwrap_or_default();
    let line: Vec<&[u8]> = line.strip_suffix(b"\0").unwrap_or(&line).split(|b| *b == 0).collect();
    let base = |word: &[u8]| word.rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec);
    let named = |at: usize| line.get(at).is_some_and(|word| base(word) == base(name.as_bytes()));
    let program = usize::from(!named(0) && named(1));
    arguments.fit(line.get(program + 1..).unwrap_or_default())
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
    start_of(&process.join("cmdline"), LIMIT).filter(|line| !line.is_empty())
}

/// Whether the process has ended and waits for its parent to notice: state Z or X, after the name that
/// stands in parentheses and may contain some.
fn is_zombie(process: &Path) -> bool {
    let stat = start_of(&process.join("stat"), LIMIT).unwrap_or_default();
    let after = stat.iter().rposition(|b| *b == b')').and_then(|end| stat.get(end + 2));
    !after.is_some_and(|state| !matches!(state, b'Z' | b'X' | b'x'))
}

/// The first bytes of a file.
fn start_of(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).ok()?;
    Some(bytes)
}

/// How many bytes of a name the kernel keeps (`TASK_COMM_LEN` less its end).
const COMM: usize = 15;

/// How much of a file in `/proc` is read: a path's length and some.
const LIMIT: u64 = 4200;
/// How much of a command line is compared: more than anybody writes in a configuration.
const LONGEST_LINE: u64 = 128 << 10;

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
        let (name, maximum, arguments) = (name.to_owned(), None, None);
        see(&Settings { name, count, maximum, arguments }).await
    }

    async fn see(settings: &Settings) -> Result<String, String> {
        let serving = Serving::user(nix::unistd::getuid().as_raw());
        let there = Probe::new(settings.clone(), "x", serving.0.clone()).run(&mut Run::default()).await;
        let here = Probe::new(settings.clone(), "x", None).run(&mut Run::default()).await;
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
    async fn no_more_may_run_than_allowed() {
        let program = Program::new("vipd-t-most");
        let settings = |count, maximum| {
            let name = "vipd-t-most".to_owned();
            Settings { name, count, maximum: Some(maximum), arguments: None }
        };
        assert_eq!(see(&settings(0, 0)).await.unwrap(), "0 running");
        let _first = program.start();
        assert_eq!(see(&settings(1, 1)).await.unwrap(), "1 running");
        let said = see(&settings(0, 0)).await.unwrap_err();
        assert_eq!(said, "1 process 'vipd-t-most' is running, expected none");
        let _second = program.start();
        let said = see(&settings(1, 1)).await.unwrap_err();
        assert_eq!(said, "2 processes 'vipd-t-most' are running, expected at most 1");
    }

    #[tokio::test]
    async fn only_those_with_the_arguments_count() {
        let program = Program::new("vipd-t-arguments");
        let _sleeper = program.start();
        let settings = |words: &[&str], matching| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let (name, arguments) = ("vipd-t-arguments".to_owned(), Some(Arguments { words, matching }));
            Settings { name, count: 1, maximum: None, arguments }
        };
        for (words, matching, fits) in [
            (&["-c", "read x"][..], Matching::Exact, true),
            (&["-c"], Matching::Exact, false),
            (&["-c"], Matching::Partial, true),
            (&["-c", "read"], Matching::Partial, false),
            (&["-c", "read"], Matching::Prefix, true),
            (&["-d", "read"], Matching::Prefix, false),
            (&[], Matching::Exact, false),
            (&["-c", "read x", "y"], Matching::Prefix, false),
        ] {
            assert_eq!(see(&settings(words, matching)).await.is_ok(), fits, "{words:?} {matching:?}");
        }
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
            .map(|name| running(name, None, &folder).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [1, 1, 0, 1]);
    }

    #[test]
    fn without_proc_nothing_can_be_told() {
        assert!(running("x", None, Path::new("/nonexistent")).is_err());
    }
}
