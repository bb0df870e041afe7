//! What is installed, and whether the manual knows the programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fake::{scratch, vipctl};

fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Stands in for what cargo builds, beside `root`.
fn programs(root: &Path) -> PathBuf {
    let target = root.with_extension("target");
    fs::create_dir_all(target.join("release")).unwrap();
    for program in ["vipd", "vipctl"] {
        let path = target.join("release").join(program);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    target
}

fn script(root: &Path, target: &Path) -> Command {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install"));
    script.env("DESTDIR", root).env("PREFIX", "/usr/local").env("CARGO_TARGET_DIR", target);
    script
}

fn install(root: &Path, arguments: &[&str]) {
    let target = programs(root);
    let output = script(root, &target).args(arguments).output().unwrap();
    fs::remove_dir_all(target).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_installed_is_uninstalled_again_but_for_the_configuration() {
    let root = scratch().join("root");
    install(&root, &[]);
    let installed = tree(&root);
    for wanted in [
        "sbin/vipd",
        "sbin/vipctl",
        "lib/systemd/system/vipd.service",
        "lib/systemd/system/vipd-flush@.service",
        "lib/systemd/system/vipd-scripts.service",
        "lib/systemd/system/vipd-scripts.socket",
        "share/man/man8/vipctl.8",
        "share/doc/vipd/examples/realtime.conf",
        "share/bash-completion/completions/vipctl",
        "share/fish/vendor_completions.d/vipctl.fish",
        "share/zsh/site-functions/_vipctl",
    ] {
        assert!(installed.contains(&root.join("usr/local").join(wanted)), "{wanted}: {installed:?}");
    }
    for unit in ["vipd.service", "vipd-flush@.service", "vipd-scripts.service"] {
        let unit = fs::read_to_string(root.join("usr/local/lib/systemd/system").join(unit)).unwrap();
        assert!(unit.contains("ExecStart=/usr/local/sbin/vipd ") && !unit.contains("/usr/sbin"));
    }
    fs::write(root.join("etc/vipd/vipd.yaml"), "the operator's own").unwrap();
    install(&root, &["--uninstall"]);
    assert_eq!(tree(&root), [root.join("etc/vipd/vipd.yaml")]);
}

#[test]
fn programs_older_than_their_source_are_not_installed() {
    let root = scratch().join("root");
    let target = programs(&root);
    for program in ["vipd", "vipctl"] {
        let file = fs::File::options().append(true).open(target.join("release").join(program)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    // A cargo that cannot build, so that it is seen to be asked.
    let cargo = target.join("cargo");
    fs::write(&cargo, "#!/bin/sh\nexit 42\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", target.display());
    let output = script(&root, &target).env("PATH", path).output().unwrap();
    fs::remove_dir_all(target).unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!root.exists());
}

#[test]
fn the_manual_knows_every_command_and_option() {
    let manual = |page: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man").join(page);
        fs::read_to_string(path).unwrap().replace("\\-", "-")
    };
    let help = |mut command: Command| {
        let output = command.arg("--help").stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let options = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words.filter_map(|word| word.strip_prefix("--")).map(str::to_owned).collect()
    };
    let page = manual("vipd.8");
    for option in options(&help(Command::new(env!("CARGO_BIN_EXE_vipd")))) {
        assert!(page.contains(&format!("Fl -{option}")), "vipd --{option}");
    }
    let page = manual("vipctl.8");
    let dir = scratch();
    let all = [
        "status",
        "watch",
        "explain",
        "doctor",
        "events",
        "metrics",
        "history",
        "capture",
        "check",
        "import",
        "plan",
        "reload",
        "step-down",
        "drain",
        "resume",
        "drill",
        "probe",
        "upgrade",
        "bundle",
    ];
    for command in all {
        assert!(page.contains(&format!(".Ss {command}\n")), "{command}");
        let known = options(&help(vipctl(&dir, &[command])));
        for option in known.iter().filter(|option| *option != "help" && *option != "version") {
            assert!(page.contains(&format!("Fl -{option}")), "vipctl {command} --{option}");
        }
    }
    let listed = help(vipctl(&dir, &[]));
    let commands = listed.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).unwrap();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: Vec<_> = names.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, all);
}
