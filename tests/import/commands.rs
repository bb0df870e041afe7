//! `vipctl import` as a command: where things go, who may read them, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::cases::vipctl;

/// A directory of a test's own, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vipd-import-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const INSTANCE: &str =
    "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\n}\n";

#[test]
fn the_exit_code_says_what_became_of_it() {
    let scratch = Scratch::new("codes");
    let left_out = scratch.file("left.conf", &format!("{INSTANCE}track_group x {{\n}}\n"));
    for (arguments, wanted) in [
        (&["plain.conf"][..], 0),
        (&[left_out.as_str()], 6),
        (&["--no-such-option"], 64),
        (&[&scratch.file("empty.conf", "")], 65),
        (&[&scratch.file("lvs.conf", "virtual_server 192.0.2.1 80 {\n}\n")], 65),
        (&["missing.conf"], 66),
        (&["."], 66),
        (&["plain.conf", "--output", "/nonexistent/vipd.yaml"], 73),
    ] {
        let output = vipctl(&[&["import"], arguments].concat());
        assert_eq!(code(&output), Some(wanted), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn what_the_agent_would_refuse_is_said_by_its_own_words() {
    let scratch = Scratch::new("refused");
    let other = INSTANCE.replace(" a ", " b ").replace("2.1 ", "2.2 ");
    let output = vipctl(&["import", &scratch.file("k.conf", &format!("{INSTANCE}{other}"))]);
    assert_eq!(code(&output), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).contains("instance 'a' has virtual router id 1 on eth0 for IPv4 already"));
}

#[test]
fn an_output_with_a_password_is_for_nobody_else_to_read_and_never_overwrites() {
    let scratch = Scratch::new("output");
    for (case, mode) in [("unicast.conf", 0o600), ("plain.conf", 0o644)] {
        let path = scratch.0.join(case.replace("conf", "yaml"));
        let arguments = ["import", case, "--output", path.to_str().unwrap()];
        let output = vipctl(&arguments);
        assert_eq!((code(&output), output.stdout.len()), (Some(0), 0), "{}", stderr(&output));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        fs::write(&path, "mine").unwrap();
        let output = vipctl(&arguments);
        assert_eq!(code(&output), Some(73), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

#[test]
fn the_report_is_json_if_asked_for_and_has_no_password() {
    let output = vipctl(&["import", "unicast.conf", "--json"]);
    let report: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["usable"], true);
    assert_eq!(report["instances"], 1);
    let statements = report["statements"].as_array().unwrap();
    let counted: u64 = ["converted", "dropped", "ignored", "left_out"]
        .iter()
        .map(|fate| report[fate].as_u64().unwrap())
        .sum();
    assert_eq!(u64::try_from(statements.len()).unwrap(), counted);
    let priority = statements.iter().find(|entry| entry["statement"] == "priority 100").unwrap();
    assert_eq!((&priority["line"], &priority["fate"]), (&Value::from(7), &Value::from("converted")));
    for output in [output, vipctl(&["import", "unicast.conf"])] {
        assert!(!stderr(&output).contains("s3 cret"), "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("s3 cret#"));
    }
}

#[test]
fn files_that_keepalived_would_not_read_are_not_read() {
    let scratch = Scratch::new("files");
    let inner = scratch.file("inner.conf", INSTANCE);
    let outer = scratch.file("outer.conf", "include *ner.conf\n");
    assert_eq!(code(&vipctl(&["import", &outer])), Some(0));
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
    let output = vipctl(&["import", &outer]);
    assert_eq!(code(&output), Some(65));
    assert!(stderr(&output).contains("can be executed; keepalived skips it"), "{}", stderr(&output));
}

#[test]
fn the_configuration_id_is_the_hosts_name_unless_given() {
    let scratch = Scratch::new("id");
    let host = nix::unistd::gethostname().unwrap();
    let host = host.to_str().unwrap().split('.').next().unwrap().to_owned();
    let text = INSTANCE.replace("interface eth0", &format!("@{host} interface here\n@other interface there"));
    let file = scratch.file("k.conf", &text);
    let said = |arguments: &[&str]| String::from_utf8(vipctl(arguments).stdout).unwrap();
    assert!(said(&["import", &file]).contains("interface: here"));
    assert!(said(&["import", &file, "-i", "other"]).contains("interface: there"));
}
