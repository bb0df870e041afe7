//! What operators get wrong, and exactly what they are told. A row here is a promise.

mod checks;
mod codes;
mod instances;
mod noise;
mod notify;

use super::*;

const INSTANCE: &str = "\
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [192.0.2.10/24]
";

fn problems(text: &str) -> Vec<Problem> {
    parse(text, "f").map_or_else(|found| found.problems, |config| config.warnings)
}

/// What is said about `text`, errors and warnings, without the codes.
fn said(text: &str) -> Vec<String> {
    let sentence = |problem: &Problem| {
        let shown = problem.to_string();
        shown.strip_suffix(&format!(" [{}]", problem.code)).unwrap().to_owned()
    };
    problems(text).iter().map(sentence).collect()
}

/// Each text with exactly what is said about it.
fn told(cases: &[(String, &[&str])]) {
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(text, expected)| said(text) != **expected)
        .map(|(text, expected)| format!("{text}\nexpected {expected:#?}\nsaid {:#?}", said(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}

/// [`INSTANCE`] with more lines, the first of which is line 6.
fn more(lines: &str) -> String {
    format!("{INSTANCE}    {}\n", lines.replace('\n', "\n    "))
}

/// [`INSTANCE`] tracking a check `c`, whose value begins at 8:6.
fn checking(check: &str) -> String {
    format!("{INSTANCE}    track: {{ c: fault }}\nchecks:\n  c: {check}\n")
}

#[test]
fn the_instance_itself_is_right() {
    assert_eq!(said(INSTANCE), [""; 0]);
    assert_eq!(said(&checking("{ file: /run/x }")), [""; 0]);
}

#[test]
fn a_file_has_instances_at_its_top() {
    told(&[
        ("[a]".into(), &["1:1: is a list; write 'instances:' and an instance below it"]),
        (
            "é".repeat(1000),
            &[
                "1:1: 'éééééééééééééééééééééééééééééééééééééééé..' is no set of keys; write 'instances:' and an instance below it",
            ],
        ),
        (
            format!("{INSTANCE}    priority: {}", "7".repeat(1000)),
            &[
                "6:15: instances.web.priority: '7777777777777777777777777777777777777777..' is much too long; write 1 to 255",
            ],
        ),
        ("foo".into(), &["1:1: 'foo' is no set of keys; write 'instances:' and an instance below it"]),
        (
            "instances:\n".into(),
            &["1:10: instances: has no value; write a name for each instance, for example 'web:'"],
        ),
        (
            "instances: {}".into(),
            &["1:12: instances: is empty; write a name for each instance, for example 'web:'"],
        ),
        (
            "instances: { web: }".into(),
            &["1:17: instances.web: has no value; write the instance's keys, for example 'interface: eth0'"],
        ),
        (
            "instances: { --all: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24] } }"
                .into(),
            &[
                "1:14: instances.--all: '--all' is no name; write 1 to 64 letters, digits, '_', '.' or '-', the first one no '-'",
            ],
        ),
        (
            "instances: { 'a b': {} }".into(),
            &[
                "1:14: instances.a b: 'a b' is no name; write 1 to 64 letters, digits, '_', '.' or '-', the first one no '-'",
                "1:14: instances.a b: 'interface' is missing; write for example 'interface: eth0'",
                "1:14: instances.a b: 'virtual_router_id' is missing; write for example 'virtual_router_id: 51'",
                "1:14: instances.a b: 'addresses' is missing; write for example 'addresses: [192.0.2.10/24]' or, to have none, 'addresses: []'",
            ],
        ),
        (
            "checks: 5\nstartup_delay: 2h\nInstances: {}".into(),
            &[
                "1:1: 'instances' is missing; write for example 'instances: { web: { interface: eth0, .. } }'",
                "1:9: checks: '5' is no set of keys; write a name for each check, for example 'nginx:'",
                "2:16: startup_delay: '2h' is too long; write 0s to 1h",
                "3:1: Instances: unknown key; did you mean 'instances'? known here: instances, groups, checks, notify, mail, startup_delay, boot_delay, announce_limits, realtime, metrics, static",
            ],
        ),
    ]);
}

#[test]
fn a_group_has_members_that_are_instances_and_in_no_other_group() {
    let with = |groups: &str| format!("{INSTANCE}groups: {groups}\n");
    told(&[
        (with("{ g: { members: [web] } }"), &[]),
        (
            with("{ g: { members: [] } }"),
            &["6:25: groups.g.members: is empty; write the names of its instances, for example [web, db]"],
        ),
        (
            with("{ g: {} }"),
            &["6:11: groups.g: 'members' is missing; write for example 'members: [web, db]'"],
        ),
        (
            with("{ g: { members: [wbe] } }"),
            &["6:26: groups.g.members[0]: no instance is named 'wbe'; did you mean 'web'? there are: web"],
        ),
        (
            with("{ g: { members: [web] }, h: { members: [web] } }"),
            &["6:49: groups.h.members[0]: group 'g' has 'web' already; write it in one of them"],
        ),
        (
            with("{ g: { members: [web, web] } }"),
            &["6:31: groups.g.members[1]: 'web' is written twice; remove one"],
        ),
        (
            with("{ web: { members: [web] } }"),
            &["6:11: groups.web: an instance has this name already; orders name either, so write another"],
        ),
        (
            with("{ g: { members: [web], track: { c: fault } } }"),
            &["6:41: groups.g.track.c: no check is named 'c'; there are none, write one under 'checks'"],
        ),
        (
            with("{ g: { members: [web], colour: x } }"),
            &["6:32: groups.g.colour: unknown key; known here: members, track, notify"],
        ),
    ]);
}

#[test]
fn metrics_are_served_on_an_address_that_one_can_listen_on() {
    let with = |metrics: &str| format!("{INSTANCE}metrics: {metrics}\n");
    told(&[
        (with("{ listen: 127.0.0.1:9113, keepalived_names: true }"), &[]),
        (with("{ listen: '[::1]:9113' }"), &[]),
        (
            with("{ listen: localhost:9113 }"),
            &[
                "6:20: metrics.listen: 'localhost:9113' is no address with a port; write for example 127.0.0.1:9113 or '[::1]:9113'",
            ],
        ),
        (
            with("{ listen: 192.0.2.1:9113 }"),
            &[
                "6:20: metrics.listen: warning: whoever reaches this port learns names, addresses and states, without a password; let a firewall admit the collector alone, or write 127.0.0.1",
            ],
        ),
        (
            with("{ keepalived_names: yes, port: 9113 }"),
            &[
                "6:30: metrics.keepalived_names: 'yes' is not true or false; write true or false",
                "6:35: metrics.port: unknown key; known here: listen, keepalived_names",
            ],
        ),
        (
            with("9113"),
            &["6:10: metrics: '9113' is no set of keys; write 'listen', 'keepalived_names' or both"],
        ),
    ]);
}

#[test]
fn members_of_different_priorities_are_a_warning() {
    let other = "  db: { interface: eth1, virtual_router_id: 52, addresses: [192.0.2.11], priority: 101 }";
    let text = format!("{INSTANCE}{other}\ngroups: {{ g: {{ members: [web, db] }} }}\n");
    let warnings = parse(&text, "f").unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].to_string().contains("'db' has priority 101 and 'web' 100"), "{}", warnings[0]);
}

#[test]
fn members_that_preempt_differently_are_a_warning() {
    let with = |more: &str| {
        let other = "  db: { interface: eth1, virtual_router_id: 52, addresses: [192.0.2.11]";
        let text = format!("{INSTANCE}{other}{more} }}\ngroups: {{ g: {{ members: [web, db] }} }}\n");
        let warnings = parse(&text, "f").unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = |has: &str| {
        format!(
            "7:11: groups.g: warning: 'db' has '{has}' and 'web' 'preempt: true': none becomes master before all do; \
             write the same [V0506]"
        )
    };
    assert_eq!(with(", preempt: false"), [said("preempt: false")]);
    assert_eq!(with(", preempt_delay: 90s"), [said("preempt_delay: 90s")]);
    assert_eq!(with(", preempt: true, preempt_delay: 0s"), [""; 0]);
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let text = "#".repeat(usize::try_from(LONGEST_FILE).unwrap() + 1);
    assert_eq!(said(&text), ["is longer than 1 MiB; write less, or the path of another file"]);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let failed = |path: &str| load(Path::new(path)).unwrap_err().to_string();
    assert_eq!(
        failed("/nonexistent.yaml"),
        "/nonexistent.yaml: cannot be read: No such file or directory (os error 2) [V0101]\n1 problem"
    );
    assert_eq!(failed("/"), "/: is a directory; write the path of a file [V0101]\n1 problem");
    let path = std::env::temp_dir().join(format!("vipd-config-{}-latin1.yaml", std::process::id()));
    std::fs::write(&path, b"# a\ninstances:\n  caf\xe9: {}\n").unwrap();
    let said = failed(path.to_str().unwrap());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        said,
        format!("{}: is not UTF-8 in line 3; save it as UTF-8 [V0102]\n1 problem", path.display())
    );
}

#[test]
fn a_password_in_a_file_that_others_can_read_is_a_warning() {
    let text = more("version: 2\nauthentication: { type: simple, password: x }");
    let warnings = |mode| understand(&text, "f", mode).unwrap().warnings.len();
    assert_eq!((warnings(0o100_600), warnings(0o100_644)), (1, 2));
    let key = "k".repeat(32);
    let text = more(&format!("authentication: {{ type: hmac, keys: {{ 1: {key} }} }}"));
    let warnings = |mode| understand(&text, "f", mode).unwrap().warnings;
    assert_eq!(warnings(0o100_600), []);
    assert_eq!(
        warnings(0o100_640)[0].to_string(),
        "6:46: instances.web.authentication.keys.1: warning: this key stands in a file that is open to group or others \
         (mode 0640); write '{ file: PATH }' [V0501]"
    );
}

#[test]
fn a_pipe_is_read_to_its_end_but_nobody_is_waited_for() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, INSTANCE.as_bytes()));
    assert_eq!(load(Path::new(&path)), parse(INSTANCE, &path));
    writing.join().unwrap().unwrap();
    let said = load(Path::new(&path)).unwrap_err().to_string();
    assert!(said.contains(":1:1: the file is empty"), "{said}");
}
