//! Codes: whatever is said to be wrong has one, and `vipctl explain` has a page for it, with an agent or without.

use std::fs;

use serde_json::Value;
use vipd::codes::{Code, Warning};

use super::fake::{Agent, healthy, scratch, vipctl};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_code_is_explained_without_an_agent() {
    let dir = scratch();
    for code in Code::ALL {
        let output = vipctl(&dir, &["explain", &code.to_string()]).output().unwrap();
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{code}");
        assert!(said.starts_with(&format!("{code}: {}.\n", code.title())), "{said}");
        assert!(
            said.contains("\n  to do    ") && said.lines().all(|line| line.chars().count() <= 80),
            "{said}"
        );
    }
    let output = vipctl(&dir, &["explain", "v0201", "--json"]).output().unwrap();
    let page = json(&output.stdout);
    assert_eq!((&page["schema"], &page["code"]), (&Value::from(1), &Value::from("V0201")));
    assert!(page["remedy"].as_str().is_some_and(|remedy| remedy.len() > 20), "{page}");
}

#[test]
fn codes_are_listed_and_what_looks_like_one_and_is_none_is_wrong_usage() {
    let dir = scratch();
    let listed = text(&vipctl(&dir, &["explain", "--codes"]).output().unwrap().stdout);
    assert_eq!(listed.lines().count(), Code::ALL.len());
    assert!(listed.contains("\nV0201  a key that is not known here\n"), "{listed}");
    let all = json(&vipctl(&dir, &["explain", "--codes", "--json"]).output().unwrap().stdout);
    assert_eq!(all["codes"].as_array().map(Vec::len), Some(Code::ALL.len()));
    let output = vipctl(&dir, &["explain", "V9999"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(text(&output.stderr), "there is no code 'V9999'; 'vipctl explain --codes' lists them\n");
    assert_eq!(vipctl(&dir, &["explain", "--codes", "web"]).output().unwrap().status.code(), Some(64));
    assert_eq!(
        vipctl(&dir, &["explain", "web"]).output().unwrap().status.code(),
        Some(69),
        "no code, no agent"
    );
}

#[test]
fn a_mistake_in_a_configuration_ends_with_its_code() {
    let dir = scratch();
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("vipd.yaml");
    fs::write(&path, "instances:\n  web: { interface: eth0, virtual_router_id: 300, adresses: [] }\n")
        .unwrap();
    let file = path.display().to_string();
    let output = vipctl(&dir, &["check", &file]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with(&format!("{file}:2:3: ")) && lines[0].ends_with(" [V0202]"), "{said}");
    assert!(lines[1].contains(" is no virtual router id; write 1 to 255 [V0205]"), "{said}");
    assert!(
        lines[2].contains("unknown key; did you mean 'addresses'?") && lines[2].ends_with(" [V0201]"),
        "{said}"
    );
    let output = vipctl(&dir, &["check", "--json", &file]).output().unwrap();
    let codes: Vec<_> =
        json(&output.stdout)["problems"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, ["V0202", "V0205", "V0201"]);
}

#[test]
fn problems_of_a_running_agent_have_a_code_in_text_and_json() {
    let agent = Agent::start(healthy());
    agent.now(|status| {
        status.warnings.push(Warning::new(Code::NotSent, "web: IPv4 adverts cannot be sent".to_owned()));
    });
    let said = text(&agent.vipctl(&["status"]).stdout);
    assert!(said.contains("\nproblem: web: IPv4 adverts cannot be sent [V0710]\n"), "{said}");
    let report = json(&agent.vipctl(&["status", "--json"]).stdout);
    assert_eq!(report["problems"][0], "web: IPv4 adverts cannot be sent");
    let finding = &report["findings"][0];
    assert_eq!((&finding["code"], &finding["severity"]), (&Value::from("V0710"), &Value::from("problem")));
}

#[test]
fn the_manual_lists_every_code() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/man/vipctl.8")).unwrap();
    let lines: Vec<_> = page.lines().collect();
    let listed: Vec<_> = lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix(".It V")?, pair[1].to_lowercase())))
        .collect();
    let all: Vec<_> = Code::ALL
        .iter()
        .map(|code| (code.to_string()[1..].to_owned(), format!("{}.", code.title().to_lowercase())))
        .collect();
    assert_eq!(listed, all.iter().map(|(number, title)| (&number[..], title.clone())).collect::<Vec<_>>());
}
