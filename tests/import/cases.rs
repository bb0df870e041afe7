//! Pairs of files: NAME.conf as operators write it, NAME.yaml and NAME.report as they come out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs `vipctl` among the cases.
pub(crate) fn vipctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipctl"));
    command.args(arguments).current_dir(directory()).stdin(Stdio::null()).output().unwrap()
}

/// Where the cases are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/cases")
}

/// Converts a case: it must come out as written beside it, with that exit code, and be what the agent takes.
fn case(name: &str, exit: i32) {
    let output = vipctl(&["import", &format!("{name}.conf"), "--config-id", "lb1"]);
    let (said, report) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(exit), "{report}");
    assert!(!report.contains("nobody has said"), "{report}");
    expect(name, "yaml", &said);
    expect(name, "report", &report);
    let file = std::env::temp_dir().join(format!("vipd-import-{name}-{}.yaml", std::process::id()));
    fs::write(&file, &said).unwrap();
    let check = vipctl(&["check", file.to_str().unwrap()]);
    fs::remove_file(&file).unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
}

/// Compares with the file beside the case, or writes it.
fn expect(name: &str, kind: &str, said: &str) {
    let path = directory().join(format!("{name}.{kind}"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, said).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    for (at, (said, wanted)) in said.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(said, wanted, "{name}.{kind}:{}", at + 1);
    }
    assert_eq!(said.lines().count(), wanted.lines().count(), "{name}.{kind} has another length:\n{said}");
}

#[test]
fn a_plain_pair_is_imported() {
    case("plain", 0);
}

#[test]
fn unicast_with_a_password_is_imported() {
    case("unicast", 0);
}

#[test]
fn hmac_authentication_is_imported() {
    case("signed", 0);
}

#[test]
fn a_key_in_a_file_stays_there() {
    let path = std::env::temp_dir().join(format!("vipd-import-key-{}.conf", std::process::id()));
    let signed = fs::read_to_string(directory().join("signed.conf")).unwrap();
    fs::write(&path, signed.replace("0123456789abcdef0123456789abcdef", "file:/etc/keepalived/key")).unwrap();
    let output = vipctl(&["import", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("7: { file: /etc/keepalived/key }"), "{said}");
}

#[test]
fn a_pair_that_does_not_preempt_is_imported() {
    case("patient", 0);
}

#[test]
fn addresses_with_everything_are_imported() {
    case("addresses", 6);
}

#[test]
fn scripts_are_imported() {
    case("scripts", 0);
}

#[test]
fn interfaces_are_imported() {
    case("interfaces", 0);
}

#[test]
fn tracked_files_are_imported() {
    case("files", 6);
}

#[test]
fn weights_in_reverse_are_imported() {
    case("reverse", 0);
}

#[test]
fn processes_with_everything_are_imported() {
    case("workers", 0);
}

#[test]
fn announcements_are_imported() {
    case("announce", 0);
}

#[test]
fn an_election_without_addresses_is_imported() {
    case("bare", 6);
}

#[test]
fn sync_groups_are_imported() {
    case("groups", 0);
}

#[test]
fn strict_mode_is_imported_as_what_it_does() {
    case("strict", 0);
}

#[test]
fn elections_are_imported() {
    case("elections", 0);
}

#[test]
fn routes_and_rules_are_imported() {
    case("routes", 6);
}

#[test]
fn static_addresses_routes_and_rules_are_imported() {
    case("static", 6);
}

#[test]
fn notifications_are_imported() {
    case("notify", 0);
}

#[test]
fn virtual_macs_are_imported() {
    case("vmac", 6);
}

#[test]
fn processes_are_imported() {
    case("processes", 0);
}

#[test]
fn global_defaults_reach_every_instance() {
    case("globals", 0);
}

#[test]
fn files_definitions_conditions_and_loops_are_followed() {
    case("language", 0);
}

#[test]
fn what_keepalived_would_ignore_is_ignored_and_named() {
    case("slips", 6);
}

#[test]
fn what_vipd_does_not_have_is_left_out_and_named() {
    case("others", 6);
}

#[test]
fn of_what_is_defined_twice_the_first_counts() {
    case("twice", 0);
}
