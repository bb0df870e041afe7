//! What needs no agent, and what is said when there is none.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use super::fake::{Agent, CONFIGURATION, healthy, scratch, vipctl};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn vipd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vipd")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn wrong_usage_exits_64_and_help_exits_0() {
    let dir = scratch();
    for wrong in
        [&["stauts"] as &[_], &[], &["step-down"], &["step-down", "web", "--all"], &["status", "a", "b"]]
    {
        let output = vipctl(&dir, wrong).output().unwrap();
        assert_eq!(code(&output), 64, "{wrong:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(code(&vipd(&["--confg", "x"])), 64);
    assert_eq!(code(&vipd(&["--log-format", "xml"])), 64);
    for program in [vipd(&["--help"]), vipd(&["--version"]), vipctl(&dir, &["--help"]).output().unwrap()] {
        assert_eq!((code(&program), program.stderr.len()), (0, 0));
        assert!(!program.stdout.is_empty());
    }
}

#[test]
fn a_runner_without_a_socket_says_who_would_give_it_one() {
    let output = vipd(&["run-scripts"]);
    assert_eq!(code(&output), 64);
    let said = stderr(&output);
    assert!(said.contains("no listening Unix socket") && said.contains("vipd-scripts.socket"), "{said}");
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
    let output = command.arg("run-scripts").stdin(std::os::fd::OwnedFd::from(one)).output().unwrap();
    assert_eq!(code(&output), 64, "{}", stderr(&output));
}

#[test]
fn a_good_file_is_said_to_be_good() {
    let dir = scratch();
    let file = dir.join("good.yaml");
    fs::write(&file, CONFIGURATION).unwrap();
    let file = file.display().to_string();
    let output = vipctl(&dir, &["check", &file]).output().unwrap();
    assert_eq!(stdout(&output), format!("{file}: good. 2 instances, 1 check.\n"));
    assert_eq!(code(&output), 0);
    let json = stdout(&vipctl(&dir, &["check", &file, "--json"]).output().unwrap());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["schema"].as_u64(), json["usable"].as_bool()), (Some(1), Some(true)));
}

#[test]
fn every_mistake_is_told_with_its_place_and_exits_78() {
    let dir = scratch();
    let file = dir.join("bad.yaml");
    fs::write(&file, "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 300\n    priorty: 7\n")
        .unwrap();
    let file = file.display().to_string();
    let output = vipctl(&dir, &["check", &file]).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (78, 0));
    let said = stderr(&output);
    assert!(said.contains(&format!("{file}:4:")) && said.contains(&format!("{file}:5:")), "{said}");
    let json = vipctl(&dir, &["check", &file, "--json"]).output().unwrap();
    assert_eq!(code(&json), 78);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["problems"].as_array().unwrap().iter().any(|problem| problem["line"] == 4));
    let started = vipd(&["--config", &file, "--runtime-dir", &dir.display().to_string()]);
    assert_eq!(code(&started), 78, "vipd itself says the same");
    assert!(stderr(&started).contains(&format!("{file}:4:")));
}

#[test]
fn without_an_agent_status_says_so_and_exits_2_and_orders_exit_69() {
    let dir = scratch();
    let status = vipctl(&dir, &["status"]).output().unwrap();
    assert_eq!((code(&status), status.stdout.len()), (2, 0));
    assert!(stderr(&status).contains(&format!("no agent is running in {}", dir.display())));
    let json = vipctl(&dir, &["status", "--json"]).output().unwrap();
    assert_eq!(code(&json), 2);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["schema"].as_u64(), json["health"].as_str()), (Some(1), Some("unreachable")));
    for order in [&["reload"] as &[_], &["step-down", "web"], &["resume", "--all"], &["events"]] {
        let output = vipctl(&dir, order).output().unwrap();
        assert_eq!((code(&output), output.stdout.len()), (69, 0), "{order:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn whoever_may_not_ask_is_told_which_socket_would_do_and_exits_77() {
    let agent = Agent::start(healthy());
    for socket in ["vipd.sock", "status.sock"] {
        fs::set_permissions(agent.dir.join(socket), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // Modes bind root, too, once it has no capabilities.
    let mut status = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        status.args(["--bounding-set=-all", "--inh-caps=-all"]);
    }
    status.arg(env!("CARGO_BIN_EXE_vipctl")).arg("--runtime-dir").arg(&agent.dir).arg("status");
    let output = status.output().unwrap();
    assert_eq!(code(&output), 77, "{}", stderr(&output));
    assert!(stderr(&output).contains("status.sock: become root"), "{}", stderr(&output));
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let agent = Agent::start(healthy());
    let file = agent.config.display().to_string();
    for arguments in
        [&["status"] as &[_], &["status", "--json"], &["check", &file], &["check", &file, "--json"]]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = vipctl(&agent.dir, arguments).stdout(full).output().unwrap();
        assert_eq!(code(&output), 71, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("No space left on device"));
    }
}

#[test]
fn a_second_agent_in_the_same_directory_exits_75() {
    let agent = Agent::start(healthy());
    let (config, dir) = (agent.config.display().to_string(), agent.dir.display().to_string());
    let output = vipd(&["--config", &config, "--runtime-dir", &dir, "--state-directory", &dir]);
    assert_eq!(code(&output), 75, "{}", stderr(&output));
    assert!(stderr(&output).contains("another agent is running"));
    assert_eq!(agent.http("status.sock", "GET", "/status", "").0, 200, "the first one is unharmed");
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let agent = Agent::start(healthy());
    for arguments in [&["events", "--json"] as &[_], &["status"], &["status", "--watch"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = vipctl(&agent.dir, arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
