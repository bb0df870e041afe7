//! Programs that are told: one for every change, which gets keepalived's four arguments after its own, and one for each
//! kind of change, which gets none.
//!
//! **What it finds.** Working directory `/`; standard input empty; standard output and standard error in one pipe, the
//! last line of which is kept; `PATH`, `LANG=C.UTF-8` and `VIPD_..` in its environment, see [`News::environment`]; no
//! capability of the agent's; the user of whoever runs it: the agent itself, or a runner under a user of its own.
//!
//! **How it ends.** By itself, and then what it started goes on; or after its time with all it started.

use std::collections::BTreeMap;
use std::fmt;

use super::news::{News, Word};
use crate::reach::child::{End, Task};
use crate::reach::runner::Runner;
use crate::reach::script::Script;
use crate::reach::{Run, last_line};
use crate::time::Duration;

/// Which programs, and how long one may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is run, with its own arguments.
    pub programs: Programs,
    /// How long one run may take.
    pub timeout: Duration,
}

/// One program for all, or one for each kind of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programs {
    /// At every change, with the news as arguments.
    Every(Vec<String>),
    /// At changes of these kinds, without.
    On(BTreeMap<Word, Vec<String>>),
}

impl Settings {
    /// Whether it is for news of this kind.
    pub fn wants(&self, word: Word) -> bool {
        match &self.programs {
            // As keepalived has it, and programs made for it expect.
            Programs::Every(_) => word.is_state(),
            Programs::On(programs) => programs.contains_key(&word),
        }
    }

    fn argv(&self, news: &News) -> Vec<String> {
        match &self.programs {
            Programs::Every(argv) => argv.iter().cloned().chain(news.arguments()).collect(),
            Programs::On(programs) => programs.get(&news.state).cloned().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.programs {
            Programs::Every(argv) => f.write_str(&argv.join(" ")),
            Programs::On(programs) => {
                let commands: Vec<_> = programs.values().map(|argv| argv.join(" ")).collect();
                f.write_str(&commands.join(", "))
            }
        }
    }
}

/// Runs the program for `news` to its end.
pub(super) async fn tell(settings: &Settings, runner: &Runner, news: &News) -> Result<String, String> {
    let check = format!("{} {}", news.subject.as_str(), news.subject.name());
    let task = Task { argv: settings.argv(news), check, news: Some(news.environment()) };
    let mut run = Run::default();
    let ended = {
        let mut script = Script::new(task, settings.timeout, runner.clone());
        tokio::time::timeout(settings.timeout, script.run(&mut run)).await
    };
    match ended {
        Ok(Ok(end)) => verdict(&end, &run.output),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(format!("timed out after {:?}{}", settings.timeout, run.phase)),
    }
}

fn verdict(end: &End, output: &[u8]) -> Result<String, String> {
    let line = last_line(output);
    let said = match end {
        End::Failed(_) => end.to_string(),
        End::Exit(_) | End::Signal(_) if line.is_empty() => end.to_string(),
        End::Exit(_) | End::Signal(_) => format!("{end}: {line}"),
    };
    if *end == End::Exit(0) { Ok(said) } else { Err(said) }
}

#[cfg(test)]
mod tests {
    use super::super::news::tests::news;
    use super::*;

    fn shell(text: &str) -> Settings {
        let argv = ["/bin/sh", "-c", text, "own"].map(str::to_owned).to_vec();
        Settings { programs: Programs::Every(argv), timeout: Duration::from_secs(10) }
    }

    async fn told(settings: &Settings) -> Result<String, String> {
        tell(settings, &None, &news("web", Word::Master, 1)).await
    }

    #[tokio::test]
    async fn the_news_follow_the_programs_own_arguments() {
        let said = told(&shell("echo \"$0 $*\"; exit 0")).await;
        assert_eq!(said.unwrap(), "exit status 0: own INSTANCE web MASTER 150");
    }

    #[tokio::test]
    async fn a_program_for_one_kind_of_change_gets_no_further_arguments() {
        let argv = ["/bin/sh", "-c", "echo \"$#\" \"$VIPD_STATE\"", "own"].map(str::to_owned).to_vec();
        let programs = Programs::On(BTreeMap::from([(Word::Master, argv)]));
        let settings = Settings { programs, timeout: Duration::from_secs(10) };
        assert!(settings.wants(Word::Master) && !settings.wants(Word::Backup));
        assert_eq!(told(&settings).await.unwrap(), "exit status 0: 0 MASTER");
    }

    #[tokio::test]
    async fn the_environment_says_more_and_nothing_is_inherited() {
        let said = told(&shell("env | grep -v '^_=\\|^PWD=' | sort | tr '\\n' ' '")).await.unwrap();
        let expected = "exit status 0: LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                        VIPD_EVENT_ID=lb1-1 VIPD_INTERFACE=eth0 VIPD_KIND=INSTANCE VIPD_NAME=web";
        assert!(said.starts_with(expected), "{said}");
    }

    #[tokio::test]
    async fn a_failure_shows_the_last_line() {
        let said = told(&shell("echo first; echo 'no such route' >&2; exit 3")).await;
        assert_eq!(said.unwrap_err(), "exit status 3: no such route");
    }

    #[tokio::test]
    async fn one_that_writes_much_is_heard_to_its_end() {
        let said = told(&shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo done")).await;
        assert_eq!(said.unwrap(), "exit status 0: done");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_when_its_time_is_up() {
        let settings = Settings { timeout: Duration::from_millis(200), ..shell("sleep 1000") };
        assert_eq!(told(&settings).await.unwrap_err(), "timed out after 200ms; killed");
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_goes_on() {
        let path = std::env::temp_dir().join(format!("vipd-notify-background-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // It waits there until somebody reads, long after the program that started it has ended.
        told(&shell(&format!("echo later > {} 2>/dev/null &", path.display()))).await.unwrap();
        let read = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || std::fs::read_to_string(path))
        };
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        std::fs::remove_file(path).unwrap();
        assert_eq!(read.unwrap().unwrap().unwrap(), "later\n");
    }

    #[tokio::test]
    async fn a_program_that_others_may_write_is_not_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("vipd-notify-writable-{}", std::process::id()));
        std::fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let programs = Programs::Every(vec![path.display().to_string()]);
        let said = told(&Settings { programs, timeout: Duration::from_secs(10) }).await.unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(
            said.starts_with("not run: ") && said.contains("by others than its owner (mode 0777)"),
            "{said}"
        );
    }
}
