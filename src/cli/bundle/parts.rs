//! What a bundle is made of.

use std::path::Path;

use super::source::Source;

/// A file of the archive.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) source: Source,
}

/// What each is, for whoever opens it.
const MEANINGS: [(&str, &str); 20] = [
    ("configuration.yaml", "without its secrets"),
    ("check.json", "what is wrong with it"),
    ("versions.txt", "of vipctl, vipd, the kernel and systemd"),
    ("status.json", "how things stand"),
    ("status.txt", "the same in words"),
    ("explain.json", "why, and what next"),
    ("events.json", "since the agent started"),
    ("history.json", "of 30 days"),
    ("history-files.txt", "as they are on disk"),
    ("metrics.txt", "what is measured"),
    ("doctor.txt", "what may be wrong on this host"),
    ("state.json", "what a next agent would go on with"),
    ("links.txt", "interfaces"),
    ("addresses.txt", "of all interfaces"),
    ("routes.txt", "and rules, of all tables"),
    ("neighbours.txt", "ARP and ND"),
    ("nftables.txt", "the tables of vipd"),
    ("sysctls.txt", "that matter here"),
    ("units.txt", "the agent as systemd sees it"),
    ("journal.txt", "of the agent, 24 hours"),
];

/// What the kernel is asked of each interface.
const SYSCTLS: [&str; 19] = [
    "ipv4/ip_forward",
    "ipv4/ip_nonlocal_bind",
    "ipv6/ip_nonlocal_bind",
    "ipv4/igmp_max_memberships",
    "ipv4/conf/*/accept_local",
    "ipv4/conf/*/arp_accept",
    "ipv4/conf/*/arp_announce",
    "ipv4/conf/*/arp_filter",
    "ipv4/conf/*/arp_ignore",
    "ipv4/conf/*/forwarding",
    "ipv4/conf/*/promote_secondaries",
    "ipv4/conf/*/rp_filter",
    "ipv6/conf/*/accept_dad",
    "ipv6/conf/*/accept_ra",
    "ipv6/conf/*/addr_gen_mode",
    "ipv6/conf/*/disable_ipv6",
    "ipv6/conf/*/forwarding",
    "ipv6/conf/*/optimistic_dad",
    "core/rmem_max",
];

/// A few words about a part.
pub(super) fn meaning(name: &str) -> &'static str {
    MEANINGS.iter().find(|(part, _)| *part == name).map_or("", |(_, meaning)| meaning)
}

/// All but the configuration itself.
pub(super) fn all(runtime_dir: &Path, config: &Path, state: &Path) -> Vec<Part> {
    let (directory, config, state) =
        (runtime_dir.to_string_lossy(), config.to_string_lossy(), state.to_string_lossy());
    let own = |arguments: &[&str]| {
        Source::Own(
            [&["--runtime-dir", &*directory], arguments].concat().into_iter().map(str::to_owned).collect(),
        )
    };
    let part = |name, source| Part { name, source };
    let mut parts = vec![
        part("check.json", own(&["check", &config, "--json"])),
        part("versions.txt", versions()),
        part("status.json", own(&["status", "--json"])),
        part("status.txt", own(&["status"])),
        part("explain.json", own(&["explain", "--json"])),
        part("events.json", own(&["events", "--json"])),
        part("history.json", own(&["history", "--since", "30d", "--json", "--state-directory", &state])),
        part(
            "history-files.txt",
            Source::Files(vec![format!("{state}/history*.jsonl"), format!("{state}/drains.json")]),
        ),
        part("metrics.txt", own(&["metrics"])),
        part("doctor.txt", own(&["doctor"])),
        part("state.json", Source::Files(vec![format!("{directory}/state.json")])),
    ];
    parts.extend(kernel());
    parts.extend(systemd());
    parts
}

fn versions() -> Source {
    let vipctl =
        std::env::current_exe().map_or_else(|_| "vipctl".to_owned(), |path| path.display().to_string());
    // Beside this one.
    let vipd = Path::new(&vipctl).with_file_name("vipd").display().to_string();
    programs(&[
        &[&vipctl, "--version"],
        &[&vipd, "--version"],
        &["uname", "-a"],
        &["uptime"],
        &["cat", "/etc/os-release"],
        &["systemctl", "--version"],
    ])
}

fn kernel() -> [Part; 6] {
    let ip = |arguments: &[&[&str]]| {
        let commands: Vec<Vec<&str>> = arguments.iter().map(|rest| [&["ip"], *rest].concat()).collect();
        programs(&commands.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let rules: [&[&str]; 4] = [
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-4", "rule", "show"],
        &["-6", "rule", "show"],
    ];
    let sysctls = SYSCTLS.iter().map(|name| format!("/proc/sys/net/{name}")).collect();
    [
        Part { name: "links.txt", source: ip(&[&["-details", "-statistics", "link", "show"]]) },
        Part { name: "addresses.txt", source: ip(&[&["-details", "address", "show"]]) },
        Part { name: "routes.txt", source: ip(&rules) },
        Part { name: "neighbours.txt", source: ip(&[&["-statistics", "neighbour", "show"]]) },
        Part {
            name: "nftables.txt",
            source: programs(&[
                &["nft", "list", "table", "netdev", "vipd"],
                &["nft", "list", "table", "inet", "vipd"],
            ]),
        },
        Part { name: "sysctls.txt", source: Source::Files(sysctls) },
    ]
}

fn systemd() -> [Part; 2] {
    let units = ["vipd.service", "vipd-scripts.service", "vipd-scripts.socket"];
    let journal = ["--unit=vipd.service", "--unit=vipd-scripts.service", "--unit=vipd-flush@*"];
    let bounds = ["--since=-24h", "--lines=20000", "--no-pager", "--output=short-iso-precise"];
    [
        Part {
            name: "units.txt",
            source: programs(&[
                &[&["systemctl", "--no-pager", "--lines=0", "status"], &units[..]].concat(),
                &[
                    "systemctl",
                    "show",
                    "--property=NRestarts,Result,ExecMainStatus,DropInPaths,NeedDaemonReload",
                    units[0],
                ],
            ]),
        },
        Part {
            name: "journal.txt",
            source: programs(&[&[&["journalctl"], &journal[..], &bounds[..]].concat()]),
        },
    ]
}

fn programs(commands: &[&[&str]]) -> Source {
    let owned = |command: &&[&str]| command.iter().map(|&word| word.to_owned()).collect();
    Source::Programs(commands.iter().map(owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_meaning_and_every_meaning_a_part() {
        let parts = all(Path::new("/run/vipd"), Path::new("/etc/vipd/vipd.yaml"), Path::new("/var/lib/vipd"));
        let mut names: Vec<_> = parts.iter().map(|part| part.name).chain(["configuration.yaml"]).collect();
        let mut known: Vec<_> = MEANINGS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
