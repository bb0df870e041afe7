//! The status page in a real browser, Chromium without a window, which is told what to do by the `DevTools` protocol over
//! two pipes: messages in JSON, each ended by a zero byte.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};
use serde_json::{Value, json};
use vipd::codes::{Code, Warning};
use vipd::engine::notice::{Reason, State, What};
use vipd::net::Priority;
use vipd::sys::clock;

use super::fake::{Agent, CONFIGURATION, healthy, instance, scratch, wait_until};

/// How long a browser may take that starts beside everything else that is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// Notes what goes wrong in a page from its first moment on.
const WATCH: &str = "window.wrong = [];
    addEventListener('error', (event) => wrong.push(event.message));
    addEventListener('unhandledrejection', (event) => wrong.push(String(event.reason)));
    document.addEventListener('securitypolicyviolation', (event) => wrong.push(event.violatedDirective));";

/// One page in a browser of its own.
struct Browser {
    child: Child,
    commands: File,
    answers: Receiver<Value>,
    session: Option<String>,
    number: u64,
}

impl Browser {
    /// Nothing if there is none; as root, which continuous integration is, there must be one.
    fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|directory| directory.join("chromium").exists()) {
            assert!(!Uid::effective().is_root(), "missing: chromium");
            eprintln!("skipped: there is no chromium");
            return None;
        }
        let directory = scratch();
        let [commands, answers] = ["commands", "answers"].map(|name| {
            let path = directory.join(name);
            mkfifo(&path, Mode::S_IRWXU).unwrap();
            path
        });
        // Both ways, or opening would wait for the other end.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (to, from) = (open(&commands), open(&answers));
        // An agent of another test's, which is a thread here, changes the umask for a moment: with that one it cannot live.
        let run = "umask 022; exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
                   --remote-debugging-pipe --user-data-dir=\"$0\" 3<\"$1\" 4>\"$2\"";
        let mut command = Command::new("bash");
        command.args(["-c", run]).arg(directory.join("profile")).arg(commands).arg(answers);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, commands: to, answers, session: None, number: 0 })
    }

    /// Has it do something, and answers what came of it.
    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap();
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// A window of that width on a host with that taste.
    fn open(&mut self, url: &str, width: u32, scheme: &str) {
        let target = self.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        self.session =
            Some(self.ask("Target.attachToTarget", &target)["sessionId"].as_str().unwrap().to_owned());
        self.look(width, scheme);
        self.ask("Page.enable", &json!({}));
        self.ask("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }));
        self.ask("Page.navigate", &json!({ "url": url }));
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let answer =
            self.ask("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }));
        answer["result"]["value"].clone()
    }

    fn until(&mut self, expression: &str) {
        let until = clock::now() + PATIENCE;
        while self.value(expression) != true {
            let page = self.value("document.body.innerText");
            assert!(clock::now() < until, "in vain: {expression}\n{}", page.as_str().unwrap_or_default());
        }
    }

    fn look(&mut self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", &features);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends its own processes when it is asked to; killed, it leaves them to find out.
        drop(self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0"));
        let until = clock::now() + Duration::from_secs(5);
        while !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
            if clock::now() > until {
                drop(self.child.kill());
            }
            std::thread::yield_now();
        }
    }
}

/// An agent whose page is on a port of this host.
fn agent() -> (Agent, String) {
    let agent = Agent::start(healthy());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fs::write(&agent.config, format!("{CONFIGURATION}metrics: {{ listen: \"{port}\" }}\n")).unwrap();
    assert_eq!(agent.http("vipd.sock", "POST", "/reload", "").0, 200);
    wait_until("the port is open", || std::net::TcpStream::connect(port).is_ok());
    (agent, format!("http://{port}/"))
}

const STATE_OF_WEB: &str = "document.querySelector('[data-instance=web] .word').textContent";

#[test]
fn a_browser_shows_a_change_as_it_happens_and_lets_nothing_else_run() {
    let Some(mut browser) = Browser::start() else { return };
    let (agent, url) = agent();
    browser.open(&url, 1200, "light");
    browser.until(&format!("{STATE_OF_WEB}.includes('MASTER') && document.title.includes('lb1')"));
    browser.until("document.getElementById('stale').hidden");

    let odd = "<img src=x onerror=alert(1)> & </script>";
    agent.now(|status| {
        status.instances[0] = instance("web", State::Backup, Reason::SteppedDown);
        status.warnings.push(Warning::new(Code::NotInstalled, odd.to_owned()));
    });
    let (from, to, reason) = (State::Master, State::Backup, Reason::SteppedDown);
    agent.tell("web", What::Transition { from, to, reason, priority: Priority::new(150) });
    browser.until(&format!("{STATE_OF_WEB}.includes('BACKUP')"));
    browser.until("document.querySelector('.log').innerText.includes('stepped down')");
    browser.until("document.querySelectorAll('.strip').length === 2");
    let problems = browser.value("document.getElementById('problems').innerText");
    assert!(problems.as_str().unwrap().contains(odd), "{problems}");
    assert_eq!(browser.value("document.images.length"), 0);
    assert_eq!(browser.value("wrong.join()"), "", "the page is allowed what it does, and fails in nothing");

    // What came from elsewhere would not run, even if it got into the page.
    browser.value(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = 1' }))",
    );
    browser.value("document.body.setAttribute('style', 'display: none')");
    browser
        .until("wrong.length === 2 && wrong[0].startsWith('script-src') && wrong[1].startsWith('style-src')");
    assert_eq!(browser.value("typeof window.ran"), "undefined");
}

#[test]
fn the_page_is_light_or_dark_fits_a_phone_and_says_since_when_it_is_stale() {
    let Some(mut browser) = Browser::start() else { return };
    let (agent, url) = agent();
    browser.open(&url, 1200, "light");
    browser.until("document.querySelector('[data-check=here] .word')?.textContent.includes('up') ?? false");
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = browser.value(ground);
    browser.look(390, "dark");
    assert_ne!(browser.value(ground), light);
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 390, "nothing sticks out to the side");
    agent.mute(true);
    let stale = "document.getElementById('stale')";
    browser.until(&format!(
        "!{stale}.hidden && /^stale since \\d\\d:\\d\\d:\\d\\d UTC/.test({stale}.textContent)"
    ));
    assert!(browser.value("document.title").as_str().unwrap().starts_with("stale "));
    agent.mute(false);
    browser.until(&format!("{stale}.hidden && !document.title.startsWith('stale')"));
    assert_eq!(browser.value("wrong.join()"), "");
}
