//! `vipctl watch` on a terminal, which `script` makes: what is drawn, what keys do, and how the terminal is left.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vipd::agent::post::Request;
use vipd::engine::event::Target;

use super::fake::{Agent, healthy, wait_until};

/// What a terminal is told when a program leaves the whole screen to others again.
const LEFT: &str = "\x1b[?1049l";

/// The program on a terminal of its own.
struct Screen {
    child: Child,
    keys: Option<ChildStdin>,
    drawn: Arc<Mutex<String>>,
}

impl Screen {
    fn start(agent: &Agent, size: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_vipctl");
        let run =
            format!("stty {size}; echo pid=$$.; exec {program} --runtime-dir {} watch", agent.dir.display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &run, "/dev/null"]).env("TERM", "xterm");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env_remove("NO_COLOR");
        let mut child = command.spawn().unwrap();
        let (drawn, mut output) = (Arc::new(Mutex::new(String::new())), child.stdout.take().unwrap());
        let text = Arc::clone(&drawn);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        let keys = child.stdin.take();
        Self { child, keys, drawn }
    }

    fn press(&mut self, keys: &str) {
        self.keys.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until each of these words has been drawn since the last such wait.
    fn until(&self, words: &[&str]) {
        let is_there = || {
            let drawn = self.drawn.lock().unwrap();
            words.iter().all(|word| drawn.contains(word))
        };
        wait_until(&format!("{words:?} on the screen"), is_there);
        self.drawn.lock().unwrap().clear();
    }

    /// Its exit code, and whether it left the terminal as it found it.
    fn end(mut self) -> (Option<i32>, bool) {
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        wait_until("it leaves the screen", || self.drawn.lock().unwrap().contains(LEFT));
        (self.child.wait().unwrap().code(), self.drawn.lock().unwrap().contains("\x1b[?25h"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Without its terminal the program ends, too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_order_is_given_from_the_screen_after_a_question() {
    let agent = Agent::start(healthy());
    let mut screen = Screen::start(&agent, "rows 24 cols 80");
    screen.until(&["\x1b[?1049h", "lb1:", "healthy.", "web", "MASTER", "EVENTS", "started,"]);
    screen.press("s");
    screen.until(&["Step", "hands", "192.0.2.10/24"]);
    screen.press("nsy");
    let order = agent.order(|order| matches!(order, Request::StepDown(_)));
    assert!(matches!(order, Request::StepDown(Target::Named(name)) if name == "web"));
    // Only what differs is drawn anew, so that a later sentence is not there in one piece.
    screen.press("jry");
    let order = agent.order(|order| matches!(order, Request::Resume(_)));
    assert!(matches!(order, Request::Resume(Target::Named(name)) if name == "mail"));
    screen.press("q");
    assert_eq!(screen.end(), (Some(0), true));
}

#[test]
fn it_says_since_when_nobody_answers_goes_on_and_ends_when_it_is_told_to() {
    let agent = Agent::start(healthy());
    let screen = Screen::start(&agent, "rows 10 cols 40");
    wait_until("its number", || {
        screen.drawn.lock().unwrap().split_once("pid=").is_some_and(|(_, rest)| rest.contains('.'))
    });
    let pid = {
        let drawn = screen.drawn.lock().unwrap();
        let number = drawn.split_once("pid=").unwrap().1.split_once('.').unwrap().0;
        Pid::from_raw(number.parse().unwrap())
    };
    screen.until(&["lb1:", "web"]);
    agent.mute(true);
    screen.until(&["Stale", "since"]);
    agent.mute(false);
    screen.until(&["lb1:"]);
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(screen.end(), (Some(0), true));
}

#[test]
fn without_a_terminal_it_says_what_prints_lines() {
    let agent = Agent::start(healthy());
    let output = agent.vipctl(&["watch"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "There is no terminal to draw on; 'vipctl status --watch' prints lines.\n");
}
