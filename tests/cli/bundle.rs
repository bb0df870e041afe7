//! The archive for a bug report: what is in it, what is not, and that nobody learns a secret from it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use super::fake::{Agent, healthy, scratch, vipctl};

/// Something secret in every place that has room for it, and in some that have not.
const SECRETIVE: &str = "\
# once it was password: Alpha-111, and https://Bravo-222@hooks.example.org/x
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    priority: 150
    addresses: [192.0.2.10/24]   # of the shop
    authentication:
      type: hmac
      keys: { 1: 'Charlie-333-Charlie-333-Charlie-333', 2: 'hex:Delta-444', Echo-555: { file: Foxtrot-666 } }
  old:
    interface: eth0
    virtual_router_id: 52
    priority: 100
    version: 2
    addresses: [192.0.2.11/24]
    authentication: { type: simple, pasword: Golf-777, password: Hotel-888 }
notify:
  webhook:
    url: https://India-999:Juliett-1010@hooks.example.org/services/Kilo-1111?key=Lima-1212
    headers: { X-Team: Mike-1313 }
mail: { server: mail.example.org, from: vipd@example.org, to: ops@example.org, username: vipd, password_file: November-1414 }
checks:
  nginx: { http: 'http://Oscar-1515:Papa-1616@127.0.0.1/' }
";

const WORDS: [&str; 16] = [
    "Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo",
    "Lima", "Mike", "November", "Oscar", "Papa",
];

fn bundle(runtime: &Path, file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    vipctl(runtime, &[&["bundle", file], more].concat()).output().unwrap()
}

/// The files of an archive by their names, without its directory.
fn parts(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        assert!(path.parent().unwrap().to_str().unwrap().starts_with("vipd-bundle-"), "{}", path.display());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn a_bundle_has_everything_but_secrets() {
    let agent = Agent::start(healthy());
    let config = agent.dir.join("secretive.yaml");
    fs::write(&config, SECRETIVE).unwrap();
    let archive = agent.dir.join("it.tar");
    let output = bundle(&agent.dir, &archive, &["--config", config.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with(archive.to_str().unwrap()) && said.contains("\nIn it:\n"), "{said}");
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let parts = parts(&archive);
    for part in ["CONTENTS.txt", "configuration.yaml", "check.json", "status.json", "metrics.txt"] {
        assert!(parts.get(part).is_some_and(|text| !text.is_empty()), "{part}: {:?}", parts.keys());
    }
    assert!(parts["status.json"].contains("\"instances\""));
    assert!(parts["configuration.yaml"].contains("addresses: [192.0.2.10/24]   # of the shop"));
    assert!(parts["check.json"].contains("pasword"), "{}", parts["check.json"]);
    for word in WORDS {
        let told: Vec<_> =
            parts.iter().filter(|(_, text)| text.contains(word)).map(|(name, _)| name).collect();
        assert!(told.is_empty(), "{word} is in {told:?}");
        assert!(!said.contains(word));
    }
}

#[test]
fn without_an_agent_it_says_what_is_missing_and_why() {
    let dir = scratch();
    let config = dir.join("broken.yaml");
    fs::write(&config, "instances: {web: {password: Alpha-1\n").unwrap();
    let archive = dir.join("it.tar");
    let output = bundle(&dir, &archive, &["--config", config.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((said["schema"].as_u64(), said["file"].as_str()), (Some(1), archive.to_str()));
    let missing = |name: &str| {
        let part = said["parts"].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap();
        part["missing"].as_str().unwrap_or_default().to_owned()
    };
    assert!(missing("explain.json").contains("no agent is running"), "{said}");
    assert!(missing("configuration.yaml").contains("is not YAML"), "{said}");
    let parts = parts(&archive);
    assert!(parts["CONTENTS.txt"].contains("Not in it:") && !parts.contains_key("explain.json"));
    assert!(!parts["check.json"].contains("Alpha") && parts.contains_key("sysctls.txt"));
}

#[test]
fn what_is_there_already_is_not_overwritten() {
    let dir = scratch();
    let archive = dir.join("it.tar");
    fs::write(&archive, "somebody's").unwrap();
    let output = bundle(&dir, &archive, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(73), 0), "{said}");
    assert!(said.contains("is there already") && said.lines().count() == 1, "{said}");
    assert_eq!(fs::read(&archive).unwrap(), b"somebody's");
    assert_eq!(bundle(&dir, &dir.join("no/such/place.tar"), &[]).status.code(), Some(73));
}
