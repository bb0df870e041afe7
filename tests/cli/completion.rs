//! What shells are offered when somebody presses the tabulator key.

use std::path::Path;
use std::process::Command;

use super::fake::{Agent, healthy, scratch, vipctl};

/// What bash, having read the script, offers for the last word of a line.
fn offered(line: &[&str]) -> Vec<String> {
    let directory = Path::new(env!("CARGO_BIN_EXE_vipctl")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.display());
    let last = line.last().unwrap();
    let script = "eval \"$(vipctl completions bash)\"
        COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))
        _clap_complete_vipctl vipctl \"${COMP_WORDS[COMP_CWORD]}\" || exit
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").args(["-c", script, "bash"]).args(line).env("PATH", path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]), "{said}");
    said.lines().filter(|word| !word.is_empty() && word.starts_with(last)).map(str::to_owned).collect()
}

#[test]
fn bash_completes_every_command_and_every_option() {
    let help = |arguments: &[&str]| {
        let output = vipctl(&scratch(), arguments).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = help(&[]);
    let commands = listed.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let indented = commands.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<&str> =
        indented.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
    assert!(commands.contains(&"status"), "{commands:?}");
    let verbs = offered(&["vipctl", ""]);
    for command in commands {
        assert!(verbs.iter().any(|verb| verb == command), "{command}: {verbs:?}");
        let page = help(&[command]);
        let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let options = offered(&["vipctl", command, "--"]);
        for option in words.filter(|word| word.len() > 2 && word.starts_with("--")) {
            // Of this program's own; a text may name another's.
            let own = page
                .lines()
                .any(|line| line.trim_start().contains(&format!("{option} ")) || line.ends_with(option));
            assert!(!own || options.iter().any(|known| known == option), "{command} {option}: {options:?}");
        }
    }
    assert!(!verbs.iter().any(|verb| verb == "completions"), "it is for packages: {verbs:?}");
}

#[test]
fn names_are_those_of_the_running_agent_and_files_are_files() {
    let agent = Agent::start(healthy());
    let dir = agent.dir.to_str().unwrap();
    for command in ["status", "explain", "history", "step-down", "drain", "resume"] {
        let names = offered(&["vipctl", "--runtime-dir", dir, command, ""]);
        assert!(names.iter().any(|name| name == "web"), "{command}: {names:?}");
    }
    assert_eq!(offered(&["vipctl", "--runtime-dir", dir, "status", "ma"]), ["mail"]);
    let file = agent.config.to_str().unwrap();
    assert_eq!(offered(&["vipctl", "check", file.strip_suffix("aml").unwrap()]), [file]);
}

#[test]
fn without_an_agent_nothing_is_offered_and_nothing_is_said() {
    let dir = scratch();
    assert_eq!(offered(&["vipctl", "--runtime-dir", dir.to_str().unwrap(), "step-down", "w"]), [""; 0]);
}

#[test]
fn there_is_a_script_for_each_shell() {
    for (shell, registers) in [
        ("bash", "complete -o nospace -o bashdefault -o nosort -F _clap_complete_vipctl vipctl"),
        ("fish", "complete --keep-order --exclusive --command vipctl"),
        ("zsh", "#compdef vipctl\n"),
    ] {
        let output = vipctl(&scratch(), &["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains(registers), "{script}");
    }
    let output = vipctl(&scratch(), &["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}
