//! No line is without a word, and no known keyword without a fate: every keyword of the table is tried where it belongs, with
//! values that are good, bad or missing.

use std::collections::BTreeSet;

use vipd::import::table::TABLE;
use vipd::import::{Import, convert};

/// What the importer says of a statement that it forgot.
const FORGOTTEN: [&str; 2] = ["nobody has said", "does not know what to do with it"];

/// Good somewhere, and bad elsewhere.
const VALUES: [&str; 10] =
    ["", "1", "0", "-1", "4000000000", "on", "bogus", "192.0.2.7", "2001:db8::7", "\"/bin/true a\" root"];

const INSTANCE: &str = "interface eth0\nvirtual_router_id 51\nvirtual_ipaddress { 192.0.2.1 }\n";

/// `line` in its block, with what the block needs to be looked at.
fn within(block: &str, line: &str) -> Option<String> {
    let instance = |inner: String| format!("vrrp_instance V {{\n{INSTANCE}{inner}\n}}\n");
    let text = match block {
        "" => format!("{line}\n"),
        "vrrp_instance" => instance(line.to_owned()),
        "authentication"
        | "auth_hmac"
        | "unicast_peer"
        | "virtual_ipaddress"
        | "virtual_ipaddress_excluded"
        | "virtual_routes"
        | "virtual_rules" => instance(format!("{block} {{\n{line}\n}}")),
        "track_script" | "track_interface" | "track_file" | "track_process" => {
            let definitions = "vrrp_script c { script /bin/true }\ntrack_file c { file /f }\nvrrp_track_process c { process p }\n";
            format!("{definitions}{}", instance(format!("{block} {{\nc {line}\n}}")))
        }
        "vrrp_sync_group" => {
            format!("{}vrrp_sync_group g {{\ngroup {{ V }}\n{line}\n}}\n", instance(String::new()))
        }
        "static_ipaddress"
        | "static_routes"
        | "static_rules"
        | "interface_up_down_delays"
        | "global_defs"
        | "garp_group"
        | "SSL" => format!("{block} {{\n{line}\n}}\n"),
        "vrrp_script" | "vrrp_track_file" | "vrrp_track_process" | "track_group" | "bfd_instance"
        | "virtual_server" => format!("{block} x {{\n{line}\n}}\n"),
        // They belong to a virtual server, which is left out as a whole.
        "real_server" | "checker" | "url" | "host" => return None,
        other => panic!("there is no way to try '{other}'"),
    };
    Some(text)
}

/// What of a text is left without a word.
fn untold(text: &str) -> Option<String> {
    let Import { entries, .. } = convert("k", text, "lb1");
    let told: BTreeSet<usize> = entries.iter().map(|entry| entry.place.line).collect();
    let blank = |line: &str| line.trim_matches(|c: char| c.is_whitespace() || "{}".contains(c)).is_empty();
    let mute = text.lines().enumerate().find(|(at, line)| !blank(line) && !told.contains(&(at + 1)));
    let forgotten = |text: &str| FORGOTTEN.iter().any(|words| text.contains(words));
    let entry = entries.iter().find(|entry| forgotten(&entry.text));
    mute.map(|(_, line)| line.to_owned()).or_else(|| entry.map(|entry| entry.statement.clone()))
}

#[test]
fn every_known_keyword_has_a_fate_whatever_its_value() {
    let mut tried = 0;
    let mut forgotten = BTreeSet::new();
    for (block, keyword, _) in TABLE.rows() {
        for value in VALUES {
            for braces in ["", " {\n}", " {\n192.0.2.9\nbogus 1\n}"] {
                let Some(text) = within(block, &format!("{keyword} {value}{braces}")) else { continue };
                forgotten.extend(untold(&text).map(|line| format!("{block}: {line}")));
                tried += 1;
            }
        }
    }
    println!("{tried} statements tried");
    assert!(tried > 5_000, "{tried}");
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}
